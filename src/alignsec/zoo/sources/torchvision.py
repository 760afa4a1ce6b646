"""torchvision models by their weights enum, such as `ResNet50_Weights.IMAGENET1K_V2`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.child import note
from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    from alignsec.zoo.pixel_model import PixelModel


_PREFIX = re.compile(r"^torchvision\.models\.(quantization\.)?")  # of where the enum is imported from


def problem(spec: str) -> str | None:
    """What is wrong with the form of a spec; None where nothing is.

    >>> problem("ResNet50_Weights.IMAGENET1K_V2")
    >>> problem("torchvision.models.ResNet50_Weights.IMAGENET1K_V2")
    >>> problem("resnet50")
    'write a weights enum of torchvision.models, such as ResNet50_Weights.IMAGENET1K_V2'
    """
    if re.fullmatch(r"[A-Za-z0-9_]+_(Quantized)?Weights\.[A-Za-z0-9_]+", _PREFIX.sub("", spec)):
        return None
    return "write a weights enum of torchvision.models, such as ResNet50_Weights.IMAGENET1K_V2"


def load(spec: str, weights: Path | None = None) -> "PixelModel":
    """Build the model with its own evaluation transform and its published weights, or a file's state dict.

    Raises
    ------
    Excluded
        torchvision has no such weights (the closest are named), they cannot be fetched, or are quantised.
    """
    import torch
    import torchvision

    from alignsec.ground.names import closest
    from alignsec.zoo.wrap import of_images, wrap

    spec = _PREFIX.sub("", spec)
    if "_QuantizedWeights." in spec:
        floats = spec.partition("_QuantizedWeights.")[0]
        raise Excluded(f"quantised weights: {spec} are integers: take one of {floats}_Weights, in float32")
    # by what an enum calls itself: a spec that ends in DEFAULT is another name of one
    builders = {str(w): n for n in torchvision.models.list_models() for w in _weights_of(n)}
    try:
        chosen = torchvision.models.get_weight(spec)
        builder = builders[str(chosen)]
    except (ValueError, KeyError, TypeError) as error:
        near = ", ".join(name for name, _ in closest(spec, builders, 3))
        raise Excluded(f"not in registry: torchvision has no weights {spec!r}: closest are {near}") from error
    build = torchvision.models.get_model_builder(builder)
    if weights is None:
        module = build(weights=chosen)
    else:
        module = build(num_classes=len(chosen.meta["categories"]))
        module.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    note(reached="loaded")
    model = wrap(module, of_images(chosen.transforms()))
    published = chosen.meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
    if published is not None and weights is None:
        model.expected = published / 100, f"torchvision for {chosen}"
    return model


def _weights_of(builder: str) -> Any:
    import torchvision

    return torchvision.models.get_model_weights(builder)
