"""Images as one archive per shard, for machines that share no file system: written once, sent whole, checked.

A folder of packs holds ``index.json``, and for every shard its table ``<shard>.parquet`` and its archive
``<shard>.tar`` with the image files as they are (arrays as ``.npy``). The archives may lie elsewhere
(`images.address`): index and tables are small and stay with the study.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.study.layout import shard_table

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
INDEX = "index.json"


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder of packs, read again when its file has changed.

    Raises
    ------
    AlignsecError
        There is none, or one of another format.
    """
    path = folder / INDEX
    known = path.stat() if path.is_file() else None
    return _index(folder, known and (known.st_ino, known.st_mtime_ns, known.st_size))


@lru_cache(maxsize=4)
def _index(folder: Path, version: tuple[int, int, int] | None) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AlignsecError(
            f"images.path: {folder}: no folder of packs ({error}): make one with `alignsec images pack`"
        ) from error
    if index.get("format") != FORMAT:
        raise AlignsecError(f"images.path: {folder}/{INDEX}: format {index.get('format')}, expected {FORMAT}")
    return index


def archive_of(table: Path) -> Path:
    """The archive of a shard's images, beside its table."""
    return table.with_suffix(".tar")


def size(folder: Path) -> int:
    """How many images the packs hold."""
    return sum(s["images"] for s in read_index(folder)["shards"])


def covering(folder: Path, start: int, stop: int) -> list[dict[str, Any]]:
    """Entries of the archives that hold images `start` to `stop` (exclusive), with the archives' paths."""
    index = read_index(folder)
    per = index["per_shard"]
    entries = index["shards"][start // per : -(-stop // per)]
    return [{**e, "path": str(folder / e["name"])} for e in entries]


def cut(folder: Path, start: int, stop: int, seed: int, stratified: bool) -> "pd.DataFrame":
    """Rows `start` to `stop` of the packs' tables, kind ``images``; the archives need not be there.

    Raises
    ------
    AlignsecError
        The packs are of another order than the study's.
    """
    import pandas as pd

    index = read_index(folder)
    for key, wanted in (("seed", seed), ("stratified", stratified)):
        if index[key] != wanted:
            raise AlignsecError(
                f"images.path: {folder}: packed with {key} {index[key]}, the study has {wanted}: pack again "
                f"or set {key} to {index[key]}"
            )
    parts = [
        tables.read(shard_table(folder, Path(e["name"]).stem), "images")
        for e in covering(folder, start, stop)
    ]
    rows = pd.concat(parts, ignore_index=True)
    first = start // index["per_shard"] * index["per_shard"]
    rows = rows.iloc[start - first : stop - first].reset_index(drop=True)
    rows["path"] = [p.replace("tar:", f"tar:{folder}/", 1) for p in rows["path"]]
    return rows
