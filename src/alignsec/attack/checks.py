"""What an attack refuses of a model, its images and labels, each with its message, before time is spent."""

import torch
from torch import Tensor, nn

from alignsec.attack.blame import ModelError, logits_of
from alignsec.ground.errors import AlignsecError

__all__ = ["ModelError", "inputs"]


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
