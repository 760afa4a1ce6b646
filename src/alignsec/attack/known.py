"""What is known of every image, as facts in the order in which they came, and the verdicts that follow."""

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from alignsec.study.epsilon import Norm

Flags = npt.NDArray[np.bool_]
SCREENS = ("probe", "screen", "carried")


def tolerance(epsilon: float, norm: str) -> float:
    """By how much a measured norm may exceed epsilon: float32 rounding of clean + perturbation in [0, 1].

    Never by more than a hundredth of the ball.

    >>> tolerance(1 / 255, "Linf"), tolerance(1e-5, "Linf") / 1e-5
    (1e-06, 0.01)
    """
    return min(1e-6 if norm == Norm.LINF else 1e-6 + 1e-5 * epsilon, 0.01 * epsilon)


def key(unit: str, epsilon: float | None) -> tuple[str, float | None]:
    """Of a unit's plan and of what went through it: the clean pass and the probe belong to no epsilon."""
    return unit, None if unit in ("clean", "probe") else epsilon


def stage_name(unit: str) -> str:
    """`apgd-t:3` is of stage `apgd-t`; the screen's parts are one stage."""
    name = unit.split(":")[0]
    return "screen" if name in SCREENS else name


class Known:
    """Facts about `n` images.

    `distance` (n,): norm of the smallest adversarial known, inf where none is; `failed` (n,): the largest
    epsilon at which the whole judge failed and no adversarial has shown it wrong, -inf where there is none.
    """

    def __init__(self, n: int, norm: str) -> None:
        self.norm = norm
        self.distance = np.full(n, np.inf)
        self.failed = np.full(n, -np.inf)
        self.finds: list[list[tuple[float, float, str]]] = [[] for _ in range(n)]
        self.failures: list[list[tuple[float, str]]] = [[] for _ in range(n)]
        self.contradictions = 0
        self._tried: dict[tuple[str, float | None], Flags] = defaultdict(lambda: np.zeros(n, dtype=bool))

    def apply(self, record: dict[str, Any]) -> None:
        """Take in a finished batch: what was tried, found (image, distance) and failed (images)."""
        unit, epsilon = record["unit"], record["epsilon"]
        self._tried[key(unit, epsilon)][record["images"]] = True
        for image, distance in record.get("found", ()):
            self.finds[image].append((distance, epsilon, stage_name(unit)))
            self.distance[image] = min(distance, self.distance[image])
            standing = [e for e, _ in self.failures[image] if not self.broken_at(image, e)]
            if self.failed[image] > max(standing, default=-np.inf):
                # an adversarial inside a ball that the judge had cleared: its failure counts no longer
                self.contradictions += 1
                self.failed[image] = max(standing, default=-np.inf)
        for image in record.get("failed", ()):
            self.failures[image].append((epsilon, stage_name(unit)))
            self.failed[image] = max(epsilon, self.failed[image])

    def broken_at(self, image: int, epsilon: float) -> bool:
        """Whether an adversarial of this image is known inside the ball."""
        return bool(self.distance[image] <= epsilon + tolerance(epsilon, self.norm))

    def broken(self, epsilon: float) -> Flags:
        """The same for every image, (n,) bool."""
        return self.distance <= epsilon + tolerance(epsilon, self.norm)

    def tried(self, unit: str, epsilon: float | None) -> Flags:
        """Images that went through the unit, (n,) bool."""
        return self._tried[unit, epsilon]

    def judged_at(self, epsilon: float) -> Flags:
        """Images on which the whole judge failed at exactly this epsilon, (n,) bool."""
        return np.array([any(e == epsilon for e, _ in f) for f in self.failures], dtype=bool)

    def stage(self, image: int, epsilon: float) -> str:
        """What settled the image at this epsilon: the first fact, in the order they came, that does."""
        limit = epsilon + tolerance(epsilon, self.norm)
        if self.distance[image] <= limit:
            at, name = next((e, s) for d, e, s in self.finds[image] if d <= limit)
        else:
            at, name = next(
                ((e, s) for e, s in self.failures[image] if e >= epsilon and not self.broken_at(image, e)),
                (epsilon, ""),
            )
        if at == epsilon:
            return name
        return "larger-epsilon" if at > epsilon else "smaller-epsilon"
