"""Normalisation and geometry measured on a model's own preprocessing, never guessed from its arguments."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Preprocess = Callable[[Sequence[Path]], "npt.NDArray[np.float32]"]
TOLERANCE = 2e-3  # of a flat image against the affine fit, in pixel units; 8-bit pixels are 3.9e-3 apart
RAMP_TOLERANCE = 3 / 255  # of a ramp against its negative: resizing rounds each to 8 bits
EIGHT_BIT = 0.02  # of a grey level: nearer than this to whole levels, the pixels are 8-bit
SIDE = 512  # of the probes; flat colours survive any resize and crop
_FLAT = {
    "black": (0,) * 3,
    "white": (255,) * 3,
    "grey": (128,) * 3,
    "dark": (51,) * 3,
    "mixed": (30, 120, 220),
}
_CHANNELS = (1, -1, 1, 1)  # a value per channel beside images (N, C, H, W)


class Measured(NamedTuple):
    """What a preprocessing does to pixels.

    `mean`, `std`: per channel in [0, 1] pixel units; `size`: height and width of its result; `frame_axis`:
    where its result has a time axis of length one; `eight_bit`: its pixels are whole grey levels; `geometry`:
    hash of the pixels that it makes of structured images, equal for models with one resize and crop.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int]
    frame_axis: int | None
    eight_bit: bool
    geometry: str


def run(preprocess: Preprocess, paths: Sequence[Path]) -> "tuple[npt.NDArray[np.float64], int | None]":
    """Float64 (N, 3, H, W) of files, and the axis of length one that was taken out (of five).

    Raises
    ------
    Excluded
        "non-affine preprocessing" where the result has another shape or is not finite.
    """
    import numpy as np

    made: Any = preprocess(paths)
    if isinstance(made, list | tuple):
        made = np.stack([np.asarray(o) for o in made])
    out = np.asarray(made, dtype=np.float64)
    frame_axis = None
    if out.ndim == 5:
        spare = [a for a in (1, 2) if out.shape[a] == 1]
        if not spare:
            raise Excluded(f"video model: its preprocessing makes clips of shape {out.shape[1:]}")
        frame_axis = spare[0]
        out = out.squeeze(frame_axis)
    if out.ndim != 4 or out.shape[:2] != (len(paths), 3) or not np.isfinite(out).all():
        raise Excluded(f"non-affine preprocessing: its result has shape {out.shape}, or is not finite")
    return out, frame_axis


def measure(preprocess: Preprocess) -> Measured:
    """Measure a preprocessing (file paths to (N, 3, H, W)) on images made for it.

    Black and white give (x - mean) / std per channel; grey, dark and mixed flat colours check that it holds,
    and a ramp and its negative that it holds for neighbouring pixels too (resizing included).

    Raises
    ------
    Excluded
        "non-affine preprocessing": the result is not three finite, affine channels; "video model": clips.
    """
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, colour in _FLAT.items():
            Image.new("RGB", (SIDE, SIDE), colour).save(place / f"{name}.png")
        ramp = _ramp(SIDE, SIDE)
        Image.fromarray(ramp).save(place / "ramp.png")
        Image.fromarray(255 - ramp).save(place / "negative.png")
        names = [*_FLAT, "ramp", "negative"]
        out, frame_axis = run(preprocess, [place / f"{n}.png" for n in names])
        mean, std = _affine(out)
        # one landscape, one portrait, one as small as many data sets: they differ between resize-and-crop and
        # squash
        probes = []
        for height, width in ((300, 500), (480, 360), (224, 224)):
            path = place / f"{height}x{width}.png"
            Image.fromarray(_ramp(height, width)).save(path)
            seen, _ = run(preprocess, [path])
            probes.append(seen * std.reshape(_CHANNELS) + mean.reshape(_CHANNELS))
    if len({p.shape for p in probes} | {out[:1].shape}) != 1:
        raise Excluded("non-affine preprocessing: its result's size depends on the image's")
    levels = np.concatenate(probes) * 255
    eight_bit = bool(np.abs(levels - levels.round()).max() < EIGHT_BIT)
    # of floats, two decimals of a grey level: the rest is rounding of the normalisation
    kept = levels.round().astype(np.int64) if eight_bit else levels.round(2)
    digest = hashlib.sha256(f"{eight_bit} {kept.shape}".encode() + kept.tobytes()).hexdigest()
    return Measured(
        tuple(mean.tolist()),
        tuple(std.tolist()),
        (out.shape[2], out.shape[3]),
        frame_axis,
        eight_bit,
        digest[:16],
    )


