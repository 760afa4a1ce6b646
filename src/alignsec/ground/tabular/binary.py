"""Tables that are no text: spreadsheets (.xlsx) and Parquet, within limits that no archive bomb passes."""

import io
import re
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tabular.text import LARGEST, MOST_CELLS, Grid

if TYPE_CHECKING:
    import pyarrow as pa

_INDEX = re.compile(r"__index_level_\d+__")
# what reading a ZIP raises where it is damaged, encrypted or packed in an unknown way
BAD_ZIP = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)
_DAMAGED = "a truncated or damaged spreadsheet: save it again, as .xlsx or as CSV"


def workbook(raw: bytes, path: Path) -> Grid:
    """The first sheet that holds anything; its rows are numbered as the spreadsheet does.

    Raises
    ------
    AlignsecError
        A ZIP that is no .xlsx, damaged or too large; a formula whose value was never computed.
    """
    formulas = _checked(raw, path)
    sheets = _sheets(raw, path, computed=True)
    filled = [name for name, rows in sheets.items() if rows]
    if not filled:
        raise AlignsecError(f"{path}: the spreadsheet is empty")
    rows = sheets[filled[0]]
    if formulas:
        values = dict(rows)
        for number, cells in _sheets(raw, path, computed=False)[filled[0]]:
            known = values.get(number, [])
            for j, cell in enumerate(cells):
                if cell.startswith("=") and not (j < len(known) and known[j]):
                    raise AlignsecError(
                        f"{path}:{number}: column {j + 1} holds the formula {cell[:40]!r}, whose value was "
                        "never computed: open the file in a spreadsheet program and save it"
                    )
    found = [".xlsx"]
    if len(filled) > 1:
        found.append(f"sheet {filled[0]!r} ({', '.join(map(repr, filled[1:4]))} not read)")
    (header_line, header), *rest = rows
    width = max(len(cells) for _, cells in rows)
    pad = [cells + [""] * (width - len(cells)) for _, cells in rest]
    return Grid(header + [""] * (width - len(header)), header_line, pad, [n for n, _ in rest], tuple(found))


def _checked(raw: bytes, path: Path) -> bool:
    """Refuse what is no .xlsx or could exhaust memory; does any sheet hold a formula?"""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            names = {m.filename for m in members}
            if "xl/workbook.xml" not in names:
                listing = ", ".join(sorted(names)[:5])
                raise AlignsecError(
                    f"{path}: a ZIP that is no .xlsx spreadsheet (it holds {listing}): unpack it and give "
                    "the table in it, or save the table as CSV"
                )
            if sum(m.file_size for m in members) > LARGEST:
                raise AlignsecError(f"{path}: the spreadsheet unpacks to more than {LARGEST} bytes")
            parts = [archive.read(m) for m in members if m.filename.endswith((".xml", ".rels"))]
    except BAD_ZIP as error:
        raise AlignsecError(f"{path}: {_DAMAGED} ({error})") from error
    # without zero bytes, so in UTF-16 too
    if any(b"<!ENTITY" in (plain := p.replace(b"\0", b"")) or b"<!DOCTYPE" in plain for p in parts):
        raise AlignsecError(f"{path}: the spreadsheet defines XML entities, which none needs: save it as CSV")
    return any(re.search(rb"<f[ >]", p) for p in parts)


def _sheets(raw: bytes, path: Path, computed: bool) -> dict[str, list[tuple[int, list[str]]]]:
    """Of every sheet its rows that hold anything, each with its number."""
    import openpyxl

    found: dict[str, list[tuple[int, list[str]]]] = {}
    cells = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it leaves out
            book = openpyxl.load_workbook(
                io.BytesIO(raw), read_only=True, data_only=computed, keep_links=False
            )
            for sheet in book.worksheets:
                sheet.reset_dimensions()
                rows = found.setdefault(sheet.title, [])
                for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
                    row = [_spelled(v) for v in values]
                    cells += len(row) + 1
                    if cells > MOST_CELLS:
                        raise AlignsecError(f"{path}: more than {MOST_CELLS} cells: too large for a table")
                    if any(row):
                        rows.append((number, row))
            book.close()
    except AlignsecError:
        raise
    except Exception as error:
        raise AlignsecError(f"{path}: {_DAMAGED} ({type(error).__name__}: {str(error)[:200]})") from error
    return found


def _spelled(value: Any) -> str:
    """A cell as text that reads back to the same number."""
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, bool):
        return str(value).upper()
    return repr(value) if isinstance(value, float) else str(value)


def parquet(raw: bytes, path: Path) -> Grid:
    """A Parquet table; rows are counted from 1, an index without a name that holds numbers is left out.

    Raises
    ------
    AlignsecError
        Damaged, too large, or a column of lists or other nested values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(raw))
        meta = file.metadata
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if meta.num_rows * meta.num_columns > MOST_CELLS or size > LARGEST:
            raise AlignsecError(
                f"{path}: {meta.num_rows} rows of {meta.num_columns} columns: too large for a table"
            )
        table = file.read()
        # pandas appends an index without a name; in front it is told as one
        table = table.select(sorted(table.column_names, key=lambda n: not _INDEX.fullmatch(n)))
        columns = [_column(table.column(i), name, path) for i, name in enumerate(table.column_names)]
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, TypeError) as error:
        raise AlignsecError(f"{path}: a truncated or damaged Parquet file ({str(error)[:200]})") from error
    rows = [list(cells) for cells in zip(*columns, strict=True)]
    header = ["" if _INDEX.fullmatch(n) else n for n in table.column_names]
    return Grid(header, 0, rows, list(range(1, len(rows) + 1)), ("Parquet",))


def _column(column: "pa.ChunkedArray", name: str, path: Path) -> list[str]:
    import numpy as np
    import pyarrow as pa

    if pa.types.is_nested(column.type):
        raise AlignsecError(f"{path}: column {name!r} holds {column.type}: expected are texts and numbers")
    single = pa.types.is_float32(column.type) or pa.types.is_float16(column.type)
    values = column.to_pylist()
    # a float32 .55 is .550000011920929 as a double: spelled as what it was
    return [_spelled(v) if not single or v is None or v != v else str(np.float32(v)) for v in values]
