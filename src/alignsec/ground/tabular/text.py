"""Bytes to text, and text to records: encodings, delimiters, damaged files."""

import contextlib
import csv
import io
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from alignsec.ground.errors import AlignsecError

LARGEST = 100 * 2**20  # bytes of a table, unpacked; real ones are below 10 MB
MOST_CELLS = 10_000_000
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig", "UTF-8 with BOM"),
    (b"\xff\xfe\0\0", "utf-32", "UTF-32"),
    (b"\0\0\xfe\xff", "utf-32", "UTF-32"),
    (b"\xff\xfe", "utf-16", "UTF-16"),
    (b"\xfe\xff", "utf-16", "UTF-16"),
)
# single-byte encodings whose letters agree with Windows-1252 in nearly all Western text
_WESTERN = {"cp1252", "latin_1", "iso8859_15", "iso8859_9", "cp1254", "iso8859_14", "iso8859_3", "cp1257"}
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True)
class Grid:
    """Records of a table before anything is made of them: the rows may still be of unequal length."""

    header: list[str]
    header_line: int
    rows: list[list[str]]
    lines: list[int]
    found: tuple[str, ...]


def decode(raw: bytes, path: Path) -> tuple[str, str]:
    """The text, and the encoding's name for people.

    Raises
    ------
    AlignsecError
        Empty, a web page, binary data, or text of an encoding that cannot be told safely.
    """
    if not raw.strip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0"):
        raise AlignsecError(f"{path}: the file is empty")
    text, name = _decoded(raw, path)
    start = text[:512].lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<head", "<table")):
        raise AlignsecError(
            f"{path}:1: a web page (HTML), not a CSV file: save the table itself as CSV, not the page"
        )
    found = _BINARY.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise AlignsecError(
            f"{path}:{line}: binary data, not a table: expected are CSV (also gzipped), .xlsx or Parquet"
        )
    return text.removeprefix("\ufeff"), name


def _decoded(raw: bytes, path: Path) -> tuple[str, str]:
    codec, name = next(((c, n) for mark, c, n in _BOMS if raw.startswith(mark)), None) or _without_bom(raw)
    try:
        return raw.decode(codec), name
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        if codec != "utf-8":
            raise AlignsecError(
                f"{path}:{line}: damaged {name} text (byte {error.start}): save the table again, as UTF-8"
            ) from error
        return _not_utf8(raw, error.start, line, path)


def _without_bom(raw: bytes) -> tuple[str, str]:
    """UTF-16 text without its mark shows in zero bytes at every other place."""
    head = raw[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(raw) % 2 == 0 and len(head) >= 8:
        if odd > 0.7 * len(head[1::2]) and not even:
            return "utf-16-le", "UTF-16"
        if even > 0.7 * len(head[::2]) and not odd:
            return "utf-16-be", "UTF-16"
    return "utf-8", "UTF-8"


def _not_utf8(raw: bytes, at: int, line: int, path: Path) -> tuple[str, str]:
    """Western 8-bit text is read; of another encoding the likely name is told."""
    import charset_normalizer

    # around the first such byte: what is before it is ASCII and says nothing
    best = charset_normalizer.from_bytes(raw[max(0, at - 1000) : at + 8000]).best()
    text = _western(raw)
    wide = best is not None and best.multi_byte_usage > 0.1
    if best is not None and best.encoding not in _WESTERN and (wide or text is None):
        raise AlignsecError(
            f"{path}:{line}: not UTF-8 text (byte {at}) but, it seems, {best.encoding}: save it as UTF-8 "
            f"(iconv -f {best.encoding} -t UTF-8, or 'CSV UTF-8' in a spreadsheet)"
        )
    if text is None:
        raise AlignsecError(
            f"{path}:{line}: binary data, or text of an unknown encoding (byte {at}): save it as UTF-8"
        )
    return text, "Windows-1252 (Latin-1; save it as UTF-8 if a name looks wrong)"


def _western(raw: bytes) -> str | None:
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return None if _BINARY.search(text) else text


def records(text: str, path: Path) -> Grid:
    """Header and rows of delimited text, with the line where each begins.

    Comment lines before the header are left out.

    Raises
    ------
    AlignsecError
        No header, or quotes that do not close: the file and the line.
    """
    declared = re.match(r"sep=(.)[\r\n]", text, re.IGNORECASE)  # Excel's way to name the delimiter
    delimiter = declared[1] if declared and declared[1] in DELIMITERS else delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    header_line = last = cells = 0
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            number, last = last + 1, reader.line_num
            if header is None and (not row or row[0].lstrip().startswith("#") or (declared and number == 1)):
                continue
            if header is None:
                if any(c.strip() for c in row):
                    header, header_line = row, number
                continue
            rows.append(row)
            lines.append(number)
            cells += len(row)
            if cells > MOST_CELLS:
                raise AlignsecError(f"{path}:{number}: more than {MOST_CELLS} cells: too large for a table")
    except csv.Error as error:
        raise AlignsecError(f"{path}:{last + 1}: not a CSV file: {error}") from error
    if header is None:
        raise AlignsecError(f"{path}: the file has no header")
    return Grid(header, header_line, rows, lines, (DELIMITERS[delimiter],))


def delimiter_of(text: str) -> str:
    r"""The delimiter that cuts header and rows alike, of those that occur in the header.

    >>> delimiter_of("model;value\na;0,5\nb;0,7\n")
    ';'
    """
    best, delimiter = (0.0, 0), ","
    for candidate in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=candidate)
        sample: list[list[str]] = []
        with contextlib.suppress(csv.Error):
            sample.extend(islice((r for r in reader if r and not r[0].lstrip().startswith("#")), 100))
        if not sample or len(sample[0]) < 2:
            continue
        width = len(sample[0])
        alike = sum(len(r) == width for r in sample) / len(sample)
        if (alike, width) > best:
            best, delimiter = (alike, width), candidate
    return delimiter
