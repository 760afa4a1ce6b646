"""A factory whose weights are a file that may come later."""

import os
from pathlib import Path

import torch
from torch import nn

from tests.misbehaving import Net


def waits() -> nn.Module:
    net = Net()
    net.load_state_dict(torch.load(Path(os.environ["FLAKY_WEIGHTS"]), weights_only=True))
    return net
