"""What became of every model of a study before the attacks: one row each, and the reasons counted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.reasons import FLAGS, KINDS
from alignsec.study.records import Report, read_reports
from alignsec.zoo.chance import short_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    "model", "source", "family", "status", "kind", "reason", "transient", "flags", "reached", "input_size",
    "mean", "std", "classes", "label_offset", "deterministic", "parameters", "clean_top1", "clean_n",
    "brainscore_top1", "duplicates", "weights_sha256", "geometry", "seconds",
]  # fmt: skip
COUNTS = ["status", "kind", "models", "forward", "transient", "meaning"]
TOP1 = "ImageNet-top1"  # Brain-Score's own benchmark of clean accuracy


def table(sheet: "pd.DataFrame", reports: Mapping[str, Report], top1: Mapping[str, float]) -> "pd.DataFrame":
    """One row per model of the sheet.

    Adds what only shows between models or against the leaderboard: `duplicates` (models with the same
    weights, flag "duplicate weights") and, of Brain-Score's own ImageNet top-1 (`top1`, by model), the flags
    "below expected" and "accuracy gap", where the sample's accuracy lies below or above it
    (`alignsec.zoo.chance.short_of`).

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
        flags += [f for f in _against(report, score) if f not in flags]
        told = {
            "model": row.model,
            "source": row.source,
            "family": row.family,
            "flags": "; ".join(flags),
            "duplicates": "; ".join(twins),
            "brainscore_top1": score,
            "input_size": _joined(report["input_size"]),
            "mean": _joined(report["mean"]),
            "std": _joined(report["std"]),
        }
        rows.append({k: report.get(k) for k in COLUMNS} | told)
    return pd.DataFrame(rows, columns=COLUMNS)


def account(
    sheet: "pd.DataFrame", folder: Path, scores: "pd.DataFrame | None" = None
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """`table` and `counts` of the models of a sheet, from their reports below `folder`.

    Parameters
    ----------
    scores : table of kind ``scores``, for Brain-Score's own ImageNet top-1
    """
    found = table(sheet, read_reports(sheet["model"], folder), top1_of(scores))
    return found, counts(found)


def top1_of(scores: "pd.DataFrame | None") -> dict[str, float]:
    """Brain-Score's own ImageNet top-1 by model, of a table of kind ``scores``."""
    if scores is None:
        return {}
    known = scores[(scores["benchmark"] == TOP1) & scores["score"].notna()]
    return dict(zip(known["model"], known["score"], strict=True))


def owners(reports: Mapping[str, Report]) -> dict[str, list[str]]:
    """Hash of the weights to the models that have them, in the order of `reports`."""
    found: dict[str, list[str]] = {}
    for model, report in reports.items():
        if digest := report.get("weights_sha256"):
            found.setdefault(digest, []).append(model)
    return found


def _joined(values: Sequence[float] | None) -> str | None:
    return None if values is None else " ".join(f"{v:g}" for v in values)


def _against(report: Report, score: float | None) -> list[str]:
    """Flags of the accuracy on the sample against a published one."""
    n, share = report.get("clean_n"), report.get("clean_top1")
    if not n or share is None or score is None:
        return []
    hits = round(share * n)
    found = ["below expected"] if short_of(hits, n, score) else []
    return found + (["accuracy gap"] if short_of(n - hits, n, 1 - score) else [])


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
