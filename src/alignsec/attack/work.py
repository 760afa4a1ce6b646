"""Units of work taken through in batches: planned, written down, halved, taken up again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignsec.attack import batches, blame
from alignsec.attack.counting import Counted, Passes
from alignsec.attack.known import key
from alignsec.attack.screen import margin
from alignsec.attack.verdicts import Verdicts
from alignsec.ground.reasons import may_be_memory, out_of_memory
from alignsec.study.request import AttackRequest

SCREENED_AT_ONCE = 8  # batches of one screening job

Record = dict[str, Any]
Unit = Callable[[list[int], float], Record]  # images and epsilon to what a record says of them


@dataclass(frozen=True)
class Images:
    """What is attacked: x (N, C, H, W) float32 in [0, 1], y (N,) int64, and the digests of the images."""

    x: Tensor
    y: Tensor
    marks: Sequence[bytes]


class Book(Protocol):
    """What work asks of a ledger (`alignsec.attack.ledger.Ledger`)."""

    records: list[Record]

    def append(self, record: Record) -> None:
        """Keep a record."""


class Work:
    """Runs units of work on a model and its images; what the ledger holds is done already.

    Attributes
    ----------
    plans : the batches of a unit at an epsilon that are still to do
    batch_size : images at once
    fits : images known to be too many at once, halved
    halvings : how often memory ran out
    replayed : passes that the ledger held at the start
    shown : called after each batch, with its unit and epsilon
    """

    def __init__(self, model: Counted, images: Images, request: AttackRequest, ledger: Book) -> None:
        self.model, self.images, self.request, self.ledger = model, images, request, ledger
        self.verdicts = Verdicts(request, images.y.cpu().numpy(), images.x.shape[1:])
        self.plans: dict[tuple[str, float | None], list[list[int]]] = {}
        self.batch_size = self.halvings = 0
        self.fits = 2**30
        self.excused = False  # a library's inner error was taken for a lack of memory, which it is once
        self.shown: Callable[[str, float | None], None] = lambda unit, epsilon: None
        for record in ledger.records:
            self._apply(record)
        self.replayed = self.verdicts.spent
        if request.batch_size is not None:
            self.batch_size = min(request.batch_size, self.fits)
        elif not self.batch_size:
            self._find_batch_size()

    def run(
        self,
        unit: str,
        epsilon: float | None,
        index: npt.NDArray[np.intp],
        work: Unit,
        size: int | None = None,
    ) -> None:
        """Take the images through `work` in batches of `size` (by default as many as fit).

        A plan that a killed run left is finished first. A batch that does not fit is halved, with all that
        follow; what was done is kept.

        Raises
        ------
        ModelError
            The model fails in it.
        """
        left = {i for b in self.plans.get(key(unit, epsilon), ()) for i in b}
        if left:
            self._carry_out(unit, epsilon, work, size)
        rest = [int(i) for i in index if i not in left]
        if rest:
            self._plan(unit, epsilon, batches.even(rest, size or self.batch_size))
            self._carry_out(unit, epsilon, work, size)

    def _carry_out(self, unit: str, epsilon: float | None, work: Unit, size: int | None) -> None:
        largest = self.request.radii[-1]
        while plan := self.plans.get(key(unit, epsilon)):
            batch = list(plan[0])
            before = self.model.passes
            start = time.perf_counter()
            try:
                result = work(batch, epsilon if epsilon is not None else largest)
            except (Exception, SystemExit) as error:
                excused = may_be_memory(error) and not self.excused
                if not (out_of_memory(error) or excused):
                    if fault := blame.of_model(error, unit):
                        raise fault from error
                    raise
                if self.batch_size <= 1:
                    raise
                self.excused = self.excused or excused
                failed = (str(error).splitlines() or [type(error).__name__])[0]
            else:
                done = {"kind": "done", "unit": unit, "epsilon": largest if unit == "probe" else epsilon}
                seconds = round(time.perf_counter() - start, 4)
                self._note({**done, "images": batch, **result, **self._since(before), "seconds": seconds})
                self.shown(unit, epsilon)
                continue
            # outside the handler, so that the traceback lets go of the tensors that did not fit
            batches.release()
            halved = max(1, min(self.batch_size, len(batch)) // 2)
            self._note({"kind": "batch size", "size": halved, "reason": failed, **self._since(before)})
            rest = [i for b in plan for i in b]
            self._plan(
                unit, epsilon, batches.even(rest, halved if size is None else halved * SCREENED_AT_ONCE)
            )

    def _plan(self, unit: str, epsilon: float | None, split: list[list[int]]) -> None:
        self._note({"kind": "plan", "unit": unit, "epsilon": epsilon, "batches": split})

    def _note(self, record: Record) -> None:
        self.ledger.append(record)
        self._apply(record)

    def _apply(self, record: Record) -> None:
        self.verdicts.apply(record)
        if record["kind"] == "batch size":
            self.batch_size = record["size"]
            if "reason" in record:
                self.fits, self.halvings = record["size"], self.halvings + 1
        elif record["kind"] == "plan":
            self.plans[key(record["unit"], record["epsilon"])] = [list(b) for b in record["batches"]]
        else:
            plan = self.plans.get(key(record["unit"], record["epsilon"]))
            if plan and plan[0] == record["images"]:
                plan.pop(0)

    def _since(self, before: Passes) -> dict[str, int]:
        now = self.model.passes
        return {"forward": now.forward - before.forward, "backward": now.gradient - before.gradient}

    def _find_batch_size(self) -> None:
        before = self.model.passes
        size = batches.CPU_BATCH
        x, y = self.images.x, self.images.y
        if x.device.type == "cuda":

            def attempt(count: int) -> None:
                rows = torch.arange(count, device=x.device) % len(x)
                tried = x[rows].requires_grad_(True)
                with torch.enable_grad():
                    loss = margin(self.model(tried), y[rows]).sum()
                torch.autograd.grad(loss, tried)

            try:
                largest = batches.largest(attempt, min(batches.GPU_BATCH, 2 * len(x)))
            except (Exception, SystemExit) as error:
                if not out_of_memory(error) and (fault := blame.of_model(error, "batch size")):
                    raise fault from error
                raise
            # half of what a bare pass can hold: the attacks keep several copies of the batch beside it
            size = max(1, largest // 2)
            batches.release()
        self._note({"kind": "batch size", "size": size, **self._since(before)})
