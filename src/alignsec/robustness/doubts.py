"""What is odd in a robustness table or in preflight's reports, though it may be right."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.study import epsilon as eps
from alignsec.study.records import Report
from alignsec.study.targets import MEASURES, parts, radius, source_of, with_source
from alignsec.zoo.chance import short_of

if TYPE_CHECKING:
    import pandas as pd

Doubt = tuple[str, str, float, str]  # model, warning, value, meaning: as in `summarise.WARNINGS`
_ATTACKS = ("robust_top1", "robust_top5", "pgd_top1", "pgd_top5")
_SAME = 0.01  # two spellings of one epsilon differ by less: 1/255 is .0039216, people write .0039
_LARGE = 32 / 255  # of Linf; a bare 8 meaning 8/255 is the usual mistake
ABOVE_CLEAN = (
    "robust accuracy is above clean accuracy: measured on other images, or by an attack that can turn wrong "
    "answers into right ones; value: the largest difference"
)
RISES = "accuracy rises with epsilon, as no attack of full strength lets it; value: the largest rise"
AT_CHANCE = (
    "clean accuracy is at most 1 % in a table of percentages: a model at chance, or a share that was not "
    "meant as a percentage; value: the accuracy as a share"
)


# flag of preflight -> key of the report that holds the value, and what it means
FLAGGED: dict[str, tuple[str, str]] = {
    "batch dependent": (
        "batch_difference",
        "logits of an image depend on the others in its batch, so no verdict is of the image alone; value: "
        "the largest difference, as a share of the logits' scale",
    ),
    "several outputs": (
        "classes",
        "the module returns several tensors: the one with the study's number of classes is taken as the "
        "logits (preflight.json: output); value: its classes",
    ),
    "at chance": ("clean_top1", "clean accuracy on preflight's sample is not above chance; value: it"),
    "label order suspect": (
        "clean_top1",
        "at chance, while the predictions would fit another order of the classes; value: the accuracy",
    ),
}


def of_reports(reports: "Mapping[str, Report]") -> list[Doubt]:
    """Flags of preflight as doubts, sorted by model: those that no attack warns about by itself."""
    found = []
    for model, report in reports.items():
        for flag in report["flags"]:
            if flag in FLAGGED:
                key, meaning = FLAGGED[flag]
                value: Any = report.get(key)
                found.append((model, flag.replace(" ", "_"), float(value or 0), meaning))
    return sorted(found)


def below(table: "pd.DataFrame", known: Iterable[tuple[str, float, str]]) -> list[Doubt]:
    """Models whose own clean accuracy (`clean_top1` of so many images) is below a published one.

    Parameters
    ----------
    table : of kind ``robustness``
    known : model, accuracy as a share, and who publishes it
    """
    rows = table[(table["target"] == "clean_top1") & table["n"].notna()]
    own = {str(m): (float(v), int(n)) for m, v, n in rows[["model", "value", "n"]].itertuples(index=False)}
    found = []
    for model, accuracy, whose in known:
        value, n = own.get(model, (1.0, 0))
        if n and short_of(round(value * n), n, accuracy):
            meaning = (
                f"clean accuracy is {value:.3f} of {n} images, and {accuracy:.3f} by {whose}: more than "
                "chance explains, so look at normalisation, order of channels, resize and weights; value: "
                "the difference"
            )
            found.append((model, "below_expected", accuracy - value, meaning))
    return sorted(found)


def doubts_of(table: "pd.DataFrame", published: bool = False) -> list[Doubt]:
    """Doubts about a table of kind ``robustness``, sorted by model.

    Parameters
    ----------
    published : the table was in percent because its layout is, so a clean share would have gone unnoticed
    """
    models: dict[str, dict[str, float]] = defaultdict(dict)
    holders: dict[str, list[str]] = defaultdict(list)
    for model, target, value in zip(table["model"], table["target"], table["value"], strict=True):
        models[model][target] = float(value)
        holders[target].append(model)
    found: list[Doubt] = []
    ladders = _ladders(list(holders))
    for model, values in models.items():
        found += _of_model(model, values, ladders)
        low = values.get("clean_top1")
        if published and low is not None and low <= 0.01:
            found.append((model, "clean_at_chance", low, AT_CHANCE))
    for target, meaning in _of_names(list(holders), {t: len(m) for t, m in holders.items()}).items():
        found += [(model, "odd_target", radius(target) or 0.0, meaning) for model in holders[target]]
    return sorted(found)


def _of_model(model: str, values: dict[str, float], ladders: list[list[str]]) -> list[Doubt]:
    above = rise = 0.0
    for ladder in ladders:
        held = [values[t] for t in ladder if t in values]
        clean = values.get(
            with_source("clean_top5" if "_top5" in ladder[0] else "clean_top1", source_of(ladder[0]))
        )
        if held and clean is not None:
            above = max(above, max(held) - clean)
        for small, large in itertools.pairwise(held):
            rise = max(rise, large - small)
    found: list[Doubt] = []
    if above > 1e-9:
        found.append((model, "robust_above_clean", above, ABOVE_CLEAN))
    if rise > 1e-9:
        found.append((model, "rises_with_epsilon", rise, RISES))
    return found


def _ladders(targets: list[str]) -> list[list[str]]:
    """Accuracies under one kind of attack, norm and source, smallest epsilon first."""
    by_attack: dict[tuple[str, str, str | None], list[str]] = defaultdict(list)
    for target in targets:
        said = parts(target)
        if said.measure in _ATTACKS and radius(target) is not None:
            by_attack[said.measure, said.norm, said.source].append(target)
    return [sorted(ladder, key=lambda t: radius(t) or 0.0) for ladder in by_attack.values()]


def _of_names(targets: list[str], held: dict[str, int]) -> dict[str, str]:
    """Targets whose names are odd, each with what is odd; of two alike the rarer."""
    found: dict[str, str] = {}
    for ladder in _ladders(targets):
        for one, other in itertools.pairwise(ladder):
            a, b = radius(one) or 0.0, radius(other) or 0.0
            if b - a < _SAME * b:
                rare, common = sorted((one, other), key=lambda t: held[t])
                found[rare] = (
                    f"target {rare} is the same epsilon as {common}, or nearly: one spelling would join them"
                )
    for target in targets:
        if target in found:
            continue
        meaning = _of_name(target, targets)
        if meaning:
            found[target] = meaning
    return found


def _of_name(target: str, targets: list[str]) -> str:
    from rapidfuzz.distance import OSA

    kind, norm, size, _ = parts(target)
    if kind not in MEASURES:
        near = min(MEASURES, key=lambda k: OSA.distance(k, kind.lower()))
        typo = OSA.distance(near, kind.lower()) <= 2
        hint = (
            f"did you mean {near}?"
            if typo
            else "it is read as a share of images and belongs to no kind of target"
        )
        return f"target {target} is not known here: {hint}"
    if kind in (*_ATTACKS, "robust_given_correct"):
        try:
            value = eps.parse(size)
        except AlignsecError:
            return f"target {target} names no epsilon that can be read (expected is {kind}@1/255)"
        under = re.fullmatch(r"[0-9.]+/([0-9]+)", size)
        if under and under[1] != "255" and OSA.distance(under[1], "255") == 1:
            return f"target {target} looks like a slip: did you mean {size.rpartition('/')[0]}/255?"
        if value <= 0 or (norm == eps.Norm.LINF and value > _LARGE):
            return f"target {target} is at an unlikely epsilon: did you mean {size}/255?"
    plain = _plain(target)
    twin = next((t for t in targets if t != target and _plain(t) == plain and t < target), None)
    return f"target {target} differs from {twin} only in case or blanks" if twin else ""


def _plain(target: str) -> str:
    return re.sub(r"[\s_-]+", "", target).casefold()
