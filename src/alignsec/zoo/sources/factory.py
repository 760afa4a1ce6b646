"""A user's own model: `package.module:function` returning a module on [0, 1] pixels."""

import hashlib
from collections.abc import Callable
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.isolation import note
from alignsec.ground.reasons import Excluded
from alignsec.zoo.pixel_model import PixelModel

if TYPE_CHECKING:
    import numpy as np

SHORT_SIDE = 256 / 224  # of the crop: the usual evaluation transform of ImageNet models


def load(spec: str, weights: Path | None = None) -> PixelModel:
    """Call the function and wrap what it returns.

    The function takes no argument and returns an ``nn.Module``: (N, C, H, W) float32 pixels in [0, 1] to (N, K)
    logits. Attributes of the module may say more: `input_size` ((height, width), default 224 × 224), `channels`
    (default 3), and `preprocess` (image files to (N, C, H, W) float32 pixels in [0, 1]; default: short side to 256/224
    of the input size, bilinear, then a crop of the centre).

    Raises
    ------
    Excluded
        The function cannot be imported or fails, or returns no module.
    AlignsecError
        The spec has no colon.
    """
    from torch import nn

    module_name, _, function = spec.partition(":")
    if not function:
        raise AlignsecError(f'factory spec {spec!r}: write it like "package.module:function"')
    maker = getattr(import_module(module_name), function)
    note(reached="imported")
    made = maker()
    if not isinstance(made, nn.Module):
        raise Excluded(f"import error: {spec} returned {type(made).__name__}, not a torch module")
    note(reached="loaded")
    channels = int(getattr(made, "channels", 3))
    size = tuple(getattr(made, "input_size", (224, 224)))
    model = PixelModel(made, mean=(0.0,) * channels, std=(1.0,) * channels, input_size=size)
    own = getattr(made, "preprocess", None)
    if own is not None:
        model.preprocess, model.geometry = own, hashlib.sha256(spec.encode()).hexdigest()[:16]
    elif channels == 3:
        model.preprocess, model.geometry = centre_crop(size), f"crop-{size[0]}x{size[1]}"
    note(reached="preprocessed", mean=[0.0] * channels, std=[1.0] * channels, input_size=list(size))
    return model


def centre_crop(size: tuple[int, int]) -> "Callable[[Sequence[Path]], np.ndarray]":
    """Image files to float32 pixels (N, 3, H, W) in [0, 1]: resize the short side (bilinear), crop the centre."""

    def preprocess(paths: Sequence[Path]) -> "np.ndarray":
        import numpy as np
        from PIL import Image
        from PIL import ImageOps

        height, width = size
        out = []
        for path in paths:
            with Image.open(path) as image:
                fitted = ImageOps.fit(
                    image.convert("RGB"),
                    (round(width * SHORT_SIDE), round(height * SHORT_SIDE)),
                    Image.Resampling.BILINEAR,
                )
            left, top = (fitted.width - width) // 2, (fitted.height - height) // 2
            cut = fitted.crop((left, top, left + width, top + height))
            out.append(np.asarray(cut, dtype=np.float32).transpose(2, 0, 1) / 255)
        return np.stack(out)

    return preprocess