def _affine(out: "npt.NDArray[np.float64]") -> "tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]":
    """Mean and std, per channel, from what became of `_FLAT`, a ramp and its negative, (7, 3, H, W)."""
    import numpy as np

    level = out[: len(_FLAT)].mean((2, 3))
    scale = level[1] - level[0]
    if (np.abs(scale) < 1e-3).any():
        raise Excluded("non-affine preprocessing: black and white look the same after it")
    if (scale < 0).any():
        raise Excluded("non-affine preprocessing: it inverts the pixels")
    mean, std = -level[0] / scale, 1 / scale
    expected = (np.array(list(_FLAT.values())) / 255 - mean) / std
    residual = np.abs((out[: len(_FLAT)] - expected[:, :, None, None]) * std.reshape(_CHANNELS)).max()
    if residual > TOLERANCE:
        raise Excluded(f"non-affine preprocessing: a flat image is {residual:.2g} off an affine map")
    ramps = out[len(_FLAT) :] * std.reshape(_CHANNELS) + mean.reshape(_CHANNELS)
    residual = float(np.abs(ramps.sum(0) - 1).max())
    if residual > RAMP_TOLERANCE:
        raise Excluded(
            f"non-affine preprocessing: a ramp and its negative are {residual:.2g} off a sum of white"
        )
    return mean, std


def _ramp(height: int, width: int) -> "npt.NDArray[np.uint8]":
    """A uint8 image that rises along another direction in each channel, with a fine texture on it."""
    import numpy as np

    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    texture = 24 * np.sin(40 * x) * np.sin(56 * y)
    channels = [c * 200 + 27 + texture for c in (x, y, (x + y) / 2)]
    image: npt.NDArray[np.uint8] = np.stack(channels, axis=-1).round().astype(np.uint8)
    return image


def pixels(preprocess: Preprocess, measured: Measured) -> Preprocess:
    """The model's own resize and crop with the normalisation undone: file paths to float32 pixels in [0, 1].

    Pixels of 8-bit geometries are whole grey levels again, so every model of one geometry sees the same
    values.
    """
    import numpy as np

    mean, std = (np.reshape(v, (1, -1, 1, 1)) for v in (measured.mean, measured.std))

    def to_pixels(paths: Sequence[Path]) -> "npt.NDArray[np.float32]":
        undone = run(preprocess, paths)[0] * std + mean
        if measured.eight_bit:
            undone = (undone * 255).round() / 255
        clipped: npt.NDArray[np.float32] = np.clip(undone, 0, 1).astype(np.float32)
        return clipped

    return to_pixels


def round_trip(preprocess: Preprocess, measured: Measured, paths: Sequence[Path]) -> float:
    """Largest error, in pixel units, of normalised pixels against the preprocessing itself on these files.

    An image whose resizing overshoots [0, 1] is cut there: the cut is not counted.
    """
    import numpy as np

    mean, std = (np.reshape(v, (1, -1, 1, 1)) for v in (measured.mean, measured.std))
    worst = 0.0
    for path in paths:
        raw, _ = run(preprocess, [path])
        again = (pixels(preprocess, measured)([path]).astype(np.float64) - mean) / std
        inside = np.abs((raw * std + mean) - 0.5) <= 0.5
        worst = max(worst, float((np.abs(again - raw) * std * inside).max()))
    return worst
