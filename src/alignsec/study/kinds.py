"""Kinds of benchmarks: what is claimed of, each an area x a metric x a paradigm that several leaves share."""

from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tabular import Table, read_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["benchmark", "kind", "area", "metric", "paradigm", "name"]
ENGINEERING = "engineering"  # its leaves are accuracies: never counted as human-likeness
AREAS = ("V1", "V2", "V4", "IT", "behavior", ENGINEERING)
OTHER = "other"  # first word of the kind of a leaf that the table does not have


def read(path: Path | str) -> "pd.DataFrame":
    """Read and check a table of kinds (`analysis.kinds`), in any format of `ground.tabular`.

    Returns
    -------
    A row per leaf benchmark: `COLUMNS`, all strings.

    Raises
    ------
    AlignsecError
        The file, line and remedy: another header, an empty cell, a benchmark on two lines, an area that is
        none of `AREAS`, one kind with two areas, metrics, paradigms or names, or two kinds with the same.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise AlignsecError(f"{path}: no such table of kinds of benchmarks: set analysis.kinds")
    table = read_table(path)
    if table.header != COLUMNS:
        raise AlignsecError(
            f"{path}:{table.header_line}: the header must be {', '.join(COLUMNS)}; it is "
            f"{', '.join(table.header)}"
        )
    lines: dict[str, int] = {}
    of_kind: dict[str, list[str]] = {}
    of_meaning: dict[tuple[str, ...], str] = {}
    of_name: dict[str, str] = {}
    for number, row in enumerate(table.rows):
        benchmark, kind, *meaning = _checked(table, number, row)
        if benchmark in lines:
            raise AlignsecError(
                f"{table.where(number)}: benchmark {benchmark!r} is already on line {lines[benchmark]}: "
                "remove one row"
            )
        lines[benchmark] = table.lines[number]
        known = [of_kind.setdefault(kind, meaning) == meaning]
        known.append(of_meaning.setdefault(tuple(meaning[:3]), kind) == kind)
        known.append(of_name.setdefault(meaning[3], kind) == kind)
        if not all(known):
            raise AlignsecError(
                f"{table.where(number)}: kind {kind!r} is {' x '.join(meaning[:3])}, called {meaning[3]!r}, "
                "but another line has this kind with other cells, or another kind with these: a kind has one "
                "area, metric, paradigm and name of its own"
            )
    return pd.DataFrame(table.rows, columns=COLUMNS, dtype="object")


def _checked(table: Table, number: int, row: list[str]) -> list[str]:
    for column, cell in enumerate(row):
        if not cell.strip():
            raise AlignsecError(f"{table.where(number, column)} is empty: fill it, or remove the row")
    if row[2] not in AREAS:
        raise AlignsecError(
            f"{table.where(number, 2)}: area {row[2]!r} is not one of {', '.join(AREAS)}: correct it"
        )
    if row[1].split()[0] == OTHER:
        raise AlignsecError(
            f"{table.where(number, 1)}: kind {row[1]!r}: kinds that begin with {OTHER!r} are of leaves that "
            "the table does not have: call it something else"
        )
    return row


def of_leaves(kinds: "pd.DataFrame", benchmarks: "pd.DataFrame") -> "tuple[pd.DataFrame, list[str]]":
    """The kind of every leaf of a leaderboard.

    Parameters
    ----------
    kinds : as `read` returns them
    benchmarks : table of kind ``benchmarks``

    Returns
    -------
    (table, unlisted)
        `table`: a row per leaf in the order of `kinds`, then of `benchmarks`, with `COLUMNS`; `unlisted`:
        leaves that `kinds` does not have, which got the kind ``other <category>`` (area: the category, or
        ``unknown``), for the log.

    Examples
    --------
    >>> import pandas as pd
    >>> kinds = pd.DataFrame([["b", "k", "V1", "m", "p", "n"]], columns=COLUMNS)
    >>> leaves = pd.DataFrame({"benchmark": ["a", "b"], "category": "neural", "is_leaf": True})
    >>> table, unlisted = of_leaves(kinds, leaves)
    >>> list(table["kind"]), unlisted
    (['k', 'other neural'], ['a'])
    """
    import pandas as pd

    leaves = benchmarks.loc[benchmarks["is_leaf"], ["benchmark", "category"]]
    table = kinds[kinds["benchmark"].isin(leaves["benchmark"])]
    rest = leaves[~leaves["benchmark"].isin(kinds["benchmark"])]
    rows = []
    for benchmark, category in zip(rest["benchmark"], rest["category"], strict=True):
        area = category if isinstance(category, str) else "unknown"
        kind = f"{OTHER} {area}"
        rows.append([benchmark, kind, area, OTHER, OTHER, f"{kind} benchmarks"])
    added = pd.DataFrame(rows, columns=COLUMNS, dtype="object")
    return pd.concat([table, added], ignore_index=True), list(rest["benchmark"])
