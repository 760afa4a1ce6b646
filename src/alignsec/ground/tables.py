"""The tables between stages: their schemas, and reading and writing them whole or not at all."""

import contextlib
import csv
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alignsec.ground.errors import AlignsecError
from alignsec.ground.schemas import KEYS, SCHEMAS

if TYPE_CHECKING:
    import pandas as pd

KIND = b"alignsec.schema"  # in a Parquet file's metadata: what kind of table it is
_DTYPES = {"str": "object", "int": "int64", "float": "float64", "bool": "bool"}
_NULLABLE = {"int": "Int64", "bool": "boolean"}


def dtype(kind: str, nullable: bool) -> str:
    """The pandas dtype of a column of a schema."""
    return _NULLABLE.get(kind, _DTYPES[kind]) if nullable else _DTYPES[kind]


def empty(schema: str) -> "pd.DataFrame":
    """A table of kind `schema` without rows."""
    import pandas as pd

    return pd.DataFrame({c: pd.Series(dtype=dtype(*spec)) for c, spec in SCHEMAS[schema].items()})


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The temporary name keeps the suffix, for writers that go by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically, with ``\\n`` line ends."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


# What a spreadsheet would compute when it opens the file, unless an apostrophe stands before it. A text that
# looks like one of our own escaped ones gets another, so that reading can undo it.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)", re.IGNORECASE)
# columns of text in tables without a schema; a model may be called 007 or NA
_TEXT = ("model", "benchmark", "target", "step", "reason", "warning", "meaning", "name", "where", "fate",
         "why", "closest", "note", "source", "family", "network", "copy_of", "rows", "given")  # fmt: skip


def _computed(text: str) -> bool:
    return _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None


def escaped(cell: Any) -> Any:
    """A cell of a CSV that a spreadsheet takes for the text it is; numbers stay.

    >>> escaped("=1+1"), escaped("-0.5"), escaped("@me"), escaped(-0.5)
    ("'=1+1", '-0.5', "'@me", -0.5)
    """
    return f"'{cell}" if isinstance(cell, str) and _computed(cell) else cell


def unescaped(cell: Any) -> Any:
    """What `escaped` was given.

    >>> unescaped("'=1+1"), unescaped("'quoted'")
    ('=1+1', "'quoted'")
    """
    return cell[1:] if isinstance(cell, str) and cell[:1] == "'" and _computed(cell[1:]) else cell


def _mapped(frame: "pd.DataFrame", change: Callable[[Any], Any]) -> "pd.DataFrame":
    """`frame` with every name of a column and every text changed."""
    import pandas as pd

    frame = frame.copy()
    for at, kind in enumerate(frame.dtypes):
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind)):
            cells = pd.Series([change(v) for v in frame.iloc[:, at]], frame.index, dtype=object)
            frame.isetitem(at, cells.to_numpy())
    frame.columns = pd.Index([change(c) for c in frame.columns])
    return frame


def write_csv(frame: "pd.DataFrame", path: Path | str) -> None:
    """Write the human-readable twin of a table atomically (full float precision).

    Text that a spreadsheet would run as a formula is `escaped`; `read_csv` undoes it.
    """
    frame = _mapped(frame, escaped)
    texts = [*frame.columns, *frame.select_dtypes("object").to_numpy().ravel()]
    # a bare carriage return would end the row for a reader, and pandas quotes it only where it is told to
    returns = any(isinstance(text, str) and "\r" in text for text in texts)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", quoting=quoting)


def read_csv(path: Path | str) -> "pd.DataFrame":
    """What `write_csv` wrote: floats to the last digit, texts as they were (an empty one as null).

    Columns of names and reasons are read as text whatever is in them; of others, numbers as numbers.
    """
    import pandas as pd

    frame = pd.read_csv(
        path,
        dtype=dict.fromkeys(_TEXT, object),
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
    )
    return _mapped(frame, unescaped)


def validate(frame: "pd.DataFrame", schema: str) -> "pd.DataFrame":
    """Return `frame` with the dtypes of `schema`, or raise.

    Raises
    ------
    AlignsecError
        A column is missing or of the wrong type, holds a null it may not, or a key occurs twice.
    """
    import pandas as pd
    import pandera.pandas as pa

    columns = {c: spec for c, spec in SCHEMAS[schema].items() if c != "*"}
    rest = SCHEMAS[schema].get("*")
    if rest:
        columns |= {str(c): rest for c in frame.columns if c not in columns}
    frame = frame.copy()
    for name, (kind, nullable) in columns.items():
        if name in frame.columns and kind == "int" and nullable:
            frame[name] = frame[name].astype("Int64")
        if name in frame.columns and kind == "bool" and nullable:
            frame[name] = frame[name].astype("boolean")
        if name in frame.columns and kind == "str":
            frame[name] = [
                None if missing else v for v, missing in zip(frame[name], frame[name].isna(), strict=True)
            ]
    checked = pa.DataFrameSchema(
        {
            name: pa.Column(
                dtype(kind, nullable),
                nullable=nullable,
                coerce=kind != "bool",
            )
            for name, (kind, nullable) in columns.items()
        },
        unique=KEYS[schema],
    )
    try:
        return pd.DataFrame(checked.validate(frame, lazy=True))
    except (pa.errors.SchemaErrors, pa.errors.SchemaError) as error:
        cases = getattr(error, "failure_cases", None)
        detail = cases.head(5).to_string(index=False) if isinstance(cases, pd.DataFrame) else str(error)
        raise AlignsecError(f"a table of kind {schema!r} does not hold its schema:\n{detail}") from error


def write(frame: "pd.DataFrame", path: Path | str, schema: str, *, checked: bool = False) -> None:
    """Validate against `schema` and write Parquet atomically; the schema's name goes into the metadata.

    `checked`: the frame is what `validate` returned, or some rows of it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = frame if checked else validate(frame, schema)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), KIND: schema.encode()})
    with atomic(path) as temporary:
        pq.write_table(table, temporary)


def kind_of(path: Path) -> str | None:
    """The kind of table that a Parquet file was written as (a key of `SCHEMAS`); None for any other file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        kind = (pq.read_schema(path).metadata or {}).get(KIND)
    except (pa.ArrowInvalid, OSError):
        return None
    return None if kind is None else str(kind.decode())


def read(path: Path | str, schema: str) -> "pd.DataFrame":
    """Read a Parquet table and validate it; the message of a failure names the file."""
    import pandas as pd
    import pyarrow as pa

    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise AlignsecError(
            f"{path}: not a readable Parquet file ({error}): delete it and run again"
        ) from error
    try:
        return validate(frame, schema)
    except AlignsecError as error:
        raise AlignsecError(f"{path}: {error}") from error
