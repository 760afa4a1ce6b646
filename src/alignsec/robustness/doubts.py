"""What is odd in a robustness table, though it may be right: published tables hold most of it."""

import itertools
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.study import epsilon as eps
from alignsec.study.targets import MEASURES, parts, radius, source_of, with_source

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
