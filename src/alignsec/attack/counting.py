"""Counting image passes: the cost of an attack in units that do not depend on the machine."""

import torch
from torch import Tensor, nn


class Counted(nn.Module):
    """Pass `x` through `model` and count images.

    `forward_images` counts passes under ``no_grad`` or without an input gradient; `backward_images` counts
    passes whose input wants a gradient (a forward and a backward).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forward_images = 0
        self.backward_images = 0

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            self.backward_images += len(x)
        else:
            self.forward_images += len(x)
        return self.model(x)
