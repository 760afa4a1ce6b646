"""Every job's output as accuracies, exclusions and warnings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tables import read
from alignsec.robustness.doubts import below, of_reports
from alignsec.robustness.summarise import WARNINGS, doubts, share_row, summarise
from alignsec.study.layout import Models
from alignsec.study.records import EXCLUDED, OK, Report, Status, read_reports, read_status
from alignsec.zoo.account import owners

if TYPE_CHECKING:
    import pandas as pd


FEW_CLASSES = 10  # of which five are so many that top-5 accuracy says nothing


class Gathered(NamedTuple):
    """What all jobs came to."""

    table: "pd.DataFrame"  # of kind ``robustness``
    excluded: "pd.DataFrame"  # columns `summarise.EXCLUDED`
    warnings: "pd.DataFrame"  # columns `summarise.WARNINGS`


def gather(
    models: Sequence[str],
    folder: Path,
    shards: Sequence[str],
    epsilons: Sequence[str],
    norm: str = "Linf",
    *,
    with_corruptions: bool = False,
    exclude_duplicates: bool = False,
    top1: "Mapping[str, float] | None" = None,
) -> Gathered:
    """Every job's output as accuracies, exclusions and warnings.

    A model of ten classes or fewer has no `clean_top5`, unless top-5 robustness was asked for.

    Parameters
    ----------
    models : names, as in the sheet
    folder : of the models (`alignsec.study.layout.Models`)
    shards : names of those that every model was attacked on
    epsilons, norm : as in the configuration
    with_corruptions : there are corruptions, too
    exclude_duplicates : the first of several models with the same weights stands for all
    top1 : spec -> Brain-Score's own ImageNet top-1, of models of source brainscore

    Raises
    ------
    AlignsecError
        Two models were run on different images, or none could be run.
    """
    import pandas as pd

    files = Models(folder)
    attacks, corrupted = [], []
    statuses: list[Status] = []
    seen: dict[str, tuple[str, str]] = {}  # shard -> images' checksum, the first model attacked on them
    for model in models:
        for shard in shards:
            attacks.append(read(files.attack(model, shard), "attack"))
            statuses.append(read_status(files.attack_status(model, shard)))
            # null where the process ended before it had read them
            if used := statuses[-1].get("images"):
                first = seen.setdefault(shard, (used, model))
                if first[0] != used:
                    raise AlignsecError(
                        f"{files.attack(model, shard)}: {model!r} was run on other images than {first[1]!r}: "
                        "delete the folder of the one whose images are not those of images/, and run again"
                    )
        if with_corruptions:
            corrupted.append(read(files.corruptions(model), "corruptions"))
            statuses.append(read_status(files.corruptions_status(model)))
    if not attacks:
        raise AlignsecError("the sheet has no model to gather")
    if exclude_duplicates:
        statuses += _duplicates(models, folder)
    table, excluded = summarise(attacks, statuses, corrupted, epsilons, norm)
    reports = read_reports(table["model"].unique(), folder)
    if not table["target"].str.startswith("robust_top5@").any():
        few = {m for m, r in reports.items() if (r["classes"] or FEW_CLASSES + 1) <= FEW_CLASSES}
        table = table[~(table["model"].isin(few) & (table["target"] == "clean_top5"))]
        table = table.reset_index(drop=True)
    table = with_sample(table, reports)
    known: list[tuple[str, float, str]] = []
    for model, report in reports.items():
        if (accuracy := report.get("expected_top1")) is not None:
            known.append((model, accuracy, str(report.get("expected_from"))))
        if report["source"] == "brainscore" and report["spec"] in (top1 or {}):
            known.append((model, (top1 or {})[report["spec"]], "Brain-Score's own ImageNet top-1"))
    found = pd.DataFrame([*of_reports(reports), *below(table, known)], columns=WARNINGS)
    warned = [part for part in (doubts(statuses), found) if len(part)]
    return Gathered(table, excluded, pd.concat(warned, ignore_index=True) if warned else found)


def with_sample(table: "pd.DataFrame", reports: Mapping[str, Report]) -> "pd.DataFrame":
    """`table` (kind ``robustness``) with the clean accuracy of preflight's sample where that has more images.

    An attack costs thousands of passes for each image, clean accuracy one; and a clean accuracy of few images
    holds little fixed. The sample begins as the attacked images do, so it holds them.
    """
    import pandas as pd

    table = table.copy()
    for i in table.index[table["target"] == "clean_top1"]:
        report = reports[str(table.loc[i, "model"])]
        share, n = report.get("clean_top1"), report.get("clean_n")
        if share is not None and n is not None and n > table.loc[i, "n"]:
            row = share_row(str(table.loc[i, "model"]), "clean_top1", round(share * n), n)
            table.loc[i, list(row)] = pd.Series(row)
    return table


def _duplicates(models: Sequence[str], folder: Path) -> list[Status]:
    """An exclusion of every model whose weights are those of one before it."""
    attacked = {m: r for m, r in read_reports(models, folder).items() if r["status"] == OK}
    return [
        {
            "model": model,
            "step": "preflight",
            "status": EXCLUDED,
            "reason": f"flagged: duplicate weights (those of {first})",
        }
        for first, *others in owners(attacked).values()
        for model in others
    ]
