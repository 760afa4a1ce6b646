"""Any published Brain-Score export to tidy scores and a benchmark tree.

What was exported over the years, all accepted (`Parsed.variant` says which was seen): a flat table with
`model_name` and one column per benchmark id, with or without `layers`, `rank` and `model_id`, as CSV or as
spreadsheets and pandas write it again (`alignsec.ground.tabular`); a ZIP of `leaderboard.csv` with
`plugin-info.csv`, which lists the leaves; and the site's own JSON (`alignsec.leaderboard.site`).
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground import downloads
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.ground.tabular import Number, Table, is_missing, table_of
from alignsec.leaderboard import archive, site
from alignsec.leaderboard.tree import (
    Hints,
    build,
    canonical_names,
    display_name,
    known_tree,
    tree_order,
)
from alignsec.study.layout import SITE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

PUBLISHED_RANGE = (-0.067, 1.2)  # of every score published up to May 2025
META = {"model_name", "model", "model_id", "rank", "layers", "filtered_score"}
_LANGUAGE = re.compile(
    r"(average|neural|behavior|engineering)_language\b"
    r"|(Pereira2018|Fedorenko2016|Blank2014|Futrell2018|Tuckute2024|syntaxgym)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Parsed:
    """One leaderboard: tables of kind ``scores`` and ``benchmarks``, and what a reader should know."""

    scores: "pd.DataFrame"
    benchmarks: "pd.DataFrame"
    variant: str
    duplicates: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)  # rows that another stands for: name, why
    understood: str = ""  # how the file was read, for the log


def fetch(source: str, out: Path | str, sha256: str | None) -> str:
    """Copy a leaderboard file or download an address to `out` (`downloads.fetch`); return its SHA-256.

    Of the source ``brain-score.org`` the file is canonical JSON (`site.fetch`).
    """
    if source == SITE:
        return site.fetch(out, sha256)
    return downloads.fetch(source, out, sha256, key="leaderboard.source")


def parse(path: Path | str, categories: "Mapping[str, str] | None" = None) -> Parsed:
    """Read one export.

    A cell ``X`` is ``failed``, one that holds nothing (empty, ``NA``, ``nan``, …) ``missing``. Of several
    rows of one model the one with the most numeric leaf scores is kept, then the one with the highest model
    id (without ids the first). Names are kept to the letter: names that differ in a leading space are
    different submissions.

    Parameters
    ----------
    categories : benchmark to category (neural, behavior, engineering), for those that the export leaves
        without

    Raises
    ------
    AlignsecError
        Not an export (HTML, a damaged ZIP, no table, no model column, a language leaderboard, …) or a damaged
        cell; the message names the file, the line and the column.
    """
    path = Path(path)
    raw = _content(path)
    if raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return _of_site(raw, path, categories or {})
    unpacked = archive.unpack(raw, path) if archive.is_export(raw, path) else None
    table = table_of(raw if unpacked is None else unpacked.table, path)
    parsed = _of_table(table, unpacked, categories or {})
    if table.found[0].startswith("Windows-1252"):
        parsed.warnings.append(f"{path}: no UTF-8 text, read as {table.found[0]}")
    return parsed


def _of_table(table: Table, unpacked: "archive.Unpacked | None", categories: "Mapping[str, str]") -> Parsed:
    import numpy as np
    import pandas as pd

    keys = [_key(name) for name in table.header]
    model_column = _model_column(table, keys)
    columns, names = _benchmarks(table, keys)
    values, status, warnings = cells(table, columns)
    models = [row[model_column] for row in table.rows]
    blank = [r for r, name in enumerate(models) if not name.strip()]
    if blank:
        raise AlignsecError(f"{table.where(blank[0], model_column)} is empty: every row needs a model")
    hints = Hints(known_tree())
    if unpacked is not None:
        leaves, areas = unpacked.of(names)
        hints = Hints(known_tree(), leaves, areas)
    benchmarks, notes = build(names, values, hints, categories)
    notes += [] if unpacked is None else unpacked.warnings
    n_leaves = np.isfinite(values[:, benchmarks["is_leaf"].to_numpy()]).sum(1)
    kept = _one_each(models, list(zip(n_leaves, _model_ids(table.rows, keys), strict=True)))
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
    if unpacked is not None:
        variant = "ZIP with leaderboard.csv"
    else:
        kind = "table" if {".xlsx", "Parquet"} & set(table.found) else "CSV"
        variant = f"{kind} by benchmark id" + (f" with {', '.join(extra)}" if extra else "")
    duplicates = _duplicates(models, kept, table.lines)
    dropped = _dropped(models, kept, table.lines)
    return Parsed(scores, benchmarks, variant, duplicates, warnings + notes, dropped, table.understood)


def _of_site(raw: bytes, path: Path, categories: "Mapping[str, str]") -> Parsed:
    found = site.parse(raw.decode("utf-8-sig", errors="replace"), path)
    benchmarks = site.with_categories(found.benchmarks, categories)
    variant = f"{SITE}, as of {found.as_of}"
    duplicates = [f"{name!r}: {why}" for name, why in found.dropped]
    return Parsed(found.scores, benchmarks, variant, duplicates, found.warnings, found.dropped, "JSON")


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


def dropped_table(parsed: Parsed) -> "pd.DataFrame":
    """`Parsed.dropped` as a table: `model, why`."""
    import pandas as pd

    return pd.DataFrame(parsed.dropped, columns=["model", "why"])


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


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AlignsecError(f"{path}: cannot be read: {error.strerror}") from error
    if (
        raw[:100].replace(b"\0", b"").strip(b"\xef\xbb\xbf\xff\xfe \t\r\n.").lower()
        == b"no models submitted yet"
    ):
        raise AlignsecError(
            f"{path}: the leaderboard says that no models were submitted yet: nothing to study"
        )
    return raw


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _model_column(table: Table, keys: list[str]) -> int:
    for wanted in ("model_name", "model"):
        if wanted in keys:
            return keys.index(wanted)
    near = closest("model_name", table.header)[0][0]
    raise AlignsecError(
        f"{table.path}:{table.header_line}: column 'model_name' (or 'Model') is missing: not a Brain-Score "
        f"export (nearest column: {near!r})"
    )


def _benchmarks(table: Table, keys: list[str]) -> tuple[list[int], list[str]]:
    """Columns of benchmarks, and the benchmarks' ids."""
    canonical, header = canonical_names(), table.header
    columns = [i for i, key in enumerate(keys) if key not in META]
    names = [canonical.get(display_name(header[i]), header[i]) for i in columns]
    if not columns:
        raise AlignsecError(f"{table.path}: no benchmark column; the header is {', '.join(header)}")
    spoken = [n for n in names if _LANGUAGE.match(n)]
    if spoken and not set(names) & set(known_tree()):
        raise AlignsecError(
            f"{table.path}: column {spoken[0]!r} is of Brain-Score's language leaderboard: expected "
            "is that of vision models"
        )
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice:
        where = [header[i] for i, n in zip(columns, names, strict=True) if n == twice[0]]
        raise AlignsecError(
            f"{table.path}:{table.header_line}: columns {where} name the same benchmark "
            f"{twice[0]!r}: remove one"
        )
    return columns, names


