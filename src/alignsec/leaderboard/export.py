"""Any published Brain-Score export to tidy scores and a benchmark tree.

What was exported over the years, all accepted (`Parsed.variant` says which was seen): a flat CSV with
`model_name` and one column per benchmark id, with or without `layers`, `rank` and `model_id`; and a ZIP of
`leaderboard.csv` with `plugin-info.csv`, `#` comment lines and display names.
"""

import csv
import io
import math
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground import downloads
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.leaderboard.tree import build, canonical_names, display_name, tree_order

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_Row = tuple[int, list[str]]  # its line in the file, its cells

PUBLISHED_RANGE = (-0.067, 1.2)  # of every score published up to May 2025
_META = {"model_name", "model", "model_id", "rank", "layers", "filtered_score"}
_LARGEST = 200 * 2**20  # bytes of leaderboard.csv inside a ZIP; real ones are below 1 MB


@dataclass(frozen=True)
class Parsed:
    """One leaderboard: tables of kind ``scores`` and ``benchmarks``, and what a reader should know."""

    scores: "pd.DataFrame"
    benchmarks: "pd.DataFrame"
    variant: str
    duplicates: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)  # rows that another stands for: name, why


def fetch(source: str, out: Path | str, sha256: str | None) -> str:
    """Copy a leaderboard file or download an address to `out` (`downloads.fetch`); return its SHA-256."""
    return downloads.fetch(source, out, sha256, key="leaderboard.source")


def parse(path: Path | str) -> Parsed:
    """Read one export.

    A cell ``X`` is ``failed``, an empty one ``missing``. Of several rows of one model the one with the most
    numeric leaf scores is kept, then the one with the highest model id (without ids the first). Names are
    kept to the letter: names that differ in a leading space are different submissions.

    Raises
    ------
    AlignsecError
        Not an export (HTML, a damaged ZIP, not CSV, no model column, …) or a damaged cell; the message names
        the file, the line and the column.
    """
    import numpy as np
    import pandas as pd

    path = Path(path)
    text, zipped = _text(path)
    header, rows = _rows(text, path)
    keys = [_key(name) for name in header]
    model_column = _model_column(header, keys, path)
    columns, names = _benchmarks(header, keys, path)
    values, status, warnings = _cells(rows, columns, header, path)
    models = [row[model_column] for _, row in rows]
    blank = [number for (number, _), name in zip(rows, models, strict=True) if not name.strip()]
    if blank:
        raise AlignsecError(
            f"{path}:{blank[0]}: column {header[model_column]!r} is empty: every row needs a model"
        )
    benchmarks, notes = build(names, values, breadth_first=zipped)
    n_leaves = np.isfinite(values[:, benchmarks["is_leaf"].to_numpy()]).sum(1)
    kept = _one_each(models, list(zip(n_leaves, _model_ids(rows, keys), strict=True)))
    scores = pd.DataFrame(
        {
            "model": np.repeat(np.array(models, dtype=object)[kept], len(names)),
            "benchmark": np.tile(np.array(names, dtype=object), len(kept)),
            "score": values[kept].ravel(),
            "status": status[kept].ravel(),
        }
    )
    benchmarks["n_scored"] = np.isfinite(values[kept]).sum(0)
    order = tree_order(dict(zip(names, benchmarks["parent"], strict=True)))
    benchmarks = benchmarks.set_index("benchmark").loc[order].reset_index()
    extra = [k for k in ("layers", "model_id", "rank") if k in keys]
    if zipped:
        variant = "ZIP with leaderboard.csv"
    else:
        variant = "CSV by benchmark id" + (f" with {', '.join(extra)}" if extra else "")
    duplicates = _duplicates(models, kept, [number for number, _ in rows])
    dropped = _dropped(models, kept, [number for number, _ in rows])
    return Parsed(scores, benchmarks, variant, duplicates, warnings + notes, dropped)


# ---- of several rows of one model, one ---------------------------------------------------------------------


def _one_each(models: list[str], merits: list[tuple[int, int]]) -> list[int]:
    """Of each model the row of the greatest merit, of equals the first; in the order of the models."""
    best: dict[str, int] = {}
    for i, name in enumerate(models):
        if merits[i] > merits[best.setdefault(name, i)]:
            best[name] = i
    return list(best.values())


def _dropped(models: list[str], kept: list[int], lines: list[int]) -> list[tuple[str, str]]:
    """A row for each that is not kept."""
    by_name = {models[i]: i for i in kept}
    return [
        (name, f"line {lines[i]}: line {lines[by_name[name]]} of the same name is kept")
        for i, name in enumerate(models)
        if by_name[name] != i
    ]


def _duplicates(models: list[str], kept: list[int], lines: list[int]) -> list[str]:
    """A sentence for each model with several rows."""
    of_model: dict[str, list[int]] = {}
    for name, line in zip(models, lines, strict=True):
        of_model.setdefault(name, []).append(line)
    return [
        f"{models[i]!r}: lines {', '.join(map(str, found))}; kept line {lines[i]}"
        for i in kept
        if len(found := of_model[models[i]]) > 1
    ]


# ---- the file ----------------------------------------------------------------------------------------------


