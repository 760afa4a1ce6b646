"""Accuracy under common corruptions: made on the fly, or read from folders in ImageNet-C's layout.

Both go through the same `PixelModel` with no second resize: on the fly, the pixels that the model sees clean
are corrupted; files that have the model's input size already are taken as they are, others are resized to it
once.

Hendrycks and Dietterich 2019 (arXiv 1903.12261) define 19 corruptions of severities 1 to 5 for photographs.
Of images of `photographs.LEAST` pixels and more, on the fly, these are made by their code (`photographs`).
Smaller images (digits, CIFAR) get the functions here, whose strengths are for pixels in [0, 1] of any size:
some bear the same names and are other corruptions, so figures of small images are not comparable.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.images import npz, photographs
from alignsec.images.shards import check_image, opened
from alignsec.images.sources import SUFFIXES, here, imagenet, validation_stem
from alignsec.images.walk import walk

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Pixels = npt.NDArray[np.floating[Any]]

# pixels (C, H, W) in [0, 1], severity 1 to 5, source of randomness -> pixels, which may leave [0, 1]
Corruption = Callable[["Pixels", int, "np.random.Generator"], "Pixels"]
ON_THE_FLY: dict[str, Corruption] = {}


def on_the_fly(function: Corruption) -> Corruption:
    """Register a corruption under the function's name.

    It takes pixels (C, H, W) in [0, 1], a severity from 1 to 5 and a generator of the image's own, and
    returns pixels of that shape, which are clipped to [0, 1].
    """
    ON_THE_FLY[function.__name__] = function
    return function


@on_the_fly
def gaussian_noise(x: "Pixels", severity: int, rng: "np.random.Generator") -> "Pixels":
    """Additive noise of standard deviation .08, .12, .18, .26, .38."""
    noisy: Pixels = x + rng.normal(0, (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1], x.shape)
    return noisy


@on_the_fly
def gaussian_blur(x: "Pixels", severity: int, rng: "np.random.Generator") -> "Pixels":
    """Blur with sigma of 4, 6, 9, 12, 16 % of the image's height."""
    from scipy.ndimage import gaussian_filter

    sigma = (0.04, 0.06, 0.09, 0.12, 0.16)[severity - 1] * x.shape[-2]
    blurred: Pixels = gaussian_filter(x, (0, sigma, sigma))
    return blurred


@on_the_fly
def contrast(x: "Pixels", severity: int, rng: "np.random.Generator") -> "Pixels":
    """Contrast around the image's mean times .4, .3, .2, .1, .05."""
    mean = x.mean((-2, -1), keepdims=True)
    flatter: Pixels = (x - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1] + mean
    return flatter


@on_the_fly
def brightness(x: "Pixels", severity: int, rng: "np.random.Generator") -> "Pixels":
    """All pixels plus .1, .2, .3, .4, .5."""
    return x + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]


@on_the_fly
def occlusion(x: "Pixels", severity: int, rng: "np.random.Generator") -> "Pixels":
    """A grey square that covers 5, 10, 18, 28, 40 % of the image, at a random place."""
    height, width = x.shape[-2:]
    side = max(1, round(((0.05, 0.1, 0.18, 0.28, 0.4)[severity - 1] * height * width) ** 0.5))
    top, left = rng.integers(0, max(1, height - side + 1)), rng.integers(0, max(1, width - side + 1))
    out = x.copy()
    out[..., top : top + side, left : left + side] = 0.5
    return out


def check_names(names: Sequence[str], size: tuple[int, int] | None = None) -> None:
    """Raise ``AlignsecError`` for a corruption that cannot be made on the fly, or not of this size.

    >>> check_names(["occlusion", "contrast"], (8, 8))
    >>> check_names(["frost"], (224, 224))
    """
    known = [*ON_THE_FLY, *(n for n in photographs.NAMES if n not in ON_THE_FLY)]
    for name in names:
        if name not in known:
            raise AlignsecError(
                f"robustness.corruptions.names: {name!r} is not one of {', '.join(known)} "
                f"(nearest: {closest(name, known)[0][0]}); others need robustness.corruptions.path"
            )
        if size is not None and min(size) < photographs.LEAST and name not in ON_THE_FLY:
            raise AlignsecError(
                f"robustness.corruptions.names: {name} is for images of {photographs.LEAST} pixels and more, "
                f"these have {size[0]} × {size[1]}: take of {', '.join(ON_THE_FLY)}"
            )


def check_source(source: str, path: str | None, names: Sequence[str]) -> None:
    """`check_names` before anything is run: for arrays, of their size; that of files is every model's own."""
    size = (8, 8) if source == "digits" else npz.size_of(here(str(path))) if source == "npz" else None
    check_names(names, size)


