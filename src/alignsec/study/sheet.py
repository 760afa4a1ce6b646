"""The model sheet: which models a study attacks, one row each."""

from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import encode
from alignsec.study.catalogue import SOURCES

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["model", "source", "spec", "family", "note"]
# Further columns, for people: same architecture line, where the weights are fetched from, packages beyond alignsec's.
OPTIONAL = ["series", "weights", "packages"]


def read(path: Path | str) -> "pd.DataFrame":
    """Read and check a tab-separated sheet (columns model, source, spec, family, note; all strings).

    Columns of `OPTIONAL` may follow. Names are kept to the letter: a leading space is part of a name.

    Raises
    ------
    AlignsecError
        The file, the line and the remedy: missing file or column, empty or repeated name, unknown source.
    """
    import csv

    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise AlignsecError(
            f"{path}: no such model sheet: create it, or set zoo.sheet (see config/README.md)"
        )
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    lines = [(number, row) for number, row in enumerate(rows, 1) if row]
    header = lines[0][1] if lines else []
    known = [*COLUMNS, *(c for c in OPTIONAL if c in header)]
    if header != known:
        raise AlignsecError(
            f"{path}:1: the header must be {', '.join(COLUMNS)}, separated by tabs "
            f"(after them, if at all: {', '.join(OPTIONAL)})"
        )
    seen: dict[str, int] = {}
    for number, row in lines[1:]:
        if len(row) > len(known) or len(row) < 2:
            raise AlignsecError(
                f"{path}:{number}: {len(row)} cells where {len(known)} are expected, tab-separated"
            )
        row += [""] * (len(known) - len(row))
        name, source = row[0], row[1]
        if not name.strip():
            raise AlignsecError(f"{path}:{number}: the model has no name")
        if name in seen:
            raise AlignsecError(
                f"{path}:{number}: model {name!r} is already on line {seen[name]}: remove one row"
            )
        if source not in SOURCES:
            raise AlignsecError(f"{path}:{number}: source {source!r} is not one of {', '.join(SOURCES)}")
        encode(name)
        row[3] = row[3] or name
        seen[name] = number
    if not seen:
        raise AlignsecError(f"{path}: the sheet has no model")
    return pd.DataFrame([r for _, r in lines[1:]], columns=known, dtype="object")


def write(frame: "pd.DataFrame", path: Path | str) -> None:
    """Write a sheet that `read` reads back to the letter."""
    from alignsec.ground.tables import write_text

    columns = [*COLUMNS, *(c for c in OPTIONAL if c in frame)]
    rows = ["\t".join(columns)] + ["\t".join(map(str, r)) for r in frame[columns].itertuples(index=False)]
    write_text(path, "\n".join(rows) + "\n")
