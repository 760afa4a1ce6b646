"""`alignsec images`: labelled images in one seeded order."""

from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import Out, group, warn

app = group("Labelled images.")
Stratified = Annotated[bool, typer.Option(help="Equally many of each class.")]


@app.command()
def shard(
    source: str,
    out: Out,
    start: Annotated[int, typer.Option(help="First image.")],
    stop: Annotated[int, typer.Option(help="The image after the last.")],
    seed: int = 0,
    path: str | None = None,
    stratified: Stratified = False,
    clip: Annotated[bool, typer.Option(help="Of a smaller source, take all.")] = False,
) -> None:
    """List images START to STOP of the seeded order with their labels and checksums."""
    from alignsec.ground import tables
    from alignsec.images import shards

    stop = min(stop, shards.size(source, path)) if clip else stop
    found = shards.cut(source, path, start, stop, seed, stratified)
    warn(found.attrs["warnings"])
    tables.write(found, out, "images")


@app.command()
def check(
    source: str,
    path: str | None = None,
    corruption: Annotated[list[str] | None, typer.Option(help="To be made on the fly.")] = None,
) -> None:
    """Refuse corruptions that cannot be made of a source's images."""
    from alignsec.images.corrupt import check_source

    check_source(source, path, corruption or ())


@app.command()
def pack(
    source: str,
    out: Annotated[Path, typer.Option(help="Folder for the packs.")],
    count: Annotated[int, typer.Option(help="Images.")],
    per_shard: Annotated[int, typer.Option(help="Images of one archive: attack.images_per_shard.")],
    path: str | None = None,
    seed: int = 0,
    stratified: Stratified = False,
) -> None:
    """Write images as one archive per shard, for machines without a shared file system."""
    from alignsec.images import packing

    print(packing.pack(source, path, count, per_shard, out, seed, stratified))


@app.command()
def gather(
    folder: Annotated[Path, typer.Argument(help="Folder of the shards.")],
    count: Annotated[int, typer.Option(help="How many shards.")],
    out: Out,
) -> None:
    """Write the first COUNT shards of a folder as one manifest."""
    from alignsec.ground import tables
    from alignsec.images import shards
    from alignsec.study.layout import shard_tables

    parts = [tables.read(path, "images") for path in shard_tables(folder, count)]
    whole = shards.gather(parts)
    warn(shards.contradictions(whole))
    tables.write(whole, out, "images")
