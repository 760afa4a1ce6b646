"""Model sources to one `PixelModel`: [0, 1] pixels in, logits out. A new source is one module and one line here."""

from importlib import import_module
from pathlib import Path

from alignsec.errors import AlignsecError
from alignsec.zoo.base import Excluded, PixelModel

__all__ = ["Excluded", "PixelModel", "load"]

_MODULES = {
    "brainscore": "alignsec.zoo.brainscore",
    "torchvision": "alignsec.zoo.torchvision",
    "factory": "alignsec.zoo.factory",
    "demo": "alignsec.zoo.demo",
}


def load(source: str, spec: str, weights: Path | None = None) -> PixelModel:
    """The model of a sheet's row, in eval mode on the CPU.

    Parameters
    ----------
    source : brainscore, torchvision, factory or demo
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
    model: PixelModel = import_module(_MODULES[source]).load(spec, weights)
    return model.eval()
