"""Where labelled images come from: arrays, folders, archives and Parquet, with ImageNet's table of labels."""

import csv
import hashlib
import io
import os
import re
from functools import lru_cache
from importlib import util
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from alignsec.ground.errors import AlignsecError
from alignsec.images import archives, npz, parquet
from alignsec.images.labels import folder_labels
from alignsec.images.walk import walk

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Pixels = npt.NDArray[np.float32]
    Labels = npt.NDArray[np.int64]

SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".gif", ".bmp"}
CLASSES = "classes.txt"  # names of class folders, one a line: the first has label 0


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=2)
def arrays(source: str, path: str | None) -> tuple["Pixels", "Labels"]:
    """Images (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of an array source."""

    if source == "digits":
        from alignsec.ground.digits import digits

        _, _, x, y = digits()
        return x, y
    return npz.read(here(str(path)), str(path))


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
    place: str  # a path, tar:<archive>!<member> or parquet:<file>!<row>
    label: int


def _is_image(name: PurePosixPath) -> bool:
    # notebooks, file managers and archivers leave copies in places such as .ipynb_checkpoints: no classes
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return name.suffix.lower() in SUFFIXES and not hidden


def here(place: str) -> str:
    """A relative path of a manifest as an absolute one: a model's process stands elsewhere."""
    return str(Path(os.environ.get("ALIGNSEC_FOLDER", ""), place).absolute())


def _locate(archive: str) -> str:
    """An archive that was sent to this machine for this job (ALIGNSEC_STAGED) stands for the one named."""
    folder = os.environ.get("ALIGNSEC_STAGED")
    staged = Path(folder, Path(archive).name) if folder is not None else None
    return str(staged) if staged is not None and staged.is_file() else here(archive)


def read(place: str) -> bytes:
    """The bytes of an image by its place: a path, ``tar:<archive>!<member>`` or ``parquet:<file>!<row>``.

    Raises
    ------
    OSError
        It is gone.
    """
    kind, _, rest = place.partition(":")
    if kind not in ("tar", "parquet"):
        return Path(here(place)).read_bytes()
    file, _, member = rest.partition("!")
    if kind == "parquet":
        return parquet.read(here(file), int(member))
    return archives.read(_locate(file), member)


class Listing(NamedTuple):
    """The images of a source, sorted by name, and what their labels rest on where that is not obvious."""

    files: list[File]
    notes: list[str]


@lru_cache(maxsize=2)
def files_of(source: str, path: Path) -> Listing:
    """The images below a folder, in a tar archive (.gz too) or in Parquet, labelled as the `source` says.

    Labels come from the names of the files (``imagenet-val``), of the folders that they lie in (``folders``:
    see `labels.folder_labels`) or from a column (``parquet``).

    Raises
    ------
    AlignsecError
        There is nothing at `path`, no image in it, or one whose name or label is of no use.
    """
    if not path.exists():
        raise AlignsecError(f"images.path: {path}: no such file or folder")
    if source == "parquet":
        return Listing(
            [File(name, f"parquet:{p}!{i}", label) for name, p, i, label in parquet.rows(path)], []
        )
    if path.is_dir():
        named = [(PurePosixPath(p.relative_to(path).as_posix()), str(p)) for p in walk(path)]
    else:
        named = [(PurePosixPath(m), f"tar:{path}!{m}") for m in sorted(archives.members(str(path)))]
    images = [(name, place) for name, place in named if _is_image(name)]
    for name, _ in images:
        _check_name(path, name)
    if not images:
        raise AlignsecError(f"images.path: {path}: no image ({', '.join(sorted(SUFFIXES))}) in it")
    if source == "imagenet-val":
        return Listing([File(str(n), place, validation_label(n.stem, place)) for n, place in images], [])
    own = {str(n): place for n, place in named if n.name == CLASSES and not _is_image(n)}
    if len(own) > 1:
        raise AlignsecError(f"images.path: {path}: more than one {CLASSES} ({', '.join(own)}): keep one")
    classes = next(((place, read(place)) for place in own.values()), None)
    labels, notes = folder_labels(str(path), [n for n, _ in images], imagenet().synsets, classes)
    return Listing([File(str(n), p, labels[n.parent.name]) for n, p in images], notes)


def _check_name(path: Path, name: PurePosixPath) -> None:
    try:
        str(name).encode()
    except UnicodeEncodeError:
        raise AlignsecError(
            f"images.path: {path}: file name {os.fsencode(str(name))!r} is not UTF-8: rename it"
        ) from None


def validation_stem(stem: str) -> str:
    """The published stem of a validation file; that of Hugging Face's copy ends in the synset as well.

    >>> validation_stem("ILSVRC2012_val_00000293_n01440764")
    'ILSVRC2012_val_00000293'
    """
    return re.sub(r"^(ILSVRC2012_val_\d{8})_n\d{8}$", r"\1", stem)


def validation_label(stem: str, place: str) -> int:
    """Label of a validation file by its number.

    Raises
    ------
    AlignsecError
        The stem is none of theirs, or ends in the synset of another class.
    """
    table = imagenet()
    short = validation_stem(stem)
    label = table.labels.get(short)
    if label is None:
        raise AlignsecError(
            f"images.path: {place}: not an ImageNet validation file: its label is unknown; remove it"
        )
    synset = stem.removeprefix(short).lstrip("_")
    if synset and table.synsets.get(synset) != label:
        right = next(s for s, number in table.synsets.items() if number == label)
        raise AlignsecError(
            f"images.path: {place}: its number is of an image of {right}, its name says {synset}: rename or "
            "remove it"
        )
    return label


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
