"""Image files in Parquet, as Hugging Face's data sets have them: a column of bytes and one of labels."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.images.npz import MAX_LABEL

if TYPE_CHECKING:
    import pyarrow.parquet


def _open(path: Path) -> "pyarrow.parquet.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        image = file.schema_arrow.field("image").type
        label = file.schema_arrow.field("label").type
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise AlignsecError(
            f"images.path: {path}: expected Parquet with columns `image` (bytes) and `label` ({error})"
        ) from error
    if pa.types.is_struct(image):
        inside = image.get_field_index("bytes")
        image = image.field(inside).type if inside >= 0 else image
    if not (pa.types.is_binary(image) or pa.types.is_large_binary(image)) or not pa.types.is_integer(label):
        raise AlignsecError(
            f"images.path: {path}: `image` is {image} and `label` {label}: expected bytes (or a struct with "
            "`bytes`) and whole numbers"
        )
    return file


def rows(path: Path) -> list[tuple[str, Path, int, int]]:
    """Name, file, row and label of every image of a Parquet file or a folder of such, sorted by file and row.

    Raises
    ------
    AlignsecError
        There is none, one is damaged or lacks a column, or a label is missing or out of range.
    """
    import pyarrow as pa

    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            labels = _open(file).read(columns=["label"])["label"].to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise AlignsecError(f"images.path: {file}: damaged ({error})") from error
        for i, label in enumerate(labels):
            if label is None or not 0 <= label <= MAX_LABEL:
                raise AlignsecError(
                    f"images.path: {file}: label {label} of row {i} is out of range: -1 often stands for "
                    "unknown (a test split)"
                )
            found.append((f"{file.stem}/{i:07d}", file, i, label))
    if not found:
        raise AlignsecError(f"images.path: {path}: no Parquet file with images in it")
    return found


def read(file: str, row: int) -> bytes:
    """The bytes of the image of one row.

    Raises
    ------
    OSError
        It is gone, or damaged.
    """
    import pyarrow as pa

    try:
        groups = _starts(file)
        group = max(i for i, start in enumerate(groups) if start <= row)
        value = _group(file, group)[row - groups[group]].as_py()
    except (AlignsecError, pa.ArrowException, IndexError) as error:
        raise OSError(5, f"damaged ({error})", file) from error
    value = value["bytes"] if isinstance(value, dict) else value
    if not isinstance(value, bytes):
        raise OSError(5, f"no bytes in row {row}", file)
    return value


@lru_cache(maxsize=8)
def _starts(file: str) -> tuple[int, ...]:
    meta = _open(Path(file)).metadata
    starts = [0]
    for i in range(meta.num_row_groups - 1):
        starts.append(starts[-1] + meta.row_group(i).num_rows)
    return tuple(starts)


@lru_cache(maxsize=2)
def _group(file: str, group: int) -> Any:
    return _open(Path(file)).read_row_group(group, columns=["image"])["image"]
