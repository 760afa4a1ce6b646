"""Which models the installed Brain-Score package, or a copy of it, can load.

Registrations are read from the plugins' source by syntax tree: importing 600 plugins would run third-party
code, download weights and take minutes. What was read can be kept as a table, for machines without the
package.
"""

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.schemas import SCHEMAS
from alignsec.ground.tables import unescaped
from alignsec.ground.tabular import read_table

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = "brainscore_vision"
UNRESOLVED = ["plugin", "line", "text"]


def _package_folder(source: str) -> tuple[Path, str]:
    """The package's folder and version, without importing it."""
    from importlib import metadata, util

    if source == "installed":
        spec = util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise AlignsecError(
                f"leaderboard.registry: {PACKAGE} is not installed, as in an analysis-only installation: "
                "install the extra `attack` (make setup, or pip install 'alignsec[attack]'), or name a table "
                "of the registered models, such as config/published/registry.csv"
            )
        return Path(next(iter(spec.submodule_search_locations))), metadata.version(PACKAGE)
    given = Path(source)
    for folder in (given, given / PACKAGE, given.parent if given.name == "models" else given):
        if (folder / "models").is_dir():
            return folder, _version_of(folder)
    raise AlignsecError(
        f"leaderboard.registry: {source}: neither `installed`, nor a table of registered models, nor a "
        f"folder that holds {PACKAGE}/models"
    )


def _version_of(folder: Path) -> str:
    for path in (folder.parent / "pyproject.toml", folder / "pyproject.toml"):
        if path.is_file() and (found := re.search(r'^version\s*=\s*"([^"]+)"', path.read_text(), re.M)):
            return found[1]
    info = sorted(folder.parent.glob(f"{PACKAGE}-*.dist-info"))
    return info[-1].name.removeprefix(f"{PACKAGE}-").removesuffix(".dist-info") if info else "unknown"


def _registrations(text: str) -> tuple[list[str], list[tuple[int, str]]]:
    """Literal names registered in one plugin, and the registrations that only running it would resolve."""
    names: list[str] = []
    unresolved: list[tuple[int, str]] = []

    def key(node: ast.expr | None, at: ast.AST) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append(node.value)
        else:
            line = getattr(at, "lineno", 0)
            unresolved.append((line, text.splitlines()[line - 1].strip()[:200]))

    def is_registry(node: ast.expr) -> bool:
        return (isinstance(node, ast.Name) and node.id == "model_registry") or (
            isinstance(node, ast.Attribute) and node.attr == "model_registry"
        )

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Subscript) and is_registry(target.value):
                    key(target.slice, node)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and is_registry(node.func.value)
        ):
            if node.func.attr == "update" and node.args and isinstance(node.args[0], ast.Dict):
                for k in node.args[0].keys:
                    key(k, node)
            elif node.func.attr == "setdefault" and node.args:
                key(node.args[0], node)
            elif node.func.attr in ("update", "__setitem__"):
                key(None, node)
    return names, unresolved


def read(
    source: str = "installed", sheet: "pd.DataFrame | None" = None
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Registered model names of the installed package, of a copy at a path, of a table, or of the demo.

    Parameters
    ----------
    source : ``installed``, the path of a copy or of a table (as ``alignsec leaderboard registry`` writes it),
        or ``demo``
    sheet : the models of the study, of which the demo registers its own

    Returns
    -------
    (registry, unresolved)
        `registry`: table of kind ``registry``; `unresolved`: plugin, line, text of every registration whose
        name is not a literal, and of every plugin that cannot be parsed.

    Raises
    ------
    AlignsecError
        Not installed, no such folder or table, no registration found, or source ``demo`` without a sheet.
    """
    import pandas as pd

    if source == "demo":
        if sheet is None:
            raise AlignsecError("leaderboard.registry is demo, which needs zoo.sheet")
        return _demo(sheet), pd.DataFrame(columns=UNRESOLVED)
    if source != "installed" and Path(source).is_file():
        return _written(Path(source)), pd.DataFrame(columns=UNRESOLVED)
    folder, version = _package_folder(source)
    rows: dict[str, tuple[str, str, str]] = {}
    unresolved: list[tuple[str, int, str]] = []
    for path in sorted((folder / "models").glob("*/__init__.py")):
        plugin = path.parent.name
        try:
            names, open_ends = _registrations(path.read_text(encoding="utf-8", errors="replace"))
        except SyntaxError as error:
            unresolved.append((plugin, error.lineno or 0, f"cannot be parsed: {error.msg}"))
            continue
        unresolved += [(plugin, line, text) for line, text in open_ends]
        for name in names:
            first = rows.setdefault(name, (name, plugin, version))
            if first[1] != plugin:
                unresolved.append((plugin, 0, f"{name!r} is already registered by {first[1]}"))
    if not rows:
        raise AlignsecError(f"leaderboard.registry: {folder}: no plugin there registers a model")
    return (
        pd.DataFrame(list(rows.values()), columns=["model", "plugin", "package_version"]),
        pd.DataFrame(unresolved, columns=UNRESOLVED),
    )


def _written(path: Path) -> "pd.DataFrame":
    """The registry as a table that was read before, to the letter."""
    import pandas as pd

    table = read_table(path)
    names = list(SCHEMAS["registry"])
    columns = [table.find(name) for name in names]
    if None in columns:
        raise AlignsecError(
            f"leaderboard.registry: {path}:{table.header_line}: expected are the columns {', '.join(names)}, "
            f"as `alignsec leaderboard registry` writes them; the columns are {', '.join(table.header)}"
        )
    found: dict[str, list[str]] = {}
    for row, _ in enumerate(table.rows):
        cells = [
            unescaped(table.text(row, c, n)) for c, n in zip(columns, names, strict=True) if c is not None
        ]
        if cells[0] in found:
            raise AlignsecError(
                f"leaderboard.registry: {table.where(row)}: {cells[0]!r} stands there twice: delete one"
            )
        found[cells[0]] = cells
    return pd.DataFrame(list(found.values()), columns=names)


def _demo(sheet: "pd.DataFrame") -> "pd.DataFrame":
    """The models of a sheet that this package loads itself."""
    from importlib.metadata import version

    import pandas as pd

    models = sheet.loc[sheet["source"] == "demo", "model"].reset_index(drop=True)
    return pd.DataFrame({"model": models, "plugin": "alignsec.demo", "package_version": version("alignsec")})


@lru_cache(maxsize=2)
def _sources(folder: Path) -> tuple[tuple[str, str], ...]:
    """Every plugin and the text that registers its models."""
    paths = sorted((folder / "models").glob("*/__init__.py"))
    return tuple((p.parent.name, p.read_text(encoding="utf-8", errors="replace")) for p in paths)


def plugin_of(name: str, source: str = "installed") -> str | None:
    """The plugin that registers `name`, or None; only files that hold the name are parsed."""
    folder, _ = _package_folder(source)
    for plugin, text in _sources(folder):
        if name in text:
            try:
                names, _ = _registrations(text)
            except SyntaxError:
                continue
            if name in names:
                return plugin
    return None


def models_folder(source: str = "installed") -> Path:
    """Where the plugins of models are, a folder each."""
    return _package_folder(source)[0] / "models"


def plugin_folder(plugin: str, source: str = "installed") -> Path:
    """Where a plugin's source is."""
    return models_folder(source) / plugin
