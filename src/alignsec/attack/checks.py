"""What an attack refuses of a model, its images and labels, each with its message, before time is spent."""

import torch
from torch import Tensor, nn

from alignsec.attack.blame import ModelError, logits_of
from alignsec.ground.errors import AlignsecError

__all__ = ["ModelError", "inputs", "moving"]

LOOKED_AT = 4  # images of the second look, one at a time: more may not fit at once
MOVING = 1e-4  # of the length of the logits, as in the reference: less is rounding


def inputs(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Check model, images and labels; return the number of classes.

    Parameters
    ----------
    model : module, (N, C, H, W) float32 in [0, 1] to (N, K) logits
    images : tensor (N, C, H, W), float32 in [0, 1]
    labels : tensor (N,), integer in 0 .. K-1
    """
    if model.training:
        raise AlignsecError("the model is in training mode: call model.eval() first")
    if images.ndim != 4:
        raise AlignsecError(f"images must be (N, C, H, W), not {tuple(images.shape)}")
    if labels.ndim != 1 or len(labels) != len(images) or labels.is_floating_point():
        raise AlignsecError(
            f"labels must be {len(images)} integers, not {tuple(labels.shape)} {labels.dtype}"
        )
    if not len(images):
        raise AlignsecError("no images to attack")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise AlignsecError(f"pixel values must lie in [0, 1], found {low:g} to {high:g}: divide by 255?")
    with torch.no_grad():
        logits = logits_of(model, images[:1])
    if not bool(torch.isfinite(logits).all()):
        raise ModelError("no classifier", "the model returns logits that are not finite")
    classes = logits.shape[1]
    if classes < 2:
        raise ModelError("head of 1", "the model has one class: there is nothing to attack")
    if int(labels.min()) < 0:
        raise AlignsecError(f"labels run from {int(labels.min())}: a label is 0 or above")
    if int(labels.max()) >= classes:
        raise ModelError(
            f"head of {classes}",
            f"labels run from {int(labels.min())} to {int(labels.max())}, the model has {classes} classes",
        )
    return classes


@torch.no_grad()
def moving(model: nn.Module, images: Tensor, classes: int | None = None) -> float:
    """By how much logits differ between two looks at the first images, as a share of their length.

    0 where that is no more than rounding: then the model gives every image one answer, as all versions but
    rand take for granted. A submodule that its author keeps in training mode is seen here.

    >>> moving(nn.Sequential(nn.Flatten(), nn.Dropout(0.5).train(False)), torch.ones(2, 1, 2, 2))
    0.0
    >>> moving(nn.Sequential(nn.Flatten(), nn.Dropout(0.5)), torch.ones(2, 1, 4, 4)) > 0.1
    True
    """
    share = 0.0
    for image in torch.split(images[:LOOKED_AT], 1):
        first, second = (logits_of(model, image, classes).float() for _ in range(2))
        share = max(share, float((first - second).norm() / first.norm().clamp_min(1e-10)))
    return share if share > MOVING else 0.0
