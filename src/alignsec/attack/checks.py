"""What an attack refuses, each with its own message, before any time is spent."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from alignsec.attack.judge import ATTACKS, VERSIONS
from alignsec.ground.errors import AlignsecError


class ModelError(AlignsecError):
    """The model cannot be attacked; `kind` is one of `alignsec.ground.reasons.KINDS`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def epsilons(values: Sequence[float], norm: str) -> list[float]:
    """Epsilons in ascending order; zero, negative, duplicated and (L-infinity) above 0.5 are refused."""
    given = [float(v) for v in values]
    if not given:
        raise AlignsecError("no epsilon given: name at least one, for example 1/255")
    for e in given:
        if e == 0:
            raise AlignsecError("epsilon 0 is no attack: robust accuracy there is clean accuracy; remove it")
        if not np.isfinite(e) or e < 0:
            raise AlignsecError(f"epsilon {e} is not a positive number")
        if norm == "Linf" and e > 0.5:
            raise AlignsecError(f"epsilon {e} is above 0.5 of the pixel range [0, 1]: write 8/255, not 8")
    if len(set(given)) != len(given):
        raise AlignsecError(f"an epsilon is given twice: {given}")
    return sorted(given)


def attacks(version: str, named: Sequence[str] | None) -> tuple[str, ...]:
    """The attacks of a version, in the order in which they run."""
    if version == "custom":
        if not named:
            raise AlignsecError(f"version custom needs a list of attacks: {', '.join(ATTACKS)}")
        for name in named:
            if name not in ATTACKS:
                raise AlignsecError(f"attack {name!r} is not one of {', '.join(ATTACKS)}")
        if len(set(named)) != len(named):
            raise AlignsecError(f"an attack is named twice: {', '.join(named)}")
        return tuple(named)
    if version not in VERSIONS:
        raise AlignsecError(f"attack version {version!r} is not one of {', '.join([*VERSIONS, 'custom'])}")
    if named:
        raise AlignsecError(f"version {version} has its own attacks: name others with version custom")
    return VERSIONS[version]


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
        logits = model(images[:1])
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            "no classifier", f"the model must return (N, K) logits, it returned {shape} for one image"
        )
    if not bool(torch.isfinite(logits).all()):
        raise ModelError("no classifier", "the model returns logits that are not finite")
    classes = logits.shape[1]
    if classes < 2:
        raise AlignsecError("the model has one class: there is nothing to attack")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise AlignsecError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, the model has {classes} classes"
        )
    return classes
