"""Labelled images in one seeded order, cut into checksummed shards.

The order is one permutation of the whole source, so a larger count keeps the smaller set, and a shard depends
on the source, the seed and its own bounds only. Image files are read where they are, in folders or a tar
archive; nothing is extracted but single images that a model is about to see (`pixels.as_files`).
"""

import hashlib
import io
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.images import packs
from alignsec.images.sources import File, arrays, files_of, imagenet, read, sha256_of, validation_stem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from PIL import Image

COLUMNS = ["image", "path", "label", "sha256"]
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # whatever the suffix says
MAX_PIXELS = 100_000_000  # of one image; the largest of ImageNet has 1.6e7


def size(source: str, path: str | None) -> int:
    """How many labelled images the source has."""
    if source in ("digits", "npz"):
        return len(arrays(source, path)[1])
    if source == "packs":
        return packs.size(Path(str(path)))
    return len(files_of(source, Path(str(path))).files)


def order(labels: "npt.NDArray[Any]", seed: int, stratified: bool = False) -> "npt.NDArray[np.int64]":
    """A permutation of the images (N,), whose beginnings are the samples of a study.

    Stratified, the first image of every class comes before the second of any, and so on: a sample of a
    multiple of the number of classes has equally many of each (as far as there are).
    """
    import numpy as np

    permutation = np.random.default_rng(seed).permutation(len(labels))
    if not stratified:
        return permutation
    seen: dict[int, int] = {}
    rounds = np.empty(len(labels), dtype=np.int64)
    for i, label in enumerate(labels[permutation].tolist()):
        rounds[i] = seen.get(label, 0)
        seen[label] = rounds[i] + 1
    return permutation[np.argsort(rounds, kind="stable")]


def cut(
    source: str, path: str | None, start: int, stop: int, seed: int, stratified: bool = False
) -> "pd.DataFrame":
    """Images `start` to `stop` (exclusive) of the seeded order: a table of kind ``images``.

    Its `path` is ``<source>:<index>`` for arrays, ``tar:<archive>!<member>`` or the file; of packs, as they
    were packed. `sha256` is of the float32 pixels or the file. ``attrs["warnings"]`` lists what is odd.

    Raises
    ------
    AlignsecError
        The source is missing or damaged, has fewer images than asked for, or one of the images cannot be
        read, is too large, or is a validation file under the name of another.

    >>> cut("digits", None, 0, 2, seed=0)[["image", "label"]].to_dict("list")
    {'image': ['digits-00081', 'digits-00371'], 'label': [9, 2]}
    """
    import numpy as np
    import pandas as pd

    n = size(source, path)
    if stop > n:
        raise AlignsecError(
            f"images.count: {stop} images asked for, but {source} has {n}: lower images.count"
        )
    if source == "packs":
        packed = packs.cut(Path(str(path)), start, stop, seed, stratified)
        packed.attrs["warnings"] = []
        return packed
    rows: list[tuple[str, str, int, str]] = []
    warnings: list[str] = []
    if source in ("digits", "npz"):
        x, y = arrays(source, path)
        place = source if path is None else f"{source}:{path}"
        chosen = order(y, seed, stratified)[start:stop]
        rows = [
            (f"{source}-{i:05d}", f"{place}:{i}", int(y[i]), sha256_of(x[i].tobytes()))
            for i in chosen.tolist()
        ]
    else:
        files, notes = files_of(source, Path(str(path)))
        warnings += notes
        other = []
        for i in order(np.array([f.label for f in files]), seed, stratified)[start:stop].tolist():
            try:
                raw = read(files[i].place)
            except OSError as error:
                raise AlignsecError(
                    f"images.path: {files[i].place}: cannot be read ({error.strerror})"
                ) from error
            check_image(raw, files[i].place)
            if source == "imagenet-val" and not _is_published(raw, files[i]):
                other.append(files[i].name)
            rows.append((files[i].name, files[i].place, files[i].label, sha256_of(raw)))
        if other:
            warnings.append(
                f"{len(other)} of {len(rows)} files are not the published JPEGs of their names: SHA-1 differs"
                f" ({', '.join(other[:3])}{', …' if len(other) > 3 else ''}): resized or encoded again?"
            )
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame.attrs["warnings"] = warnings + contradictions(frame)
    return frame


def contradictions(manifest: "pd.DataFrame") -> list[str]:
    """One text if some images have the same bytes under more than one label, else none.

    ImageNet's validation set itself has such pairs: nothing stops for them.
    """
    labels = manifest.groupby("sha256")["label"].transform("nunique")
    twins = manifest[labels > 1].sort_values(["sha256", "image"], kind="stable")
    if twins.empty:
        return []
    n = twins["sha256"].nunique()
    first = twins[twins["sha256"] == twins["sha256"].iloc[0]]
    named = ", ".join(f"{r.image} ({r.label})" for r in first.head(3).itertuples())
    return [f"{n} image{'s' if n > 1 else ''} under more than one label, byte for byte: {named}"]


@lru_cache(maxsize=1)
def _stems() -> dict[str, str]:
    return {sha1: stem for stem, sha1 in imagenet().sha1.items()}


def _is_published(raw: bytes, file: File) -> bool:
    """Whether the bytes are the JPEG that the table has under this name; an error if they are another's."""
    found = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    stem = validation_stem(PurePosixPath(file.name).stem)
    if imagenet().sha1[stem] == found:
        return True
    if found in _stems():
        raise AlignsecError(
            f"images.path: {file.place}: this is {_stems()[found]} under another name: its label would be "
            "wrong"
        )
    return False


def opened(raw: bytes) -> "Image.Image":
    """An image of one of `FORMATS`; no other decoder of Pillow's sees the bytes (EPS runs Ghostscript)."""
    from PIL import Image

    return Image.open(io.BytesIO(raw), formats=FORMATS)


def check_image(raw: bytes, place: str) -> None:
    """Raise ``AlignsecError`` for bytes that are no image that a model can be given: the file is named."""
    from PIL import Image, UnidentifiedImageError

    try:
        with opened(raw) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise AlignsecError(
                    f"images.path: {place}: {width} × {height} pixels are more than {MAX_PIXELS:,}: refused"
                )
            # Pillow cuts a PNG of 16 bits per channel to 8 and calls it RGB; its header has the depth
            deep = image.format == "PNG" and raw[24:25] == b"\x10"
            if deep or image.mode.startswith(("I", "F")):
                raise AlignsecError(
                    f"images.path: {place}: mode {image.mode} (above 8 bits per channel): convert it to "
                    "8-bit RGB"
                )
            image.load()
    except Image.DecompressionBombError as error:
        raise AlignsecError(f"images.path: {place}: refused for its size ({error})") from error
    except UnidentifiedImageError as error:
        raise AlignsecError(f"images.path: {place}: no image: replace or remove it") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise AlignsecError(
            f"images.path: {place}: damaged or cut short ({error}): replace or remove it"
        ) from error


def gather(shards: Iterable["pd.DataFrame"]) -> "pd.DataFrame":
    """The shards as one manifest, in order."""
    import pandas as pd

    return pd.concat(list(shards), ignore_index=True)


def checksum(manifest: "pd.DataFrame") -> str:
    """SHA-256 over images, labels and hashes of a manifest or shard, in order, wherever they lie."""
    digest = hashlib.sha256()
    for row in manifest[["image", "label", "sha256"]].itertuples(index=False):
        digest.update(f"{row.image}\t{row.label}\t{row.sha256}\n".encode())
    return digest.hexdigest()
