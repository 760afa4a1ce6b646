"""A model of one's own: what preflight says of it, and AutoAttack's verdicts on images of one's own."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from alignsec.zoo.pixel_model import PixelModel


@dataclass(frozen=True)
class Check:
    """What preflight says of a model; it prints itself.

    Parameters
    ----------
    reason : why it cannot be attacked, of the reasons of docs/zoo.md; None: it can
    report : what was found out (`alignsec.study.records.Report`)
    """

    reason: str | None
    report: dict[str, Any]

    def __bool__(self) -> bool:
        return self.reason is None

    def __str__(self) -> str:
        said = "it can be attacked" if self.reason is None else f"it cannot be attacked: {self.reason}"
        told = [(k, v) for k, v in self.report.items() if v not in (None, [], {})]
        width = max((len(k) for k, _ in told), default=0)
        return "\n".join([said, *(f"  {k:{width}}  {v}" for k, v in told)])

    __repr__ = __str__


def check(model: "nn.Module", images: Path | str | None = None, *, n: int = 64, seed: int = 0) -> Check:
    """Preflight of one module, in this process and on this CPU.

    Parameters
    ----------
    model : (N, C, H, W) float32 pixels in [0, 1] to (N, K) logits, in eval mode; its attributes may say more
        (`input_size`, `channels`, `preprocess`: docs/zoo.md, source `factory`)
    images : folder with a folder per class, to measure clean accuracy on `n` of its images; None: none

    Returns
    -------
    What was found out; true where the model can be attacked.

    Raises
    ------
    AlignsecError
        The folder does not hold images in class folders.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()
    >>> model.input_size = (2, 2)
    >>> print(str(check(model)).splitlines()[0])
    it can be attacked
    >>> model[1].requires_grad_(False).weight.zero_()[0, 0].item()
    0.0
    >>> print(check(model))  # doctest: +ELLIPSIS
    it cannot be attacked: zero gradients...
    """
    from alignsec.zoo import examine

    manifest = None if images is None else _folder(images, n, seed)
    report: dict[str, Any] = {}
    if getattr(model, "training", False):
        return Check("the model is in training mode: call model.eval() first", report)
    try:
        examine.of_model(_wrapped(model), "factory", manifest, seed, report)
    except Excluded as error:
        return Check(error.reason, report)
    return Check(None, report)


def evaluate(
    model: "nn.Module",
    images: Any,
    epsilons: Sequence[float | str] | float | str,
    *,
    labels: Any = None,
    n: int | None = None,
    seed: int = 0,
    **options: Any,
) -> "pd.DataFrame":
    """AutoAttack's verdict on every image at every epsilon, on images as people have them.

    Parameters
    ----------
    model : (N, C, H, W) float32 pixels in [0, 1] to (N, K) logits, in eval mode; of a folder, its attributes
        `input_size` and `preprocess` say how files become pixels (docs/zoo.md, source `factory`; without
        them the usual resize and centre crop to 224)
    images : a folder with a folder per class (ImageNet synsets, numbers, or names in sorted order); a torch
        ``Dataset`` of pairs of pixels (C, H, W) in [0, 1] and label; or pixels (N, C, H, W) themselves
    epsilons : radii of the ball in [0, 1] pixel units, as numbers or like "1/255"
    labels : (N,) integers, of pixels only
    n : so many images, drawn by `seed` from a folder, the first of the others; None: all
    options : of `alignsec.attack.evaluate_robustness`: `norm`, `ledger`, `batch_size`, `device`, …

    Returns
    -------
    As `alignsec.attack.evaluate_robustness`; of a folder `image` holds the names of the files.

    Raises
    ------
    AlignsecError
        As `alignsec.attack.evaluate_robustness`; images that are none, or labels missing.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False)).eval()
    >>> _ = model[1].weight.data.copy_(torch.tensor([[1.0, 1.0, -1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]]))
    >>> pixels = torch.tensor([[0.6, 0.6, 0.4, 0.4], [0.55, 0.55, 0.45, 0.45]]).reshape(2, 1, 2, 2)
    >>> data = torch.utils.data.TensorDataset(pixels, torch.tensor([0, 0]))
    >>> table = evaluate(model, data, ["0.08"], version="custom", attacks=["apgd-ce"], device="cpu")
    >>> list(table["robust"])
    [True, False]
    """
    from alignsec.attack import evaluate_robustness

    radii = [epsilons] if isinstance(epsilons, str | int | float) else list(epsilons)
    if isinstance(images, str | Path):
        if labels is not None:
            raise AlignsecError("labels of a folder are its class folders: leave labels out")
        manifest = _folder(images, n, seed)
        with _refused():
            wrapped, pixels, known = _pixels(model, manifest)
            table = evaluate_robustness(wrapped, pixels, known, radii, seed=seed, **options)
        table["image"] = manifest["image"].to_numpy()[table["image"]]
        return table
    pixels, known = _arrays(images, labels, n)
    if getattr(model, "num_classes", None) is not None:
        with _refused():
            model = _wrapped(model)  # which of several outputs is the logits is told by it
    return evaluate_robustness(model, pixels, known, radii, seed=seed, **options)


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """A reason of the zoo as the message of a wrong call."""
    try:
        yield
    except Excluded as error:
        raise AlignsecError(f"the model cannot be attacked on these images: {error.reason}") from error


def _wrapped(model: Any) -> "PixelModel":
    from alignsec.zoo.sources import factory

    wrapped = factory.wrapped(model, f"{type(model).__module__}:{type(model).__qualname__}")
    wrapped.training = model.training  # the wrapper alone: what the model's parts are set to is its author's
    return wrapped


def _folder(path: Path | str, n: int | None, seed: int) -> "pd.DataFrame":
    """Table of kind ``images`` of a folder of class folders."""
    from alignsec.images import shards

    count = shards.size("folders", str(path))
    return shards.cut("folders", str(path), 0, count if n is None else min(n, count), seed, False)


def _pixels(model: Any, manifest: "pd.DataFrame") -> tuple["PixelModel", Any, Any]:
    from alignsec.images.pixels import load
    from alignsec.zoo.examine import check_fit

    wrapped = _wrapped(model)
    pixels, labels = load(manifest, wrapped.preprocess)
    check_fit(wrapped, pixels)
    return wrapped, pixels, labels


def _arrays(images: Any, labels: Any, n: int | None) -> tuple[Any, Any]:
    """Pixels (N, C, H, W) and labels (N,) of a dataset of pairs, or as they are given."""
    import torch

    stop = slice(None, n)
    if isinstance(images, torch.utils.data.Dataset):
        if labels is not None:
            raise AlignsecError("a dataset brings its own labels: leave labels out")
        count = len(images)  # type: ignore[arg-type]
        pairs = [images[i] for i in range(count)[stop]]
        if not pairs or not isinstance(pairs[0], tuple | list) or len(pairs[0]) != 2:
            raise AlignsecError("the dataset must give pairs of pixels (C, H, W) and label")
        first = pairs[0][0]
        if not isinstance(first, torch.Tensor):
            raise AlignsecError(
                f"the dataset gives {type(first).__name__} for pixels: give it a transform to tensors in "
                "[0, 1], as torchvision.transforms.ToTensor()"
            )
        return torch.stack([x for x, _ in pairs]), torch.stack([torch.as_tensor(y) for _, y in pairs])
    if isinstance(images, torch.utils.data.DataLoader):
        raise AlignsecError("give the data set of the loader: evaluate(model, loader.dataset, epsilons)")
    if labels is None:
        raise AlignsecError("pixels need labels: evaluate(model, pixels, epsilons, labels=…)")
    return images[stop], labels[stop]
