"""Labelled images in one seeded order, cut into checksummed shards; loaded as pixels in [0, 1].

The order is one permutation of the whole source, so a larger count keeps the smaller set, and a shard depends
on the source, the seed and its own bounds only.
"""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = ["image", "path", "label", "sha256"]
SUFFIXES = {".jpeg", ".jpg", ".png"}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=2)
def _arrays(source: str, path: str | None) -> tuple["np.ndarray", "np.ndarray"]:
    """Images (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of an array source."""
    import numpy as np

    if source == "digits":
        from alignsec.digits import digits

        _, _, x, y = digits()
        return x, y
    try:
        with np.load(str(path), allow_pickle=False) as file:
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


@lru_cache(maxsize=1)
def imagenet_labels() -> tuple[dict[str, int], dict[str, int]]:
    """Validation file stem to label, and synset to label (0..999), from the installed Brain-Score package.

    ``ImageFolder`` would number the folders present, which is wrong for a subset of the classes.
    """
    spec = util.find_spec("brainscore_vision")
    if spec is None or not spec.submodule_search_locations:
        raise AlignsecError("the ImageNet labels come with brainscore_vision, which is not installed")
    table = Path(next(iter(spec.submodule_search_locations))) / "benchmarks" / "imagenet" / "imagenet2012.csv"
    with table.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    files = {Path(r["filename"]).stem: int(r["label"]) for r in rows}
    return files, {r["synset"]: int(r["label"]) for r in rows}


def _files(source: str, path: Path) -> list[tuple[str, Path, int]]:
    if not path.is_dir():
        raise AlignsecError(f"images.path: {path}: no such folder")
    files, synsets = imagenet_labels()
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise AlignsecError(f"images.path: {path}: no image ({', '.join(sorted(SUFFIXES))}) in it")
    rows = []
    for p in found:
        label = files.get(p.stem) if source == "imagenet-val" else synsets.get(p.parent.name)
        if label is None:
            what = (
                "an ImageNet validation file" if source == "imagenet-val" else "in a folder named by a synset"
            )
            raise AlignsecError(f"images.path: {p}: not {what}: its label is unknown; remove it")
        rows.append((p.relative_to(path).as_posix(), p, label))
    return rows


def size(source: str, path: str | None) -> int:
    """How many labelled images the source has."""
    if source in ("digits", "npz"):
        return len(_arrays(source, path)[1])
    return len(_files(source, Path(str(path))))


def shard(source: str, path: str | None, start: int, stop: int, seed: int) -> "pd.DataFrame":
    """Images `start` to `stop` (exclusive) of the seeded order: a table of kind ``images``.

    `path` is ``<source>:<index>`` for arrays, else the file; `sha256` is of the float32 pixels or the file.

    Raises
    ------
    AlignsecError
        The source is missing or damaged, or has fewer images than asked for.
    """
    import numpy as np
    import pandas as pd

    n = size(source, path)
    if stop > n:
        raise AlignsecError(
            f"images.count: {stop} images asked for, but {source} has {n}: lower images.count"
        )
    order = np.random.default_rng(seed).permutation(n)[start:stop]
    rows: list[tuple[str, str, int, str]] = []
    if source in ("digits", "npz"):
        x, y = _arrays(source, path)
        place = source if path is None else f"{source}:{path}"
        rows = [
            (f"{source}-{i:05d}", f"{place}:{i}", int(y[i]), _sha256(x[i].tobytes())) for i in order.tolist()
        ]
    else:
        files = _files(source, Path(str(path)))
        for i in order.tolist():
            name, file, label = files[i]
            rows.append((name, str(file), label, _sha256(file.read_bytes())))
    return pd.DataFrame(rows, columns=COLUMNS)


def gather(shards: Iterable["pd.DataFrame"]) -> "pd.DataFrame":
    """The shards as one manifest, in order."""
    import pandas as pd

    return pd.concat(list(shards), ignore_index=True)


def load(
    manifest: "pd.DataFrame", preprocess: Callable[[Sequence[Path]], "np.ndarray"] | None = None
) -> tuple["np.ndarray", "np.ndarray"]:
    """Pixels (N, C, H, W) float32 in [0, 1] and labels (N,) int64 of a manifest, checksums verified.

    `preprocess` turns files into pixels as the model's own resize and crop do; arrays are taken as they are.

    Raises
    ------
    AlignsecError
        An image is gone or not the one of the manifest, or the model cannot read the source.
    """
    import numpy as np

    labels = manifest["label"].to_numpy(np.int64)
    paths = list(manifest["path"])
    if paths[0] == "digits" or paths[0].split(":", 1)[0] in ("digits", "npz"):
        pixels = []
        for text, expected in zip(paths, manifest["sha256"], strict=True):
            source, _, rest = text.partition(":")
            path, _, index = rest.rpartition(":")
            image = _arrays(source, path or None)[0][int(index)]
            if _sha256(image.tobytes()) != expected:
                raise AlignsecError(
                    f"image {text} is not the one of the manifest: delete images/ and run again"
                )
            pixels.append(image)
        return np.stack(pixels), labels
    for text, expected in zip(paths, manifest["sha256"], strict=True):
        try:
            found = _sha256(Path(text).read_bytes())
        except OSError as error:
            raise AlignsecError(f"image {text} cannot be read: {error.strerror}") from error
        if found != expected:
            raise AlignsecError(
                f"image {text} changed since the manifest was made: delete images/ and run again"
            )
    if preprocess is None:
        raise AlignsecError(
            "this model source has no preprocessing for image files: use digits or npz images"
        )
    return np.ascontiguousarray(preprocess([Path(p) for p in paths]), dtype=np.float32), labels
