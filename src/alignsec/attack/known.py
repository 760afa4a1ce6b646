"""What is known of every image, as facts in the order in which they came, and the verdicts that follow."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from alignsec.study.epsilon import Norm
from alignsec.study.request import Attack

Flags = npt.NDArray[np.bool_]
SCREENS = ("probe", "screen", "carried")
# what these say of an image belongs to no epsilon: without a random start FAB never looks at one
EVERYWHERE = ("clean", "probe", Attack.FAB, Attack.FAB_T)
# precisions of a search, the weakest first: what a weaker one did not find settles nothing for a stronger one
STRENGTH = {"bfloat16": 1, "tf32": 2, "float32": 3}
EXACT = "float32"


def tolerance(epsilon: float, norm: str) -> float:
    """By how much a measured norm may exceed epsilon: float32 rounding of clean + perturbation in [0, 1].

    Never by more than a hundredth of the ball.

    >>> tolerance(1 / 255, "Linf"), tolerance(1e-5, "Linf") / 1e-5
    (1e-06, 0.01)
    """
    return min(1e-6 if norm == Norm.LINF else 1e-6 + 1e-5 * epsilon, 0.01 * epsilon)


def key(unit: str, epsilon: float | None) -> tuple[str, float | None]:
    """Under what it is kept that an image went through the unit."""
    return unit, None if unit.partition(":")[0] in EVERYWHERE else epsilon


def stage_name(unit: str) -> str:
    """`apgd-t:3` is of stage `apgd-t`; the screen's parts are one stage."""
    name = unit.split(":")[0]
    return "screen" if name in SCREENS else name


def rows(record: dict[str, Any]) -> Iterator[tuple[Any, str, float | None]]:
    """Image, unit and epsilon of each row of a batch; ranks are of target classes."""
    images, unit, epsilon = record["images"], record["unit"], record["epsilon"]
    ranks: Sequence[int | None] = record.get("ranks") or [None] * len(images)
    radii = epsilon if isinstance(epsilon, list) else [epsilon] * len(images)
    for image, rank, radius in zip(images, ranks, radii, strict=True):
        yield image, unit if rank is None else f"{unit}:{rank}", radius


class Known:
    """Facts about `n` images.

    Parameters
    ----------
    precision : asked for: failures in a weaker one count for nothing

    Attributes
    ----------
    distance : (n,), norm of the smallest adversarial known, inf where none is
    failed : (n,), the largest epsilon at which the whole judge failed and no adversarial has shown it wrong,
        -inf where there is none
    finds : per image, each adversarial's distance, and the epsilon and unit that it was found with
    """

    def __init__(self, n: int, norm: str, precision: str = "bfloat16") -> None:
        self.norm, self.asked = norm, STRENGTH[precision]
        self.distance = np.full(n, np.inf)
        self.failed = np.full(n, -np.inf)
        self.finds: list[list[tuple[float, float, str]]] = [[] for _ in range(n)]
        self.failures: list[list[tuple[float, str]]] = [[] for _ in range(n)]
        self.contradictions = 0
        self._tried: dict[tuple[str, float | None], npt.NDArray[np.int8]] = defaultdict(
            lambda: np.zeros(n, dtype=np.int8)
        )

    def apply(self, record: dict[str, Any]) -> None:
        """Take in a finished batch (what was tried; `found`: row, distance), or what the judge failed on.

        Images are numbers; None is one that is not asked about.
        """
        all_rows, strength = list(rows(record)), STRENGTH[record.get("precision", EXACT)]
        if record["kind"] == "failed":
            for image, unit, epsilon in all_rows:
                if image is not None and strength >= self.asked and epsilon is not None:
                    self.failures[image].append((epsilon, unit))
                    if not self.broken_at(image, epsilon):
                        self.failed[image] = max(epsilon, self.failed[image])
            return
        for image, unit, epsilon in all_rows:
            if image is not None:
                tried = self._tried[key(unit, epsilon)]
                tried[image] = max(strength, tried[image])
        for row, distance in record.get("found", ()):
            image, unit, epsilon = all_rows[row]
            if image is not None and epsilon is not None:
                self._find(image, distance, epsilon, unit)

    def _find(self, image: int, distance: float, epsilon: float, unit: str) -> None:
        self.finds[image].append((distance, epsilon, unit))
        self.distance[image] = min(distance, self.distance[image])
        standing = [e for e, _ in self.failures[image] if not self.broken_at(image, e)]
        if self.failed[image] > max(standing, default=-np.inf):
            # an adversarial inside a ball that the judge had cleared: its failure counts no longer
            self.contradictions += 1
            self.failed[image] = max(standing, default=-np.inf)

    def broken_at(self, image: int, epsilon: float) -> bool:
        """Whether an adversarial of this image is known inside the ball."""
        return bool(self.distance[image] <= epsilon + tolerance(epsilon, self.norm))

    def broken(self, epsilon: float) -> Flags:
        """The same for every image, (n,) bool."""
        return self.distance <= epsilon + tolerance(epsilon, self.norm)

    def tried(self, unit: str, epsilon: float | None) -> Flags:
        """Images that went through the unit, in the precision asked for or a better one, (n,) bool."""
        return self._tried[key(unit, epsilon)] >= self.asked

    def searched(self, image: int, epsilon: float, units: Sequence[str]) -> str:
        """The weakest precision in which the image went through these units."""
        least = min(self._tried[key(u, epsilon)][image] for u in units)
        return next(name for name, strength in STRENGTH.items() if strength == least)

    def judged_at(self, epsilon: float) -> Flags:
        """Images on which the whole judge failed at exactly this epsilon, (n,) bool."""
        return np.array([any(e == epsilon for e, _ in f) for f in self.failures], dtype=bool)

    def stage(self, image: int, epsilon: float) -> str:
        """What settled the image at this epsilon: the first fact, in the order they came, that does."""
        limit = epsilon + tolerance(epsilon, self.norm)
        if self.distance[image] <= limit:
            at, unit = next((e, u) for d, e, u in self.finds[image] if d <= limit)
        else:
            at, unit = next(
                ((e, u) for e, u in self.failures[image] if e >= epsilon and not self.broken_at(image, e)),
                (epsilon, ""),
            )
        if at == epsilon:
            return stage_name(unit)
        return "larger-epsilon" if at > epsilon else "smaller-epsilon"
