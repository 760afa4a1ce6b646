"""Models of the installed `brainscore_vision`, with their own preprocessing and measured normalisation."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.child import note
from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    from alignsec.zoo.pixel_model import PixelModel


def problem(spec: str) -> str | None:
    """None: any text may be a registered name, and what is registered, preflight says."""
    return None


def load(spec: str, weights: Path | None = None) -> "PixelModel":
    """Load the registered model named `spec` by the package's own `load_model`.

    Raises
    ------
    Excluded
        Not in the registry, a missing package, unreachable weights, no PyTorch module, a video model, or a
        preprocessing that is not affine in the pixels.
    """
    from alignsec.leaderboard.registry import plugin_of
    from alignsec.zoo.loading import timm_from_cache
    from alignsec.zoo.wrap import wrap

    # the default would silently pip-install every plugin's requirements into this environment
    os.environ["BS_INSTALL_DEPENDENCIES"] = "no"
    plugin = plugin_of(spec)
    if plugin is None:
        raise Excluded(f"not in registry: brainscore_vision has no model {spec!r}")
    from brainscore_core.plugin_management.import_plugin import import_plugin

    import_plugin("brainscore_vision", "models", spec)
    note(reached="imported")
    timm_from_cache()
    from brainscore_vision import load_model
    from torch import nn

    subject = load_model(spec)
    note(reached="loaded")
    wrapper: Any = getattr(subject, "activations_model", None)
    module = getattr(wrapper, "_model", None)
    if not isinstance(module, nn.Module):
        raise Excluded(f"no classifier: the plugin {plugin} holds no PyTorch module")
    own = getattr(getattr(wrapper, "_extractor", None), "preprocess", None)
    if own is None:
        raise Excluded("video model: the plugin has no preprocessing of still images")

    def preprocess(paths: Sequence[Path]) -> Any:
        return own([str(p) for p in paths])

    return wrap(module.cpu(), preprocess, dict(getattr(wrapper, "_forward_kwargs", None) or {}))
