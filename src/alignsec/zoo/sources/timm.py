"""Models of timm (`pip install alignsec[timm]`) by name, such as `resnet50.a1_in1k`, with their own transform."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.isolation import note
from alignsec.ground.names import closest
from alignsec.zoo.loading import timm_from_cache
from alignsec.zoo.pixel_model import PixelModel
from alignsec.zoo.wrap import wrap

if TYPE_CHECKING:
    import numpy as np


def load(spec: str, weights: Path | None = None) -> PixelModel:
    """Build the pretrained model with its published weights and its own evaluation transform.

    Raises
    ------
    Excluded
        timm is not installed, or the weights cannot be fetched.
    AlignsecError
        timm has no such pretrained model; the closest names are given.
    """
    import timm

    known = timm.list_models(pretrained=True)
    if spec not in known and spec not in timm.list_models():
        near = ", ".join(name for name, _ in closest(spec, known, 3))
        raise AlignsecError(f"timm spec {spec!r} names no pretrained model: closest are {near}")
    timm_from_cache()
    module = timm.create_model(spec, pretrained=True)
    note(reached="loaded")
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module), is_training=False)

    def preprocess(paths: Sequence[Path]) -> "np.ndarray":
        import numpy as np
        from PIL import Image

        return np.stack([transform(Image.open(p).convert("RGB")).numpy() for p in paths])

    return wrap(module, preprocess)
