"""Whose name is whose: a user's names for the leaderboard's models, said and never guessed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest, nearest
from alignsec.ground.tabular import read_table

if TYPE_CHECKING:
    import pandas as pd

STEP = "join"  # of an exclusion: the name is not among the study's


def read(path: Path | str, known: Iterable[str]) -> dict[str, str]:
    """The alias file: name in the robustness table -> name on the leaderboard.

    Parameters
    ----------
    path : a table with columns `name` and `leaderboard`, and others for people (a note)
    known : names of the leaderboard and of the sheet

    Raises
    ------
    AlignsecError
        The file, line and remedy: a missing column, an empty or repeated name, a name that the leaderboard
        does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise AlignsecError(f"{path}: no such file of names: set robustness.names")
    table = read_table(path)
    columns = [table.find("name"), table.find("leaderboard")]
    if None in columns:
        raise AlignsecError(
            f"{path}: expected are columns `name` and `leaderboard`; the columns are "
            f"{', '.join(table.header)}"
        )
    names = set(known)
    found: dict[str, str] = {}
    for row, _ in enumerate(table.rows):
        name, meant = (table.text(row, c, "name") for c in columns if c is not None)
        if name in found and found[name] != meant:
            raise AlignsecError(
                f"{table.where(row)}: {name!r} is already said to be {found[name]!r}: keep one"
            )
        if meant not in names:
            near = closest(meant, names)
            hint = f" (closest: {near[0][0]!r})" if near else ""
            raise AlignsecError(
                f"{table.where(row)}: {meant!r} is no name of the leaderboard{hint}: correct it"
            )
        found[name] = meant
    return found


def renamed(
    given: "pd.DataFrame", aliases: Mapping[str, str], known: Iterable[str]
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """A table of kind ``robustness`` under the study's names, and its models that are none of them.

    Returns
    -------
    (table, unmatched)
        `table`: kind ``robustness``, every row kept; `unmatched`: `model, step, reason` with the closest
        name.

    Raises
    ------
    AlignsecError
        Two names of the table mean one model, or none is of the study.
    """
    import pandas as pd

    from alignsec.robustness.summarise import EXCLUDED

    names = set(known)
    table = given.assign(model=[aliases.get(m, m) for m in given["model"]])
    came: dict[str, set[str]] = {}
    for name, meant in zip(given["model"], table["model"], strict=True):
        came.setdefault(meant, set()).add(name)
    for meant, several in came.items():
        if len(several) > 1:
            listed = ", ".join(repr(g) for g in sorted(several))
            raise AlignsecError(f"the names {listed} of the robustness table all mean {meant!r}: keep one")
    lost = [m for m in came if m not in names]
    close = [near for near, _ in nearest(lost, sorted(names))] if lost else []
    if len(lost) == len(came):
        near = "; ".join(f"{m!r} (closest: {c!r})" for m, c in list(zip(lost, close, strict=True))[:5])
        raise AlignsecError(
            f"none of the {len(came)} models of the robustness table is on the leaderboard: {near}: correct "
            "the names, or say in a table what they mean (robustness.names)"
        )
    rows = [(m, STEP, f"not on the leaderboard (closest: {c!r})") for m, c in zip(lost, close, strict=True)]
    return table, pd.DataFrame(rows, columns=EXCLUDED)