def _model_ids(rows: list[list[str]], keys: list[str]) -> list[int]:
    if "model_id" not in keys:
        return [0] * len(rows)
    column = keys.index("model_id")
    # a spreadsheet or pandas may have made a 7 into 7.0
    texts = [row[column].strip().removesuffix(".0") for row in rows]
    return [int(t) if t.isascii() and t.isdigit() else -1 for t in texts]


def cells(
    table: Table, columns: list[int]
) -> tuple["npt.NDArray[np.float64]", "npt.NDArray[np.object_]", list[str]]:
    """Scores and their status, (rows, columns) each; warnings of scores outside the published range.

    Raises
    ------
    AlignsecError
        A cell that is no number, no ``X`` and not empty; the message names file, line and column.
    """
    import numpy as np

    values = np.full((len(table.rows), len(columns)), np.nan)
    status = np.full((len(table.rows), len(columns)), "missing", dtype=object)
    outside: list[str] = []
    low, high = PUBLISHED_RANGE
    for r, row in enumerate(table.rows):
        for c, i in enumerate(columns):
            cell = row[i].strip()
            if is_missing(cell):
                continue
            if cell == "X":
                status[r, c] = "failed"
                continue
            number = _score(table, r, i)
            values[r, c], status[r, c] = number.value, "scored"
            half = float(number.unit) / 2  # of what rounding explains: -0.067 to two decimals is -0.07
            if not low - half <= number.value <= high + half:
                outside.append(f"{table.where(r, i)}: {cell} is outside the published range")
    warnings = outside[:20]
    if len(outside) > 20:
        warnings.append(
            f"{table.path}: {len(outside) - 20} more scores outside the published range {low} to {high}"
        )
    return values, status, warnings


def _score(table: Table, row: int, column: int) -> Number:
    cell = table.rows[row][column].strip()
    try:
        number = table.number(row, column)
        remedy = " (a percentage?)"
    except AlignsecError as error:
        number, remedy = None, str(error).partition("is no number")[2]
    if number is None or number.percent:
        raise AlignsecError(
            f"{table.where(row, column)}: {cell[:40]!r} is no score{remedy}: expected are a number, "
            "X (failed) or nothing (not run)"
        )
    return number
