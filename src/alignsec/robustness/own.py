"""A robustness table of the user's own, or a published one, in place of the attacks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tabular import Number, Table, read_table
from alignsec.robustness import aliases, layouts
from alignsec.robustness.doubts import doubts_of
from alignsec.robustness.layouts import Entry, Reading
from alignsec.robustness.summarise import COLUMNS, EXCLUDED, WARNINGS, share_row, with_conditional
from alignsec.study.targets import is_mean, is_share

if TYPE_CHECKING:
    import pandas as pd

_PLAIN_PERCENT = 10  # a table whose clean accuracies are all below 10 may as well hold mistyped shares


@dataclass(frozen=True)
class Own:
    """A user's table of kind ``robustness``, what is odd in it (`WARNINGS`), what was understood."""

    table: "pd.DataFrame"
    warnings: "pd.DataFrame"
    understood: str


@dataclass(frozen=True)
class _Cell:
    """An accuracy with the number in its cell; `n` is its number of images where that is known."""

    entry: Entry
    number: Number
    n: int | None


def read_own(path: Path | str) -> Own:
    """A user's robustness table, in any of the layouts of `layouts` and any format of `ground.tabular`.

    Accuracies are shares in [0, 1], or percentages where the values say so: every clean accuracy (without
    one, every value) other than 0 is above 1, and the largest is at least 10. A column may say ``(%)`` in its
    name, a cell ``%``.

    Raises
    ------
    AlignsecError
        The file, line and column: a missing column, a cell that means nothing, a share outside [0, 1],
        percentages among shares, a share that `n` images cannot give, a repeated row.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise AlignsecError(f"{path}: no such robustness table: set robustness.source")
    table = read_table(path)
    reading = layouts.read(table)
    cells = _cells(table, reading.entries)
    empty = len(reading.entries) - len(cells)
    if not cells:
        raise AlignsecError(f"{path}: the table has no value")
    _once(table, reading.entries)
    percent = _in_percent(table, reading, cells)
    cells = [_as_share(c) if i in percent else c for i, c in enumerate(cells)]
    rows: list[dict[str, Any]] = [_row(table, cell) for cell in cells]
    frame = with_conditional(pd.DataFrame(rows, columns=COLUMNS))
    # a table that holds the conditional shares keeps its own
    frame = frame.drop_duplicates(["model", "target"], ignore_index=True)
    doubts = [*reading.doubts, *doubts_of(frame, published=reading.published and bool(percent))]
    shares = sum(is_share(c.entry.target) for c in cells)
    unit = "shares" if not percent else "percentages" if len(percent) == shares else "shares and percentages"
    said = [table.understood, f"{reading.layout} layout of {unit}", *reading.notes]
    if empty:
        said.append(f"{empty} of {len(reading.entries)} values missing")
    return Own(frame, pd.DataFrame(doubts, columns=WARNINGS), f"{path}: {'; '.join(said)}")


def of_study(
    path: Path,
    leaderboard: Sequence[str] | None = None,
    names: Path | None = None,
    sheet: "pd.DataFrame | None" = None,
) -> tuple[Own, "pd.DataFrame"]:
    """A user's table under the names of a study, and its models that are none of the study's.

    Parameters
    ----------
    leaderboard : its names; None leaves the table's own as they are
    names : the alias file (`aliases.read`)
    sheet : models of the study beside the leaderboard's

    Returns
    -------
    (own, excluded)
        `excluded`: `model, step, reason`, the reason with the closest name

    Raises
    ------
    AlignsecError
        As `read_own`, `aliases.read` and `aliases.renamed`.
    """
    import pandas as pd

    own = read_own(path)
    if leaderboard is None:
        return own, pd.DataFrame(columns=EXCLUDED)
    known = [*leaderboard, *([] if sheet is None else sheet["model"])]
    table, excluded = aliases.renamed(own.table, {} if names is None else aliases.read(names, known), known)
    said = dict(zip(own.table["model"], table["model"], strict=True))
    warnings = own.warnings.assign(model=[said.get(m, m) for m in own.warnings["model"]])
    return replace(own, table=table, warnings=warnings), excluded


def _cells(table: Table, entries: list[Entry]) -> list[_Cell]:
    """Entries whose cell is not empty. A number of images is looked at even where its value is missing."""
    counts: dict[tuple[int, int], int | None] = {}
    cells: list[_Cell] = []
    for entry in entries:
        n = None
        if entry.n is not None:
            place = entry.row, entry.n
            n = counts[place] = counts[place] if place in counts else table.count(*place)
        number = table.number(entry.row, entry.column)
        if number is not None:
            cells.append(_Cell(entry, number, n))
    return cells


def _once(table: Table, entries: list[Entry]) -> None:
    seen: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        first = seen.setdefault((entry.model, entry.target), entry)
        if first is not entry:
            raise AlignsecError(
                f"{table.where(entry.row)}: {entry.model!r}, {entry.target!r} occurs twice (column "
                f"{table.header[entry.column]!r}; before on line {table.lines[first.row]}, column "
                f"{table.header[first.column]!r}): keep one"
            )


def _in_percent(table: Table, reading: Reading, cells: list[_Cell]) -> set[int]:
    """Indices of the cells that are percentages; refuses a table that may as well be read otherwise."""
    shares = [i for i, c in enumerate(cells) if is_share(c.entry.target)]
    signed = {i for i in shares if cells[i].number.percent or cells[i].entry.column in reading.declared}
    for cell in cells:
        if not is_share(cell.entry.target) and cell.number.percent:
            raise AlignsecError(f"{_place(table, cell)} is a percentage where a distance is expected")
    for i in shares:
        if not 0 <= cells[i].number.exact <= 100:
            raise _no_share(table, cells[i], "correct it")
    columns = {cells[i].entry.column for i in signed}
    for i in shares:
        if i not in signed and cells[i].entry.column in columns and cells[i].number.exact:
            raise _no_share(
                table, cells[i], "other cells of the column end in %: write all of them so, or none"
            )
    rest = [cells[i] for i in shares if i not in signed and cells[i].number.exact]
    above = [c for c in rest if c.number.exact > 1]
    if not above:
        return signed
    clean = [c for c in rest if c.entry.target.startswith("clean_")]
    evidence = clean if clean and not reading.published else rest
    large = [c for c in evidence if c.number.exact > 1]
    small = [c for c in evidence if c.number.exact <= 1]
    if reading.published:
        settled = len(large) > len(small)
    else:
        settled = not small and max(c.number.exact for c in large) >= _PLAIN_PERCENT
    if not settled and len(large) > len(small) > 0:
        raise AlignsecError(
            f"{_place(table, small[0])} is at most 1 where the others are percentages: is it a share? "
            "Write shares in [0, 1] everywhere: divide percentages by 100"
        )
    if not settled:
        raise _no_share(table, above[0], "divide percentages by 100")
    if not reading.published:
        _agree(table, [c for c in rest if not c.entry.target.startswith("clean_")])
    return set(shares)


def _agree(table: Table, cells: list[_Cell]) -> None:
    """Refuse a target of values up to 1 where clean accuracy is in percent: .4 may be 40 % or .4 %."""
    largest: dict[str, _Cell] = {}
    for cell in cells:
        known = largest.setdefault(cell.entry.target, cell)
        if cell.number.exact > known.number.exact:
            largest[cell.entry.target] = cell
    for cell in largest.values():
        if cell.number.exact <= 1:
            raise AlignsecError(
                f"{_place(table, cell)} is the largest of its target, where others are percentages: is it a "
                "share or a percentage? Write shares in [0, 1] everywhere (divide percentages by 100), or "
                "percentages with the sign %"
            )


def _place(table: Table, cell: _Cell) -> str:
    entry = cell.entry
    shown = table.rows[entry.row][entry.column].strip()[:40]
    return (
        f"{table.where(entry.row)}: value {shown!r} of {entry.model!r}, {entry.target!r} "
        f"(column {table.header[entry.column]!r})"
    )


def _no_share(table: Table, cell: _Cell, remedy: str) -> AlignsecError:
    return AlignsecError(f"{_place(table, cell)} is not a share in [0, 1]: {remedy}")


def _as_share(cell: _Cell) -> _Cell:
    number = cell.number
    return replace(cell, number=Number(number.exact.scaleb(-2), number.unit.scaleb(-2), percent=False))


def _row(table: Table, cell: _Cell) -> dict[str, Any]:
    """One row of the table of kind ``robustness``, its value checked."""
    model, target, n = cell.entry.model, cell.entry.target, cell.n
    exact, value = cell.number.exact, cell.number.value
    if not is_share(target):
        if exact < 0:
            raise AlignsecError(f"{_place(table, cell)} is negative: expected is a distance")
        return dict(zip(COLUMNS, (model, target, value, None, None, n), strict=True))
    if n is None:
        return dict(zip(COLUMNS, (model, target, value, None, None, None), strict=True))
    hits = round(value * n)
    # a mean over corruptions or epsilons is no count of its images
    if not is_mean(target) and not _is_count(cell.number, n):
        near = ", ".join(f"{k / n:.6g}" for k in sorted({int(value * n), min(n, int(value * n) + 1)}))
        raise AlignsecError(
            f"{_place(table, cell)} is no share of n = {n} images (nearest are {near}): correct n or the "
            "value, or leave n empty where the value is a mean over several runs"
        )
    return share_row(model, target, hits, n) | {"value": value}


def _is_count(number: Number, n: int) -> bool:
    """Is the share one of k / n, within a unit of the last printed digit (it may be rounded or cut off)?"""
    nearest = (number.exact * n).to_integral_value()
    return abs(number.exact - nearest / n) <= max(number.unit, Decimal("1e-9"))
