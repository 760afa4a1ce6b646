"""The ZIP that the site exports: `leaderboard.csv`, and `plugin-info.csv`, which lists models and leaves."""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tabular import table_of
from alignsec.ground.tabular.binary import BAD_ZIP
from alignsec.leaderboard.tree import AREAS, display_name

_LARGEST = 200 * 2**20  # bytes of a file inside the ZIP; real ones are below 1 MB


@dataclass(frozen=True)
class Unpacked:
    """A ZIP export.

    Parameters
    ----------
    table : the bytes of `leaderboard.csv`
    leaves : short names of the benchmarks without children; None where no `plugin-info.csv` tells
    areas : short name of a benchmark to the visual area that its data are of
    """

    table: bytes
    leaves: frozenset[str] | None = None
    areas: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def of(self, names: Iterable[str]) -> tuple[set[str] | None, dict[str, str]]:
        """Which of the benchmarks are leaves, and the areas of those that have one.

        None where no column is among the leaves listed: then the list is not of this leaderboard.
        """
        short = {name: display_name(name) for name in names}
        leaves = {name for name, s in short.items() if s in (self.leaves or ())}
        return leaves or None, {name: self.areas[s] for name, s in short.items() if s in self.areas}


def is_export(raw: bytes, path: Path) -> bool:
    """Is it a ZIP, and no spreadsheet?

    Raises
    ------
    AlignsecError
        A damaged ZIP.
    """
    if not raw.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return "xl/workbook.xml" not in archive.namelist()
    except BAD_ZIP as error:
        raise AlignsecError(f"{path}: a truncated or damaged ZIP ({error}): download it again") from error


def unpack(raw: bytes, path: Path) -> Unpacked:
    """Read it in memory: nothing of an archive is ever extracted.

    Raises
    ------
    AlignsecError
        Damaged, too large, or without a `leaderboard.csv`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            table = _member(archive, "leaderboard.csv", path)
            if table is None:
                listing = ", ".join(archive.namelist()[:5])
                raise AlignsecError(f"{path}: the ZIP holds no leaderboard.csv, only {listing}")
            info = _member(archive, "plugin-info.csv", path)
    except BAD_ZIP as error:
        raise AlignsecError(f"{path}: a truncated or damaged ZIP ({error}): download it again") from error
    if info is None:
        return Unpacked(table)
    try:
        return Unpacked(table, *_told(info, path))
    except AlignsecError as error:
        told = f"{path}: plugin-info.csv tells no leaves ({error}): its columns have to"
        return Unpacked(table, warnings=[told])


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes | None:
    found = next((m for m in archive.infolist() if Path(m.filename).name == name), None)
    if found is None:
        return None
    if found.file_size > _LARGEST:
        raise AlignsecError(f"{path}: {name} in the ZIP is larger than {_LARGEST} bytes")
    return archive.read(found)


def _told(info: bytes, path: Path) -> tuple[frozenset[str], dict[str, str]]:
    """Leaves and areas of `plugin-info.csv`."""
    table = table_of(info, path / "plugin-info.csv")
    name, kind, metadata = (table.find(c) for c in ("plugin_name", "plugin_type", "metadata"))
    if name is None or kind is None:
        raise AlignsecError(f"{table.path}: columns plugin_name and plugin_type are expected")
    rows = [row for row in table.rows if row[kind].strip().lower() == "benchmark"]
    areas = {}
    if metadata is not None:
        for row in rows:
            area = _area(row[metadata])
            if area in AREAS:
                areas[display_name(row[name])] = area
    return frozenset(display_name(row[name]) for row in rows), areas


def _area(metadata: str) -> str | None:
    """``Data.region`` of a benchmark's metadata, which is JSON."""
    try:
        found = json.loads(metadata)["Data"]["region"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found.strip() if isinstance(found, str) else None
