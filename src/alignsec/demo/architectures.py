"""The demo's architectures: small networks on 8x8 pixels, each in three stages and a linear head."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from alignsec.ground.digits import CLASSES

SIDE = 8


# ---- blocks ------------------------------------------------------------------------------------------------


class _Residual(nn.Module):
    """Two convolutions around a skip connection (He et al. 2016, arXiv 1512.03385), to half the side."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(width, out, 2), nn.Conv2d(out, out, 3, 1, 1))
        self.skip = nn.Conv2d(width, out, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = functional.relu(self.body(x) + self.skip(x))
        return out


class _Dense(nn.Module):
    """Two layers, each sees all before it (Huang et al. 2017, arXiv 1608.06993), then half the side."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, growth, 3, 1, 1)
        self.second = nn.Conv2d(width + growth, growth, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, functional.relu(self.first(x))], 1)
        x = torch.cat([x, functional.relu(self.second(x))], 1)
        return functional.avg_pool2d(x, 2)


class _Inception(nn.Module):
    """Kernels of two sizes side by side (Szegedy et al. 2015, arXiv 1409.4842), then half the side."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(width, out, size, 1, size // 2) for size in (1, 3))

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(functional.relu(torch.cat([b(x) for b in self.branches], 1)), 2)


class _Mixer(nn.Module):
    """One block of an MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601): tokens (N, T, D) to the same."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.across = nn.Sequential(nn.Linear(tokens, 2 * tokens), nn.GELU(), nn.Linear(2 * tokens, tokens))
        self.within = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across(self.first(x).transpose(1, 2)).transpose(1, 2)
        out: Tensor = x + self.within(self.second(x))
        return out


class _Attention(nn.Module):
    """One block of a transformer (Vaswani et al. 2017, arXiv 1706.03762): tokens (N, T, D) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.within = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        # (N, T, 3 D) -> three of (N, heads, T, D / heads)
        query, key, value = (
            self.project(self.first(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        seen = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        out: Tensor = x + self.within(self.second(x))
        return out


class _Patches(nn.Module):
    """Images (N, 1, 8, 8) to 16 tokens of 2x2 pixels each, (N, 16, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 2, 2)
        self.position = nn.Parameter(0.02 * torch.randn(1, (SIDE // 2) ** 2, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return out


def _convolution(width: int, out: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(width, out, 3, stride, 1), nn.ReLU()]


def _depthwise(width: int, out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, 3, stride, 1, groups=width), nn.Conv2d(width, out, 1), nn.ReLU()]


# ---- networks ----------------------------------------------------------------------------------------------


def _network(
    early: list[nn.Module], middle: list[nn.Module], late: list[nn.Module], width: int
) -> nn.Sequential:
    """Three stages, whose outputs the benchmarks look at, and a linear head on `width` features."""
    stages: dict[str, list[nn.Module]] = {
        "early": early,
        "middle": middle,
        "late": [*late, nn.Flatten()],
        "head": [nn.Linear(width, CLASSES)],
    }
    return nn.Sequential(OrderedDict((name, nn.Sequential(*layers)) for name, layers in stages.items()))


def _mlp() -> nn.Sequential:
    return _network(
        [nn.Flatten(), nn.Linear(SIDE * SIDE, 128), nn.ReLU()],
        [nn.Linear(128, 128), nn.ReLU()],
        [nn.Linear(128, 64), nn.ReLU()],
        64,
    )


def _cnn() -> nn.Sequential:
    return _network(_convolution(1, 12), _convolution(12, 24, 2), _convolution(24, 48, 2), 48 * 4)


def _resnet() -> nn.Sequential:
    return _network(
        [nn.Conv2d(1, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU()],
        [_Residual(12, 24)],
        [_Residual(24, 32)],
        32 * 4,
    )


def _mixer() -> nn.Sequential:
    return _network([_Patches(24)], [_Mixer(16, 24)], [nn.LayerNorm(24)], 16 * 24)


def _separable() -> nn.Sequential:
    return _network(_convolution(1, 16), _depthwise(16, 32, 2), _depthwise(32, 48, 2), 48 * 4)


def _vgg() -> nn.Sequential:
    return _network(
        _convolution(1, 12),
        [*_convolution(12, 24), nn.MaxPool2d(2)],
        [*_convolution(24, 32), nn.MaxPool2d(2)],
        32 * 4,
    )


def _densenet() -> nn.Sequential:
    return _network(_convolution(1, 12), [_Dense(12, 10)], [_Dense(32, 10)], 52 * 4)


def _inception() -> nn.Sequential:
    return _network(_convolution(1, 12), [_Inception(12, 12)], [_Inception(24, 24)], 48 * 4)


def _transformer() -> nn.Sequential:
    return _network([_Patches(24)], [_Attention(24, 2)], [nn.LayerNorm(24)], 16 * 24)


def _bag() -> nn.Sequential:
    """Patches of 5x5 pixels seen one by one, then averaged (Brendel and Bethge 2019, arXiv 1904.00760)."""
    return _network(
        [nn.Conv2d(1, 32, 5, 1, 2), nn.ReLU()],
        [nn.Conv2d(32, 32, 1), nn.ReLU()],
        [nn.Conv2d(32, 48, 1), nn.ReLU(), nn.AvgPool2d(4)],
        48 * 4,
    )


# builders of `alignsec.demo.specs.ARCHITECTURES`
ARCHITECTURES: dict[str, Callable[[], nn.Sequential]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "resnet": _resnet,
    "mixer": _mixer,
    "depthwise": _separable,
    "vgg": _vgg,
    "densenet": _densenet,
    "inception": _inception,
    "transformer": _transformer,
    "bag": _bag,
}
