"""The images of a manifest as files for a model's own preprocessing, and as pixels in [0, 1]."""

import contextlib
import io
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded
from alignsec.ground.reasons import out_of_memory
from alignsec.ground.reasons import told
from alignsec.images.shards import checksum
from alignsec.images.sources import array
from alignsec.images.sources import here
from alignsec.images.sources import is_array
from alignsec.images.sources import read
from alignsec.images.sources import sha256_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


CHUNK = 64  # image files that are open to a model's preprocessing at once


@contextlib.contextmanager
def as_files(manifest: "pd.DataFrame") -> Iterator[list[Path]]:
    """The manifest's images as RGB files on the disk, checked against it, for as long as the context lasts.

    RGB files are given where they are. Grey, CMYK, palette and transparent images are converted to RGB (models'
    own loaders disagree on them), members of an archive are written to a temporary folder.

    Raises
    ------
    AlignsecError
        A file is gone or is not the one of the manifest.
    """
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="alignsec-") as folder:
        paths = []
        for i, (place, expected) in enumerate(zip(manifest["path"], manifest["sha256"], strict=True)):
            try:
                raw = read(place)
            except OSError as error:
                raise AlignsecError(f"image {place} cannot be read: {error.strerror}") from error
            if sha256_of(raw) != expected:
                raise AlignsecError(
                    f"image {place} changed since the manifest was made: delete images/ and run again"
                )
            with Image.open(io.BytesIO(raw)) as image:
                if image.mode == "RGB" and not place.startswith("tar:"):
                    paths.append(Path(here(place)))
                elif image.mode == "RGB":
                    paths.append(Path(folder, f"{i:06d}{PurePosixPath(place).suffix}"))
                    paths[-1].write_bytes(raw)
                else:
                    paths.append(Path(folder, f"{i:06d}.png"))
                    image.convert("RGB").save(paths[-1], compress_level=1)
        yield paths


def load(
    manifest: "pd.DataFrame",
    preprocess: Callable[[Sequence[Path]], "np.ndarray"] | None = None,
    cache: Path | None = None,
) -> tuple["np.ndarray", "np.ndarray"]:
    """Pixels (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of a manifest, checksums verified.

    `preprocess` turns files into pixels as the model's own resize and crop do; arrays are taken as they are.
    `cache` is a folder for the pixels of one geometry (`PixelModel.geometry`): what another model of that geometry
    left there is taken, in uint8 where the pixels are whole grey levels.

    Raises
    ------
    AlignsecError
        An image is gone or not the one of the manifest.
    Excluded
        The model has no preprocessing of files, or it fails on an image or makes no array (N, C, H, W) of N.
    """
    import numpy as np

    labels = manifest["label"].to_numpy(np.int64)
    if is_array(manifest):
        return _load_arrays(manifest), labels
    if preprocess is None:
        raise Excluded("images do not fit: the model has no preprocessing of image files, only takes arrays")
    kept = cache / f"{checksum(manifest)[:32]}.npy" if cache is not None else None
    if kept is not None and kept.is_file():
        return _unpacked(np.load(kept, allow_pickle=False)), labels
    parts: list[np.ndarray] = []
    for start in range(0, len(manifest), CHUNK):
        with as_files(manifest.iloc[start : start + CHUNK]) as paths:
            try:
                part = np.ascontiguousarray(preprocess(paths), dtype=np.float32)
                if part.ndim != 4 or len(part) != len(paths) or (parts and part.shape[1:] != parts[0].shape[1:]):
                    raise ValueError(f"an array of shape {part.shape} of {len(paths)} images")
                parts.append(part)
            except Excluded:
                raise
            except (Exception, SystemExit) as error:
                if out_of_memory(error):
                    raise Excluded("out of memory") from error
                first = manifest["image"].iloc[start]
                raise Excluded(
                    f"images do not fit: its preprocessing fails in the {CHUNK} images from {first} on: "
                    f"{told(error)}"
                ) from error
    pixels = np.concatenate(parts)
    if kept is not None:
        from alignsec.ground.tables import atomic

        with atomic(kept) as temporary, temporary.open("wb") as handle:
            np.save(handle, _packed(pixels))
    return pixels, labels


def _packed(pixels: "np.ndarray") -> "np.ndarray":
    """uint8 where that loses nothing."""
    import numpy as np

    levels = (pixels * 255).round().astype(np.uint8)
    return levels if np.array_equal(_unpacked(levels), pixels) else pixels


def _unpacked(pixels: "np.ndarray") -> "np.ndarray":
    import numpy as np

    # divided in double precision and rounded once, as the preprocessing's result was
    return (pixels.astype(np.float64) / 255).astype(np.float32) if pixels.dtype != np.float32 else pixels


def _load_arrays(manifest: "pd.DataFrame") -> "np.ndarray":
    import numpy as np

    pixels = []
    for text, expected in zip(manifest["path"], manifest["sha256"], strict=True):
        try:
            image = array(text)
        except OSError as error:
            raise AlignsecError(f"image {text} cannot be read: {error.strerror}") from error
        if sha256_of(image.tobytes()) != expected:
            raise AlignsecError(f"image {text} is not the one of the manifest: delete images/ and run again")
        pixels.append(image)
    return np.stack(pixels)
