"""Leaderboard and registry joined by exact name; the sheet checked against both."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.leaderboard import export, registry
from alignsec.leaderboard.proposed import propose_family

if TYPE_CHECKING:
    import pandas as pd

UNMATCHED = ["model", "side", "closest", "similarity"]


def merge(
    scores: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    loadable: "pd.DataFrame",
    sheet: "pd.DataFrame | None" = None,
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Models that are on the leaderboard and in the registry, by exact name.

    Near-matches are reported and never used: of the published names, those that only normalising brings
    together belong to different submissions. A sheet's families replace those guessed from the names.

    Parameters
    ----------
    scores, benchmarks : tables of these kinds
    loadable : table of kind ``registry``
    sheet : the models of the study

    Returns
    -------
    (merged, unmatched)
        `merged`: table of kind ``merged``, one column per benchmark; `unmatched`: model, side
        (``leaderboard`` or ``registry``), closest name of the other side, and their similarity in [0, 1]
        after removing case and separators (1: equal but for those).

    Raises
    ------
    AlignsecError
        No model is in both, or the sheet asks for a ``brainscore`` model that is not.
    """
    wide = scores.pivot(index="model", columns="benchmark", values="score")[list(benchmarks["benchmark"])]
    plugins = dict(zip(loadable["model"], loadable["plugin"], strict=True))
    both = [m for m in dict.fromkeys(scores["model"]) if m in plugins]
    if not both:
        raise AlignsecError(
            f"none of the leaderboard's {len(wide)} models is among the registry's {len(plugins)}: "
            "check leaderboard.source and leaderboard.registry"
        )
    merged = wide.loc[both].astype(float)
    known = {} if sheet is None else dict(zip(sheet["model"], sheet["family"], strict=True))
    merged.insert(0, "plugin", [plugins[m] for m in both])
    merged.insert(1, "family", [known.get(m) or propose_family(m) for m in both])
    merged.columns.name = None
    if sheet is not None:
        check_sheet(sheet, both)
    return merged.reset_index(), _unmatched(list(wide.index), list(plugins))


def _unmatched(leaderboard: list[str], loadable: list[str]) -> "pd.DataFrame":
    """Names on one side only, each with the closest of the other side, the likeliest slips first."""
    import pandas as pd
    from rapidfuzz import fuzz, process

    sides = {"leaderboard": leaderboard, "registry": loadable}
    rows = []
    for side, other in (("leaderboard", "registry"), ("registry", "leaderboard")):
        alone = [m for m in sides[side] if m not in set(sides[other])]
        if not alone:
            continue
        likeness = process.cdist(
            [_normalised(m) for m in alone], [_normalised(m) for m in sides[other]], scorer=fuzz.ratio
        )
        for i, model in enumerate(alone):
            j = int(likeness[i].argmax())
            rows.append((model, side, sides[other][j], round(float(likeness[i, j]) / 100, 3)))
    rows.sort(key=lambda r: (-r[3], r[1], r[0]))
    return pd.DataFrame(rows, columns=UNMATCHED)


def _normalised(name: str) -> str:
    return re.sub(r"[\s_\-.:/=]+", "", name.lower())


def check_sheet(sheet: "pd.DataFrame", known: Iterable[str]) -> None:
    """Refuse ``brainscore`` rows whose model the merge does not know.

    Raises
    ------
    AlignsecError
        With the closest names.
    """
    names = set(known)
    asked = sheet.loc[sheet["source"] == "brainscore", "model"]
    unknown = [m for m in asked if m not in names]
    if unknown:
        near = "; ".join(f"{m!r} (closest: {closest(m, names)[0][0]!r})" for m in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise AlignsecError(
            "the sheet asks for models that are not both on the leaderboard and in the registry: "
            f"{near}{more}: correct the names or remove the rows (registry/unmatched.csv lists what is on "
            "one side only)"
        )


def check_early(sheet: "pd.DataFrame", source: str, sha256: str | None, package: str) -> None:
    """Check a sheet against a local leaderboard file before any job runs; the merge checks it again.

    Does nothing where it cannot be told yet (a leaderboard to be measured or downloaded) or need not be (no
    ``brainscore`` row).

    Parameters
    ----------
    sheet : the models of the study
    source, sha256, package : the configuration's `leaderboard.source`, `sha256` and `registry`

    Raises
    ------
    AlignsecError
        As `export.fetch`, `export.parse`, `registry.read` and `check_sheet`.
    """
    from tempfile import TemporaryDirectory

    if source == "demo" or "://" in source or not (sheet["source"] == "brainscore").any():
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / Path(source).name
        export.fetch(source, copy, sha256)
        listed = export.parse(copy).scores["model"]
    found = registry.read(package, sheet)[0]
    check_sheet(sheet, set(listed) & set(found["model"]))
