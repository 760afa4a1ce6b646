"""A robustness table of the user's own in place of the attacks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.robustness.summarise import COLUMNS, share_row, with_conditional
from alignsec.study.targets import is_share

if TYPE_CHECKING:
    import pandas as pd


_UPSTREAM = ["Model Name", "Threat Model", "Epsilon"]


def read_own(path: Path | str) -> "pd.DataFrame":
    """A user's robustness table: tidy (`model, target, value, n`) or the paper's CSV.

    The paper's columns are Model Name, Threat Model, Epsilon, Top-1 Accuracy, Top-5 Accuracy, Top-1 Subset
    Clean Accuracy, Top-5 Subset Clean Accuracy; accuracies are shares in [0, 1].

    Raises
    ------
    AlignsecError
        The file and line: missing column, a value that is no number or outside [0, 1], a repeated row.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise AlignsecError(f"{path}: no such robustness table: set robustness.source")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise AlignsecError(f"{path}: not a CSV file: {error}") from error
    if set(_UPSTREAM) <= set(frame.columns):
        frame = _from_upstream(frame, path)
    missing = [c for c in ("model", "target", "value") if c not in frame.columns]
    if missing:
        raise AlignsecError(
            f"{path}: column {missing[0]!r} is missing; the columns are {', '.join(map(str, frame.columns))}, "
            "expected are model, target, value and n (or the paper's, from 'Model Name' on)"
        )
    frame["line"] = frame.get("line", pd.Series(range(2, len(frame) + 2), index=frame.index))
    value = pd.to_numeric(frame["value"].replace("", None), errors="coerce")
    # a distance in L2 may be above 1
    share = frame["target"].map(is_share)
    bad = frame[(value.isna() & (frame["value"] != "")) | (value < 0) | ((value > 1) & share)]
    if len(bad):
        row = bad.iloc[0]
        raise AlignsecError(
            f"{path}:{row['line']}: value {row['value']!r} of {row['model']!r}, {row['target']!r} is not a share "
            "in [0, 1]: divide percentages by 100"
        )
    twice = frame[frame.duplicated(["model", "target"])]
    if len(twice):
        row = twice.iloc[0]
        raise AlignsecError(
            f"{path}:{row['line']}: {row['model']!r}, {row['target']!r} occurs twice: keep one"
        )
    if "n" in frame:
        n = (
            pd.to_numeric(frame["n"].replace("", None), errors="coerce")
            .astype("Float64")
            .round()
            .astype("Int64")
        )
    else:
        n = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    rows = []
    for model, target, v, count in zip(frame["model"], frame["target"], value, n, strict=True):
        if pd.isna(v):
            continue
        if not is_share(target):
            rows.append(dict(zip(COLUMNS, (model, target, v, None, None, count), strict=True)))
        elif pd.notna(count) and count > 0:
            rows.append(share_row(model, target, round(v * count), int(count)) | {"value": v})
        else:
            rows.append(dict(zip(COLUMNS, (model, target, v, None, None, None), strict=True)))
    if not rows:
        raise AlignsecError(f"{path}: the table has no value")
    return with_conditional(pd.DataFrame(rows, columns=COLUMNS))


def _from_upstream(frame: "pd.DataFrame", path: Path) -> "pd.DataFrame":
    import pandas as pd

    rows: list[dict[str, Any]] = []
    columns = {
        "Top-1 Accuracy": "robust_top1",
        "Top-5 Accuracy": "robust_top5",
        "Top-1 Subset Clean Accuracy": "clean_top1",
        "Top-5 Subset Clean Accuracy": "clean_top5",
    }
    clean: dict[tuple[str, str], str] = {}
    for line, record in enumerate(frame.to_dict("records"), 2):
        norm = record["Threat Model"].strip()
        prefix = "" if norm.lower() in ("linf", "l_inf", "l∞", "") else f"{norm}:"
        for column, kind in columns.items():
            value = record.get(column, "")
            if value == "":
                continue
            model = record["Model Name"]
            target = kind if kind.startswith("clean") else f"{kind}@{prefix}{record['Epsilon'].strip()}"
            if kind.startswith("clean"):
                # the clean accuracy is repeated on every epsilon's row
                known = clean.get((model, kind))
                if known not in (None, value):
                    raise AlignsecError(
                        f"{path}:{line}: {column} of {model!r} is {value}, on an earlier line {known}"
                    )
                if known is not None:
                    continue
                clean[model, kind] = value
            rows.append({"model": model, "target": target, "value": value, "line": line})
    return pd.DataFrame(rows, columns=["model", "target", "value", "line"]).drop_duplicates(
        ["model", "target", "value", "line"]
    )
