"""Counting image passes: the cost of an attack in units that do not depend on the machine."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alignsec.attack.blame import logits_of


@dataclass(frozen=True)
class Passes:
    """Image passes: `forward` without a gradient, `gradient` for each gradient with its forward.

    >>> (Passes(2) + 3 * Passes(0, 1)).equivalents
    11
    """

    forward: int = 0
    gradient: int = 0

    @property
    def equivalents(self) -> int:
        """Forward-equivalent passes: a forward counts 1, a forward-backward 3."""
        return self.forward + 3 * self.gradient

    @property
    def steps(self) -> int:
        """Calls of the model one after the other, of one image or of a batch that goes together."""
        return self.forward + self.gradient

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(self.forward + other.forward, self.gradient + other.gradient)

    def __rmul__(self, times: int) -> "Passes":
        return Passes(times * self.forward, times * self.gradient)


class Counted(nn.Module):
    """Pass `x` through `model` and count images.

    `forward_images` counts passes that no gradient was asked of; `backward_images` counts gradients, each
    with the forward it belongs to. Several gradients of one forward count as a forward-backward each. Every
    call is checked (`blame.logits_of`); the first one says how many classes there are,
    unless that is known.
    """

    def __init__(self, model: nn.Module, classes: int | None = None) -> None:
        super().__init__()
        # not by eval(): that would switch off what its author keeps on in a submodule
        self.model, self.training = model, model.training
        self.forward_images = 0
        self.backward_images = 0
        self.classes = classes

    @property
    def passes(self) -> Passes:
        """What was counted by now."""
        return Passes(self.forward_images, self.backward_images)

    @property
    def equivalents(self) -> int:
        """Forward-equivalent passes by now."""
        return self.passes.equivalents

    def forward(self, x: Tensor) -> Tensor:
        logits = logits_of(self.model, x, self.classes)
        self.classes = logits.shape[1]
        half = logits.dtype in (torch.float16, torch.bfloat16)
        if half and not torch.is_autocast_enabled(x.device.type):
            logits = logits.float()  # losses of half-precision models must not overflow
        self.forward_images += len(x)
        if torch.is_grad_enabled() and logits.requires_grad:
            images, first = len(x), True

            def differentiated(_: Tensor) -> None:
                nonlocal first
                self.forward_images -= images if first else 0
                self.backward_images += images
                first = False

            logits.register_hook(differentiated)  # type: ignore[no-untyped-call]
        return logits
