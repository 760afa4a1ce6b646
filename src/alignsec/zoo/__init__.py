"""Model sources to one `PixelModel`: [0, 1] pixels in, logits out. A new source is one module and one line here."""

from importlib import import_module
from pathlib import Path
from typing import Protocol

from alignsec.ground.errors import AlignsecError
from alignsec.zoo.base import Excluded
from alignsec.zoo.base import PixelModel
from alignsec.zoo.loading import contained

__all__ = ["Excluded", "PixelModel", "Source", "load"]


class Source(Protocol):
    """What a module of a model source offers."""

    def load(self, spec: str, weights: Path | None = None) -> PixelModel:
        """The model that `spec` names: module, preprocessing, provenance; `Excluded` where it cannot be had."""


_MODULES = {
    "brainscore": "alignsec.zoo.brainscore",
    "torchvision": "alignsec.zoo.torchvision",
    "timm": "alignsec.zoo.timm",
    "factory": "alignsec.zoo.factory",
    "demo": "alignsec.zoo.demo",
}
# Sources whose models answer with the thousand classes of ImageNet.
IMAGENET_SOURCES = ("brainscore", "torchvision", "timm")


def load(source: str, spec: str, weights: Path | None = None) -> PixelModel:
    """The model of a sheet's row, in eval mode on the CPU, its parameters frozen and in float32.

    Parameters
    ----------
    source : brainscore, torchvision, timm, factory or demo
    spec : what the source needs to find it: a registered name, a weights enum, `package.module:function`, …
    weights : the trained state dict, for sources whose weights this workflow makes

    Raises
    ------
    Excluded
        A fact about the model: it cannot be loaded or evaluated, for the reason given.
    AlignsecError
        The sheet is wrong: unknown source or malformed spec.
    """
    if source not in _MODULES:
        raise AlignsecError(f"source {source!r} is not one of {', '.join(_MODULES)}")
    with contained() as trace:
        maker: Source = import_module(_MODULES[source])
        model = maker.load(spec, weights)
    model.adapt()
    model.trace = trace
    return model.eval()
