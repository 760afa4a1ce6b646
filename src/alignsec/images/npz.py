"""Images and labels of an ``.npz`` file."""

import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_LABEL = 99_999  # no data set in use has more classes


def read(place: str, name: str) -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]":
    """Images (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of the file at `place`, called `name`.

    `images` is (N, C, H, W) or (N, H, W), uint8 or floating point in [0, 1]; `labels` (N,) whole numbers.

    Raises
    ------
    AlignsecError
        The file is no such archive, or an image or label in it is of no use: its index is named.
    """
    import numpy as np

    try:
        with np.load(place, allow_pickle=False) as file:
            raw, labels = file["images"], file["labels"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, SyntaxError, MemoryError,
            NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        raise AlignsecError(
            f"images.path: {name}: expected an .npz with arrays `images` and `labels` ({error})"
        ) from error
    where = f"images.path: {name}"
    if raw.ndim == 3:
        raw = raw[:, None]
    _check_labels(labels, raw, where)
    return _checked_pixels(raw, where), labels.astype(np.int64)


def size_of(place: str) -> tuple[int, int] | None:
    """Height and width of the images of the file at `place`, from its header; None where there is none."""
    from numpy.lib import format as npy

    file: Any = npy
    try:
        with zipfile.ZipFile(place) as archive, archive.open("images.npy") as held:
            first = file.read_magic(held) == (1, 0)
            shape = (file.read_array_header_1_0 if first else file.read_array_header_2_0)(held)[0]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return (int(shape[-2]), int(shape[-1])) if len(shape) >= 3 else None


def _check_labels(labels: "npt.NDArray[Any]", raw: "npt.NDArray[Any]", where: str) -> None:
    import numpy as np

    if labels.ndim == 2:
        raise AlignsecError(
            f"{where}: labels {labels.shape}: one whole number per image is expected (of one-hot rows: "
            "labels.argmax(1))"
        )
    if (
        raw.ndim != 4
        or 0 in raw.shape
        or labels.shape != raw.shape[:1]
        or not np.issubdtype(labels.dtype, np.integer)
    ):
        raise AlignsecError(
            f"{where}: images {raw.shape} and labels {labels.shape} ({labels.dtype}) do not go together"
        )
    bad = np.flatnonzero((labels < 0) | (labels > MAX_LABEL))
    if bad.size:
        raise AlignsecError(
            f"{where}: label {labels[bad[0]]} of image {bad[0]} is out of range ({bad.size} such): labels "
            "count from 0; -1 often stands for unknown: leave those images out"
        )


def _checked_pixels(raw: "npt.NDArray[Any]", where: str) -> "npt.NDArray[np.float32]":
    import numpy as np

    if raw.shape[1] not in (1, 3) and raw.shape[-1] in (1, 3):
        raise AlignsecError(
            f"{where}: images {raw.shape} look like (N, H, W, C), expected (N, C, H, W): "
            "images.transpose(0, 3, 1, 2)"
        )
    if raw.dtype == np.uint8:
        return raw.astype(np.float32) / 255
    if not np.issubdtype(raw.dtype, np.floating):
        raise AlignsecError(f"{where}: images of {raw.dtype}: expected uint8, or floats in [0, 1]")
    flat = raw.reshape(len(raw), -1)
    for wrong, what in (
        (~np.isfinite(flat).all(1), "has pixels that are NaN or infinite"),
        ((flat < 0).any(1) | (flat > 1).any(1), "has pixels outside [0, 1]: divide by 255, or give uint8"),
    ):
        if wrong.any():
            raise AlignsecError(f"{where}: image {wrong.argmax()} {what} ({wrong.sum()} such)")
    return raw.astype(np.float32)
