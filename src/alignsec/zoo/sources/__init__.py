"""Model sources to one `PixelModel`: [0, 1] pixels in, logits out.

A source is a module with a `load` and a `problem` (`Loader`) and a line in `alignsec.study.catalogue`.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded, theirs
from alignsec.study.catalogue import SOURCES, imported

if TYPE_CHECKING:
    from alignsec.zoo.pixel_model import PixelModel

__all__ = ["HEADS", "Loader", "is_imagenet", "load"]

_QUANTISED = re.compile(r"torch\.(ao\.)?nn\.(intrinsic\.)?quantized")
HEADS = (1000, 1001)  # logits of a classifier of ImageNet, with a background class or without


class Loader(Protocol):
    """What a module of a model source offers (`alignsec.study.catalogue.SOURCES`); importing it is quick."""

    def load(self, spec: str, weights: Path | None = None) -> "PixelModel":
        """The model that `spec` names: module, preprocessing; `Excluded` where it cannot be had."""

    def problem(self, spec: str) -> str | None:
        """What is wrong with the form of a spec, and the remedy; None where nothing is."""


def is_imagenet(source: str) -> bool:
    """Whether the source's models answer with the thousand classes of ImageNet."""
    return source in SOURCES and SOURCES[source].imagenet


def load(source: str, spec: str, weights: Path | None = None) -> "PixelModel":
    """The model of a sheet's row, in eval mode on the CPU, its parameters frozen and in float32.

    Parameters
    ----------
    source : a key of `alignsec.study.catalogue.SOURCES`
    spec : what the source needs to find it: a registered name, a weights enum, `package.module:function`, …
    weights : a state dict: of sources whose weights this workflow makes, or in place of published ones

    Raises
    ------
    Excluded
        A fact about the model: it cannot be loaded or evaluated, for the reason given.
    AlignsecError
        The sheet is wrong: unknown source or malformed spec; or the source takes no `weights`.
    """
    from alignsec.zoo.loading import contained

    if source not in SOURCES:
        raise AlignsecError(f"source {source!r} is not one of {', '.join(SOURCES)}")
    maker: Loader = imported(SOURCES[source])
    if wrong := maker.problem(spec):
        raise AlignsecError(f"{source} spec {spec!r}: {wrong}")
    if weights is not None and not SOURCES[source].takes_weights:
        raise AlignsecError(f"{weights}: a {source} model brings its own weights: leave --weights out")
    with contained() as trace:
        model = maker.load(spec, weights)
    if is_imagenet(source):
        model.widths = HEADS
    with theirs("module error"):
        integer = next((m for m in model.modules() if _QUANTISED.match(type(m).__module__)), None)
    if integer is not None:
        raise Excluded(f"quantised weights: {type(integer).__name__} in it: take the weights in float32")
    model.adapt()
    model.trace = trace
    return model
