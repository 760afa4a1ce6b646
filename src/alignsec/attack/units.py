"""What a batch goes through in each unit of work, and how everything that is found is checked again."""

import base64
import contextlib
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignsec.attack import screen as cheap
from alignsec.attack.batches import Batch
from alignsec.attack.blame import ModelError
from alignsec.attack.judge import Answer, Rows
from alignsec.attack.known import EVERYWHERE, EXACT, Flags, tolerance
from alignsec.attack.precision import exact
from alignsec.attack.verdicts import REPEATS
from alignsec.attack.work import Record, Unit, Work
from alignsec.study.request import Attack, Precision

Bits = npt.NDArray[np.int64]
Sizes = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class Judging(Protocol):
    """What is asked of a judge (`alignsec.attack.judge.Judge`)."""

    units: list[str]

    def passes(self, unit: str) -> int:
        """Forward-equivalent passes of one image that survives the unit."""

    def attack(self, name: Attack | str, rows: Rows) -> Answer:
        """Run one attack, each row in its own ball and towards its own class."""


def among_top5(logits: Tensor, labels: Tensor) -> Tensor:
    """Is the label among the five largest logits, (N,) bool."""
    top = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return (top == labels[:, None]).any(1)


class Units:
    """The units of work of one model on its images: each takes a batch to what a record says of it."""

    def __init__(self, work: Work, judge: Judging) -> None:
        self.work, self.judge = work, judge
        self.model, self.request = work.model, work.request
        self.stochastic, self.norm = work.request.stochastic, work.request.norm

    # ---- how an adversarial is checked ----

    @torch.no_grad()
    def votes(self, x: Tensor, y: Tensor) -> Bits:
        """Bits of right predictions over repeated evaluations (one, unless it is stochastic), (N,).

        What is not wrong beyond doubt counts as right: so do logits that are not finite.
        """
        bits = np.zeros(len(x), dtype=np.int64)
        with exact():
            for repeat in range(REPEATS if self.stochastic else 1):
                # a screening job holds several batches
                logits = torch.cat([self.model(part) for part in torch.split(x, self.work.batch_size)])
                right = (logits.argmax(1) == y) | ~torch.isfinite(logits).all(1)
                bits |= right.cpu().numpy().astype(np.int64) << repeat
        return bits

    def wrong(self, bits: Bits) -> Flags:
        """Whether the majority of votes is wrong."""
        if not self.stochastic:
            return np.equal(bits, 0)
        return np.array([int(b).bit_count() * 2 <= REPEATS for b in bits], dtype=bool)

    def take(self, batch: Batch, candidates: Tensor) -> Record:
        """Adversarials among the candidates, re-checked: wrong in float32, in [0, 1], the norm measured.

        An adversarial outside the ball that was attacked is a fact as well, for a larger one. Of an image in
        several rows nothing counts after the first row that breaks it, as if the rows had come one by one:
        what FAB found in them, which is a fact for every ball, is held until it is their turn, the rest is
        dropped. So an image's verdicts do not go by how many of its rows fit into a batch.
        """
        x, y = self._of(batch)
        candidates = candidates.detach().float()
        bits = self.votes(candidates, y)
        legal = ((candidates.flatten(1).amin(1) >= 0) & (candidates.flatten(1).amax(1) <= 1)).cpu().numpy()
        moved = self._size(candidates - x)
        wrong: Flags = self.wrong(bits) & legal & (moved > 0)
        everywhere = batch.unit in EVERYWHERE
        counts = np.ones(len(batch), dtype=bool) if everywhere else self._in_turn(batch, wrong, moved)
        chosen = np.flatnonzero(wrong & counts)
        if len(chosen) and self.request.ladder and not self.stochastic:
            self._nearer(x, y, candidates, moved, chosen)
        if everywhere:
            counts = self._in_turn(batch, wrong, moved)
        rows = np.flatnonzero(counts)
        record: Record = self._told(batch.part(rows.tolist())) | {"size": len(batch)}
        place = {int(row): i for i, row in enumerate(rows)}
        if self.stochastic:
            voted = np.flatnonzero(legal & (moved > 0))
            record["votes"] = [[int(i), float(moved[i]), int(bits[i])] for i in voted]
        record["found"] = [[place[i], float(moved[i])] for i in rows.tolist() if wrong[i]]
        kept = {
            int(i): [float(moved[i]), *self.compressed(x[i], candidates[i], y[i])]
            for i in (np.flatnonzero(wrong & (counts | everywhere)) if self.request.keep else ())
            if self.work.verdicts.nearer(batch.images[i], moved[i])
        }
        if self.request.keep:
            record["kept"] = [[place[i], *told] for i, told in kept.items() if i in place]
        names = batch.names()
        held = [
            [batch.images[i], names[i], float(moved[i]) if wrong[i] else None, kept.get(i)]
            for i in np.flatnonzero(~counts).tolist()
        ]
        return record | ({"held": held} if everywhere and held else {})

    def _in_turn(self, batch: Batch, wrong: Flags, moved: Sizes) -> Flags:
        """Rows up to the first that breaks the image in its ball, of each image, (N,) bool."""
        broken: set[int] = set()
        counts = np.ones(len(batch), dtype=bool)
        for row, (image, radius) in enumerate(zip(batch.images, batch.radii, strict=True)):
            counts[row] = image not in broken
            if batch.ranks and wrong[row] and moved[row] <= radius + tolerance(radius, self.norm):
                broken.add(image)
        return counts

    def _nearer(self, x: Tensor, y: Tensor, candidates: Tensor, moved: Sizes, chosen: Indices) -> None:
        """Draw the chosen adversarials nearer to their clean images, in place."""
        at = torch.as_tensor(chosen, device=x.device)
        nearer = torch.cat(
            [
                cheap.tighten(self.model, x[part], y[part], candidates[part])
                for part in torch.split(at, max(1, self.work.batch_size // 2))
            ]
        )
        sure = torch.as_tensor(self.votes(nearer, y[at]) == 0, device=x.device)
        candidates[at] = torch.where(sure[:, None, None, None], nearer, candidates[at])
        moved[chosen] = self._size(candidates[at] - x[at])

    def compressed(self, clean: Tensor, adversarial: Tensor, label: Tensor) -> tuple[str, str]:
        """The perturbation in float16, rounded towards zero, if it is still adversarial; else in float32."""
        delta = (adversarial - clean).cpu().numpy()
        short = delta.astype(np.float16)
        over = np.abs(short.astype(np.float32)) > np.abs(delta)
        short[over] = np.nextafter(short[over], np.float16(0))
        again = (clean + torch.from_numpy(short.astype(np.float32)).to(clean.device)).clamp(0, 1)
        if not self.wrong(self.votes(again[None], label[None]))[0]:
            short = delta.astype(np.float32)
        return short.dtype.name, base64.b64encode(short.tobytes()).decode()

    def _size(self, delta: Tensor) -> Sizes:
        return cheap.size(delta, self.norm).cpu().numpy().astype(np.float64)

    def _of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.work.images.x[batch.images], self.work.images.y[batch.images]

    @staticmethod
    def _told(batch: Batch) -> Record:
        """Of a batch, what its record begins with; one radius of all rows is said once."""
        radii = set(batch.radii)
        told: Record = {"unit": batch.unit, "epsilon": radii.pop() if len(radii) == 1 else batch.radii}
        return told | {"images": batch.images} | ({"ranks": batch.ranks} if batch.ranks else {})

    # ---- the units ----

    def clean(self, batch: Batch) -> Record:
        """What the model says of the clean images."""
        x, y = self._of(batch)
        with torch.no_grad(), exact():
            logits = self.model(x)
        bad = (~torch.isfinite(logits)).any(1).nonzero()[:, 0]
        if len(bad):
            raise ModelError(
                "no classifier", f"the logits of image {batch.images[int(bad[0])]} are not finite"
            )
        bits = (logits.argmax(1) == y).cpu().numpy().astype(np.int64)
        if self.stochastic:
            bits = self.votes(x, y)
        total = logits.sum(1)
        return {
            "unit": batch.unit,
            "epsilon": None,
            "images": batch.images,
            "correct": (~self.wrong(bits)).tolist(),
            "clean_votes": bits.tolist(),
            "top5": among_top5(logits, y).tolist(),
            "softmax": bool((logits >= 0).all() and ((total - 1).abs() < 1e-4).all()),
            # of one image of each batch, so that a later job of other images can tell whose facts these are
            "logits": {self.work.images.keys[batch.images[0]]: rounded(logits[0])},
        }

    def probe(self, batch: Batch) -> Record:
        """The linear probe."""
        candidates, dead = cheap.probe(self.model, *self._of(batch), self.norm)
        return {**self.take(batch, candidates), "dead": np.flatnonzero(dead.cpu().numpy()).tolist()}

    def screen(self, steps: int) -> Unit:
        """Projected gradient ascent of so many steps."""
        return partial(self._screened, steps=steps)

    def _screened(self, batch: Batch, steps: int) -> Record:
        x, y = self._of(batch)
        radii = torch.tensor(batch.radii, device=x.device)
        slots = self.work.batch_size
        reduced = self.request.screen_precision is not Precision.FLOAT32

        def autocast() -> contextlib.AbstractContextManager[object]:
            return torch.autocast(x.device.type, dtype=torch.bfloat16)

        how = autocast if reduced else contextlib.nullcontext
        candidates, found = cheap.screen(self.model, x, y, radii, self.norm, cheap.Ascent(steps, slots, how))
        if reduced:
            # what only reduced precision calls wrong goes again in float32
            false = (found.cpu().numpy() & ~self.wrong(self.votes(candidates, y))).nonzero()[0]
            if len(false):
                rows = torch.as_tensor(false, device=x.device)
                candidates[rows], _ = cheap.screen(
                    self.model, x[rows], y[rows], radii[rows], self.norm, cheap.Ascent(steps, slots)
                )
        return self.take(batch, candidates)

    def judged(self, batch: Batch) -> Record:
        """An attack of the judge, each row in its ball and, of a targeted one, towards its class."""
        answer = self._attack(batch.unit, batch)
        record = self.take(batch, answer.candidates) | {"precision": self.precision()}
        odd = {batch.images[row] for row in answer.not_finite.nonzero()[:, 0].tolist()}
        if odd:
            record["not_finite"] = [row for row, image in enumerate(record["images"]) if image in odd]
        if self.request.top5 and answer.highest_loss is not None:
            record["in_top5"] = self._top5(batch, answer.highest_loss)
        return record

    def highest_loss(self, batch: Batch) -> Record:
        """Is the label among the five largest logits of a full APGD-CE's point of highest loss?"""
        answer = self._attack(Attack.APGD_CE, batch)
        assert answer.highest_loss is not None
        told = {**self._told(batch), "precision": self.precision()}
        return {**told, "in_top5": self._top5(batch, answer.highest_loss)}

    def precision(self) -> str:
        """What the judge searches in here: TF32 is a matter of NVIDIA's devices."""
        return self.request.precision if self.work.images.x.device.type == "cuda" else EXACT

    def _attack(self, name: str, batch: Batch) -> Answer:
        x, y = self._of(batch)
        marks = [self.work.images.marks[i] for i in batch.images]
        ranks = None if batch.ranks is None else torch.tensor(batch.ranks, device=x.device)
        return self.judge.attack(name, Rows(x, y, marks, torch.tensor(batch.radii, device=x.device), ranks))

    @torch.no_grad()
    def _top5(self, batch: Batch, adversarial: Tensor) -> list[list[int]]:
        with exact():
            logits = self.model(adversarial)
        inside = among_top5(logits, self._of(batch)[1]).tolist()
        return [[row, int(v)] for row, v in enumerate(inside)]


def rounded(logits: Tensor) -> list[float]:
    """Logits (K,) as a ledger keeps them, to six digits."""
    return [float(f"{v:.6g}") for v in logits.tolist()]
