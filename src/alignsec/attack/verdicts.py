"""Facts in, verdicts out: what finished batches of work say of every image; table, warnings and spread."""

import base64
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alignsec.attack.counting import Passes
from alignsec.attack.known import Flags, Known, stage_name, tolerance
from alignsec.study.request import Attack, AttackRequest

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 10  # evaluations of an adversarial of a stochastic model; the majority is the verdict
Kept = dict[int, tuple[float, "npt.NDArray[np.floating[Any]]"]]


class Verdicts:
    """What is known of `n` images at every epsilon.

    Parameters
    ----------
    labels : (n,) integers
    shape : of one image, (C, H, W)

    Attributes
    ----------
    known : epsilon to facts; one and the same for all epsilons with the ladder, apart without
    seen, correct, clean_top5 : (n,) bool, of the clean pass
    in_top5 : epsilon to image to whether its label stays among the five largest logits
    kept : image to distance and perturbation (C, H, W) of its smallest adversarial
    seconds, sizes : per stage, of its batches
    spent : image passes
    """

    def __init__(
        self, request: AttackRequest, labels: npt.NDArray[np.integer[Any]], shape: Sequence[int]
    ) -> None:
        self.request, self.labels, self.shape = request, labels, tuple(shape)
        n = len(labels)
        epsilons = request.radii
        self.books = [Known(n, request.norm) for _ in (epsilons[:1] if request.ladder else epsilons)]
        books = self.books * (len(epsilons) if request.ladder else 1)
        self.known = dict(zip(epsilons, books, strict=True))
        self.seen: Flags = np.zeros(n, dtype=bool)
        self.correct: Flags = np.zeros(n, dtype=bool)
        self.clean_top5: Flags = np.zeros(n, dtype=bool)
        self.clean_votes: npt.NDArray[np.int64] = np.zeros(n, dtype=np.int64)
        self.in_top5: dict[float, dict[int, bool]] = defaultdict(dict)
        self.dead: set[int] = set()
        self.not_finite: set[int] = set()
        self.softmax = False
        self.votes: list[list[tuple[float, int]]] = [[] for _ in range(n)]
        self.kept: Kept = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self.sizes: dict[str, set[int]] = defaultdict(set)
        self.spent = Passes()

    def apply(self, record: dict[str, Any]) -> None:
        """Take in a record of the ledger."""
        self.spent += Passes(record.get("forward", 0), record.get("backward", 0))
        if record["kind"] != "done":
            return
        unit, epsilon, images = record["unit"], record["epsilon"], record["images"]
        self.seconds[stage_name(unit)] += record["seconds"]
        self.sizes[stage_name(unit)].add(len(images))
        if unit == "clean":
            self.seen[images] = True
            self.correct[images] = record["correct"]
            self.clean_top5[images] = record["top5"]
            self.clean_votes[images] = record["clean_votes"]
            self.softmax |= record["softmax"]
        else:
            known = self.books[0] if self.request.ladder else self.known.get(epsilon)
            if known is not None:  # None: a ledger of separate epsilons, of one that is not asked now
                known.apply(record)
        self.dead.update(record.get("dead", ()))
        self.not_finite.update(record.get("not_finite", ()))
        for image, value in record.get("in_top5", ()):
            self.in_top5[epsilon][image] = bool(value)
        for image, distance, bits in record.get("votes", ()):
            self.votes[image].append((distance, bits))
        for image, distance, kind_of_float, text in record.get("kept", ()):
            if self.nearer(image, distance):
                flat = np.frombuffer(base64.b64decode(text), dtype=kind_of_float)
                self.kept[image] = distance, flat.reshape(self.shape)

    def nearer(self, image: int, distance: float) -> bool:
        """Whether an adversarial at this distance is nearer than the one that is kept."""
        return image not in self.kept or distance < self.kept[image][0]

    def standing(self, epsilon: float) -> Flags:
        """Images classified rightly of which no adversarial is known in the ball, (n,) bool."""
        return self.correct & ~self.known[epsilon].broken(epsilon)

    def unjudged(self, epsilon: float) -> Flags:
        """Of these, the images that the judge has not failed on, here or in a larger ball."""
        return self.standing(epsilon) & (self.known[epsilon].failed < epsilon)

    def table(self) -> "pd.DataFrame":
        """A row per epsilon, ascending, and image: columns as of `alignsec.attack.evaluate_robustness`."""
        import pandas as pd

        parts = []
        n = len(self.labels)
        for epsilon in self.request.radii:
            known = self.known[epsilon]
            stage = [known.stage(i, epsilon) if self.correct[i] else "misclassified" for i in range(n)]
            part = {
                "image": np.arange(n),
                "label": self.labels,
                "epsilon": epsilon,
                "correct": self.correct,
                "correct_top5": self.clean_top5,
                "robust": self.standing(epsilon),
                "stage": stage,
                "distance": np.where(np.isfinite(known.distance) & self.correct, known.distance, np.nan),
            }
            if self.request.top5:
                part["top5"] = [self.in_top5[epsilon].get(i, False) for i in range(n)]
            parts.append(pd.DataFrame(part))
        return pd.concat(parts, ignore_index=True)

    def warnings(self, units: int) -> dict[str, Any]:
        """What makes the verdicts doubtful; empty if nothing does. `units`: how many the judge has."""
        found: dict[str, Any] = {}
        if self.dead:
            probed = sum(int(k.tried("probe", None).sum()) for k in self.books)
            found["zero_gradients"] = len(self.dead) / probed
        by_square = {
            i
            for k in self.books
            for i, finds in enumerate(k.finds)
            for _, _, s in finds
            if s == Attack.SQUARE
        }
        if by_square and units > 1:
            found["square_after_white_box"] = len(by_square)
        if self.request.ladder:
            crossed = self.books[0].contradictions
        else:
            robust = np.array([self.standing(e) for e in self.request.radii])
            crossed = int((robust[1:] & ~robust[:-1]).sum())
        if crossed:
            found["not_monotone"] = crossed
        if self.not_finite:
            found["not_finite"] = len(self.not_finite)
        if self.softmax:
            found["softmax_output"] = True
        return found

    def spread(self) -> dict[str, float]:
        """Deviation of robust accuracy over repeated evaluations of the final adversarials, per epsilon."""
        out = {}
        for epsilon in self.request.radii:
            limit = epsilon + tolerance(epsilon, self.request.norm)
            chosen = self.clean_votes.copy()
            for i, votes in enumerate(self.votes):
                inside = [bits for d, bits in votes if d <= limit]
                if inside and self.correct[i]:
                    chosen[i] = min(inside, key=lambda b: int(b).bit_count())
            rates = [float(((chosen >> r) & 1).mean()) for r in range(REPEATS)]
            out[repr(epsilon)] = float(np.std(rates, ddof=1))
        return out
