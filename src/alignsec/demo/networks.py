"""The demo study's networks: small, trained on handwritten digits in seconds, each by a rule of its own.

A spec names one network (`alignsec.demo.specs`): ``arch=cnn,training=noise,strength=0.2,seed=3``.
"""

import contextlib
import io
import traceback
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from alignsec.demo.architectures import ARCHITECTURES, SIDE
from alignsec.demo.specs import Spec, parse_spec
from alignsec.ground.digits import digits
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import told
from alignsec.ground.tables import atomic
from alignsec.zoo.pixel_model import Excluded, PixelModel

MEAN, STD = 0.3053, 0.3761  # of the digits' pixels in [0, 1]
EPOCHS, BATCH, RATE = 16, 50, 4e-3
PGD_STEPS = 4
BLUR_RADIUS = 2  # pixels; a wider window would not fit into 8
_FAILED = b"training failed: "  # in place of weights


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


def _state(parsed: Spec, seed: int) -> int:
    """The random state that a network is drawn and trained from."""
    return int(np.random.SeedSequence([seed, parsed.seed]).generate_state(1)[0])


def untrained(spec: str, seed: int) -> PixelModel:
    """The network of `spec` as `train` finds it, in evaluation mode and with its parameters frozen."""
    parsed = parse_spec(spec)
    with _reproducible(_state(parsed, seed)):
        return _wrap(ARCHITECTURES[parsed.arch]()).eval().requires_grad_(False)


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
    state = _state(parsed, seed)
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


def train_each(specs: Sequence[str], outs: Sequence[Path], seed: int) -> Iterator[dict[str, float] | str]:
    """`train` of one network after the other; each is what it would be alone.

    One whose training fails leaves its reason in place of its weights, which `load` answers with, and the
    others go on.

    Yields
    ------
    accuracies of `train`, or why there are none

    Raises
    ------
    AlignsecError
        Specs and files are not as many, or a spec is not valid; nothing was trained.
    """
    if len(specs) != len(outs):
        raise AlignsecError(f"{len(specs)} specs and {len(outs)} files to write: give an --out for each spec")
    for spec in specs:
        parse_spec(spec)
    for spec, out in zip(specs, outs, strict=True):
        try:
            yield train(spec, out, seed)
        except Exception as error:  # noqa: BLE001 - one network of many
            traceback.print_exc()
            with atomic(out) as temporary:
                temporary.write_bytes(_FAILED + told(error).encode())
            yield f"{_FAILED.decode()}{told(error)}"


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
    if raw.startswith(_FAILED):
        raise Excluded(
            f"weights damaged: {raw.decode('utf-8', 'replace')}: delete {weights} to train it again"
        )
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
