"""Where labelled images come from: arrays, folders and tar archives, with ImageNet's own table of labels."""

import csv
import hashlib
import io
import os
import tarfile
from functools import lru_cache
from importlib import util
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Pixels = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int64]

SUFFIXES = {".jpeg", ".jpg", ".png"}


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=2)
def arrays(source: str, path: str | None) -> tuple["Pixels", "Labels"]:
    """Images (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of an array source."""
    import numpy as np

    if source == "digits":
        from alignsec.ground.digits import digits

        _, _, x, y = digits()
        return x, y
    try:
        with np.load(here(str(path)), allow_pickle=False) as file:
            raw, labels = file["images"], file["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise AlignsecError(
            f"images.path: {path}: expected an .npz with arrays `images` and `labels` ({error})"
        ) from error
    if raw.ndim == 3:
        raw = raw[:, None]
    if raw.ndim != 4 or len(raw) != len(labels) or not np.issubdtype(labels.dtype, np.integer):
        raise AlignsecError(
            f"images.path: {path}: images {raw.shape} and labels {labels.shape} ({labels.dtype}) do not go "
            "together"
        )
    if raw.dtype == np.uint8:
        raw = raw.astype(np.float32) / 255
    elif raw.min() < 0 or raw.max() > 1:
        raise AlignsecError(f"images.path: {path}: float images must lie in [0, 1], or be uint8")
    return raw.astype(np.float32), labels.astype(np.int64)


class ImageNet(NamedTuple):
    """The validation set's own table."""

    labels: dict[str, int]  # by stem of the file
    sha1: dict[str, str]  # of the JPEG, by stem of the file
    synsets: dict[str, int]  # label by synset


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


class File(NamedTuple):
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
        Not such an archive, or one with a member that no data set needs: a link, a device, an absolute path
        or one that leaves the archive.
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


def here(place: str) -> str:
    """A relative path of a manifest as an absolute one: a model's process stands elsewhere."""
    return str(Path(os.environ.get("ALIGNSEC_FOLDER", ""), place).absolute())


def _locate(archive: str) -> str:
    """An archive that was sent to this machine for this job (ALIGNSEC_STAGED) stands for the one named."""
    folder = os.environ.get("ALIGNSEC_STAGED")
    staged = Path(folder, Path(archive).name) if folder is not None else None
    return str(staged) if staged is not None and staged.is_file() else here(archive)


def read(place: str) -> bytes:
    """The bytes of an image file by its place: a path, or ``tar:<archive>!<member>``.

    Raises
    ------
    OSError
        It is gone.
    """
    if not place.startswith("tar:"):
        return Path(here(place)).read_bytes()
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
def files_of(source: str, path: Path) -> list[File]:
    """The images below a folder or in a tar archive, sorted by name, labelled as the `source` says.

    Labels come from the names of the files (``imagenet-val``) or of the folders that they lie in.

    Raises
    ------
    AlignsecError
        There is nothing at `path`, no image in it, or one whose label is unknown.
    """
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
        found.append(File(str(name), place, label))
    if not found:
        raise AlignsecError(f"images.path: {path}: no image ({', '.join(sorted(SUFFIXES))}) in it")
    return found


def is_array(manifest: "pd.DataFrame") -> bool:
    """Whether the manifest's images are arrays, with nothing for a model's preprocessing to do."""
    first = str(manifest["path"].iloc[0])
    return first.partition(":")[0] in ("digits", "npz") or first.endswith(".npy")


def raw(place: str) -> bytes:
    """The bytes of one image of a manifest: of its file, or of its array as ``.npy``."""
    import numpy as np

    if place.partition(":")[0] not in ("digits", "npz"):
        return read(place)
    buffer = io.BytesIO()
    np.save(buffer, array(place))
    return buffer.getvalue()


def array(place: str) -> "Pixels":
    """One image (C, H, W) of an array source, or of a pack, by its place."""
    import numpy as np

    found: Pixels
    if place.startswith("tar:"):
        found = np.load(io.BytesIO(read(place)), allow_pickle=False)
    else:
        source, _, rest = place.partition(":")
        path, _, index = rest.rpartition(":")
        found = arrays(source, path or None)[0][int(index)]
    return found
