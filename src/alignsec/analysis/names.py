"""Every name that came into a study and what became of it, a row each: nothing is lost in silence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.analysis.correlate import targets_of
from alignsec.ground import tables
from alignsec.ground.names import nearest
from alignsec.robustness import aliases
from alignsec.robustness.own import read_own
from alignsec.study import sheet
from alignsec.study.targets import source_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["name", "where", "fate", "why", "closest", "similarity"]
PLACES = ("leaderboard", "registry", "sheet", "robustness")
FATES = ("used", "excluded", "unmatched", "duplicate")
HALF = 0.5  # share of unmatched names of a sheet or table above which a reader is told first


@dataclass(frozen=True)
class Came:
    """The names that came in, each place in its own order; None where a study has no such place.

    Parameters
    ----------
    leaderboard : distinct names
    registry : registered names
    sheet : models of the sheet
    robustness : names of the user's own robustness table, as written there
    duplicates : rows of the leaderboard that were dropped: name, and why
    aliases : name in the robustness table -> name on the leaderboard, as the alias file says
    published : names of published sources: name, source, fate, why
    """

    leaderboard: Sequence[str]
    registry: Sequence[str] = ()
    sheet: Sequence[str] | None = None
    robustness: Sequence[str] | None = None
    duplicates: Sequence[tuple[str, str]] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    published: Sequence[tuple[str, str, str, str]] = ()


def reconcile(came: Came, used: Iterable[str], excluded: Mapping[str, str]) -> "pd.DataFrame":
    """What became of every name: a row for each of each place, and for each dropped row of the leaderboard.

    Parameters
    ----------
    used : models (by their names on the leaderboard, or in the sheet) that have a robustness value
    excluded : model -> why it could not be evaluated

    Returns
    -------
    DataFrame `name, where, fate, why, closest, similarity`. `where` is one of `PLACES` or a published
    source, `fate` one of `FATES`. `closest` is the most similar name of the place that an unmatched one was
    looked for in; `similarity`, in [0, 1], leaves out case and separators (1: equal but for those). Nothing
    is matched by it.
    """
    import pandas as pd

    taken, board, loadable = set(used), set(came.leaderboard), set(came.registry)
    rows: list[tuple[str, str, str, str]] = []
    for name in came.leaderboard:
        rows.append((name, "leaderboard", *_of_leaderboard(name, came, taken, loadable, excluded)))
    rows += [(name, "leaderboard", "duplicate", why) for name, why in came.duplicates]
    for name in came.registry:
        if name in taken and name in board:
            fate = ("used", "")
        elif name in excluded:
            fate = ("excluded", excluded[name])
        elif name not in board:
            fate = ("unmatched", "not on the leaderboard")
        else:
            fate = ("unmatched", _elsewhere(came))
        rows.append((name, "registry", *fate))
    for name in came.sheet or ():
        if name in excluded:
            fate = ("excluded", excluded[name])
        elif name not in taken:
            fate = ("unmatched", "the robustness table has no value for it")
        else:
            fate = ("used", "" if name in board else "without alignment scores: not on the leaderboard")
        rows.append((name, "sheet", *fate))
    for name in came.robustness or ():
        known = came.aliases.get(name, name)
        if known in taken:
            fate = ("used", "" if known == name else f"as {known}, by the alias file")
        elif known in excluded and known in board:
            fate = ("excluded", excluded[known])
        else:
            fate = (
                "unmatched",
                "not on the leaderboard" if known == name else f"its alias {known} is not on the leaderboard",
            )
        rows.append((name, "robustness", *fate))
    found = pd.DataFrame([*rows, *came.published], columns=COLUMNS[:4])
    return _with_closest(found, came)


@dataclass(frozen=True)
class Files:
    """Where the names of a study come from; None where there is no such file.

    Parameters
    ----------
    dropped : rows of the leaderboard that another stands for
    scores, registry, total, robustness : tables of these kinds
    excluded : models that could not be evaluated
    sheet : the models of the study
    own, aliases : the user's robustness table, and the names in it that mean others
    fates : what became of the names of published sources (`robustness.published.Published.fates`)
    """

    dropped: Path
    scores: Path
    registry: Path
    total: Path
    robustness: Path
    excluded: Path
    sheet: Path | None = None
    own: Path | None = None
    aliases: Path | None = None
    fates: Path | None = None


def of_study(files: Files) -> "pd.DataFrame":
    """`reconcile` of a study's own files."""
    board = list(dict.fromkeys(tables.read(files.scores, "scores")["model"]))
    rows = None if files.sheet is None else list(sheet.read(files.sheet)["model"])
    total = tables.read(files.total, "total_scores")
    targets = targets_of(tables.read(files.robustness, "robustness"))
    out = tables.read_csv(files.excluded)
    came = Came(
        board,
        list(tables.read(files.registry, "registry")["model"]),
        rows,
        None if files.own is None else list(dict.fromkeys(read_own(files.own).table["model"])),
        list(_rows(tables.read_csv(files.dropped), ["model", "why"])),
        {} if files.aliases is None else aliases.read(files.aliases, [*board, *(rows or ())]),
        [] if files.fates is None else _published(tables.read_csv(files.fates), targets),
    )
    used = total.loc[total[targets].notna().any(axis=1), "model"]
    return reconcile(came, used, dict(zip(out["model"], out["reason"], strict=True)))


