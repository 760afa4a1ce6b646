"""Names of targets (`robust_top1@1/255`, `clean_top1`, `corruption_top1@mean`, ...) and what they say."""

from collections.abc import Iterable, Sequence

from alignsec.ground.errors import AlignsecError
from alignsec.study import epsilon as eps

CORRUPTIONS = "corruption_top1@mean"  # over all corruptions and severities
# what stands before the "@": what was measured (shift: on other images than ImageNet's validation set)
KINDS = ("clean_top1", "clean_top5", "robust_top1", "robust_top5", "robust_given_correct", "pgd_top1",
         "pgd_top5", "corruption_top1", "shift_top1", "shift_top5", "median_distance")  # fmt: skip
_WORDS = {
    "clean_top1": "clean top-1",
    "clean_top5": "clean top-5",
    "median_distance": "median distance",
    CORRUPTIONS: "corruptions, mean",
}
_ROBUST = {
    "robust_top1": "robust top-1",
    "robust_top5": "robust top-5",
    "robust_given_correct": "robust of correct",
    "pgd_top1": "PGD top-1",
    "pgd_top5": "PGD top-5",
}
_ELSEWHERE = {
    "clean_top1": "clean top-1",
    "clean_top5": "clean top-5",
    "shift_top1": "top-1",
    "shift_top5": "top-5",
}


def target_name(epsilon: str, norm: str, top: int = 1) -> str:
    """Accuracy under attack at an epsilon as it is written; a norm other than Linf says so.

    >>> target_name("1/255", "Linf"), target_name("0.5", "L2", top=5)
    ('robust_top1@1/255', 'robust_top5@L2:0.5')
    """
    return f"robust_top{top}@{epsilon}" if norm == "Linf" else f"robust_top{top}@{norm}:{epsilon}"


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
    """Epsilon of `robust_top1@<epsilon>`, `robust_top5@L2:<epsilon>`, `pgd_top1@…`; None of other targets."""
    kind, _, text = target.partition("@")
    if not kind.startswith(("robust", "pgd_")) or not text:
        return None
    try:
        return eps.parse(text.rpartition(":")[2])
    except AlignsecError:
        return None


def label(target: str) -> str:
    """A target's name as a reader would say it.

    >>> label("robust_top1@L2:0.5"), label("corruption_top1@gaussian_noise-3")
    ('robust top-1, L2 ε = 0.5', 'gaussian noise, severity 3')
    """
    kind, _, rest = target.partition("@")
    if target in _WORDS:
        return _WORDS[target]
    if kind in _ROBUST and rest:
        norm, _, size = rest.rpartition(":")
        return f"{_ROBUST[kind]}, {norm + ' ' if norm else ''}ε = {size}"
    if kind == "median_distance":
        return f"median distance, {rest}"
    if kind == "corruption_top1" and rest:
        return rest.replace("_", " ").replace("-", ", severity ")
    if kind in _ELSEWHERE and rest:
        return f"{_ELSEWHERE[kind]}, {rest}"
    return target


def robust(targets: Iterable[str]) -> list[str]:
    """The accuracies under attack, smallest epsilon first: AutoAttack's, else a PGD's, else all targets."""
    every = list(dict.fromkeys(targets))
    found = [t for t in every if t.startswith("robust_top1@")] or [
        t for t in every if t.startswith("pgd_top1@")
    ]
    return sorted(found, key=lambda t: radius(t) or 0.0) or every


def middle(targets: Iterable[str]) -> str:
    """The target to show where there is room for one: the middle epsilon.

    At the ends most models are at the floor or at clean accuracy.
    """
    found = robust(targets)
    return found[len(found) // 2]


def control_of(target: str, columns: Iterable[str]) -> str | None:
    """The clean accuracy that `target` is to be seen net of; None where it is one, or none was measured."""
    if target.startswith("clean_"):
        return None
    known = set(columns)
    wanted = ("clean_top5", "clean_top1") if "_top5" in target else ("clean_top1", "clean_top5")
    return next((c for c in wanted if c in known), None)


def is_share(target: str) -> bool:
    """Is the target a share in [0, 1] (and no distance)?"""
    return target.partition("@")[0] != "median_distance"


def conditional(target: str) -> str | None:
    """`robust_given_correct@<epsilon>` of `robust_top1@<epsilon>`; None for another target."""
    kind, _, rest = target.partition("@")
    return f"robust_given_correct@{rest}" if kind == "robust_top1" and rest else None


def clean(columns: Sequence[str]) -> list[str]:
    """The clean accuracies among `columns`."""
    return [c for c in ("clean_top1", "clean_top5") if c in columns]