def _text(path: Path) -> tuple[str, bool]:
    """The CSV text, and whether it came out of a ZIP."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AlignsecError(f"{path}: cannot be read: {error.strerror}") from error
    zipped = raw[:2] == b"PK"
    if zipped:
        # read in memory: nothing of an archive is ever extracted
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                members = [m for m in archive.infolist() if Path(m.filename).name == "leaderboard.csv"]
                if not members:
                    listing = ", ".join(archive.namelist()[:5])
                    raise AlignsecError(f"{path}: the ZIP holds no leaderboard.csv, only {listing}")
                if members[0].file_size > _LARGEST:
                    raise AlignsecError(f"{path}: leaderboard.csv in the ZIP is larger than {_LARGEST} bytes")
                raw = archive.read(members[0])
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            raise AlignsecError(f"{path}: a truncated or damaged ZIP ({error}): download it again") from error
    start = raw[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise AlignsecError(
            f"{path}:1: a web page (HTML), not a CSV file: save the leaderboard's CSV export, not the page"
        )
    if not raw.strip():
        raise AlignsecError(f"{path}: the file is empty")
    if b"\0" in raw:
        raise AlignsecError(f"{path}: binary data, neither a CSV file nor a ZIP")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise AlignsecError(
            f"{path}:{line}: not UTF-8 text (byte {error.start}): not a CSV export"
        ) from error
    if text.strip().rstrip(".").lower() == "no models submitted yet":
        raise AlignsecError(
            f"{path}: the leaderboard says that no models were submitted yet: nothing to study"
        )
    return text, zipped


def _rows(text: str, path: Path) -> tuple[list[str], list[_Row]]:
    """Header, and the rows with their line numbers; leading comment lines are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[_Row] = []
    last = 0
    try:
        for row in reader:
            number, last = last + 1, reader.line_num
            if not row or (header is None and row[0].lstrip().startswith("#")):
                continue
            if header is None:
                header = row
                header_line = number
                continue
            if len(row) != len(header):
                raise AlignsecError(
                    f"{path}:{number}: {len(row)} cells where the header has {len(header)} columns: "
                    "the file is damaged or cut off here"
                )
            rows.append((number, row))
    except csv.Error as error:
        raise AlignsecError(f"{path}:{last + 1}: not a CSV file: {error}") from error
    if header is None:
        raise AlignsecError(f"{path}: the file has no header")
    if len(header) < 2:
        raise AlignsecError(f"{path}:{header_line}: not a CSV file: one column only ({header[0][:60]!r})")
    named = [h for h in header if h]
    twice = [h for h, count in Counter(named).items() if count > 1]
    if twice:
        where = [i + 1 for i, h in enumerate(header) if h == twice[0]]
        raise AlignsecError(
            f"{path}:{header_line}: column {twice[0]!r} occurs twice in the header (columns {where}): "
            "remove one"
        )
    if len(named) < len(header):
        raise AlignsecError(f"{path}:{header_line}: column {header.index('') + 1} has no name")
    if not rows:
        raise AlignsecError(f"{path}: the file has a header and no model")
    return header, rows


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _model_column(header: list[str], keys: list[str], path: Path) -> int:
    for wanted in ("model_name", "model"):
        if wanted in keys:
            return keys.index(wanted)
    near = closest("model_name", header)[0][0]
    raise AlignsecError(
        f"{path}:1: column 'model_name' (or 'Model') is missing: not a Brain-Score export "
        f"(nearest column: {near!r})"
    )


def _benchmarks(header: list[str], keys: list[str], path: Path) -> tuple[list[int], list[str]]:
    """Columns of benchmarks, and the benchmarks' ids."""
    canonical = canonical_names()
    columns = [i for i, key in enumerate(keys) if key not in _META]
    names = [canonical.get(display_name(header[i]), header[i]) for i in columns]
    if not columns:
        raise AlignsecError(f"{path}: no benchmark column; the header is {', '.join(header)}")
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        where = [header[i] for i, n in zip(columns, names, strict=True) if n == twice[0]]
        raise AlignsecError(f"{path}:1: columns {where} name the same benchmark {twice[0]!r}: remove one")
    return columns, names


def _model_ids(rows: list[_Row], keys: list[str]) -> list[int]:
    if "model_id" not in keys:
        return [0] * len(rows)
    column = keys.index("model_id")
    return [int(row[column]) if row[column].strip().isdigit() else -1 for _, row in rows]


def _cells(
    rows: list[_Row], columns: list[int], header: list[str], path: Path
) -> tuple["npt.NDArray[np.float64]", "npt.NDArray[np.object_]", list[str]]:
    """Scores and their status, (rows, benchmarks) each; warnings of scores outside the published range."""
    import numpy as np

    values = np.full((len(rows), len(columns)), np.nan)
    status = np.full((len(rows), len(columns)), "missing", dtype=object)
    outside: list[str] = []
    low, high = PUBLISHED_RANGE
    for r, (number, row) in enumerate(rows):
        for c, i in enumerate(columns):
            cell = row[i].strip()
            if not cell:
                continue
            if cell == "X":
                status[r, c] = "failed"
                continue
            try:
                value = float(cell)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise AlignsecError(
                    f"{path}:{number}: column {header[i]!r}: {cell[:40]!r} is no score: expected are a "
                    "number, X (failed) or nothing (not run)"
                )
            values[r, c], status[r, c] = value, "scored"
            if not low <= value <= high:
                outside.append(
                    f"{path}:{number}: column {header[i]!r}: {cell} is outside the published range"
                )
    warnings = outside[:20]
    if len(outside) > 20:
        warnings.append(
            f"{path}: {len(outside) - 20} more scores outside the published range {low} to {high}"
        )
    return values, status, warnings
