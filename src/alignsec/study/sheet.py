"""The model sheet: which models a study attacks, one row each."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import encode
from alignsec.ground.tabular import read_table
from alignsec.study import catalogue, covariates

if TYPE_CHECKING:
    import pandas as pd


class Column(NamedTuple):
    """A column of the sheet; one that is not required may be left out."""

    name: str
    meaning: str
    required: bool = True


DECLARED = (
    Column("model", "the name in results and figures; of source brainscore the leaderboard's, to the letter"),
    Column("source", f"where the model comes from: {', '.join(catalogue.SOURCES)}"),
    Column("spec", "what the source finds it by; empty: the name"),
    Column("family", "models that are not independent of each other share one; empty: the name"),
    Column("note", "for people"),
    Column("series", "for people: the line of architectures", required=False),
    Column("weights", "for people: where the weights are fetched from", required=False),
    Column("packages", "for people: packages beyond those of alignsec", required=False),
    *(Column(name, meaning, required=False) for name, meaning in covariates.MEANINGS.items()),
    Column(
        "expected_top1",
        "clean top-1 accuracy published for these weights on images such as the study's, as a share: a model "
        "below it by more than chance is flagged (wrong normalisation, channels or weights)",
        required=False,
    ),
)
COLUMNS = [c.name for c in DECLARED if c.required]
OPTIONAL = [c.name for c in DECLARED if not c.required]


def read(path: Path | str) -> "pd.DataFrame":
    """Read and check a sheet, in any format of `ground.tabular`: the columns of `DECLARED`, all strings.

    Names are kept to the letter: a leading space is part of a name.

    Raises
    ------
    AlignsecError
        A missing file, a header of other columns, or every row that is wrong (file, line, fault, remedy): an
        empty or repeated name, an unknown source, a spec that its source cannot read, a wrong covariate.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise AlignsecError(
            f"{path}: no such model sheet: create it, or set zoo.sheet (see config/README.md)"
        )
    table = read_table(path, pad=True)
    header = table.header
    known = [*COLUMNS, *(c for c in OPTIONAL if c in header)]
    if header[: len(COLUMNS)] != COLUMNS or sorted(header) != sorted(known):
        raise AlignsecError(
            f"{path}:{table.header_line}: the header must be {', '.join(COLUMNS)} (after them, if at all, in "
            f"any order: {', '.join(OPTIONAL)}); it is {', '.join(header)}"
        )
    lines = list(zip(table.lines, table.rows, strict=True))
    if not lines:
        raise AlignsecError(f"{path}: the sheet has no model")
    if wrong := [f"{path}:{number}: {fault}" for number, fault in _faults(header, lines)]:
        more = f"{len(wrong)} faults in the model sheet:\n" if len(wrong) > 1 else ""
        raise AlignsecError(more + "\n".join(wrong))
    frame = pd.DataFrame(table.rows, columns=header, dtype="object")
    frame["family"] = frame["family"].where(frame["family"] != "", frame["model"])
    return frame


def _faults(header: list[str], lines: list[tuple[int, list[str]]]) -> Iterator[tuple[int, str]]:
    """Line and fault of every row that is wrong."""
    seen: dict[str, int] = {}
    for number, row in lines:
        name, source, spec = row[:3]
        if fault := _fault_of_name(name):
            yield number, fault
        elif name in seen:
            yield number, f"model {name!r} is already on line {seen[name]}: remove one row"
        seen.setdefault(name, number)
        if source not in catalogue.SOURCES:
            yield number, f"source {source!r} is not one of {', '.join(catalogue.SOURCES)}"
        elif wrong := catalogue.problem(source, spec or name):
            yield number, f"{source} spec {spec or name!r} of model {name!r}: {wrong}"
        for column, cell in zip(header, row, strict=True):
            if column in covariates.CELLS and (wrong := covariates.fault(column, cell)):
                yield number, wrong
            if column == "expected_top1":
                try:
                    accuracy(cell)
                except AlignsecError as error:
                    yield number, str(error)


def accuracy(cell: str) -> float | None:
    """A cell of `expected_top1` as a share; None where it is empty.

    >>> accuracy("0.945"), accuracy("")
    (0.945, None)
    >>> accuracy("94.5%")
    Traceback (most recent call last):
    ...
    alignsec.ground.errors.AlignsecError: expected_top1 '94.5%' is no share of images: write 0.945 for 94.5 %
    """
    if not cell.strip():
        return None
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise AlignsecError(f"expected_top1 {cell!r} is no share of images: write 0.945 for 94.5 %")
    return value


def _fault_of_name(name: str) -> str | None:
    if not name.strip():
        return "the model has no name: give it one"
    try:
        encode(name)
    except AlignsecError as error:
        return str(error)
    return None


def write(frame: "pd.DataFrame", path: Path | str) -> None:
    """Write a sheet that `read` reads back to the letter."""
    from alignsec.ground.tables import write_text

    columns = [*COLUMNS, *(c for c in OPTIONAL if c in frame)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows([columns, *frame[columns].itertuples(index=False)])
    write_text(path, text.getvalue())


def markdown() -> str:
    """The columns as a table of a page."""
    lines = ["| column | required | meaning |", "|---|---|---|"]
    lines += [f"| `{c.name}` | {'yes' if c.required else 'no'} | {c.meaning} |" for c in DECLARED]
    return "\n".join(lines) + "\n"
