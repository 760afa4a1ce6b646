"""Models that pass their preflight and fail later, each in its own way; a factory each."""

import torch
from torch import nn

from tests.misbehaving import Net


class OddError(Exception):
    """No subclass of what anybody expects."""


class Digits(Net):
    """Digits to ten logits, by `answer`; `calls` are counted."""

    calls = 0

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.answer(x)

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x)


class Raises(Digits):
    """Fails at its fourth call."""

    error: type[BaseException] = OddError

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        if self.calls == 4:
            raise self.error("line one\nline two")
        return self.logits(x)


class Exits(Raises):
    error = SystemExit


class Keys(Raises):
    error = KeyError


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        raise OddError("no way back")


class RaisesBackward(Digits):
    def answer(self, x: torch.Tensor) -> torch.Tensor:
        return _Backward.apply(self.logits(x))


class Detaches(Digits):
    def answer(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x).detach()


class Infers(Digits):
    def answer(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.logits(x)


class Shrinks(Digits):
    """Answers for one image only, after a while."""

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x)[: 1 if self.calls > 3 else None]


class Widens(Digits):
    """Has one more class, after a while."""

    def answer(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.logits(x)
        return nn.functional.pad(logits, (0, 1)) if self.calls > 3 else logits


class Counts(Digits):
    def answer(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x).round().long()


class ThreeClasses(Digits):
    def answer(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x)[:, :3]


class NoState(Digits):
    def state_dict(self, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        raise OddError("no state")


class NotMoved(Digits):
    def _apply(self, *args: object, **kwargs: object) -> "NotMoved":
        raise OddError("stays where it is")


def script() -> nn.Module:
    made = torch.jit.script(Scripted())
    made.input_size, made.channels = (8, 8), 1
    return made


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))
