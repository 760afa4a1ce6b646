"""Models of timm (`pip install alignsec[timm]`) by name, as `resnet50.a1_in1k`, with their own transform."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.child import note
from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    from alignsec.zoo.pixel_model import PixelModel


_HUB = re.compile(r"hf[-_]hub:[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(@[A-Za-z0-9_.-]+)?")


def problem(spec: str) -> str | None:
    """What is wrong with the form of a spec; None where nothing is.

    >>> problem("resnet50.a1_in1k")
    >>> problem("hf_hub:timm/resnet50.a1_in1k")
    >>> problem("resnet 50")
    'write a name of timm.list_models(pretrained=True), such as resnet50.a1_in1k, or hf_hub:owner/name'
    """
    if _HUB.fullmatch(spec) or re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_-]+)?", spec):
        return None
    return "write a name of timm.list_models(pretrained=True), such as resnet50.a1_in1k, or hf_hub:owner/name"


def load(spec: str, weights: Path | None = None) -> "PixelModel":
    """Build the pretrained model with its own evaluation transform and its published weights, or a file's.

    Raises
    ------
    Excluded
        timm is not installed or has no such pretrained model (the closest are named), or the weights cannot
        be fetched.
    """
    import timm

    from alignsec.ground.names import closest
    from alignsec.zoo.loading import timm_from_cache
    from alignsec.zoo.wrap import of_images, wrap

    known = timm.list_models(pretrained=True)
    # a model of the hub is timm's to find
    if not _HUB.fullmatch(spec) and spec not in known and spec not in timm.list_models():
        near = ", ".join(name for name, _ in closest(spec, known, 3))
        raise Excluded(f"not in registry: timm has no pretrained model {spec!r}: closest are {near}")
    timm_from_cache()
    # timm reads a file as it reads a download: formats of checkpoints, names of parameters
    overlay = None if weights is None else {"file": str(weights)}
    module = timm.create_model(spec, pretrained=True, pretrained_cfg_overlay=overlay)
    note(reached="loaded")
    data: Any = timm.data
    transform = data.create_transform(**data.resolve_model_data_config(module), is_training=False)

    return wrap(module, of_images(transform))
