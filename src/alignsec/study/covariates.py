"""What networks are and how they were trained: a reviewed table, which cells of a study's sheet overrule."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.tabular import is_missing, read_table

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"  # also an empty cell; never a guess
ADVERSARIAL = "adversarial"
TRAININGS = {
    "standard": "to classify labelled images or clips, with ordinary augmentation",
    ADVERSARIAL: "on adversarial images, alone or besides (AdvProp too)",
    "self-supervised": "without labels, a readout aside",
    "CLIP": "on images and their captions, then perhaps fine-tuned",
    "semi-supervised": "labels and many images without, or with hashtags (Noisy Student, WSL)",
    "stylised": "on stylised images, alone or besides",
    "distilled": "by another network's answers",
    "robust augmentation": "on images augmented for robustness (AugMix, noise)",
    "neural": "by recordings of brains, besides",
    "untrained": "not at all",
    "other": "another task",
    UNKNOWN: "nobody says",
}
MEANINGS = {
    "training": f"how it was trained: {', '.join(TRAININGS)}",
    "data": "the data sets that it was trained on",
    "architecture": "convolutional, transformer, …",
    "parameters": "how many parameters it has",
    "input_size": "pixels of a side of its input",
    "evidence": "where these cells come from",
}
CELLS = tuple(MEANINGS)  # columns that a sheet may have, too
NUMBERS = ("parameters", "input_size")
COLUMNS = ["model", "family", *CELLS]


def fault(column: str, cell: str) -> str | None:
    """What is wrong with a cell of one of `CELLS`; None where nothing is, or it is empty.

    >>> fault("parameters", "25.6 M")
    "parameters '25.6 M' is no count: write digits, or unknown"
    >>> fault("parameters", "25557032"), fault("training", "")
    (None, None)
    """
    if is_missing(cell) or cell == UNKNOWN:
        return None
    if column == "training" and cell not in TRAININGS:
        return f"training {cell!r} is none of {', '.join(TRAININGS)}: correct it"
    if column in NUMBERS and not (cell.isascii() and cell.isdigit() and int(cell) > 0):
        return f"{column} {cell!r} is no count: write digits, or {UNKNOWN}"
    return None


def read(path: Path | str) -> "pd.DataFrame":
    """Read and check a table of covariates (`analysis.covariates`), in any format of `ground.tabular`.

    Returns
    -------
    A row per model: `COLUMNS`, all strings, `UNKNOWN` where a cell is empty.

    Raises
    ------
    AlignsecError
        The file, line and remedy: another header, a model without name or on two lines, a `training` that is
        none of `TRAININGS`, a number that is no count, a `training` without evidence.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise AlignsecError(f"{path}: no such table of covariates: set analysis.covariates")
    table = read_table(path)
    if table.header != COLUMNS:
        raise AlignsecError(
            f"{path}:{table.header_line}: the header must be {', '.join(COLUMNS)}; it is "
            f"{', '.join(table.header)}"
        )
    lines: dict[str, int] = {}
    rows = []
    for number, row in enumerate(table.rows):
        # a model may be called NA, and a name keeps its blanks
        name, *cells = row
        if not name.strip():
            raise AlignsecError(f"{table.where(number)}: the model has no name: give it one")
        if name in lines:
            raise AlignsecError(
                f"{table.where(number)}: model {name!r} is already on line {lines[name]}: remove one row"
            )
        lines[name] = table.lines[number]
        given = dict(zip(COLUMNS[1:], cells, strict=True))
        for column in CELLS:
            if wrong := fault(column, given[column]):
                raise AlignsecError(f"{table.where(number)}: {wrong}")
        known = {c: UNKNOWN if is_missing(text) else text for c, text in given.items()}
        if known["training"] != UNKNOWN and known["evidence"] == UNKNOWN:
            raise AlignsecError(
                f"{table.where(number)}: training {known['training']!r} of {name!r} has no evidence: say "
                f"where it comes from, or write {UNKNOWN}"
            )
        rows.append([name, *known.values()])
    return pd.DataFrame(rows, columns=COLUMNS, dtype="object")


def of_study(
    merged: "pd.DataFrame", table: "pd.DataFrame", sheet: "pd.DataFrame | None" = None
) -> "pd.DataFrame":
    """The covariates of every model of a study.

    Parameters
    ----------
    merged : table of kind ``merged``, or any with `model` and `family`
    table : as `read` returns it
    sheet : the models of the study; None: those of the merge

    Returns
    -------
    A row per model in the order of the study, with `COLUMNS`. A cell is the sheet's, else the table's; a text
    that neither has is `UNKNOWN`, a number null (`NUMBERS` are Int64). `family` is the study's own.
    `evidence` says which cells are the sheet's.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame([["a", "f", "CLIP", "x", "y", "9", "unknown", "name"]], columns=COLUMNS)
    >>> found = of_study(pd.DataFrame({"model": ["a", "b"], "family": ["g", "h"]}), table)
    >>> list(found["training"]), list(found["family"]), found["parameters"].sum()
    (['CLIP', 'unknown'], ['g', 'h'], 9)
    """
    import pandas as pd

    reviewed = by_model(table)
    of_sheet = {} if sheet is None else by_model(sheet)
    study = merged if sheet is None else sheet
    rows = []
    for model, family in zip(study["model"], study["family"], strict=True):
        cells = _cells(of_sheet.get(model, {}), reviewed.get(model, {}))
        rows.append({"model": model, "family": family, **cells})
    found = pd.DataFrame(rows, columns=COLUMNS, dtype="object")
    for column in NUMBERS:
        found[column] = pd.to_numeric(found[column].where(found[column] != UNKNOWN)).astype("Int64")
    return found


def by_model(table: "pd.DataFrame") -> dict[str, dict[str, str]]:
    """The cells of a table of texts by model, then by column."""
    rows = table.drop(columns="model").to_dict("records")
    return {
        str(model): {str(c): str(cell) for c, cell in row.items()}
        for model, row in zip(table["model"], rows, strict=True)
    }


def _cells(given: Mapping[str, str], reviewed: Mapping[str, str]) -> dict[str, str]:
    """One model's cells: those that its row of the sheet gives before those of the table."""
    ours = {c: given[c] for c in CELLS if not is_missing(given.get(c, ""))}
    cells = {c: ours.get(c, reviewed.get(c, UNKNOWN)) for c in CELLS}
    overruled = [c for c in CELLS if c in ours and c != "evidence"]
    said = [f"sheet: {', '.join(overruled)}"] if overruled else []
    said += [text for text in (ours.get("evidence"), reviewed.get("evidence")) if text and text != UNKNOWN]
    return {**cells, "evidence": "; ".join(said) or UNKNOWN}