def corrupt(images: "Pixels", name: str, severity: int, seed: int) -> "Pixels":
    """Corrupted copy of (N, C, H, W) pixels, clipped to [0, 1].

    Each image draws from a generator of its own (seed, corruption, severity and the image's bytes), so its
    corruption does not depend on which others are evaluated with it.

    Raises
    ------
    AlignsecError
        No corruption of that name, or none for images of this size.
    """
    import numpy as np

    check_names([name], (images.shape[-2], images.shape[-1]))
    large = name in photographs.NAMES and len(images) > 0 and photographs.is_photograph(images[0])
    if not large and name not in ON_THE_FLY:
        raise AlignsecError(
            f"robustness.corruptions.names: {name} is for grey and colour images, these have "
            f"{images.shape[1]} channels: take of {', '.join(ON_THE_FLY)}"
        )
    out = np.empty_like(images)
    for i, image in enumerate(images):
        digest = hashlib.sha256(f"{seed}/{name}/{severity}/".encode() + image.tobytes()).digest()
        own = int.from_bytes(digest[:8], "big")
        if large:
            out[i] = photographs.corrupt(image, name, severity, own)
        else:
            out[i] = np.clip(ON_THE_FLY[name](image, severity, np.random.default_rng(own)), 0, 1)
    return out


def imagenet_c(manifest: "pd.DataFrame", folder: Path, name: str, severity: int) -> list[Path]:
    """Files of `<folder>/<corruption>/<severity>/<class folder>/<file>` for the manifest's images, in order.

    A file is that of the image whose class folder and name it has, whatever the suffix; ImageNet's validation
    files are known by their number in any folder. The name alone never tells: many data sets number their
    files anew in every class.

    Raises
    ------
    AlignsecError
        The folder or an image is not there, two files are equally near to one image, or an image lies under
        the synset of another label.
    """
    root = folder / name / str(severity)
    if not root.is_dir():
        raise AlignsecError(f"robustness.corruptions.path: {root}: no such folder")
    files: dict[str, list[Path]] = {}
    for path in walk(root):
        if path.suffix.lower() in SUFFIXES:
            files.setdefault(_key(PurePosixPath(path.relative_to(root).as_posix())), []).append(path)
    wanted = [_key(PurePosixPath(i)) for i in manifest["image"]]
    missing = [i for i, key in zip(manifest["image"], wanted, strict=True) if key not in files]
    if missing:
        raise AlignsecError(
            f"robustness.corruptions.path: {root}: image {missing[0]} is not there ({len(missing)} missing): "
            "files are found by class folder and name, so call the folders as those of images.path"
        )
    synsets = imagenet().synsets
    found = []
    for image, key, label in zip(manifest["image"], wanted, manifest["label"], strict=True):
        path = files[key][0]
        if len(files[key]) > 1:
            raise AlignsecError(
                f"robustness.corruptions.path: {root}: {len(files[key])} files for image {image} "
                f"({path}, {files[key][1]}): keep one"
            )
        if synsets.get(path.parent.name, label) != label:
            raise AlignsecError(
                f"robustness.corruptions.path: {path}: in the folder of label {synsets[path.parent.name]}, "
                f"its image has {label}"
            )
        found.append(path)
    if repeated := [k for k, n in Counter(wanted).items() if n > 1]:
        raise AlignsecError(
            f"robustness.corruptions.path: {root}: {files[repeated[0]][0]} would stand for "
            f"{wanted.count(repeated[0])} images"
        )
    return found


def _key(path: PurePosixPath) -> str:
    """What an image and its corrupted file share."""
    stem = validation_stem(path.stem)
    return stem if stem in imagenet().labels else f"{path.parent.name}/{stem}"


def pixels_of(paths: Sequence[Path], size: tuple[int, int]) -> "npt.NDArray[np.float32]":
    """Files as pixels (N, 3, height, width) in [0, 1]: as they are, or resized once (bilinear) to `size`.

    ImageNet-C's images are cropped already, so a model's own resize and crop would cut them a second time.
    """
    import numpy as np
    from PIL import Image

    out = np.empty((len(paths), 3, *size), dtype=np.float32)
    for i, path in enumerate(paths):
        raw = path.read_bytes()
        check_image(raw, str(path))
        with opened(raw) as image:
            rgb = image.convert("RGB")
        if (rgb.height, rgb.width) != size:
            rgb = rgb.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        out[i] = np.asarray(rgb, dtype=np.float32).transpose(2, 0, 1) / 255
    return out
