"""The explorer: one HTML page with the study inside, which opens without a network.

Plotly draws; the page's own script (`explorer.js`) chooses, filters and computes n, rho and R² of the
selection.
"""

import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

from alignsec.analysis.correlate import targets_of
from alignsec.analysis.parents import with_exported
from alignsec.ground import tables
from alignsec.report.findings import Study
from alignsec.study import targets as names
from alignsec.study.layout import Layout

# what the page shows of a row of `correlations`
COLUMNS = [
    "n", "n_families", "families_effective", "n_effective", "rho", "rho_low", "rho_high", "p", "q", "control",
    "partial_n", "partial_rho", "partial_low", "partial_high", "partial_p", "partial_q", "lofo_low",
    "lofo_high", "lofo_family", "rho_within", "rho_between", "r2", "slope", "intercept", "p_ols", "note",
]  # fmt: skip


def write(folder: Path) -> Path:
    """Write the page of the study below a folder ``results/<study>``; the file written."""
    path = Layout(folder).explorer
    tables.write_text(path, page(Study.read(folder), folder.resolve().name))
    return path


def page(study: Study, name: str) -> str:
    """The page as text, about 5 MB, most of it Plotly; `name` of the study for the title."""
    from plotly.offline import get_plotlyjs

    data = json.dumps(content(study, name), ensure_ascii=False, allow_nan=False)
    parts = {
        "STUDY": _html(name),
        "PLOTLY": get_plotlyjs(),
        # "<" cannot end the script early, whatever a model is called
        "DATA": data.replace("<", "\\u003c"),
        "SCRIPT": _resource("explorer.js"),
        "STYLE": _resource("explorer.css"),
    }
    text = _resource("explorer.html")
    head, *rest = text.split("{{")
    out = [head]
    for piece in rest:  # one pass, so that nothing put in is looked at again
        key, _, tail = piece.partition("}}")
        out += [parts[key], tail]
    return "".join(out)


def content(study: Study, name: str) -> dict[str, Any]:
    """What the page holds, as JSON data; numbers to the last digit, so that they come out as in the
    tables."""
    from alignsec.report.figures import CATEGORY_COLORS, OTHER, family_styles

    total, correlations = study.total, study.correlations
    tree = with_exported(study.benchmarks, total.columns)
    chosen = targets_of(correlations)
    styles = family_styles(total["family"])
    rows = correlations[["benchmark", "target", *COLUMNS]].astype(object)
    return {
        "study": name,
        "models": list(total["model"]),
        "families": list(total["family"]),
        "styles": {f: colour for f, (colour, _) in styles.items()},
        "other": OTHER[0],
        "categories": {str(k): v for k, v in CATEGORY_COLORS.items()},
        "benchmarks": [
            {"name": b, "category": _plain(c), "depth": int(d), "leaf": bool(leaf)}
            for b, c, d, leaf in zip(
                tree["benchmark"], tree["category"], tree["depth"], tree["is_leaf"], strict=True
            )
        ],
        "targets": [{"name": t, "label": names.label(t), "share": names.is_share(t)} for t in chosen],
        "start": names.middle(chosen) if chosen else None,
        "values": {c: [_plain(v) for v in total[c]] for c in [*tree["benchmark"], *chosen]},
        "columns": COLUMNS,
        "rows": [[_plain(v) for v in r] for r in rows.itertuples(index=False, name=None)],
    }


def _plain(value: Any) -> Any:
    """A cell as JSON: null for what is missing."""
    import pandas as pd

    if pd.isna(value):
        return None
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _resource(name: str) -> str:
    return (resources.files("alignsec.report") / name).read_text(encoding="utf-8")


def _html(text: str) -> str:
    import html

    return html.escape(text)
