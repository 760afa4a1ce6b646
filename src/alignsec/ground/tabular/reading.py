"""Whatever holds a table becomes a `Table` of text, or an error that says why not."""

import itertools
import re
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tabular.binary import parquet, workbook
from alignsec.ground.tabular.table import Table
from alignsec.ground.tabular.text import LARGEST, Grid, decode, records

_UNNAMED = re.compile(r"(Unnamed: \d+(\.\d+)?)?")  # as pandas reads and writes again a column without a name


def read_table(path: Path | str, *, pad: bool = False) -> Table:
    """Read a table from CSV, .xlsx or Parquet, plain or gzipped.

    CSV is separated by commas, semicolons or tabs, with decimal points or commas, in UTF-8, UTF-16 or
    Windows-1252. What spreadsheets and pandas add is left out and said in `Table.understood`: an index column
    without a name, empty columns without a name, blank rows, comment lines (``#``) before the header.

    Parameters
    ----------
    pad : fill up rows that are shorter than the header, instead of refusing them as cut off

    Raises
    ------
    AlignsecError
        No such file, no table (a web page, binary data, another archive, an old .xls), damaged, larger than
        100 MiB unpacked, no or an ambiguous header, no row, a row of another length; the message names the
        file, the line and the remedy.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("model;value\\na;0,5\\nb;NA\\n", encoding="utf-16")
    >>> table = read_table(path)
    >>> table.understood, table.number(0, 1).value, table.number(1, 1), table.lines
    ('UTF-16, semicolons, decimal commas, 2 rows', 0.5, None, [2, 3])
    """
    path = Path(path)
    return table_of(content(path), path, pad=pad)


def content(path: Path) -> bytes:
    """The bytes of a regular file of at most 100 MiB; the message of a failure names it."""
    try:
        if not path.is_file():
            raise AlignsecError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
        if path.stat().st_size > LARGEST:
            raise AlignsecError(f"{path}: larger than {LARGEST} bytes: no table for this program")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise AlignsecError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from error


def table_of(raw: bytes, path: Path, *, pad: bool = False) -> Table:
    """As `read_table`, of bytes that came from elsewhere (a member of an archive); `path` is for messages."""
    zipped = raw.startswith(b"\x1f\x8b")
    if zipped:
        raw = _gunzip(raw, path)
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        grid = workbook(raw, path)
    elif raw.startswith(b"PAR1"):
        grid = parquet(raw, path)
    elif raw.startswith(b"\xd0\xcf\x11\xe0"):
        raise AlignsecError(
            f"{path}: an old Excel file (.xls) or an encrypted one: save it as .xlsx without a password, "
            "or as CSV"
        )
    else:
        text, encoding = decode(raw, path)
        grid = records(text, path)
        grid = replace(grid, found=(encoding, *grid.found))
    if zipped:
        grid = replace(grid, found=("gzip", *grid.found))
    return _table(grid, path, pad)


def _gunzip(raw: bytes, path: Path) -> bytes:
    """All members of a gzip file, up to the limit."""
    out = bytearray()
    rest = raw
    try:
        while rest.startswith(b"\x1f\x8b"):
            unpack = zlib.decompressobj(wbits=31)
            out += unpack.decompress(rest, LARGEST + 1 - len(out))
            if len(out) > LARGEST:
                raise AlignsecError(f"{path}: the gzip file unpacks to more than {LARGEST} bytes")
            if not unpack.eof:
                raise AlignsecError(f"{path}: a truncated gzip file: copy or download it again")
            rest = unpack.unused_data
    except zlib.error as error:
        raise AlignsecError(f"{path}: a damaged gzip file ({error}): copy or download it again") from error
    return bytes(out)


def _table(grid: Grid, path: Path, pad: bool) -> Table:
    """Rows of the header's length, without what programs add around a table."""
    found = list(grid.found)
    header = [h.strip() for h in grid.header]
    blank = [not any(c.strip() for c in row) for row in grid.rows]
    rows = [row for row, b in zip(grid.rows, blank, strict=True) if not b]
    lines = [line for line, b in zip(grid.lines, blank, strict=True) if not b]
    if _shifted(header, rows):
        header = ["", *header]  # R names all columns but that of its row names
    rows = [_fitted(row, header, f"{path}:{line}", pad) for row, line in zip(rows, lines, strict=True)]
    if any(blank):
        found.append(f"{sum(blank)} blank row{'s' if sum(blank) > 1 else ''} left out")
    drop = {j for j, h in enumerate(header) if not h and not any(row[j].strip() for row in rows)}
    if drop:
        found.append(f"{len(drop)} empty column{'s' if len(drop) > 1 else ''} left out")
    if rows and 0 not in drop and _is_index(header, [row[0] for row in rows]):
        drop.add(0)
        found.append("an index column left out")
    if drop:
        keep = [j for j in range(len(header)) if j not in drop]
        header = [header[j] for j in keep]
        rows = [[row[j] for j in keep] for row in rows]
    at = f"{path}:{grid.header_line}" if grid.header_line else str(path)
    _check_header(header, at)
    if not rows:
        raise AlignsecError(f"{path}: the table has a header and no row")
    return Table(path, header, rows, lines, grid.header_line, tuple(found))


def _shifted(header: list[str], rows: list[list[str]]) -> bool:
    return (
        bool(rows)
        and all(len(row) == len(header) + 1 for row in rows)
        and bool(header[0])
        and _is_index(["", *header], [row[0] for row in rows])
    )


def _is_index(header: list[str], first: list[str]) -> bool:
    """Is the first column one without a name that numbers the rows?"""
    return (
        len(header) > 1
        and _UNNAMED.fullmatch(header[0]) is not None
        and all(c.strip().isascii() and c.strip().isdigit() for c in first)
        and len(set(first)) == len(first)
    )


def _fitted(row: list[str], header: list[str], place: str, pad: bool) -> list[str]:
    width = len(header)
    if len(row) > width and not any(c.strip() for c in row[width:]):
        return row[:width]
    if len(row) < width and pad:
        return row + [""] * (width - len(row))
    if len(row) != width:
        split = any(
            re.fullmatch(r"\s*[+-]?\d+", a) and re.fullmatch(r"\d+\s*", b) for a, b in itertools.pairwise(row)
        )
        hint = (
            "a comma within a number, in a file separated by commas? Write points, or separate by semicolons"
            if len(row) > width and split
            else "the file is damaged or cut off here"
        )
        raise AlignsecError(f"{place}: {len(row)} cells where the header has {width} columns: {hint}")
    return row


def _check_header(header: list[str], at: str) -> None:
    if len(header) < 2:
        shown = header[0][:60] if header else ""
        raise AlignsecError(
            f"{at}: one column only ({shown!r}): expected is a table whose cells are separated by commas, "
            "semicolons or tabs"
        )
    if "" in header:
        raise AlignsecError(f"{at}: column {header.index('') + 1} has no name: name it, or delete it")
    twice = [h for h, count in Counter(header).items() if count > 1]
    if twice:
        where = [i + 1 for i, h in enumerate(header) if h == twice[0]]
        raise AlignsecError(
            f"{at}: column {twice[0]!r} occurs twice in the header (columns {where}): remove one"
        )
