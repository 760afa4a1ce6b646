"""Labelled images in one seeded order, cut into checksummed shards; loaded as pixels in [0, 1].

The order is one permutation of the whole source, so a larger count keeps the smaller set, and a shard depends
on the source, the seed and its own bounds only. Image files are read where they are, in folders or a tar archive;
nothing is extracted but single images that a model is about to see.
"""

import contextlib
import csv
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import util
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from alignsec import packs
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = ["image", "path", "label", "sha256"]
SUFFIXES = {".jpeg", ".jpg", ".png"}
MAX_PIXELS = 100_000_000  # of one image; the largest of ImageNet has 1.6e7
CHUNK = 64  # image files that are open to a model's preprocessing at once


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=2)
def _arrays(source: str, path: str | None) -> tuple["np.ndarray", "np.ndarray"]:
    """Images (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of an array source."""
    import numpy as np

    if source == "digits":
        from alignsec.ground.digits import digits

        _, _, x, y = digits()
        return x, y
    try:
        with np.load(_here(str(path)), allow_pickle=False) as file:
            raw, labels = file["images"], file["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise AlignsecError(
            f"images.path: {path}: expected an .npz with arrays `images` and `labels` ({error})"
        ) from error
    if raw.ndim == 3:
        raw = raw[:, None]
    if raw.ndim != 4 or len(raw) != len(labels) or not np.issubdtype(labels.dtype, np.integer):
        raise AlignsecError(
            f"images.path: {path}: images {raw.shape} and labels {labels.shape} ({labels.dtype}) do not go together"
        )
    if raw.dtype == np.uint8:
        raw = raw.astype(np.float32) / 255
    elif raw.min() < 0 or raw.max() > 1:
        raise AlignsecError(f"images.path: {path}: float images must lie in [0, 1], or be uint8")
    return raw.astype(np.float32), labels.astype(np.int64)


class ImageNet(NamedTuple):
    """The validation set's own table: stem of the file to label, stem to SHA-1 of the JPEG, synset to label."""

    labels: dict[str, int]
    sha1: dict[str, str]
    synsets: dict[str, int]


@lru_cache(maxsize=1)
def imagenet() -> ImageNet:
    """The table that the installed Brain-Score package carries; labels 0..999 in the order of the synsets.

    ``ImageFolder`` would number the folders present, which is wrong for a subset of the classes.
    """
    spec = util.find_spec("brainscore_vision")
    if spec is None or not spec.submodule_search_locations:
        raise AlignsecError("the ImageNet labels come with brainscore_vision, which is not installed")
    table = Path(next(iter(spec.submodule_search_locations))) / "benchmarks" / "imagenet" / "imagenet2012.csv"
    with table.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    stems = [Path(r["filename"]).stem for r in rows]
    return ImageNet(
        {s: int(r["label"]) for s, r in zip(stems, rows, strict=True)},
        {s: r["image_file_sha1"] for s, r in zip(stems, rows, strict=True)},
        {r["synset"]: int(r["label"]) for r in rows},
    )


class _File(NamedTuple):
    """One image file: its name in the source, where it is, its label."""

    name: str
    place: str  # a path, or tar:<archive>!<member>
    label: int


def _is_image(name: PurePosixPath) -> bool:
    # macOS leaves twins of every file, "._name", in archives
    return name.suffix.lower() in SUFFIXES and not name.name.startswith("._")


@lru_cache(maxsize=4)
def _members(archive: str) -> dict[str, tuple[int, int]]:
    """Offset and size of every regular member of a tar archive that is not compressed.

    Raises
    ------
    AlignsecError
        Not such an archive, or one with a member that no data set needs: a link, a device, an absolute path or one
        that leaves the archive.
    """
    found = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise AlignsecError(
                        f"images.path: {archive}: member {member.name!r} lies outside: refused"
                    )
                if member.isdir():
                    continue
                if not member.isfile():
                    raise AlignsecError(
                        f"images.path: {archive}: member {member.name!r} is a link or a device: refused"
                    )
                found[str(path)] = member.offset_data, member.size
    except tarfile.TarError as error:
        raise AlignsecError(f"images.path: {archive}: not an uncompressed tar archive ({error})") from error
    return found


def _here(place: str) -> str:
    """A relative path of a manifest as an absolute one: a model's own process stands elsewhere (ALIGNSEC_FOLDER)."""
    return str(Path(os.environ.get("ALIGNSEC_FOLDER", ""), place).absolute())


