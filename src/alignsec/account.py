"""What became of every model of a study before the attacks: one row each, and the reasons counted."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import encode
from alignsec.ground.reasons import FLAGS
from alignsec.ground.reasons import KINDS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    "model", "source", "family", "status", "kind", "reason", "transient", "flags", "reached", "input_size", "mean",
    "std", "classes", "label_offset", "deterministic", "parameters", "clean_top1", "clean_n", "brainscore_top1",
    "duplicates", "weights_sha256", "geometry", "seconds",
]  # fmt: skip
COUNTS = ["status", "kind", "models", "forward", "transient", "meaning"]
TOP1 = "ImageNet-top1"  # Brain-Score's own benchmark of clean accuracy
GAP = 0.05  # beyond the 99 % Wilson interval of the sample's accuracy


def table(
    sheet: "pd.DataFrame", reports: Mapping[str, Mapping[str, Any]], top1: Mapping[str, float]
) -> "pd.DataFrame":
    """One row per model of the sheet.

    Adds what only shows between models or against the leaderboard: `duplicates` (models with the same weights,
    flag "duplicate weights") and the flag "accuracy gap", where `top1` (Brain-Score's ImageNet top-1 by model) lies
    more than .05 outside the 99 % Wilson interval of the accuracy on the sample.

    Parameters
    ----------
    reports : model -> preflight report
    """
    import pandas as pd

    shared = owners({m: reports[m] for m in sheet["model"]})
    rows = []
    for row in sheet.itertuples():
        report = reports[str(row.model)]
        twins = [m for m in shared.get(report.get("weights_sha256") or "", []) if m != row.model]
        score = top1.get(str(row.spec or row.model)) if row.source == "brainscore" else None
        flags = list(report.get("flags", []))
        flags += ["duplicate weights"] if twins else []
        flags += ["accuracy gap"] if _is_far(report, score) else []
        known = {k: report.get(k) for k in COLUMNS}
        rows.append(
            known
            | {
                "model": row.model,
                "source": row.source,
                "family": row.family,
                "flags": "; ".join(flags),
                "duplicates": "; ".join(twins),
                "brainscore_top1": score,
                **{k: _joined(report.get(k)) for k in ("input_size", "mean", "std")},
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def owners(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Hash of the weights to the models that have them, in the order of `reports`."""
    found: dict[str, list[str]] = {}
    for model, report in reports.items():
        if digest := report.get("weights_sha256"):
            found.setdefault(digest, []).append(model)
    return found


def _joined(values: Sequence[float] | None) -> str | None:
    return None if values is None else " ".join(f"{v:g}" for v in values)


def _is_far(report: Mapping[str, Any], score: float | None) -> bool:
    from scipy.stats import binomtest

    n, share = report.get("clean_n"), report.get("clean_top1")
    if not n or share is None or score is None:
        return False
    interval = binomtest(round(share * n), n).proportion_ci(0.99, method="wilson")
    return bool(score < interval.low - GAP or score > interval.high + GAP)


def counts(rows: "pd.DataFrame") -> "pd.DataFrame":
    """How many models are attackable, and how many are not, by kind of reason; flags at the end.

    `forward` counts those of them that came as far as a forward pass.
    """
    import pandas as pd

    ok = rows[rows["status"] == "ok"]
    forward = rows["reached"].isin(["forward", "gradient"])
    lines: list[tuple[Any, ...]] = [("ok", "", len(ok), int(forward[ok.index].sum()), None, "attacked")]
    excluded = rows[rows["status"] != "ok"]
    for kind, part in sorted(excluded.groupby("kind"), key=lambda t: (-len(t[1]), t[0])):
        known = KINDS[str(kind)]
        lines.append(
            ("excluded", str(kind), len(part), int(forward[part.index].sum()), known.transient, known.meaning)
        )
    for flag, meaning in FLAGS.items():
        if n := sum(flag in found.split("; ") for found in ok["flags"]):
            lines.append(("flagged", flag, n, n, None, meaning))
    return pd.DataFrame(lines, columns=COUNTS)


def transient(folder: Path) -> list[tuple[str, str, list[Path]]]:
    """What another attempt may change: model, reason, and the files whose removal makes the workflow try again.

    Transient reasons (`alignsec.ground.reasons`), and missing packages that are installed by now.
    """
    import json

    found = []
    for path in sorted(folder.glob("*/preflight.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["status"] != "ok" and _may_change(report):
            found.append((report["model"], report["reason"], [path]))
    for path in sorted(folder.glob("*/attack/*.status.json")) + sorted(
        folder.glob("*/corruptions.status.json")
    ):
        status = json.loads(path.read_text(encoding="utf-8"))
        before = path.parents[1 if path.parent.name == "attack" else 0] / "preflight.json"
        if status["status"] == "ok" or not status["transient"]:
            continue
        if before.is_file() and json.loads(before.read_text(encoding="utf-8"))["status"] != "ok":
            continue  # its preflight decides, and is in the list if it may change
        table_path = path.with_name(path.name.replace(".status.json", ".parquet"))
        found.append((status["model"], status["reason"], [path, table_path]))
    return found


def _may_change(report: Mapping[str, Any]) -> bool:
    kind, _, names = report["reason"].partition(": ")
    if kind == "missing package":
        return all(_is_found(n.strip()) for n in names.split(","))
    return bool(report["transient"])


def _is_found(module: str) -> bool:
    try:
        return module.isidentifier() and util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def retry(folder: Path) -> list[tuple[str, str]]:
    """Remove the outputs of `transient`, so that the next run makes them again; what was removed."""
    removed = []
    for model, reason, files in transient(folder):
        for path in files:
            path.unlink(missing_ok=True)
        removed.append((model, reason))
    return removed


def read(models: Iterable[str], folder: Path) -> dict[str, dict[str, Any]]:
    """The preflight report of each model below `folder`.

    Raises
    ------
    AlignsecError
        A report is missing or is none.
    """
    import json

    reports = {}
    for model in models:
        path = folder / encode(model) / "preflight.json"
        try:
            reports[model] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AlignsecError(
                f"{path}: no preflight report ({error}): run preflight for {model!r}"
            ) from error
    return reports
