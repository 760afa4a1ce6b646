"""A module and its preprocessing of files as a pixel model, the normalisation measured."""

from typing import Any

from alignsec.ground.isolation import note
from alignsec.ground.reasons import Excluded
from alignsec.zoo import normalisation
from alignsec.zoo.pixel_model import PixelModel


def wrap(
    module: Any, preprocess: normalisation.Preprocess, arguments: dict[str, Any] | None = None
) -> PixelModel:
    """A pixel model of a module on normalised images and its preprocessing of files, measured here.

    Raises
    ------
    Excluded
        "non-affine preprocessing" or "video model".
    """
    try:
        measured = normalisation.measure(preprocess)
    except Excluded:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else ""
        raise Excluded(f"non-affine preprocessing: {type(error).__name__}: {text[:200]}") from error
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