def _locate(archive: str) -> str:
    """An archive that was sent to this machine for this job (ALIGNSEC_STAGED) stands for the one that is named."""
    folder = os.environ.get("ALIGNSEC_STAGED")
    staged = Path(folder, Path(archive).name) if folder is not None else None
    return str(staged) if staged is not None and staged.is_file() else _here(archive)


def _read(place: str) -> bytes:
    if not place.startswith("tar:"):
        return Path(_here(place)).read_bytes()
    archive, _, member = place.removeprefix("tar:").partition("!")
    archive = _locate(archive)
    try:
        offset, size = _members(archive)[member]
    except KeyError:
        raise FileNotFoundError(2, "no such member", place) from None
    with Path(archive).open("rb") as handle:
        handle.seek(offset)
        return handle.read(size)


@lru_cache(maxsize=2)
def _files(source: str, path: Path) -> list[_File]:
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        named = [(PurePosixPath(p.relative_to(path).as_posix()), str(p)) for p in inside]
    elif path.is_file():
        named = [(PurePosixPath(m), f"tar:{path}!{m}") for m in sorted(_members(str(path)))]
    else:
        raise AlignsecError(f"images.path: {path}: no such folder or tar archive")
    table = imagenet()
    found = []
    for name, place in named:
        if not _is_image(name):
            continue
        if source == "imagenet-val":
            label, what = table.labels.get(name.stem), "an ImageNet validation file"
        else:
            label, what = (
                table.synsets.get(name.parent.name),
                "in a folder named by one of ImageNet's synsets",
            )
        if label is None:
            raise AlignsecError(f"images.path: {place}: not {what}: its label is unknown; remove it")
        found.append(_File(str(name), place, label))
    if not found:
        raise AlignsecError(f"images.path: {path}: no image ({', '.join(sorted(SUFFIXES))}) in it")
    return found


def size(source: str, path: str | None) -> int:
    """How many labelled images the source has."""
    if source in ("digits", "npz"):
        return len(_arrays(source, path)[1])
    if source == "packs":
        return packs.size(Path(str(path)))
    return len(_files(source, Path(str(path))))


def order(labels: "np.ndarray", seed: int, stratified: bool = False) -> "np.ndarray":
    """A permutation of the images (N,), whose beginnings are the samples of a study.

    Stratified, the first image of every class comes before the second of any, and so on: a sample of a multiple of
    the number of classes has equally many of each (as far as there are).
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


def shard(
    source: str, path: str | None, start: int, stop: int, seed: int, stratified: bool = False
) -> "pd.DataFrame":
    """Images `start` to `stop` (exclusive) of the seeded order: a table of kind ``images``.

    `path` is ``<source>:<index>`` for arrays, ``tar:<archive>!<member>`` or the file; of packs, as they were packed; `sha256` is of the float32 pixels
    or the file. ``attrs["warnings"]`` lists what is odd.

    Raises
    ------
    AlignsecError
        The source is missing or damaged, has fewer images than asked for, or one of the images cannot be read, is
        too large, or is a validation file under the name of another.
    """
    import numpy as np
    import pandas as pd

    n = size(source, path)
    if stop > n:
        raise AlignsecError(
            f"images.count: {stop} images asked for, but {source} has {n}: lower images.count"
        )
    if source == "packs":
        packed = packs.shard(Path(str(path)), start, stop, seed, stratified)
        packed.attrs["warnings"] = []
        return packed
    rows: list[tuple[str, str, int, str]] = []
    warnings: list[str] = []
    if source in ("digits", "npz"):
        x, y = _arrays(source, path)
        place = source if path is None else f"{source}:{path}"
        chosen = order(y, seed, stratified)[start:stop]
        rows = [
            (f"{source}-{i:05d}", f"{place}:{i}", int(y[i]), _sha256(x[i].tobytes())) for i in chosen.tolist()
        ]
    else:
        files = _files(source, Path(str(path)))
        other = []
        for i in order(np.array([f.label for f in files]), seed, stratified)[start:stop].tolist():
            raw = _read(files[i].place)
            check_image(raw, files[i].place)
            if source == "imagenet-val" and not _is_published(raw, files[i]):
                other.append(files[i].name)
            rows.append((files[i].name, files[i].place, files[i].label, _sha256(raw)))
        if other:
            warnings.append(
                f"{len(other)} of {len(rows)} files are not the published JPEGs of their names (SHA-1 differs: "
                f"{', '.join(other[:3])}{', …' if len(other) > 3 else ''}): resized or encoded again?"
            )
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame.attrs["warnings"] = warnings
    return frame


@lru_cache(maxsize=1)
def _stems() -> dict[str, str]:
    return {sha1: stem for stem, sha1 in imagenet().sha1.items()}


def _is_published(raw: bytes, file: _File) -> bool:
    """Whether the bytes are the JPEG that the table has under this name; an error if they are another's."""
    found = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    stem = PurePosixPath(file.name).stem
    if imagenet().sha1[stem] == found:
        return True
    if found in _stems():
        raise AlignsecError(
            f"images.path: {file.place}: this is {_stems()[found]} under another name: its label would be wrong"
        )
    return False


