"""A model whose device fails: as torch words it, so often, then no more. What is wanted stands in a file."""

import json
import os
from pathlib import Path

import torch

from tests.attack.faulty import Digits

PLAN = "BROKEN_DEVICE"  # variable: the file


def plan(
    path: Path, text: str, times: int, where: str = "forward", error: str = "RuntimeError", after: int = 16
) -> None:
    """Have the device fail `times` times, each after so many passes of a process.

    By as many as the default an attack has looked at its model, and has a ledger.
    """
    wanted = {"text": text, "times": times, "where": where, "error": error, "after": after}
    path.write_text(json.dumps(wanted))


def _fails(where: str) -> None:
    path = Path(os.environ[PLAN])
    wanted = json.loads(path.read_text())
    if wanted["where"] != where or wanted["times"] < 1:
        return
    path.write_text(json.dumps(wanted | {"times": wanted["times"] - 1}))
    if wanted["error"] == "abort":
        print(
            f"terminate called after throwing an instance of 'c10::Error'\n  what():  {wanted['text']}",
            flush=True,
        )
        os.abort()
    error = torch.AcceleratorError if wanted["error"] == "AcceleratorError" else RuntimeError
    if wanted["error"] == "wrapped":
        try:
            raise RuntimeError(wanted["text"])
        except RuntimeError as first:
            raise KeyError("a model's own words") from first
    raise error(wanted["text"])


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        _fails("backward")
        return gradient


class OnDevice(Digits):
    """Sound but for its device."""

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        if self.calls < json.loads(Path(os.environ[PLAN]).read_text())["after"]:
            return self.logits(x)
        _fails("forward")
        return _Backward.apply(self.logits(x))
