"""A module and its preprocessing of files as a pixel model, the normalisation measured."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.child import note
from alignsec.ground.reasons import theirs
from alignsec.zoo import normalisation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alignsec.zoo.pixel_model import PixelModel


def wrap(
    module: Any, preprocess: normalisation.Preprocess, arguments: dict[str, Any] | None = None
) -> "PixelModel":
    """A pixel model of a module on normalised images and its preprocessing of files, measured here.

    Raises
    ------
    Excluded
        "non-affine preprocessing" or "video model".
    """
    from alignsec.zoo.pixel_model import PixelModel

    with theirs("non-affine preprocessing"):
        measured = normalisation.measure(preprocess)
    model = PixelModel(
        module,
        mean=measured.mean,
        std=measured.std,
        input_size=measured.size,
        frame_axis=measured.frame_axis,
        arguments=arguments,
    )
    model.preprocess = normalisation.pixels(preprocess, measured)
    model.geometry = measured.geometry
    model.round_trip = lambda paths: normalisation.round_trip(preprocess, measured, paths)
    note(
        reached="preprocessed",
        mean=list(measured.mean),
        std=list(measured.std),
        input_size=list(measured.size),
    )
    return model


def of_images(transform: Callable[[Any], Any]) -> normalisation.Preprocess:
    """A preprocessing of files by a library's transform, which takes one RGB image to a tensor (3, H, W)."""

    def preprocess(paths: Sequence[Path]) -> "npt.NDArray[np.float32]":
        import numpy as np
        from PIL import Image

        return np.stack([transform(Image.open(p).convert("RGB")).numpy() for p in paths])

    return preprocess
