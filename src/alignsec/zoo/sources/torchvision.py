"""torchvision models by their weights enum, such as `ResNet50_Weights.IMAGENET1K_V2`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.child import note
from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    from alignsec.zoo.pixel_model import PixelModel


def problem(spec: str) -> str | None:
    """What is wrong with the form of a spec; None where nothing is.

    >>> problem("ResNet50_Weights.IMAGENET1K_V2")
    >>> problem("resnet50")
    'write a weights enum of torchvision.models, such as ResNet50_Weights.IMAGENET1K_V2'
    """
    if re.fullmatch(r"[A-Za-z0-9_]+_(Quantized)?Weights\.[A-Za-z0-9_]+", spec):
        return None
    return "write a weights enum of torchvision.models, such as ResNet50_Weights.IMAGENET1K_V2"


def load(spec: str, weights: Path | None = None) -> "PixelModel":
    """Build the model with its published weights and its own evaluation transform.

    Raises
    ------
    Excluded
        torchvision has no such weights (the closest are named), or they cannot be fetched.
    """
    import torchvision

    from alignsec.ground.names import closest
    from alignsec.zoo.wrap import of_images, wrap

    # by what an enum calls itself: a spec that ends in DEFAULT is another name of one
    builders = {str(w): n for n in torchvision.models.list_models() for w in _weights_of(n)}
    try:
        chosen = torchvision.models.get_weight(spec)
        builder = builders[str(chosen)]
    except (ValueError, KeyError, TypeError) as error:
        near = ", ".join(name for name, _ in closest(spec, builders, 3))
        raise Excluded(f"not in registry: torchvision has no weights {spec!r}: closest are {near}") from error
    module = torchvision.models.get_model_builder(builder)(weights=chosen)
    note(reached="loaded")
    transform = chosen.transforms()

    return wrap(module, of_images(transform))


def _weights_of(builder: str) -> Any:
    import torchvision

    return torchvision.models.get_model_weights(builder)
