"""Networks that the tests of the attack share."""

import pytest
import torch
from torch import nn

from benchmarks import models


@pytest.fixture(scope="session")
def digits() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A small network on handwritten digits, and twelve images that it has not seen."""
    return models.digits(12)
