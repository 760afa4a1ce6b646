"""The tables between stages: their schemas, and reading and writing them whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import pandas as pd

# column -> (type, nullable); a name after "*" says of what kind the further columns are.
# Types: str, int, float, bool. Schemas are plain data here and become pandera schemas on use, because
# importing pandera costs more than most verbs' work.
_Schema = dict[str, tuple[str, bool]]
SCHEMAS: dict[str, _Schema] = {
    "scores": {
        "model": ("str", False),
        "benchmark": ("str", False),
        "score": ("float", True),
        "status": ("str", False),
    },
    "benchmarks": {
        "benchmark": ("str", False),
        "parent": ("str", True),
        "category": ("str", True),
        "depth": ("int", False),
        "is_leaf": ("bool", False),
        "n_scored": ("int", False),
    },
    "registry": {"model": ("str", False), "plugin": ("str", False), "package_version": ("str", False)},
    "merged": {
        "model": ("str", False),
        "plugin": ("str", True),
        "family": ("str", False),
        "*": ("float", True),
    },
    "images": {
        "image": ("str", False),
        "path": ("str", False),
        "label": ("int", False),
        "sha256": ("str", False),
    },
    "attack": {
        "model": ("str", False),
        "image": ("str", False),
        "label": ("int", False),
        "epsilon": ("float", False),
        "correct": ("bool", False),
        "correct_top5": ("bool", False),
        "robust": ("bool", False),
        "top5": ("bool", True),
        "stage": ("str", False),
        "distance": ("float", True),
    },
    "corruptions": {
        "model": ("str", False),
        "image": ("str", False),
        "corruption": ("str", False),
        "severity": ("int", False),
        "correct": ("bool", False),
        "top5": ("bool", False),
    },
    "robustness": {
        "model": ("str", False),
        "target": ("str", False),
        "value": ("float", True),
        "low": ("float", True),
        "high": ("float", True),
        "n": ("int", True),
    },
    "total_scores": {"model": ("str", False), "family": ("str", False), "*": ("float", True)},
    "correlations": {
        "benchmark": ("str", False),
        "target": ("str", False),
        "category": ("str", True),
        "is_leaf": ("bool", False),
        "n": ("int", False),
        "n_families": ("int", False),
        "loss_of_n": ("int", False),
        "families_effective": ("float", True),
        "n_effective": ("float", True),
        "rho": ("float", True),
        "rho_low": ("float", True),
        "rho_high": ("float", True),
        "p": ("float", True),
        "q": ("float", True),
        "control": ("str", True),
        "partial_n": ("int", True),
        "partial_rho": ("float", True),
        "partial_low": ("float", True),
        "partial_high": ("float", True),
        "partial_p": ("float", True),
        "partial_q": ("float", True),
        "lofo_low": ("float", True),
        "lofo_high": ("float", True),
        "lofo_family": ("str", True),
        "rho_within": ("float", True),
        "rho_between": ("float", True),
        "pearson_r": ("float", True),
        "r2": ("float", True),
        "slope": ("float", True),
        "intercept": ("float", True),
        "p_ols": ("float", True),
        "note": ("str", False),
    },
}
KEYS: dict[str, list[str]] = {
    "scores": ["model", "benchmark"],
    "benchmarks": ["benchmark"],
    "registry": ["model"],
    "merged": ["model"],
    "images": ["image"],
    "attack": ["model", "image", "epsilon"],
    "corruptions": ["model", "image", "corruption", "severity"],
    "robustness": ["model", "target"],
    "total_scores": ["model"],
    "correlations": ["benchmark", "target"],
}
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


def write_csv(frame: "pd.DataFrame", path: Path | str) -> None:
    """Write the human-readable twin of a table atomically (full float precision)."""
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


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


def write(frame: "pd.DataFrame", path: Path | str, schema: str) -> None:
    """Validate against `schema` and write Parquet atomically; the schema's name goes into the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(validate(frame, schema), preserve_index=False)
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
