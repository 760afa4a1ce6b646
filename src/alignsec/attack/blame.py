"""Whose fault an exception is: the model's, which a study records and goes on, or ours, which stops it.

A model's own code runs in two places only: in its forward pass, which is called nowhere but in `logits_of`,
and in the backward pass, inside torch's autograd. What is raised in either is the model's, of whatever type,
and so is what the reference attack trips over in the answers that it got; every other exception is ours and
passes. A device that fails while a model runs on it is neither's fault (`alignsec.ground.devices`).
"""

import contextlib
import traceback
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded, device_fault, not_the_models, told

AUTOGRAD = ("torch.autograd", "torch.autograd.graph", "torch.autograd.function")


class ModelError(AlignsecError):
    """The model cannot be attacked; `kind` is one of `alignsec.ground.reasons.KINDS`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@contextlib.contextmanager
def own_code(kind: str, what: str) -> Iterator[None]:
    """Around a call of the model's own code: an exception inside is a `ModelError` of this kind.

    A lack of memory passes, since fewer images may fit, and a fault of the device, since the next attempt may
    have a better one; so does what says itself whose fault it is.
    """
    try:
        yield
    except (AlignsecError, Excluded):
        raise
    except (Exception, SystemExit) as error:
        if not_the_models(error):
            raise
        raise ModelError(kind, f"{what}: {told(error)}") from error


@contextlib.contextmanager
def excludes() -> Iterator[None]:
    """In a job: a `ModelError` inside is the model's exclusion."""
    try:
        yield
    except ModelError as error:
        raise Excluded(f"{error.kind}: {error}") from error


def logits_of(model: nn.Module, x: Tensor, classes: int | None = None) -> Tensor:
    """Logits (N, K) of images x (N, C, H, W).

    Parameters
    ----------
    classes : K, where it is known from an earlier call

    Raises
    ------
    ModelError
        The forward pass fails, or its result is none of an (N, K) tensor of floats.
    """
    with own_code("forward error", "the forward pass"):
        logits = model(x)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        images = "one image" if len(x) == 1 else f"{len(x)} images"
        raise ModelError(
            "no classifier", f"the model must return (N, K) logits, it returned {shape} for {images}"
        )
    if not logits.is_floating_point():
        raise ModelError("no classifier", f"the model must return logits, it returned {logits.dtype}")
    if classes is not None and logits.shape[1] != classes:
        raise ModelError("no classifier", f"the model returned {logits.shape[1]} logits, {classes} before")
    if logits.is_inference() and not torch.is_inference_mode_enabled():
        raise ModelError("autograd error", "the model works in torch.inference_mode: it has no gradients")
    return logits


def of_model(error: BaseException, unit: str) -> ModelError | None:
    """What the model did wrong, of an exception raised in a unit of work; None: the device failed, or we."""
    if device_fault(error):
        return None
    modules = [str(f.f_globals.get("__name__", "")) for f, _ in traceback.walk_tb(error.__traceback__)]
    if any(m in AUTOGRAD for m in modules):
        return ModelError("autograd error", f"{unit}: {told(error)}")
    outside_torch = [m.partition(".")[0] for m in modules if m.partition(".")[0] != "torch"]
    if outside_torch and outside_torch[-1] == "pyautoattack":
        return ModelError(
            "no classifier", f"{unit}: the reference attack fails on its answers: {told(error)}"
        )
    return None
