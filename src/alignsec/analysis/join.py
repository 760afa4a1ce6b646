"""Benchmarks and robustness side by side, one row per model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alignsec.analysis import duplicates, parents
from alignsec.analysis.correlate import targets_of
from alignsec.ground.errors import AlignsecError
from alignsec.study.layout import Models
from alignsec.study.records import read_report

if TYPE_CHECKING:
    import pandas as pd


def side_by_side(
    merged: "pd.DataFrame",
    benchmarks: Sequence[str],
    robustness: "pd.DataFrame",
    families: dict[str, str] | None,
) -> "pd.DataFrame":
    """Benchmarks and targets side by side, one row per model.

    Models of the sheet (`families`: model to family) or, without a sheet, of the merge. A model without
    alignment scores or without robustness keeps its row with nulls.

    Raises
    ------
    AlignsecError
        No model of the robustness table is known.
    """
    wide = robustness.pivot(index="model", columns="target", values="value")
    order = targets_of(robustness)
    known = merged.set_index("model")
    models = list(families) if families is not None else list(known.index)
    if not set(models) & set(wide.index):
        some = ", ".join(map(repr, list(wide.index)[:3]))
        raise AlignsecError(
            f"no model of the robustness table ({some}, …) is a model of the study: check the names"
        )
    total = known.reindex(models)[["family", *benchmarks]]
    if families is not None:
        total["family"] = [families[m] for m in models]
    clash = sorted(set(order) & set(benchmarks))
    if clash:
        raise AlignsecError(f"target {clash[0]!r} has the name of a benchmark: rename it")
    total = total.join(wide[order].reindex(models))
    total.index.name = "model"
    return total.reset_index()


def weights_of(sheet: "pd.DataFrame", folder: Path | None) -> "pd.DataFrame":
    """Model and what its weights are known by: their hash from preflight, else source and spec.

    `folder` holds the models' preflight reports; None where there are none.
    """
    import pandas as pd

    keys = []
    for model, source, spec in zip(sheet["model"], sheet["source"], sheet["spec"], strict=True):
        key = f"{source}:{spec or model}"
        report = None if folder is None else Models(folder).preflight(model)
        if report is not None and report.is_file():
            key = read_report(report).get("weights_sha256") or key
        keys.append(key)
    return pd.DataFrame({"model": sheet["model"], "weights": keys})


class Joined(NamedTuple):
    """Benchmarks and robustness of every model."""

    total: "pd.DataFrame"  # table of kind ``total_scores``
    duplicates: "pd.DataFrame"  # what one row per weights changes (`duplicates.compare`)
    models: int
    weights: int  # different ones


def join(
    merged: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    robustness: "pd.DataFrame",
    sheet: "pd.DataFrame | None" = None,
    models: Path | None = None,
    *,
    completeness: float = 0.5,
    collapse: bool = False,
) -> Joined:
    """Put benchmarks and robustness side by side, one row per model, parents computed again.

    Parameters
    ----------
    merged, benchmarks, robustness : tables of these kinds
    sheet : the models of the study; None: those of the merge
    models : folder of the models, whose preflight reports know the hashes of weights
    completeness : least share of a parent's leaves that a model must have to get the parent's score
    collapse : one row for all models of the same weights

    Raises
    ------
    AlignsecError
        No model of the robustness table is known, or a target has the name of a benchmark.
    """
    families = None if sheet is None else dict(zip(sheet["model"], sheet["family"], strict=True))
    total = side_by_side(merged, list(benchmarks["benchmark"]), robustness, families)
    weights = {} if sheet is None else dict(weights_of(sheet, models).to_numpy().tolist())
    one_each = parents.complete(duplicates.collapse(total, weights), benchmarks, completeness)
    total = parents.complete(total, benchmarks, completeness)
    changed = duplicates.compare(total, one_each, benchmarks, targets_of(robustness))
    return Joined(one_each if collapse else total, changed, len(total), len(one_each))