def _published(fates: "pd.DataFrame", targets: Iterable[str]) -> list[tuple[str, str, str, str]]:
    """Names of published sources, as `reconcile` has them; of a source without a target, as shown only."""
    correlated = {source_of(target) for target in targets}
    rows = []
    for source, name, fate, models in _rows(fates, ["source", "source_model", "fate", "model"]):
        if fate != "joined":
            rows.append((name, source, "unmatched", fate))
        elif source in correlated:
            rows.append((name, source, "used", f"as {models}"))
        else:
            rows.append((name, source, "excluded", f"shown and not correlated, as {models}"))
    return rows


def _rows(table: "pd.DataFrame", columns: Sequence[str]) -> Iterable[Any]:
    return table[list(columns)].itertuples(index=False, name=None)


def _of_leaderboard(
    name: str, came: Came, taken: set[str], loadable: set[str], excluded: Mapping[str, str]
) -> tuple[str, str]:
    if name in taken:
        return "used", ""
    if name in excluded:
        return "excluded", excluded[name]
    if came.robustness is None and not came.published and loadable and name not in loadable:
        return "unmatched", "not in the registry"
    return "unmatched", _elsewhere(came)


def _elsewhere(came: Came) -> str:
    if came.sheet is not None:
        return "not in the sheet"
    if came.published:
        return "the name map says of no published source that is correlated which network it is"
    return "the robustness table has no row for it"


def _with_closest(found: "pd.DataFrame", came: Came) -> "pd.DataFrame":
    import pandas as pd

    theirs = came.robustness or [name for name, *_ in came.published]
    other: dict[str, Sequence[str]] = {
        "leaderboard": theirs if came.robustness is not None or theirs else came.registry,
        "registry": came.leaderboard,
        "sheet": came.leaderboard,
        "robustness": came.leaderboard,
    }
    closest: dict[int, tuple[str, float]] = {}
    for where, part in found[found["fate"] == "unmatched"].groupby("where", sort=False):
        candidates = list(other.get(str(where), came.leaderboard))
        if not candidates:
            continue
        closest |= dict(zip(part.index, nearest(list(part["name"]), candidates), strict=True))
    near = pd.DataFrame.from_dict(closest, orient="index", columns=["closest", "similarity"])
    return found.join(near.reindex(found.index).astype({"closest": "object", "similarity": "float64"}))


def counts(names: "pd.DataFrame") -> "pd.DataFrame":
    """How many names of each place had each fate: rows places that occur, columns `FATES` and `total`."""
    import pandas as pd

    there = list(dict.fromkeys(names["where"]))
    order = sorted(there, key=lambda p: PLACES.index(p) if p in PLACES else len(PLACES))
    table = pd.crosstab(names["where"], names["fate"]).reindex(index=order, columns=list(FATES), fill_value=0)
    return table.assign(total=table.sum(axis=1))


def mostly_unmatched(names: "pd.DataFrame") -> list[str]:
    """Places of the user's own, sheet and robustness table, of whose names more than half did not match."""
    table = counts(names)
    return [
        str(where)
        for where in table.index
        if where in ("sheet", "robustness")
        and table.loc[where, "unmatched"] > HALF * table.loc[where, "total"]
    ]
