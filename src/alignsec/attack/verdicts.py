"""Facts in, verdicts out: what finished batches of work say of every image; table, warnings and spread."""

import base64
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alignsec.attack.batches import Batch
from alignsec.attack.counting import Passes
from alignsec.attack.known import EXACT, STRENGTH, Flags, Known, rows, stage_name, tolerance
from alignsec.study.request import Attack, AttackRequest

if TYPE_CHECKING:
    import pandas as pd

REPEATS = 10  # evaluations of an adversarial of a stochastic model; the majority is the verdict
Kept = dict[int, tuple[float, "npt.NDArray[np.floating[Any]]"]]
Radii = npt.NDArray[np.float64]


class Verdicts:
    """What is known of `n` images at every epsilon.

    Parameters
    ----------
    labels : (n,) integers
    shape : of one image, (C, H, W)
    precision : of the judge, that is asked for

    Attributes
    ----------
    known : epsilon to facts; one and the same for all epsilons with the ladder, apart without
    seen, correct, clean_top5 : (n,) bool, of the clean pass
    in_top5 : epsilon to image to whether its label stays among the five largest logits
    kept : image to distance and perturbation (C, H, W) of its smallest adversarial
    held : image and unit to what the unit found before it was the image's turn: distance or None, what is
        kept of it, precision
    seconds, sizes : per stage, of its batches
    spent : image passes
    """

    def __init__(
        self,
        request: AttackRequest,
        labels: npt.NDArray[np.integer[Any]],
        shape: Sequence[int],
        precision: str = "bfloat16",
    ) -> None:
        self.request, self.labels, self.shape = request, labels, tuple(shape)
        n = len(labels)
        epsilons = request.radii
        self.books = [
            Known(n, request.norm, precision) for _ in (epsilons[:1] if request.ladder else epsilons)
        ]
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
        self.held: dict[tuple[int, str], list[Any]] = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self.sizes: dict[str, set[int]] = defaultdict(set)
        self.spent = Passes()

    def apply(self, record: dict[str, Any]) -> None:
        """Take in a record of the ledger; its images are numbers, None where this job does not ask."""
        self.spent += Passes(record.get("forward", 0), record.get("backward", 0))
        if record["kind"] not in ("done", "failed"):
            return
        images, unit, epsilon = record["images"], record["unit"], record["epsilon"]
        if "seconds" in record:
            self.seconds[stage_name(unit)] += record["seconds"]
            self.sizes[stage_name(unit)].add(record.get("size", len(images)))
        if unit == "clean":
            self._clean(record)
            return
        # one radius a record without the ladder; None: of a ball that is not asked about now
        known = self.books[0] if self.request.ladder else self.known.get(_one(epsilon))
        if known is not None:
            known.apply(record)
        of_row = list(rows(record))
        for name, told in (("dead", self.dead), ("not_finite", self.not_finite)):
            told.update(images[row] for row in record.get(name, ()) if images[row] is not None)
        weaker = STRENGTH[record.get("precision", EXACT)] < self.books[0].asked
        for row, value in () if weaker else record.get("in_top5", ()):
            if images[row] is not None:
                self.in_top5[of_row[row][2]][images[row]] = bool(value)
        for row, distance, bits in record.get("votes", ()):
            if images[row] is not None:
                self.votes[images[row]].append((distance, bits))
        for row, distance, kind_of_float, text in record.get("kept", ()):
            if images[row] is not None and self.nearer(images[row], distance):
                flat = np.frombuffer(base64.b64decode(text), dtype=kind_of_float)
                self.kept[images[row]] = distance, flat.reshape(self.shape)
        for image, name, _ in of_row:
            self.held.pop((image, name), None)
        for image, name, *entry in record.get("held", ()):
            self.held[image, name] = [*entry, record.get("precision", EXACT)]

    def _clean(self, record: dict[str, Any]) -> None:
        told = zip(record["correct"], record["top5"], record["clean_votes"], strict=True)
        for image, (correct, top5, votes) in zip(record["images"], told, strict=True):
            if image is not None:
                self.seen[image], self.correct[image], self.clean_top5[image] = True, correct, top5
                self.clean_votes[image] = votes
        self.softmax |= record["softmax"]

    def nearer(self, image: int, distance: float) -> bool:
        """Whether an adversarial at this distance is nearer than the one that is kept."""
        return image not in self.kept or distance < self.kept[image][0]

    def standing(self, epsilon: float) -> Flags:
        """Images classified rightly of which no adversarial is known in the ball, (n,) bool."""
        return self.correct & ~self.known[epsilon].broken(epsilon)

    def unjudged(self, epsilon: float) -> Flags:
        """Of these, the images that the judge has not failed on, here or in a larger ball."""
        return self.standing(epsilon) & (self.known[epsilon].failed < epsilon)

    def unbroken(self, batch: Batch) -> Batch:
        """The rows of a batch of which no adversarial is known in the ball by now."""
        rows_ = enumerate(zip(batch.images, batch.radii, strict=True))
        return batch.part([row for row, (i, e) in rows_ if not self.known[e].broken_at(i, e)])

    def open(self) -> Radii:
        """The largest ball that each image is still to be judged in, (n,); 0 where there is none."""
        largest = np.zeros(len(self.labels))
        for epsilon in self.request.radii:
            largest[self.unjudged(epsilon)] = epsilon
        return largest

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
            for _, _, unit in finds
            if unit == Attack.SQUARE
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


def _one(epsilon: Any) -> Any:
    return epsilon[0] if isinstance(epsilon, list) else epsilon
