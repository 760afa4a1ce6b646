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
from alignsec.attack.blame import ModelError
from alignsec.attack.judge import Answer, Rows
from alignsec.attack.known import Flags, tolerance
from alignsec.attack.precision import exact
from alignsec.attack.verdicts import REPEATS
from alignsec.attack.work import Record, Unit, Work
from alignsec.study.request import Attack, Precision

Bits = npt.NDArray[np.int64]


class Judging(Protocol):
    """What is asked of a judge (`alignsec.attack.judge.Judge`)."""

    units: list[str]

    def passes(self, unit: str) -> int:
        """Forward-equivalent passes of one image that survives the unit."""

    def attack(self, name: Attack | str, rows: Rows) -> Answer:
        """Run one attack."""


def among_top5(logits: Tensor, labels: Tensor) -> Tensor:
    """Is the label among the five largest logits, (N,) bool."""
    top = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return (top == labels[:, None]).any(1)


class Units:
    """The units of work of one model on its images.

    Each takes the numbers of images and an epsilon to what a record of the ledger says of them.
    """

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

    def take(self, batch: list[int], candidates: Tensor) -> Record:
        """Adversarials among the candidates, re-checked: wrong in float32, in [0, 1], the norm measured.

        An adversarial outside the ball that was attacked is a fact as well, for a larger one.
        """
        x, y = self._of(batch)
        candidates = candidates.detach().float()
        bits = self.votes(candidates, y)
        legal = ((candidates.flatten(1).amin(1) >= 0) & (candidates.flatten(1).amax(1) <= 1)).cpu().numpy()
        moved = self._size(candidates - x)
        record: Record = {}
        if self.stochastic:
            voted = np.flatnonzero(legal & (moved > 0))
            record["votes"] = [[batch[i], float(moved[i]), int(bits[i])] for i in voted]
        chosen = np.flatnonzero(self.wrong(bits) & legal & (moved > 0))
        if len(chosen) and self.request.ladder and not self.stochastic:
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
        record["found"] = [[batch[i], float(moved[i])] for i in chosen]
        if self.request.keep:
            record["kept"] = [
                [batch[i], float(moved[i]), *self.compressed(x[i], candidates[i], y[i])]
                for i in chosen
                if self.work.verdicts.nearer(batch[i], moved[i])
            ]
        return record

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

    def _size(self, delta: Tensor) -> npt.NDArray[np.float64]:
        return cheap.size(delta, self.norm).cpu().numpy().astype(np.float64)

    def _of(self, batch: list[int]) -> tuple[Tensor, Tensor]:
        return self.work.images.x[batch], self.work.images.y[batch]

    # ---- the units ----

    def clean(self, batch: list[int], _: float) -> Record:
        """What the model says of the clean images."""
        x, y = self._of(batch)
        with torch.no_grad(), exact():
            logits = self.model(x)
        bad = (~torch.isfinite(logits)).any(1).nonzero()[:, 0]
        if len(bad):
            raise ModelError("no classifier", f"the logits of image {batch[int(bad[0])]} are not finite")
        bits = (logits.argmax(1) == y).cpu().numpy().astype(np.int64)
        if self.stochastic:
            bits = self.votes(x, y)
        total = logits.sum(1)
        return {
            "correct": (~self.wrong(bits)).tolist(),
            "clean_votes": bits.tolist(),
            "top5": among_top5(logits, y).tolist(),
            "softmax": bool((logits >= 0).all() and ((total - 1).abs() < 1e-4).all()),
        }

    def probe(self, batch: list[int], _: float) -> Record:
        """The linear probe."""
        candidates, dead = cheap.probe(self.model, *self._of(batch), self.norm)
        dead_images = [batch[i] for i in np.flatnonzero(dead.cpu().numpy())]
        return {**self.take(batch, candidates), "dead": dead_images}

    def screen(self, steps: int) -> Unit:
        """Projected gradient ascent of so many steps."""
        return partial(self._screened, steps=steps)

    def _screened(self, batch: list[int], epsilon: float, steps: int) -> Record:
        x, y = self._of(batch)
        slots = self.work.batch_size
        reduced = self.request.screen_precision is not Precision.FLOAT32

        def autocast() -> contextlib.AbstractContextManager[object]:
            return torch.autocast(x.device.type, dtype=torch.bfloat16)

        how = autocast if reduced else contextlib.nullcontext
        candidates, found = cheap.screen(
            self.model, x, y, epsilon, self.norm, cheap.Ascent(steps, slots, how)
        )
        if reduced:
            # what only reduced precision calls wrong goes again in float32
            false = (found.cpu().numpy() & ~self.wrong(self.votes(candidates, y))).nonzero()[0]
            if len(false):
                rows = torch.as_tensor(false, device=x.device)
                candidates[rows], _ = cheap.screen(
                    self.model, x[rows], y[rows], epsilon, self.norm, cheap.Ascent(steps, slots)
                )
        return self.take(batch, candidates)

    def judged(self, unit: str) -> Unit:
        """A unit of the judge; what its last one leaves standing in the ball, the judge has failed on."""
        return partial(self._judged, unit)

    def _judged(self, unit: str, batch: list[int], epsilon: float) -> Record:
        answer = self._attack(unit, batch, epsilon)
        record = self.take(batch, answer.candidates)
        if odd := answer.not_finite.nonzero()[:, 0].tolist():
            record["not_finite"] = [batch[i] for i in odd]
        if self.request.top5 and answer.highest_loss is not None:
            record["in_top5"] = self._top5(batch, answer.highest_loss)
        if unit == self.judge.units[-1]:
            limit = epsilon + tolerance(epsilon, self.norm)
            broken = {i for i, d in record["found"] if d <= limit}
            record["failed"] = [i for i in batch if i not in broken]
        return record

    def highest_loss(self, batch: list[int], epsilon: float) -> Record:
        """Is the label among the five largest logits of a full APGD-CE's point of highest loss?"""
        answer = self._attack(Attack.APGD_CE.value, batch, epsilon)
        assert answer.highest_loss is not None
        return {"in_top5": self._top5(batch, answer.highest_loss)}

    def _attack(self, unit: str, batch: list[int], epsilon: float) -> Answer:
        x, y = self._of(batch)
        name, _, rank = unit.partition(":")
        radii = torch.full((len(x),), epsilon, device=x.device)
        ranks = torch.full_like(y, int(rank)) if rank else None
        return self.judge.attack(name, Rows(x, y, [self.work.images.marks[i] for i in batch], radii, ranks))

    @torch.no_grad()
    def _top5(self, batch: list[int], adversarial: Tensor) -> list[list[int]]:
        with exact():
            logits = self.model(adversarial)
        inside = among_top5(logits, self._of(batch)[1]).tolist()
        return [[i, int(v)] for i, v in zip(batch, inside, strict=True)]
