"""A model on images, in a process of its own: how the attack and the corruptions jobs begin and end."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground import isolation
from alignsec.ground.tables import empty, write
from alignsec.study.records import Report, excluded_by, read_report, write_status

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from alignsec.zoo.pixel_model import PixelModel


def supervised(
    function: Callable[..., None], arguments: dict[str, Any], kind: str, memory: int | None = None
) -> None:
    """Run `attack` or `corruptions` in a process of its own; its crash is the model's row, as any other reason.

    Parameters
    ----------
    arguments : of the function; paths as ``Path``
    memory : resident bytes; None: 85 % of the machine's
    """
    report = read_report(arguments["preflight"])
    excluded = excluded_by(report)
    if excluded is None:
        plain = {k: isolation.plain(v) for k, v in arguments.items()}
        # its output goes through a pipe, so it must be told that there is a terminal for its bar
        terminal = {"ALIGNSEC_TERMINAL": "1"} if sys.stderr.isatty() else {}
        outcome = isolation.call(function, plain, memory=memory, environment=terminal)
        excluded = outcome.excluded
    if excluded is not None:
        # the process could not say so itself
        write(empty(kind), arguments["out"], kind)
        write_status(arguments["status"], arguments["name"], kind, excluded)


def prepare(
    source: str,
    spec: str,
    weights: Path | None,
    preflight: Path,
    manifest: "pd.DataFrame",
    cache: Path | None = None,
) -> tuple["PixelModel", "np.ndarray", "np.ndarray", Report]:
    """The model, its images and its preflight report, or `Excluded` where preflight or loading says so."""
    from alignsec import zoo
    from alignsec.images.pixels import load as load_pixels
    from alignsec.zoo.preflight import check_fit
    from alignsec.zoo.sources import is_imagenet

    report = read_report(preflight)
    if excluded := excluded_by(report):
        raise excluded
    model = zoo.load(source, spec, weights)
    if is_imagenet(source) and report["classes"] == 1001:
        model.label_offset, model.classes = report["label_offset"] or 0, 1000
    place = cache / model.geometry if cache is not None and model.geometry else None
    pixels, labels = load_pixels(manifest, model.preprocess, place)
    check_fit(model, pixels)
    return model, pixels, labels, report