def check_image(raw: bytes, place: str) -> None:
    """Raise ``AlignsecError`` for bytes that are no image that a model can be given: the file is named."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(raw)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise AlignsecError(
                    f"images.path: {place}: {width} × {height} pixels are more than {MAX_PIXELS:,}: refused"
                )
            if image.mode.startswith(("I", "F")):
                raise AlignsecError(
                    f"images.path: {place}: mode {image.mode} (above 8 bits per channel): convert it to 8-bit RGB"
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
    """SHA-256 over the images, labels and hashes of a manifest or shard, in order; where they lie is no part of it."""
    digest = hashlib.sha256()
    for row in manifest[["image", "label", "sha256"]].itertuples(index=False):
        digest.update(f"{row.image}\t{row.label}\t{row.sha256}\n".encode())
    return digest.hexdigest()


def is_array(manifest: "pd.DataFrame") -> bool:
    """Whether the manifest's images are arrays, with nothing for a model's preprocessing to do."""
    first = str(manifest["path"].iloc[0])
    return first.partition(":")[0] in ("digits", "npz") or first.endswith(".npy")


def raw(place: str) -> bytes:
    """The bytes of one image of a manifest: of its file, or of its array as ``.npy``."""
    import numpy as np

    if place.partition(":")[0] not in ("digits", "npz"):
        return _read(place)
    buffer = io.BytesIO()
    np.save(buffer, _array(place))
    return buffer.getvalue()


def _array(place: str) -> "np.ndarray":
    import numpy as np

    if place.startswith("tar:"):
        found: np.ndarray = np.load(io.BytesIO(_read(place)), allow_pickle=False)
        return found
    source, _, rest = place.partition(":")
    path, _, index = rest.rpartition(":")
    return _arrays(source, path or None)[0][int(index)]


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
                raw = _read(place)
            except OSError as error:
                raise AlignsecError(f"image {place} cannot be read: {error.strerror}") from error
            if _sha256(raw) != expected:
                raise AlignsecError(
                    f"image {place} changed since the manifest was made: delete images/ and run again"
                )
            with Image.open(io.BytesIO(raw)) as image:
                if image.mode == "RGB" and not place.startswith("tar:"):
                    paths.append(Path(_here(place)))
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
        An image is gone or not the one of the manifest, or the model cannot read the source.
    Excluded
        The model's preprocessing fails on an image.
    """
    import numpy as np

    labels = manifest["label"].to_numpy(np.int64)
    if is_array(manifest):
        return _load_arrays(manifest), labels
    if preprocess is None:
        raise AlignsecError(
            "this model source has no preprocessing for image files: use digits or npz images"
        )
    kept = cache / f"{checksum(manifest)[:32]}.npy" if cache is not None else None
    if kept is not None and kept.is_file():
        return _unpacked(np.load(kept, allow_pickle=False)), labels
    parts = []
    for start in range(0, len(manifest), CHUNK):
        with as_files(manifest.iloc[start : start + CHUNK]) as paths:
            try:
                parts.append(np.ascontiguousarray(preprocess(paths), dtype=np.float32))
            except (Excluded, MemoryError):
                raise
            except Exception as error:
                first = manifest["image"].iloc[start]
                raise Excluded(
                    f"images do not fit: its preprocessing fails in the {CHUNK} images from {first} on: "
                    f"{type(error).__name__}: {str(error)[:200]}"
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
            image = _array(text)
        except OSError as error:
            raise AlignsecError(f"image {text} cannot be read: {error.strerror}") from error
        if _sha256(image.tobytes()) != expected:
            raise AlignsecError(f"image {text} is not the one of the manifest: delete images/ and run again")
        pixels.append(image)
    return np.stack(pixels)
