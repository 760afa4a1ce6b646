"""Counting image passes: the cost of an attack in units that do not depend on the machine."""

import torch
from torch import Tensor, nn


class Counted(nn.Module):
    """Pass `x` through `model` and count images.

    `forward_images` counts passes that no gradient was asked of; `backward_images` counts gradients, each with
    the forward it belongs to. Several gradients of one forward count as a forward-backward each.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forward_images = 0
        self.backward_images = 0

    @property
    def equivalents(self) -> int:
        """Forward-equivalent passes: a forward counts 1, a forward-backward 3."""
        return self.forward_images + 3 * self.backward_images

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x)
        if (
            isinstance(logits, Tensor)
            and logits.dtype in (torch.float16, torch.bfloat16)
            and not (torch.is_autocast_enabled(x.device.type))
        ):
            logits = logits.float()  # losses of half-precision models must not overflow
        self.forward_images += len(x)
        if torch.is_grad_enabled() and logits.requires_grad:
            images, first = len(x), True

            def differentiated(_: Tensor) -> None:
                nonlocal first
                self.forward_images -= images if first else 0
                self.backward_images += images
                first = False

            logits.register_hook(differentiated)
        return logits
