"""Images written as one archive per shard (`packs`)."""

import io
import json
import tarfile
from pathlib import Path

from alignsec.ground import tables
from alignsec.ground.hashes import file_hash
from alignsec.images import shards, sources
from alignsec.images.packs import FORMAT, INDEX, archive_of
from alignsec.study.layout import shard_name, shard_table


def pack(
    source: str,
    path: str | None,
    count: int,
    per_shard: int,
    out: Path,
    seed: int = 0,
    stratified: bool = False,
) -> Path:
    """Write the first `count` images of the seeded order as packs into the folder `out`; returns its index.

    Shards that are there with the same content are left, so that an interrupted packing goes on.

    Raises
    ------
    AlignsecError
        As `shards.cut`.
    """
    from tqdm import tqdm

    entries = []
    for i, start in enumerate(tqdm(range(0, count, per_shard), unit="shard")):
        table = shard_table(out, shard_name(i))
        archive = archive_of(table)
        rows = shards.cut(source, path, start, min(start + per_shard, count), seed, stratified)
        members = [f"{r.image}{'.npy' if sources.is_array(rows) else ''}" for r in rows.itertuples()]
        packed = rows.assign(path=[f"tar:{archive.name}!{m}" for m in members])
        if not (archive.is_file() and table.is_file() and tables.read(table, "images").equals(packed)):
            with (
                tables.atomic(archive) as temporary,
                tarfile.open(temporary, "w:", format=tarfile.PAX_FORMAT) as tar,
            ):
                for place, member in zip(rows["path"], members, strict=True):
                    _add(tar, member, sources.raw(place))
            tables.write(packed, table, "images")
        entries.append({"name": archive.name, "images": len(rows), "bytes": archive.stat().st_size,
                       "sha256": file_hash(archive)})  # fmt: skip
    index = {"format": FORMAT, "source": source, "seed": seed, "stratified": stratified,
             "per_shard": per_shard, "shards": entries}  # fmt: skip
    tables.write_text(out / INDEX, json.dumps(index, indent=1) + "\n")
    return out / INDEX


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # owner, mode and times as tarfile's defaults, so that the same images give the same bytes
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
