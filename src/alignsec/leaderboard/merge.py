"""Leaderboard and registry joined by exact name; the sheet checked against both."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.leaderboard import export, registry
from alignsec.leaderboard.proposed import propose_family
from alignsec.study.config import is_remote

if TYPE_CHECKING:
    import pandas as pd


def merge(
    scores: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    loadable: "pd.DataFrame",
    sheet: "pd.DataFrame | None" = None,
    *,
    everything: bool = False,
) -> "pd.DataFrame":
    """Models that are on the leaderboard and in the registry, by exact name: table of kind ``merged``.

    Nothing is matched by similarity: of the published names, those that only normalising brings together
    belong to different submissions. A sheet's families replace those guessed from the names.

    Parameters
    ----------
    scores, benchmarks : tables of these kinds
    loadable : table of kind ``registry``
    sheet : the models of the study
    everything : keep the leaderboard's models that cannot be loaded, their `plugin` null: for a study that
        attacks nothing

    Returns
    -------
    One row per model, one column per benchmark.

    Raises
    ------
    AlignsecError
        No model is in both, or the sheet asks for a ``brainscore`` model that is not.
    """
    wide = scores.pivot(index="model", columns="benchmark", values="score")[list(benchmarks["benchmark"])]
    plugins = dict(zip(loadable["model"], loadable["plugin"], strict=True))
    both = [m for m in dict.fromkeys(scores["model"]) if everything or m in plugins]
    if sheet is not None:
        check_sheet(sheet, both)
    if not both and (sheet is None or (sheet["source"] == "brainscore").any()):
        raise AlignsecError(
            f"none of the leaderboard's {len(wide)} models is among the registry's {len(plugins)}: "
            "check leaderboard.source and leaderboard.registry"
        )
    merged = wide.loc[both].astype(float)
    known = {} if sheet is None else dict(zip(sheet["model"], sheet["family"], strict=True))
    merged.insert(0, "plugin", [plugins.get(m) for m in both])
    merged.insert(1, "family", [known.get(m) or propose_family(m) for m in both])
    merged.columns.name = None
    return merged.reset_index()


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
            f"{near}{more}: correct the names or remove the rows"
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

    if source == "demo" or is_remote(source) or not (sheet["source"] == "brainscore").any():
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / Path(source).name
        export.fetch(source, copy, sha256)
        listed = export.parse(copy).scores["model"]
    found = registry.read(package, sheet)[0]
    check_sheet(sheet, set(listed) & set(found["model"]))
