"""What a notebook starts from: a leaderboard, and robustness that others have published."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import file_hash
from alignsec.leaderboard import export
from alignsec.robustness import published
from alignsec.study import bundled
from alignsec.study.layout import Layout
from alignsec.study.published import chosen, read

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Leaderboard:
    """A Brain-Score leaderboard.

    Parameters
    ----------
    scores : `model, benchmark, score, status`, a row per cell
    benchmarks : `benchmark, parent, category, depth, is_leaf, n_scored`
    dropped : `model, why`: rows that another of the same name stands for
    source : where it came from, and how it was read
    """

    scores: "pd.DataFrame"
    benchmarks: "pd.DataFrame"
    dropped: "pd.DataFrame"
    source: str

    @property
    def models(self) -> list[str]:
        """Distinct names, in the order of the file."""
        return list(dict.fromkeys(self.scores["model"]))

    def __repr__(self) -> str:
        leaves = int(self.benchmarks["is_leaf"].sum())
        return f"<Leaderboard: {len(self.models)} models, {leaves} leaf benchmarks; {self.source}>"


def load_leaderboard(
    source: Path | str | None = None,
    *,
    sha256: str | None = None,
    categories: Mapping[str, str] | None = None,
) -> Leaderboard:
    """Read a leaderboard of Brain-Score, or one of your own in its form.

    Parameters
    ----------
    source : a path or an address, in any form that ``leaderboard.source`` of the configuration takes; None:
        the leaderboard of May 2025 that `docs/results.md` is about, pinned, downloaded once
        (``$XDG_CACHE_HOME/alignsec``) and checked
    sha256 : that the file must have; None takes any, but the pinned one's is always checked
    categories : benchmark to neural, behavior or engineering, for those that the file leaves without

    Raises
    ------
    AlignsecError
        No such file, no answer, another SHA-256, or no leaderboard.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "board.csv").write_text("model,MajajHong2015.IT-pls\\na,0.5\\nb,X\\n")
    ...     board = load_leaderboard(Path(folder, "board.csv"))
    >>> board.models, list(board.scores["status"])
    (['a', 'b'], ['scored', 'failed'])
    """
    address = str(source)
    if source is None:
        address, sha256 = bundled.pinned_leaderboard()
    if source is not None and Path(address).is_file():
        path = Path(address)
        if sha256 is not None and file_hash(path) != sha256:
            raise AlignsecError(f"{path} has SHA-256 {file_hash(path)}, not {sha256}")
        return _parsed(path, address, categories)
    if sha256 is None:
        with TemporaryDirectory() as folder:
            path = Layout(Path(folder)).leaderboard(address)
            export.fetch(address, path, None)
            return _parsed(path, address, categories)
    path = _cache() / Layout(Path(sha256[:16])).leaderboard(address)
    if not path.is_file() or file_hash(path) != sha256:
        path.parent.mkdir(parents=True, exist_ok=True)
        export.fetch(address, path, sha256)
    return _parsed(path, address, categories)


def _parsed(path: Path, address: str, categories: Mapping[str, str] | None) -> Leaderboard:
    found = export.parse(path, categories)
    return Leaderboard(
        found.scores, found.benchmarks, export.dropped_table(found), f"{address}: {found.understood}"
    )


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "alignsec")


@dataclass(frozen=True, repr=False)
class Published:
    """Robustness of the leaderboard's models as others have published it.

    Parameters
    ----------
    table : `model, target, value, low, high, n`; targets end in their source
    identities : which network of a source a model is, and how that was checked
    sources : name to what a reader must know: citation, licence, attack, cautions
    """

    table: "pd.DataFrame"
    identities: "pd.DataFrame"
    sources: Mapping[str, Any]

    def __repr__(self) -> str:
        models, targets = self.table["model"].nunique(), self.table["target"].nunique()
        return f"<Published: {models} models, {targets} targets of {', '.join(self.sources)}>"


def load_published(board: Leaderboard, *names: str) -> Published:
    """Published robustness of a leaderboard's models, downloaded once, pinned and checked.

    Names are joined by the reviewed map that comes along, nothing by similarity.

    Parameters
    ----------
    names : of the catalogue (docs/published.md); none: ``testbed`` and ``timm``, which have enough models

    Raises
    ------
    AlignsecError
        No such source, no answer, or a file of another SHA-256.
    """
    catalogue = bundled.path("published/sources.yaml")
    sources = chosen(read(catalogue), list(names or ("testbed", "timm")), catalogue)
    folder = _cache() / "published"
    for name, source in sources.items():
        for file in source.files:
            place = folder / name / file.name
            if not place.is_file() or file_hash(place) != file.sha256:
                place.parent.mkdir(parents=True, exist_ok=True)
                published.fetch(catalogue, name, file.name, place)
    tree = published.Tree(board.scores, board.benchmarks)
    found, _ = published.of_study(sources, (), folder, bundled.path("published/name_map.tsv"), tree)
    return Published(found.table, found.identities, published.described(sources, found))
