"""The catalogue of published robustness (`config/published/sources.yaml`): where it is, what it is."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest

CATALOGUE = "robustness.published.sources"


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes
    ----------
    name : what it is called in the study's folder; layouts tell some tables by it
    address : pinned to a commit
    sha256 : of its bytes
    gathered : is it gathered from many files of the repository, so that only a mirror holds it?
    layout : ``table`` (any of `alignsec.robustness.layouts`) or ``robustbench corruptions``
    rows : column -> value: the rows that are taken; none: all
    columns : column -> target, of a table whose columns no layout knows; values in percent
    """

    name: str
    address: str
    sha256: str
    gathered: bool = False
    layout: str = "table"
    rows: Mapping[str, str] | None = None
    columns: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Measure:
    """What some targets of a source are: `targets` are patterns, with ``*``, of names without the source.

    `mean`: the targets are averaged into this one, and not taken by themselves.
    """

    targets: tuple[str, ...]
    what: str
    attack: str | None = None
    norm: str | None = None
    steps: int | None = None
    epsilons: tuple[str, ...] = ()
    images: str | None = None
    mean: str | None = None
    cautions: tuple[str, ...] = ()

    def holds(self, target: str) -> bool:
        """Is it one of these targets?"""
        return any(fnmatch.fnmatchcase(target, pattern) for pattern in self.targets)


@dataclass(frozen=True)
class Source:
    """A published data set."""

    title: str
    home: str
    commit: str
    licence: str
    citation: str
    names: str
    files: tuple[File, ...]
    measures: tuple[Measure, ...]
    images: str = ""
    cautions: tuple[str, ...] = ()

    def measure(self, target: str) -> Measure | None:
        """What a target of this source is, its mean as well; None of one that is not taken."""
        found = (m for m in self.measures if m.mean == target or (m.mean is None and m.holds(target)))
        return next(found, None)


def read(path: Path) -> dict[str, Source]:
    """The catalogue at `path`, by the sources' short names.

    Raises
    ------
    AlignsecError
        The file, and the entry and key that are missing, unknown or wrong.
    """
    import jsonschema
    import yaml

    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AlignsecError(f"{path}: not a readable catalogue ({error}): set {CATALOGUE}") from error
    errors = sorted(jsonschema.Draft202012Validator(schema()).iter_errors(given), key=lambda e: list(e.path))
    if errors:
        where = ".".join(map(str, errors[0].absolute_path)) or "the file"
        raise AlignsecError(f"{path}: {where}: {errors[0].message} (docs/published.md)")
    return {key: _source(entry) for key, entry in given.items()}


def schema() -> dict[str, Any]:
    """The JSON schema of the catalogue."""
    import yaml

    path = resources.files("alignsec.study") / "published.schema.yaml"
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def _source(entry: Mapping[str, Any]) -> Source:
    measures: list[Measure] = []
    for given in entry["measures"]:
        said: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        measures.append(Measure(**said))
    rest = {k: v for k, v in entry.items() if k not in ("files", "measures", "cautions")}
    return Source(
        **rest,
        files=tuple(File(**f) for f in entry["files"]),
        measures=tuple(measures),
        cautions=tuple(entry.get("cautions", ())),
    )


def chosen(catalogue: Mapping[str, Source], names: Iterable[str], path: Path | str) -> dict[str, Source]:
    """The sources of these names; `AlignsecError` with the nearest one for a name that is not there."""
    found: dict[str, Source] = {}
    for name in names:
        if name not in catalogue:
            near = closest(name, list(catalogue))[0][0]
            raise AlignsecError(
                f"robustness.published: {path} has no source {name!r} (nearest: {near!r}): correct or add it"
            )
        found[name] = catalogue[name]
    return found
