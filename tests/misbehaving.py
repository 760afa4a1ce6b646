"""Model factories that do what a plugin must not; and plain ones."""

import os
import sys
import time
from pathlib import Path

import torch
from torch import nn


class Net(nn.Module):
    """Digits, or anything of 64 pixels, to ten logits."""

    input_size = (8, 8)
    channels = 1

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


def good() -> nn.Module:
    return Net()


def half() -> nn.Module:
    return Net().half()


def exits() -> nn.Module:
    sys.exit(3)


def vanishes() -> nn.Module:
    os._exit(0)


def prints() -> nn.Module:
    for _ in range(100):
        print("x" * 100_000)
    return Net()


def hangs() -> nn.Module:
    while True:
        time.sleep(1)


def changes_dtype() -> nn.Module:
    torch.set_default_dtype(torch.float64)
    return Net()


def writes() -> nn.Module:
    Path("junk.txt").write_text("here")
    return Net()


def segfaults() -> nn.Module:
    import ctypes

    ctypes.string_at(0)
    return Net()


def eats() -> nn.Module:
    kept = []
    while True:
        kept.append(bytearray(10_000_000))
