"""The tables of a study's folder, each read by the name that the layout has for it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.study import targets as names
from alignsec.study.records import Plan, read_plan

if TYPE_CHECKING:
    import pandas as pd

    from alignsec.study.layout import Layout

# where the kind of a table is not its name
_KINDS = {"total": "total_scores", "manifest": "images", "targets": "robustness"}


def read(study: "Layout", wanted: Iterable[str]) -> dict[str, Any]:
    """The tables of these names, checked against their schemas; ``plan`` as a record.

    Raises
    ------
    AlignsecError
        A table is not there, or does not hold its schema.
    """
    return {name: _table(study, name) for name in wanted}


def _table(study: "Layout", name: str) -> Any:
    path = getattr(study, name)
    if not path.is_file():
        raise AlignsecError(f"{path} is not there: run the study first, or give the folder of another")
    if name == "plan":
        return read_plan(path)
    return tables.read_csv(path) if path.suffix == ".csv" else tables.read(path, _KINDS.get(name, name))


def at_floor(total: "pd.DataFrame", targets: Iterable[str]) -> dict[str, float]:
    """Share of the models that a target puts at 0, of those that have it."""
    columns = dict.fromkeys(targets)
    return {t: float((total[t].dropna() == 0).mean()) for t in columns if total[t].notna().any()}


def middle_of(total: "pd.DataFrame", targets: Iterable[str], plan: Plan | None = None) -> str:
    """The target to show where there is room for one: the plan's primary one, of an attack if there is any.

    Without a plan that names one of `targets`, `alignsec.study.targets.middle`, off the floor of 0.

    Parameters
    ----------
    total : table of kind ``total_scores``
    targets : columns of `total`
    """
    every = list(targets)
    primary = plan["primary"] if plan is not None else {}
    for kind in names.by_kind(every):
        if primary.get(kind) in every and kind not in ("clean", "other"):
            return primary[kind]
    return names.middle(every, at_floor(total, every))
