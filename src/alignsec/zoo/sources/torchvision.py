"""torchvision models by their weights enum, such as `ResNet50_Weights.IMAGENET1K_V2`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.isolation import note
from alignsec.ground.names import closest
from alignsec.zoo.pixel_model import PixelModel
from alignsec.zoo.wrap import wrap

if TYPE_CHECKING:
    import numpy as np


def _builder(weights: Any) -> Any:
    import torchvision

    for name in torchvision.models.list_models():
        if weights in torchvision.models.get_model_weights(name):
            return torchvision.models.get_model_builder(name)
    raise AlignsecError(f"torchvision spec {weights}: no model takes these weights")


def load(spec: str, weights: Path | None = None) -> PixelModel:
    """Build the model with its published weights and its own evaluation transform."""
    import torchvision

    try:
        chosen = torchvision.models.get_weight(spec)
    except (ValueError, KeyError) as error:
        every = [
            str(w) for n in torchvision.models.list_models() for w in torchvision.models.get_model_weights(n)
        ]
        near = closest(spec, every)[0][0]
        raise AlignsecError(f"torchvision spec {spec!r} names no weights: did you mean {near!r}?") from error
    module = _builder(chosen)(weights=chosen)
    note(reached="loaded")
    transform = chosen.transforms()

    def preprocess(paths: Sequence[Path]) -> "np.ndarray":
        import numpy as np
        from PIL import Image

        return np.stack([transform(Image.open(p).convert("RGB")).numpy() for p in paths])

    return wrap(module, preprocess)
