"""Names of targets and what they say: ``<measure>@<setting>[<source>]``, all but the measure optional.

| name | what it is |
|---|---|
| `robust_top1@2/255` | accuracy under AutoAttack in an Linf ball of that radius in [0, 1] pixel units |
| `robust_top1@L2:0.5` | the same in an L2 ball |
| `pgd_top1@0.5/255[testbed]` | accuracy under a PGD, as the published source `testbed` has it |
| `robust_top1@mean`, `pgd_top1@L2:mean[testbed]` | one target over several epsilons of one norm |
| `clean_top1`, `clean_top1[testbed]` | accuracy on ImageNet's validation images |
| `shift_top1@imagenet-a[timm]` | accuracy on other images |
| `corruption_top1@gaussian_noise-3`, `corruption_top1@mean` | accuracy under a corruption, over all of them |
| `median_distance@L2` | median norm of the smallest adversarial perturbation |

Without a source a target was measured by the study itself, or stands in a table of the user's own.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from alignsec.ground.errors import AlignsecError
from alignsec.study import epsilon as eps

CORRUPTIONS = "corruption_top1@mean"  # over all corruptions and severities
MEAN = "mean"  # as a setting: over corruptions, or over the epsilons of a norm
# what stands before the "@" (shift: on other images than ImageNet's validation set)
MEASURES = ("clean_top1", "clean_top5", "robust_top1", "robust_top5", "robust_given_correct", "pgd_top1",
            "pgd_top5", "corruption_top1", "shift_top1", "shift_top5", "median_distance")  # fmt: skip
FLOOR = 0.25  # share of models at the floor from which on a target hardly tells models apart
_UNDER_ATTACK = ("robust_top1", "robust_top5", "robust_given_correct", "pgd_top1", "pgd_top5")
_KINDS = {
    **dict.fromkeys((*_UNDER_ATTACK, "median_distance"), "adversarial"),
    **dict.fromkeys(("shift_top1", "shift_top5"), "shift"),
    "corruption_top1": "corruption",
    **dict.fromkeys(("clean_top1", "clean_top5"), "clean"),
}
_ORDER = ("adversarial Linf", "adversarial L2", "adversarial", "shift", "corruption", "clean", "other")
_NORMS = {"": eps.Norm.LINF, "linf": eps.Norm.LINF, "l2": eps.Norm.L2}
_WORDS = {
    "clean_top1": "clean top-1",
    "clean_top5": "clean top-5",
    "robust_top1": "AutoAttack top-1",
    "robust_top5": "AutoAttack top-5",
    "robust_given_correct": "AutoAttack, of correct",
    "pgd_top1": "PGD top-1",
    "pgd_top5": "PGD top-5",
    "median_distance": "median distance",
    "shift_top1": "top-1",
    "shift_top5": "top-5",
}


class Parts(NamedTuple):
    """What a target's name says.

    Attributes
    ----------
    measure : what was measured; one of `MEASURES`, or a name of the user's own
    norm : of the perturbation, where there is one: ``Linf``, ``L2`` or another as it was written; else empty
    setting : epsilon, test set, corruption or `MEAN`, without the norm; empty where none is named
    source : the published source; None of the study's own
    """

    measure: str
    norm: str
    setting: str
    source: str | None


def parts(target: str) -> Parts:
    """Take a name apart.

    >>> parts("pgd_top1@L2:0.5[testbed]")
    Parts(measure='pgd_top1', norm='L2', setting='0.5', source='testbed')
    >>> parts("robust_top1@1/255").norm, parts("clean_top1"), parts("my own")[0]
    ('Linf', Parts(measure='clean_top1', norm='', setting='', source=None), 'my own')
    """
    name, source = _split(target)
    measure, _, rest = name.partition("@")
    if _KINDS.get(measure) != "adversarial":
        return Parts(measure, "", rest, source)
    norm, _, setting = (rest, "", "") if measure == "median_distance" else rest.rpartition(":")
    return Parts(measure, str(_NORMS.get(norm.strip().lower(), norm.strip())), setting.strip(), source)


def _split(target: str) -> tuple[str, str | None]:
    """The name without its source, and the source."""
    found = re.fullmatch(r"(.+)\[([^\[\]]+)\]", target, re.DOTALL)
    return (found[1], found[2]) if found else (target, None)


def source_of(target: str) -> str | None:
    """The published source of a target; None of the study's own.

    >>> source_of("shift_top1@imagenet-a[timm]"), source_of("robust_top1@1/255")
    ('timm', None)
    """
    return _split(target)[1]


def with_source(target: str, source: str | None) -> str:
    """The name of the same measure and setting of another source; None: of the study's own.

    >>> with_source("clean_top1", "testbed"), with_source("clean_top1[testbed]", None)
    ('clean_top1[testbed]', 'clean_top1')

    Raises
    ------
    AlignsecError
        `source` is empty or holds a bracket.
    """
    if source is not None and not re.fullmatch(r"[^\[\]]+", source):
        raise AlignsecError(
            f"source {source!r} of target {target!r}: it may hold no bracket and not be empty"
        )
    name = _split(target)[0]
    return name if source is None else f"{name}[{source}]"


def kind(target: str) -> str:
    """What kind of target: those of one kind may be compared, and are corrected for together.

    ``adversarial <norm>``, ``shift``, ``corruption``, ``clean``; ``other`` for a measure of the user's own.

    >>> [kind(t) for t in ("robust_top1@1/255", "pgd_top1@L2:0.5[testbed]", "median_distance", "clean_top5")]
    ['adversarial Linf', 'adversarial L2', 'adversarial Linf', 'clean']
    """
    said = parts(target)
    found = _KINDS.get(said.measure, "other")
    return f"{found} {said.norm}" if found == "adversarial" else found


def by_kind(targets: Iterable[str]) -> dict[str, list[str]]:
    """The targets of each kind, in their order: adversarial ones first, clean ones last.

    >>> by_kind(["clean_top1", "robust_top1@1/255"])
    {'adversarial Linf': ['robust_top1@1/255'], 'clean': ['clean_top1']}
    """
    found: dict[str, list[str]] = defaultdict(list)
    for target in targets:
        found[kind(target)].append(target)

    def place(name: str) -> int:
        return _ORDER.index(name if name in _ORDER else "adversarial")

    return {name: found[name] for name in sorted(found, key=place)}


def target_name(epsilon: str, norm: str, top: int = 1) -> str:
    """Accuracy under attack at an epsilon as it is written; a norm other than Linf says so.

    >>> target_name("1/255", "Linf"), target_name("0.5", "L2", top=5)
    ('robust_top1@1/255', 'robust_top5@L2:0.5')
    """
    return f"robust_top{top}@{epsilon}" if norm == "Linf" else f"robust_top{top}@{norm}:{epsilon}"


def mean_name(target: str) -> str:
    """The target over several epsilons to which an accuracy under attack belongs.

    >>> mean_name("robust_top1@1/255"), mean_name("pgd_top1@L2:0.5[testbed]")
    ('robust_top1@mean', 'pgd_top1@L2:mean[testbed]')
    """
    said = parts(target)
    setting = MEAN if said.norm in ("", eps.Norm.LINF) else f"{said.norm}:{MEAN}"
    return with_source(f"{said.measure}@{setting}", said.source)


def median_name(norm: str) -> str:
    """`median_distance`; a norm other than Linf says so."""
    return "median_distance" if norm == "Linf" else f"median_distance@{norm}"


def corruption_name(corruption: str, severity: int) -> str:
    """Accuracy under one corruption.

    >>> corruption_name("gaussian_noise", 3)
    'corruption_top1@gaussian_noise-3'
    """
    return f"corruption_top1@{corruption}-{severity}"


def radius(target: str) -> float | None:
    """Epsilon of `robust_top1@<epsilon>`, `robust_top5@L2:<epsilon>`, `pgd_top1@…`; None of other targets.

    >>> radius("pgd_top1@L2:0.5[testbed]"), radius("robust_top1@mean"), radius("clean_top1")
    (0.5, None, None)
    """
    said = parts(target)
    if said.measure not in _UNDER_ATTACK or not said.setting:
        return None
    try:
        return eps.parse(said.setting)
    except AlignsecError:
        return None


def is_mean(target: str) -> bool:
    """Is it a mean over epsilons or corruptions, and so no count of images?"""
    return parts(target).setting == MEAN


def label(target: str) -> str:
    """A target's name as a reader would say it: what attacked, how far, and whose number it is.

    >>> label("robust_top1@L2:0.5"), label("pgd_top1@mean[testbed]")
    ('AutoAttack top-1, L2 ε = 0.5', 'PGD top-1, mean over ε (testbed)')
    >>> label("corruption_top1@gaussian_noise-3"), label("shift_top1@imagenet-a[timm]")
    ('gaussian noise, severity 3', 'top-1, imagenet-a (timm)')
    """
    said = parts(target)
    suffix = f" ({said.source})" if said.source else ""
    return _label(_split(target)[0], said) + suffix


def _label(name: str, said: Parts) -> str:
    word = _WORDS.get(said.measure)
    norm = "" if said.norm in ("", eps.Norm.LINF) else f"{said.norm} "
    if said.measure == "corruption_top1" and said.setting:
        if said.setting == MEAN:
            return "corruptions, mean"
        return said.setting.replace("_", " ").replace("-", ", severity ")
    if word is None or (said.measure.startswith("shift") and not said.setting):
        return name
    if said.measure.startswith("shift") and said.setting == MEAN:
        return f"{word} on shifted sets, mean"
    if said.measure in _UNDER_ATTACK:
        size = {"": "", MEAN: f", {norm}mean over ε"}.get(said.setting, f", {norm}ε = {said.setting}")
        return word + size
    return ", ".join(t for t in (word, said.setting or norm.strip()) if t)


def ladders(targets: Iterable[str]) -> list[list[str]]:
    """Top-1 accuracies under attack, a list for each attack, norm and source; in each the smallest ε first.

    No list mixes what no axis can hold. First AutoAttack's, then a PGD's; of each the study's own first, then
    sources as given; of each Linf first. A mean over epsilons is on no ladder.
    """
    found: dict[tuple[str, str | None, str], list[str]] = defaultdict(list)
    for target in dict.fromkeys(targets):
        said = parts(target)
        if said.measure in ("robust_top1", "pgd_top1") and radius(target) is not None:
            found[said.measure, said.source, said.norm].append(target)
    sources = list(dict.fromkeys(source for _, source, _ in found))

    def place(key: tuple[str, str | None, str]) -> tuple[bool, bool, int, bool]:
        measure, source, norm = key
        return measure != "robust_top1", source is not None, sources.index(source), norm != eps.Norm.LINF

    return [sorted(found[key], key=lambda t: radius(t) or 0.0) for key in sorted(found, key=place)]


def robust(targets: Iterable[str]) -> list[str]:
    """Accuracies under one attack in one norm of one source: the first of `ladders`.

    Where no epsilon is named, the means over epsilons; where there are none either, all targets.
    """
    every = list(dict.fromkeys(targets))
    means = [t for t in every if kind(t).startswith("adversarial") and is_mean(t)]
    return next(iter(ladders(every)), None) or means or every


def middle(targets: Iterable[str], at_floor: Mapping[str, float] | None = None) -> str:
    """The target to show where there is room for one: the mean over epsilons, else the middle epsilon.

    At the ends most models are at the floor or at clean accuracy.

    Parameters
    ----------
    at_floor : share of the models at 0, by target; an epsilon with `FLOOR` of them or more is passed over
        while there is another. None: not known.

    >>> middle(["robust_top1@1/255", "robust_top1@4/255"], {"robust_top1@4/255": 0.9})
    'robust_top1@1/255'
    """
    every = list(dict.fromkeys(targets))
    found = robust(every)
    mean = mean_name(found[0])
    if mean in every:
        return mean
    kept = [t for t in found if (at_floor or {}).get(t, 0.0) < FLOOR] or found
    return kept[len(kept) // 2]


def control_of(target: str, columns: Iterable[str]) -> str | None:
    """The clean accuracy that `target` is to be seen net of: of the same source, never of another.

    Of a shifted set that has some of the classes only, that on ordinary images of these classes where it was
    measured. None where the target is a clean accuracy itself, or none of that source was measured.

    >>> control_of("pgd_top1@2/255[testbed]", ["clean_top1", "clean_top1[testbed]"])
    'clean_top1[testbed]'
    >>> control_of("shift_top1@imagenet-a[timm]", ["clean_top1[timm]", "clean_top1@imagenet-a-classes[timm]"])
    'clean_top1@imagenet-a-classes[timm]'
    """
    if kind(target) == "clean":
        return None
    said, known, source = parts(target), set(columns), source_of(target)
    top5 = said.measure.endswith("_top5")
    wanted = ["clean_top5", "clean_top1"] if top5 else ["clean_top1", "clean_top5"]
    if kind(target) == "shift":
        wanted = [f"{name}@{said.setting}-classes" for name in wanted] + wanted
    return next((c for name in wanted if (c := with_source(name, source)) in known), None)


def is_top1(target: str) -> bool:
    """Is it an accuracy of the first answer?"""
    return parts(target).measure.endswith("_top1")


def is_share(target: str) -> bool:
    """Is the target a share in [0, 1] (and no distance)?"""
    return parts(target).measure != "median_distance"


def is_of_correct(target: str) -> bool:
    """Is the target the share of all images that stay correct when they are changed?

    Where clean accuracy is of the same images, what is counted here is counted there too, and their errors
    go together. (A corrupted image may become correct; it rarely does.)

    >>> [is_of_correct(t) for t in ("robust_top1@1/255", "robust_given_correct@1/255", "clean_top1")]
    [True, False, False]
    """
    return parts(target).measure in ("robust_top1", "robust_top5", "pgd_top1", "pgd_top5", "corruption_top1")


def conditional(target: str) -> str | None:
    """`robust_given_correct@<epsilon>` of `robust_top1@<epsilon>`; None for another target."""
    name, source = _split(target)
    measure, _, rest = name.partition("@")
    if measure != "robust_top1" or not rest or is_mean(target):
        return None
    return with_source(f"robust_given_correct@{rest}", source)


def clean(columns: Iterable[str]) -> list[str]:
    """The clean accuracies of every source among `columns`, which targets are seen net of."""
    return [c for c in columns if _split(c)[0] in ("clean_top1", "clean_top5")]
