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
from alignsec.report import described
from alignsec.report.findings import Study
from alignsec.study import targets as names
from alignsec.study.layout import Layout

# what the page shows of a row of `correlations`
COLUMNS = [
    "n", "n_families", "families_effective", "n_effective", "rho", "rho_low", "rho_high", "p", "q", "control",
    "partial_n", "partial_rho", "partial_low", "partial_high", "partial_p", "partial_q", "lofo_low",
    "lofo_high", "lofo_family", "rho_within", "rho_between", "r2", "slope", "intercept", "p_ols", "note",
]  # fmt: skip

# the categories' colours as text: the figures' own are too pale to read on white (WCAG 2.2, 1.4.3)
INKS = {"neural": "#005A8C", "behavior": "#A04300", "engineering": "#00694C", "None": "#444444"}

# what the page opens with: column of `kinds`, its name there, what it is
KINDS = (
    ("name", "Kind of benchmarks", "Area, metric and paradigm that its leaf benchmarks share"),
    ("n", "Models", "Models that have the target and any of the kind's leaves"),
    (
        "rho",
        "ρ given clean",
        "Mean rank correlation of its leaves with the target, clean accuracy held fixed",
    ),
    ("low", "95 % interval", "Of that, from leaving out one family of models at a time"),
    ("raw_rho", "ρ", "The same with nothing held fixed; no verdict rests on it"),
    ("within_rho", "within families", "The same with families held fixed as well"),
    ("p", "p", "Family-wise: of all kinds tested together"),
    ("verdict", "Verdict", "Supported; smaller than the margin; or the data cannot tell"),
    ("leaves", "Leaves", "How many benchmarks it is the mean of"),
)

# what the page's table shows: column, its name there, what it is
HEADS = (
    ("benchmark", "Benchmark", "Name on the leaderboard; bold in the list: a mean of others"),
    ("n", "Models", "Models that have both the score and the target"),
    ("n_families", "Families", "Families that these models come from"),
    ("rho", "ρ", "Spearman's rank correlation of score and target over these models"),
    ("rho_low", "95 % interval", "Of ρ, from leaving out one family at a time"),
    ("p", "p", "Sign-flip test of ρ over families"),
    ("q", "q", "p corrected over the leaves and the targets of one kind (Benjamini and Hochberg)"),
    (
        "partial_rho",
        "ρ given clean",
        "Rank correlation with the clean accuracy of the same source held fixed",
    ),
    ("partial_low", "95 % interval, given clean", "Of ρ given clean accuracy"),
    ("partial_p", "p given clean", "Test of ρ given clean accuracy"),
    ("partial_q", "q given clean", "That p corrected over the leaves and the targets of one kind"),
    ("rho_within", "within families", "Correlation of the ranks about their family's mean"),
    ("rho_between", "between families", "Correlation of the families' mean ranks, weighted by size"),
    ("r2", "R²", "Of least squares, which takes models as independent"),
    ("note", "Note", "Why something was not estimated, and what to be careful about"),
)


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
    from alignsec.report.figures import OTHER, family_styles

    total, correlations = study.total, study.correlations
    tree = with_exported(study.benchmarks, total.columns)
    chosen = targets_of(correlations)
    own = set(study.benchmarks["benchmark"])
    # of the models with robustness, as in the figures
    styles = family_styles(total.loc[total[chosen].notna().any(axis=1), "family"])
    rows = correlations[["benchmark", "target", *COLUMNS]].astype(object)
    return {
        "study": name,
        "models": list(total["model"]),
        "families": list(total["family"]),
        "styles": {f: colour for f, (colour, _) in styles.items()},
        "other": OTHER[0],
        "categories": INKS,
        "benchmarks": [
            {
                "name": b,
                "category": _plain(c),
                "depth": int(d),
                "leaf": bool(leaf),
                "exported": b not in own,
            }
            for b, c, d, leaf in zip(
                tree["benchmark"], tree["category"], tree["depth"], tree["is_leaf"], strict=True
            )
        ],
        "targets": [
            {
                "name": t,
                "label": names.label(t),
                "kind": names.kind(t),
                "share": names.is_share(t),
                "about": described.about(t, study.sources, study.images.get(t)),
                "cautions": described.cautions(t, study.sources),
            }
            for of_kind in names.by_kind(chosen).values()
            for t in of_kind
        ],
        "start": study.middle,
        "kinds": _kinds(study),
        "heads": [{"column": c, "name": name, "about": about} for c, name, about in HEADS],
        "values": {c: [_plain(v) for v in total[c]] for c in [*tree["benchmark"], *chosen]},
        "columns": COLUMNS,
        "rows": [[_plain(v) for v in r] for r in rows.itertuples(index=False, name=None)],
    }


def _kinds(study: Study) -> dict[str, Any] | None:
    """The claims of the study, in the order of the figure of kinds."""
    from alignsec.report.figures import kinds as figure

    table = study.kinds
    if table is None or table.empty:
        return None
    first = figure.target_of(table)
    found = []
    for target in sorted(dict.fromkeys(table["target"]), key=lambda t: t != first):
        for selection in dict.fromkeys(table["rows"]):
            for _, row in figure.shown(table, target, selection).iterrows():
                found.append(
                    {c: _plain(row[c]) for c in ("target", "rows", "area", "high", *(k for k, *_ in KINDS))}
                    | {
                        "colour": figure.colour_of(str(row["area"])),
                        "ink": INKS[figure.category_of(str(row["area"]))],
                        "leaves": str(row["leaves"]).split("; "),
                    }
                )
    return {
        "heads": [{"column": c, "name": name, "about": about} for c, name, about in KINDS],
        "margin": float(table["margin"].iloc[0]),
        "rows": found,
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
