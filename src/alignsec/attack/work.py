"""Units of work taken through in batches: halved where they do not fit, written down, taken up again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from alignsec.attack import batches, blame
from alignsec.attack.batches import Batch
from alignsec.attack.counting import Counted, Passes
from alignsec.attack.judge import TARGETS
from alignsec.attack.screen import margin
from alignsec.attack.verdicts import Verdicts
from alignsec.ground.reasons import may_be_memory, out_of_memory
from alignsec.study.request import AttackRequest

SCREENED_AT_ONCE = 8  # batches of one screening job

Record = dict[str, Any]
Unit = Callable[[Batch], Record]  # what a record says of a batch that went through
Still = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Images:
    """What is attacked: x (N, C, H, W) float32 in [0, 1], y (N,) int64, the images' digests, and their keys
    in a ledger.
    """

    x: Tensor
    y: Tensor
    marks: Sequence[bytes]
    keys: Sequence[str]


class Book(Protocol):
    """What work asks of a ledger (`alignsec.attack.ledger.Ledger`)."""

    records: list[Record]

    def append(self, record: Record) -> None:
        """Keep a record."""


class Work:
    """Runs units of work on a model and its images; what the ledger holds is done already.

    Attributes
    ----------
    left : batches that a killed run of version rand had planned, whose draws go by the batch
    batch_size : images at once
    halvings : how often memory ran out
    replayed : passes that the ledger held at the start
    shown : called after each batch, with it
    """

    def __init__(
        self,
        model: Counted,
        images: Images,
        request: AttackRequest,
        ledger: Book,
        precision: str = "bfloat16",
    ) -> None:
        self.model, self.images, self.request, self.ledger = model, images, request, ledger
        self.verdicts = Verdicts(request, images.y.cpu().numpy(), images.x.shape[1:], precision)
        self._numbers = {key: i for i, key in enumerate(images.keys)}
        self.left: list[Batch] = []
        self.halvings = 0
        self.excused = False  # a library's inner error was taken for a lack of memory, which it is once
        self.shown: Callable[[Batch], None] = lambda batch: None
        for record in ledger.records:
            self._apply(self._numbered(record))
        self.replayed = self.verdicts.spent

    def run(self, batch: Batch, work: Unit, times: int = 1, still: Still = lambda batch: batch) -> None:
        """Take rows through `work` in batches of `times` as many as fit, of each what is `still` wanted.

        A batch that does not fit is halved, with all that follow; what was done is kept.

        Raises
        ------
        ModelError
            The model fails in it.
        """
        abreast = batch.ranks is not None and self.request.ladder
        room = max(self.batch_size, self.efficient) if abreast else self.batch_size
        plan = batch.even(room * times)
        if self.request.stochastic and plan:
            self._plan(plan)
        self.carry_out(plan, work, times, still)

    def carry_out(
        self, plan: list[Batch], work: Unit, times: int = 1, still: Still = lambda batch: batch
    ) -> None:
        """Take these batches through `work`."""
        plan = list(plan)
        while plan:
            batch = still(plan[0])
            if not len(batch):
                plan.pop(0)
                continue
            before = self.model.passes
            start = time.perf_counter()
            try:
                result = work(batch)
            except (Exception, SystemExit) as error:
                excused = may_be_memory(error) and not self.excused
                if not (out_of_memory(error) or excused):
                    if fault := blame.of_model(error, batch.unit):
                        raise fault from error
                    raise
                if self.batch_size <= 1:
                    raise
                self.excused = self.excused or excused
                failed = (str(error).splitlines() or [type(error).__name__])[0]
            else:
                seconds = round(time.perf_counter() - start, 4)
                self.note({"kind": "done", **result, **self._since(before), "seconds": seconds})
                plan.pop(0)
                self.shown(batch)
                continue
            # outside the handler, so that the traceback lets go of the tensors that did not fit
            batches.release()
            self.batch_size = self.efficient = max(1, min(self.batch_size, len(batch)) // 2)
            self.halvings += 1
            self.note(
                {"kind": "batch size", "size": self.batch_size, "reason": failed, **self._since(before)}
            )
            plan = [part for left in plan for part in left.even(self.batch_size * times)]
            if self.request.stochastic:
                self._plan(plan)

    def note(self, record: Record) -> None:
        """Write down a record, whose images are numbers, and take it in."""
        named = {**record}
        if "images" in record:
            named["images"] = [self.images.keys[i] for i in record["images"]]
        for name in ("held", "batches"):
            if name in record:
                named[name] = [[self.images.keys[i], *rest] for i, *rest in record[name]]
        self.ledger.append(named)
        self._apply(record)

    def _numbered(self, record: Record) -> Record:
        """A record whose images are numbers; None is one that this job does not ask about."""
        numbered = {**record}
        if "images" in record:
            numbered["images"] = [self._numbers.get(k) for k in record["images"]]
        for name in ("held", "batches"):
            if name in record:
                found = [[self._numbers.get(k), *rest] for k, *rest in record[name]]
                numbered[name] = [entry for entry in found if entry[0] is not None]
        return numbered

    def _plan(self, plan: list[Batch]) -> None:
        rows = [[i, e, n] for n, b in enumerate(plan) for i, e in zip(b.images, b.radii, strict=True)]
        self.note({"kind": "plan", "unit": plan[0].unit, "batches": rows})

    def _apply(self, record: Record) -> None:
        self.verdicts.apply(record)
        if record["kind"] == "plan":
            self.left = []
            for image, epsilon, number in record["batches"]:
                while number >= len(self.left):
                    self.left.append(Batch(record["unit"], [], []))
                self.left[number].images.append(image)
                self.left[number].radii.append(epsilon)
            # of images that this job does not ask about nothing is left
            self.left = [batch for batch in self.left if len(batch)]
        elif self.left and (record["kind"], record.get("unit")) == ("done", self.left[0].unit):
            asked = [i for i in record["images"] if i is not None]
            self.left = self.left[asked == self.left[0].images :]

    def _since(self, before: Passes) -> dict[str, int]:
        now = self.model.passes
        return {"forward": now.forward - before.forward, "backward": now.gradient - before.gradient}

    @cached_property
    def batch_size(self) -> int:
        """Images at once: as asked, or half of what a bare pass can hold, found by doubling."""
        if self.request.batch_size is not None:
            return self.request.batch_size
        if self.images.x.device.type != "cuda":
            return batches.CPU_BATCH
        limit = min(batches.GPU_BATCH, 2 * len(self.images.x))
        # the attacks keep several copies of the batch beside it
        size = max(1, self._tried(lambda attempt: batches.largest(attempt, limit), "batch size") // 2)
        batches.release()
        return size

    @cached_property
    def efficient(self) -> int:
        """Rows at once from which on more make a row hardly cheaper; a matter of this machine."""
        if self.request.batch_size is not None:
            return self.request.batch_size
        cpu = self.images.x.device.type != "cuda"
        fits = batches.ROWS * batches.CPU_BATCH if cpu else self.batch_size
        most = min(fits, TARGETS * len(self.images.x))
        # what another process takes of the machine is no cost of ours
        clock = time.process_time if cpu and torch.get_num_threads() == 1 else time.perf_counter
        return self._tried(lambda attempt: batches.efficient(attempt, most, clock), "efficient batch")

    def _tried(self, search: Callable[[Callable[[int], None]], int], what: str) -> int:
        before = self.model.passes
        x, y = self.images.x, self.images.y

        def attempt(count: int) -> None:
            rows = torch.arange(count, device=x.device) % len(x)
            tried = x[rows].requires_grad_(True)
            with torch.enable_grad():
                loss = margin(self.model(tried), y[rows]).sum()
            torch.autograd.grad(loss, tried)
            if x.device.type == "cuda":
                torch.cuda.synchronize()

        try:
            size = search(attempt)
        except (Exception, SystemExit) as error:
            if not out_of_memory(error) and (fault := blame.of_model(error, what)):
                raise fault from error
            raise
        self.note({"kind": what, "size": size, **self._since(before)})
        return size
