"""The tables of a study's folder, each read by the name that the layout has for it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import pandas as pd

    from alignsec.study.layout import Layout

# where the kind of a table is not its name
_KINDS = {"total": "total_scores", "manifest": "images", "targets": "robustness"}


def read(study: "Layout", names: Iterable[str]) -> "dict[str, pd.DataFrame]":
    """The tables of these names, checked against their schemas.

    Raises
    ------
    AlignsecError
        A table is not there, or does not hold its schema.
    """
    return {name: _table(study, name) for name in names}


def _table(study: "Layout", name: str) -> "pd.DataFrame":
    path = getattr(study, name)
    if not path.is_file():
        raise AlignsecError(f"{path} is not there: run the study first, or give the folder of another")
    return tables.read_csv(path) if path.suffix == ".csv" else tables.read(path, _KINDS.get(name, name))
