"""Models of the installed `brainscore_vision`, with their own preprocessing and measured normalisation."""

import os
from pathlib import Path
from typing import Any

from alignsec.zoo import normalisation
from alignsec.zoo.base import Excluded, PixelModel


def load(spec: str, weights: Path | None = None) -> PixelModel:
    """Load the registered model named `spec`.

    Raises
    ------
    Excluded
        Not in the registry, a missing package, unreachable weights, no PyTorch module, a video model, or a
        preprocessing that is not affine in the pixels.
    """
    # the default would silently pip-install every plugin's requirements into this environment
    os.environ["BS_INSTALL_DEPENDENCIES"] = "no"
    from torch import nn

    subject = _load(spec)
    wrapper: Any = getattr(subject, "activations_model", None)
    module = getattr(wrapper, "_model", None)
    if not isinstance(module, nn.Module):
        raise Excluded("no classifier: the plugin holds no PyTorch module")
    preprocess = getattr(getattr(wrapper, "_extractor", None), "preprocess", None)
    if preprocess is None:
        raise Excluded("video model: the plugin has no preprocessing of still images")
    module = module.cpu().eval()
    try:
        mean, std, size = normalisation.measure(lambda paths: preprocess([str(p) for p in paths]))
    except Excluded:
        raise
    except Exception as error:
        raise Excluded(f"non-affine preprocessing: {type(error).__name__}: {error}") from error
    kwargs = dict(getattr(wrapper, "_forward_kwargs", None) or {})
    model = PixelModel(
        _WithArguments(module, kwargs) if kwargs else module, mean=mean, std=std, input_size=size
    )
    model.preprocess = normalisation.pixels(lambda paths: preprocess([str(p) for p in paths]), mean, std)
    return model


def _load(name: str) -> Any:
    from urllib.error import URLError

    try:
        from brainscore_vision import load_model

        return load_model(name)
    except ImportError as error:
        missing = error.name or str(error)
        raise Excluded(f"missing package: {missing}") from error
    except (URLError, ConnectionError, TimeoutError) as error:
        raise Excluded(f"weights unavailable: {error}", transient=True) from error
    except MemoryError as error:
        raise Excluded("out of memory", transient=True) from error
    except (AssertionError, KeyError) as error:
        raise Excluded(f"not in registry: {error}") from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        network = any(
            w in text for w in ("HTTP", "NoCredentials", "EndpointConnection", "Max retries", "urlopen")
        )
        if network:
            raise Excluded(f"weights unavailable: {text}", transient=True) from error
        raise Excluded(f"import error: {text}") from error


def _WithArguments(module: Any, kwargs: dict[str, Any]) -> Any:
    from torch import nn

    class WithArguments(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any) -> Any:
            return self.inner(x, **kwargs)

    return WithArguments()
