"""The images of a manifest as files for a model's own preprocessing, and as pixels in [0, 1]."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded, out_of_memory, told
from alignsec.ground.tables import atomic
from alignsec.images.shards import checksum, opened
from alignsec.images.sources import array, here, is_array, read, sha256_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Pixels = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int64]

CHUNK = 64  # image files that are open to a model's preprocessing at once


@contextlib.contextmanager
def as_files(manifest: "pd.DataFrame") -> Iterator[list[Path]]:
    """The manifest's images as RGB files on the disk, checked against it, for as long as the context lasts.

    RGB files are given where they are. Grey, CMYK, palette and transparent images are converted to RGB
    (models' own loaders disagree on them), members of an archive are written to a temporary folder.

    Raises
    ------
    AlignsecError
        A file is gone or is not the one of the manifest.
    """
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
            with opened(raw) as image:
                if image.mode == "RGB" and not place.startswith(("tar:", "parquet:")):
                    paths.append(Path(here(place)))
                elif image.mode == "RGB":
                    paths.append(Path(folder, f"{i:06d}.{str(image.format).lower()}"))
                    paths[-1].write_bytes(raw)
                else:
                    paths.append(Path(folder, f"{i:06d}.png"))
                    image.convert("RGB").save(paths[-1], compress_level=1)
        yield paths


def load(
    manifest: "pd.DataFrame",
    preprocess: Callable[[Sequence[Path]], "Pixels"] | None = None,
    cache: Path | None = None,
) -> tuple["Pixels", "Labels"]:
    """Pixels (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of a manifest, checksums verified.

    `preprocess` turns files into pixels as the model's own resize and crop do; arrays are taken as they are.
    `cache` is a folder for the pixels of one geometry (`PixelModel.geometry`): what another model of that
    geometry left there is taken, in uint8 where the pixels are whole grey levels.

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
    parts: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(manifest), CHUNK):
        with as_files(manifest.iloc[start : start + CHUNK]) as paths:
            try:
                part = np.ascontiguousarray(preprocess(paths), dtype=np.float32)
                if (
                    part.ndim != 4
                    or len(part) != len(paths)
                    or (parts and part.shape[1:] != parts[0].shape[1:])
                ):
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
        with atomic(kept) as temporary, temporary.open("wb") as handle:
            np.save(handle, _packed(pixels))
    return pixels, labels


def _packed(pixels: "Pixels") -> "Pixels | npt.NDArray[np.uint8]":
    """uint8 where that loses nothing."""
    import numpy as np

    levels = (pixels * 255).round().astype(np.uint8)
    return levels if np.array_equal(_unpacked(levels), pixels) else pixels


def _unpacked(pixels: "Pixels | npt.NDArray[np.uint8]") -> "Pixels":
    import numpy as np

    if pixels.dtype != np.uint8:
        return pixels.astype(np.float32, copy=False)
    # divided in double precision and rounded once, as the preprocessing's result was
    return (pixels.astype(np.float64) / 255).astype(np.float32)


def _load_arrays(manifest: "pd.DataFrame") -> "Pixels":
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
