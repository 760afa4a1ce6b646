"""Normalisation measured on a model's own preprocessing, never guessed from its arguments."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

from alignsec.zoo.base import Excluded

Preprocess = Callable[[Sequence[Path]], "np.ndarray"]
TOLERANCE = 2e-3  # of a grey image against the affine fit; 8-bit pixels are 3.9e-3 apart
SIDE = 512  # of the probes; flat colours survive any resize and crop


def measure(preprocess: Preprocess) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, int]]:
    """Per-channel mean and std in [0, 1] pixel units, and the input's height and width.

    `preprocess` (file paths to (N, 3, H, W)) runs on black, white, grey and flat-coloured images; black and white
    give (x - mean) / std, the others check that it holds.

    Raises
    ------
    Excluded
        "non-affine preprocessing": the result is not three finite, spatially flat, affine channels.
    """
    import numpy as np
    from PIL import Image

    probes = {
        "black": (0,) * 3,
        "white": (255,) * 3,
        "grey": (128,) * 3,
        "dark": (51,) * 3,
        "mixed": (30, 120, 220),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, colour in probes.items():
            paths.append(Path(folder) / f"{name}.png")
            Image.new("RGB", (SIDE, SIDE), colour).save(paths[-1])
        out = np.asarray(preprocess(paths), dtype=np.float64)
    if out.ndim != 4 or out.shape[1] != 3 or not np.isfinite(out).all():
        raise Excluded(f"non-affine preprocessing: its result has shape {out.shape}")
    level = out.mean((2, 3))
    scale = level[1] - level[0]
    if (np.abs(scale) < 1e-6).any():
        raise Excluded("non-affine preprocessing: black and white look the same after it")
    mean, std = -level[0] / scale, 1 / scale
    expected = (np.array(list(probes.values())) / 255 - mean) / std
    residual = np.abs((out - expected[:, :, None, None]) * std[None, :, None, None]).max()
    if residual > TOLERANCE:
        raise Excluded(f"non-affine preprocessing: a flat image is {residual:.2g} off an affine map")
    return tuple(mean.tolist()), tuple(std.tolist()), (out.shape[2], out.shape[3])


def pixels(preprocess: Preprocess, mean: Sequence[float], std: Sequence[float]) -> Preprocess:
    """The model's own resize and crop with the normalisation undone: file paths to pixels in [0, 1]."""
    import numpy as np

    def to_pixels(paths: Sequence[Path]) -> "np.ndarray":
        out = np.asarray(preprocess(paths), dtype=np.float64)
        shape = (1, -1, 1, 1)
        undone = out * np.reshape(std, shape) + np.reshape(mean, shape)
        return np.clip(undone, 0, 1).astype(np.float32)

    return to_pixels
