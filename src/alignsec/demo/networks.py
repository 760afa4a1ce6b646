"""The demo study's networks: small, trained on handwritten digits in seconds, each by a rule of its own.

A spec names one network (`alignsec.demo.specs`): ``arch=cnn,training=noise,strength=0.2,seed=3``.
"""

import contextlib
import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from alignsec.demo.specs import Spec, parse_spec
from alignsec.ground.digits import CLASSES, digits
from alignsec.ground.tables import atomic
from alignsec.zoo.pixel_model import Excluded, PixelModel

SIDE = 8
MEAN, STD = 0.3053, 0.3761  # of the digits' pixels in [0, 1]
EPOCHS, BATCH, RATE = 16, 50, 4e-3
PGD_STEPS = 4
BLUR_RADIUS = 2  # pixels; a wider window would not fit into 8


# ---- architectures -----------------------------------------------------------------------------------------


class _Residual(nn.Module):
    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.skip = nn.Identity() if stride == 1 and width == out else nn.Conv2d(width, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = functional.relu(self.body(x) + self.skip(x))
        return out


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


class _Patches(nn.Module):
    """Images (N, 1, 8, 8) to 16 tokens of 2x2 pixels each, (N, 16, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 2, 2)
        self.position = nn.Parameter(0.02 * torch.randn(1, (SIDE // 2) ** 2, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return out


def _depthwise(width: int, out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, 3, stride, 1, groups=width), nn.Conv2d(width, out, 1), nn.ReLU()]


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
    return _network(
        [nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU()],
        [nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()],
        [nn.Conv2d(32, 48, 3, 2, 1), nn.ReLU()],
        48 * 4,
    )


def _resnet() -> nn.Sequential:
    return _network(
        [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()],
        [_Residual(16, 24, 2)],
        [_Residual(24, 32, 2)],
        32 * 4,
    )


def _mixer() -> nn.Sequential:
    return _network([_Patches(32)], [_Mixer(16, 32)], [_Mixer(16, 32), nn.LayerNorm(32)], 16 * 32)


def _separable() -> nn.Sequential:
    return _network(
        [nn.Conv2d(1, 24, 3, 1, 1), nn.ReLU()], _depthwise(24, 48, 2), _depthwise(48, 64, 2), 64 * 4
    )


# builders of `alignsec.demo.specs.ARCHITECTURES`
ARCHITECTURES: dict[str, Callable[[], nn.Sequential]] = {
    "mlp": _mlp, "cnn": _cnn, "resnet": _resnet, "mixer": _mixer, "depthwise": _separable,
}  # fmt: skip


def _wrap(network: nn.Sequential) -> PixelModel:
    return PixelModel(network, (MEAN,), (STD,), input_size=SIDE)


# ---- training ----------------------------------------------------------------------------------------------


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of images (N, C, H, W), `sigma` in pixels; edges are repeated."""
    at = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=x.dtype)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    weight = kernel.expand(x.shape[1], 1, -1, -1)
    padded = functional.pad(x, [BLUR_RADIUS] * 4, mode="replicate")
    return functional.conv2d(padded, weight, groups=x.shape[1])


def pgd(
    model: nn.Module, x: Tensor, y: Tensor, epsilon: float, steps: int, generator: torch.Generator
) -> Tensor:
    """Projected gradient ascent on the cross-entropy, random start (Madry et al. 2018, arXiv 1706.06083).

    Parameters
    ----------
    x : (N, C, H, W) in [0, 1]; the result is too, and within `epsilon` of it in L-infinity
    """
    start = torch.rand(x.shape, generator=generator) * 2 - 1
    adversarial = (x + epsilon * start).clamp(0, 1)
    for _ in range(steps):
        adversarial.requires_grad_(True)
        loss = functional.cross_entropy(model(adversarial), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, adversarial)
        moved = adversarial.detach() + 2.5 * epsilon / steps * gradient.sign()
        adversarial = torch.minimum(torch.maximum(moved, x - epsilon), x + epsilon).clamp(0, 1)
    return adversarial


def _inputs(model: PixelModel, x: Tensor, y: Tensor, spec: Spec, generator: torch.Generator) -> Tensor:
    """The batch as this training shows it to the network."""
    if spec.training == "noise":
        return (x + spec.strength * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    if spec.training == "blur":
        half = len(x) // 2  # the batch is shuffled, so every image is seen both ways
        return torch.cat([blur(x[:half], spec.strength), x[half:]])
    if spec.training == "adversarial":
        model.eval()  # the attack must not move the running statistics of batch normalisation
        attacked = pgd(model, x, y, spec.strength, PGD_STEPS, generator)
        model.train()
        return attacked
    return x


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """One thread, because sums depend on how many add them up, and a seed; both put back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def train(spec: str, out: Path, seed: int) -> dict[str, float]:
    """Train the network of `spec` on the digits' train split and write its state dict to `out`.

    The same spec and `seed` give the same file, byte for byte, on one kind of machine. Seconds, on one
    thread.

    Parameters
    ----------
    seed : the study's; the spec's own seed tells replicates apart

    Returns
    -------
    ``train_accuracy`` and ``test_accuracy``, on clean images

    Raises
    ------
    AlignsecError
        The spec is not valid.
    """
    parsed = parse_spec(spec)
    train_x, train_y, test_x, test_y = map(torch.from_numpy, digits())
    state = int(np.random.SeedSequence([seed, parsed.seed]).generate_state(1)[0])
    smoothing = parsed.strength if parsed.training == "labelsmooth" else 0.0
    with _reproducible(state):
        model = _wrap(ARCHITECTURES[parsed.arch]())
        generator = torch.Generator().manual_seed(state)
        optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
        steps = EPOCHS * -(-len(train_x) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        model.train()
        for _ in range(EPOCHS):
            for batch in torch.split(torch.randperm(len(train_x), generator=generator), BATCH):
                y = train_y[batch]
                x = _inputs(model, train_x[batch], y, parsed, generator)
                optimiser.zero_grad()
                loss = functional.cross_entropy(model(x), y, label_smoothing=smoothing)
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
        model.eval()
        with torch.no_grad():
            accuracy = {
                f"{part}_accuracy": float((model(x).argmax(1) == y).double().mean())
                for part, x, y in (("train", train_x, train_y), ("test", test_x, test_y))
            }
    with atomic(out) as temporary, temporary.open("wb") as handle:
        # to a handle: given a path, torch writes the temporary file's name into the archive
        torch.save(model.module.state_dict(), handle)
    return accuracy


def load(spec: str, weights: Path | str | None) -> PixelModel:
    """The trained network of `spec`, in evaluation mode and with its parameters frozen.

    Raises
    ------
    AlignsecError
        The spec is not valid.
    Excluded
        The weights are missing (transient), damaged, or those of another architecture.
    """
    parsed = parse_spec(spec)
    try:
        raw = Path(weights or "").read_bytes()
    except OSError as error:
        raise Excluded("weights unavailable", transient=True) from error
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            damaged = archive.testzip()  # torch.load does not look at the checksums
        if damaged is not None:
            raise zipfile.BadZipFile(damaged)
        state = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes the unpickler fails in any way it likes
        raise Excluded("weights damaged: not a state dict that torch.load accepts") from error
    network = ARCHITECTURES[parsed.arch]()
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise Excluded(f"weights of another network than arch={parsed.arch}") from error
    return _wrap(network).eval().requires_grad_(False)
