"""From a study's folder to the files of a figure, as `alignsec.study.catalogue.FIGURES` says."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from alignsec.ground.errors import AlignsecError
from alignsec.report import reading
from alignsec.report.figures import save
from alignsec.study import catalogue
from alignsec.study import config as configuration
from alignsec.study.layout import Layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawer(Protocol):
    """What a module of a figure offers."""

    def of_study(self, tables: Mapping[str, Any], options: Mapping[str, Any]) -> "Mapping[str, Figure]":
        """The drawings by the names of their files, from the tables and options that the catalogue lists.

        An option that is not given has its default.
        """


def draw(
    name: str, study: Path, options: Mapping[str, Any] | None = None, out: Path | None = None
) -> list[Path]:
    """Draw one figure of a study; the files written.

    Parameters
    ----------
    name : a key of `alignsec.study.catalogue.FIGURES`
    study : folder of the study, ``results/<study>``
    options : the figure's looks and further values of the configuration; others have their defaults
    out : folder of the files; None: the study's own

    Raises
    ------
    AlignsecError
        No figure of that name, an option that it does not have or whose value it does not take, or a table
        that is not there.
    """
    if name not in catalogue.FIGURES:
        raise AlignsecError(f"figure {name!r} is not one of {', '.join(catalogue.FIGURES)}")
    tables = reading.read(Layout(study), catalogue.FIGURES[name].tables)
    written = []
    for file, figure in _made(name, tables, options or {}).items():
        place = Layout(study).figure(file, "pdf")
        written += save(figure, (out or place.parent) / place.stem)
    return written


def drawn(file: str, table: Callable[[str], Any], options: Mapping[str, Any]) -> "Figure":
    """One drawing by the name of its file, its tables given by the names that `Layout` has for them.

    Raises
    ------
    AlignsecError
        No drawing of that name, or an option that its figure does not have or whose value it does not take.
    """
    of_file = {f: name for name in catalogue.FIGURES for f in catalogue.files(name)}
    if file not in of_file:
        raise AlignsecError(f"figure {file!r} is not one of {', '.join(of_file)}")
    name = of_file[file]
    return _made(name, {t: table(t) for t in catalogue.FIGURES[name].tables}, options)[file]


def _made(name: str, tables: Mapping[str, Any], given: Mapping[str, Any]) -> "Mapping[str, Figure]":
    entry, options = catalogue.FIGURES[name], dict(given)
    _check(name, options)
    drawer: Drawer = catalogue.imported(entry)
    made = drawer.of_study(tables, options)
    if set(made) != set(catalogue.files(name)):
        raise AlignsecError(
            f"{entry.module} drew {', '.join(made)}; its line in the catalogue says "
            f"{', '.join(catalogue.files(name))}"
        )
    return made


def _check(name: str, options: Mapping[str, Any]) -> None:
    """Hold options against the schema of the configuration."""
    import jsonschema

    schema = configuration.schema()
    known = dict(schema["properties"]["report"]["properties"].get(name, {}).get("properties", {}))
    for key in catalogue.FIGURES[name].keys:
        known[key.rpartition(".")[2]] = catalogue.value(
            schema["properties"], key.replace(".", ".properties.")
        )
    for key, value in options.items():
        if key not in known:
            raise AlignsecError(f"figure {name} has no option {key!r}; it has {', '.join(known) or 'none'}")
        try:
            jsonschema.validate(value, known[key])
        except jsonschema.ValidationError as error:
            raise AlignsecError(f"figure {name}, option {key}: {error.message}") from error
