"""A user's own model: `package.module:function` returning a module on [0, 1] pixels."""

from importlib import import_module
from pathlib import Path

from alignsec.errors import AlignsecError
from alignsec.zoo.base import Excluded, PixelModel


def load(spec: str, weights: Path | None = None) -> PixelModel:
    """Call the function and wrap what it returns.

    The function takes no argument and returns an ``nn.Module``: (N, C, H, W) float32 pixels in [0, 1] to (N, K)
    logits. An attribute `input_size` (H, W) and `channels` may say what it expects; default 3 x 224 x 224.
    """
    from torch import nn

    module_name, _, function = spec.partition(":")
    if not function:
        raise AlignsecError(f'factory spec {spec!r}: write it like "package.module:function"')
    try:
        made = getattr(import_module(module_name), function)()
    except ModuleNotFoundError as error:
        raise Excluded(f"missing package: {error.name}") from error
    except AttributeError as error:
        raise Excluded(f"import error: {error}") from error
    except Exception as error:
        raise Excluded(f"import error: {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise Excluded(f"import error: {spec} returned {type(made).__name__}, not a torch module")
    channels = int(getattr(made, "channels", 3))
    size = getattr(made, "input_size", (224, 224))
    return PixelModel(made, mean=(0.0,) * channels, std=(1.0,) * channels, input_size=size)
