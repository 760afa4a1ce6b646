"""A user's own model: `package.module:function` returning a module on [0, 1] pixels."""

import hashlib
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.child import note
from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alignsec.zoo.pixel_model import PixelModel

SHORT_SIDE = 256 / 224  # of the crop: the usual evaluation transform of ImageNet models
_MOST = 1 << 14  # channels, or pixels on a side: above it is no image


def problem(spec: str) -> str | None:
    """What is wrong with the form of a spec; None where nothing is.

    >>> problem("ourlab.models:resnet")
    >>> problem("ourlab.models.resnet")
    'write package.module:function, such as ourlab.models:resnet'
    """
    module, colon, function = spec.partition(":")
    if colon and function.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return None
    parts = re.findall(r"\w+", spec)
    likely = len(parts) > 1 and all(p.isidentifier() for p in parts)
    example = f"{'.'.join(parts[:-1])}:{parts[-1]}" if likely else "ourlab.models:resnet"
    return f"write package.module:function, such as {example}"


def load(spec: str, weights: Path | None = None) -> "PixelModel":
    """Call the function and wrap what it returns.

    The function takes no argument and returns an ``nn.Module``: (N, C, H, W) float32 pixels in [0, 1] to (N,
    K) logits. Attributes of the module may say more: `input_size` ((height, width), default 224 × 224),
    `channels` (default 3), `num_classes` (K, to tell the logits from other outputs), and `preprocess` (image
    files to (N, C, H, W) float32 pixels in [0, 1]; default: images of the input size as they are,
    of others the short side to 256/224 of it, bilinear, then a crop of the centre).

    Raises
    ------
    Excluded
        The function cannot be imported or fails, returns no module, or one whose attributes are no such
        things.
    """
    module_name, _, function = spec.partition(":")
    maker = getattr(import_module(module_name), function)
    note(reached="imported")
    return wrapped(maker(), spec)


def wrapped(made: Any, spec: str) -> "PixelModel":
    """What such a function returned as a pixel model; raises as `load`."""
    from torch import nn

    from alignsec.zoo.pixel_model import PixelModel

    if not isinstance(made, nn.Module):
        raise Excluded(f"import error: {spec} returned {type(made).__name__}, not a torch module")
    note(reached="loaded")
    if isinstance(made, nn.DataParallel):
        made = made.module  # which has the attributes; one job has one device
    channels, size, classes = _channels(made), _size(made), getattr(made, "num_classes", None)
    model = PixelModel(made, mean=(0.0,) * channels, std=(1.0,) * channels, input_size=size)
    model.widths = (classes,) if isinstance(classes, int) else ()
    own = getattr(made, "preprocess", None)
    if own is not None:
        model.preprocess, model.geometry = own, hashlib.sha256(spec.encode()).hexdigest()[:16]
    elif channels == 3:
        model.preprocess, model.geometry = centre_crop(size), f"centre-{size[0]}x{size[1]}"
    note(reached="preprocessed", mean=[0.0] * channels, std=[1.0] * channels, input_size=list(size))
    return model


def _channels(made: Any) -> int:
    channels = getattr(made, "channels", 3)
    if not isinstance(channels, int) or not 0 < channels <= _MOST:
        raise Excluded(f"import error: its channels is {channels!r}: expected is a number such as 3"[:300])
    return int(channels)


def _size(made: Any) -> tuple[int, int]:
    size = getattr(made, "input_size", (224, 224))
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2 or not all(isinstance(s, int) and 0 < s <= _MOST for s in sides):
        raise Excluded(f"import error: its input_size is {size!r}: expected is (height, width)"[:300])
    return int(sides[0]), int(sides[1])


def centre_crop(size: tuple[int, int]) -> "Callable[[Sequence[Path]], npt.NDArray[np.float32]]":
    """Image files to float32 pixels (N, 3, H, W) in [0, 1]: short side resized (bilinear), centre cropped.

    An image of the size already is taken as it is.
    """

    def preprocess(paths: Sequence[Path]) -> "npt.NDArray[np.float32]":
        import numpy as np
        from PIL import Image, ImageOps

        height, width = size
        out = []
        for path in paths:
            with Image.open(path) as image:
                fitted = image.convert("RGB")
            if fitted.size != (width, height):
                larger = round(width * SHORT_SIDE), round(height * SHORT_SIDE)
                fitted = ImageOps.fit(fitted, larger, Image.Resampling.BILINEAR)
            left, top = (fitted.width - width) // 2, (fitted.height - height) // 2
            cut = fitted.crop((left, top, left + width, top + height))
            out.append(np.asarray(cut, dtype=np.float32).transpose(2, 0, 1) / 255)
        return np.stack(out)

    return preprocess
