"""Model source `demo`: the networks that this workflow trains, as the catalogue wants a source."""

from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.demo.specs import problem

if TYPE_CHECKING:
    from alignsec.zoo.pixel_model import PixelModel

__all__ = ["load", "problem"]


def load(spec: str, weights: Path | None = None) -> "PixelModel":
    """The trained network of `spec`: `alignsec.demo.networks.load`."""
    from alignsec.demo import networks

    return networks.load(spec, weights)
