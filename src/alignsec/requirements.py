"""What the plugins of a sheet import and this environment lacks, read from their source without running it."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.registry import PACKAGE, plugin_folder, plugin_of

if TYPE_CHECKING:
    import pandas as pd

# Import name -> distribution, where the two differ.
_DISTRIBUTIONS = {
    "PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn", "skimage": "scikit-image",
    "yaml": "pyyaml", "efficientnet_pytorch": "efficientnet-pytorch", "antialiased_cnns": "antialiased-cnns",
    "pytorch_lightning": "pytorch-lightning",
}  # fmt: skip


@lru_cache(maxsize=1024)
def _is_installed(module: str) -> bool:
    try:
        return module in sys.stdlib_module_names or util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _imports(tree: ast.Module, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run with the module; with `lazy`, those inside functions too. None under try or if."""

    def walk(body: Iterable[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield node
            elif isinstance(node, ast.With) or (
                lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            ):
                yield from walk(node.body)

    yield from walk(tree.body)


def _is_inside(folder: Path, module: str) -> bool:
    """Whether the plugin brings a module of this name, which it may put on the path as it runs."""
    return any(p.stem == module for p in folder.rglob(f"{module}*") if p.is_dir() or p.suffix == ".py")


def missing_imports(folder: Path, lazy: bool = False) -> list[str]:
    """Top-level packages that importing the plugin in `folder` needs and this environment lacks, sorted.

    Follows the plugin's own modules as far as they are imported; an import that is guarded (``try``, ``if``) is
    taken as optional. With `lazy`, imports inside functions and classes count as well: what loading the model may
    need, an upper bound.
    """
    missing: set[str] = set()
    seen: set[Path] = set()
    waiting = [folder / "__init__.py"]
    own = f"{PACKAGE}.models.{folder.name}"
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except SyntaxError:
            continue
        for node in _imports(tree, lazy):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                parts = [n.removeprefix(own).lstrip(".") for n in names if n.startswith(own)]
                places = [folder.joinpath(*p.split(".")) for p in parts]
            elif node.level:
                base = path.parent
                for _ in range(node.level - 1):
                    base = base.parent
                names = []
                module = base.joinpath(*node.module.split(".")) if node.module else base
                places = [module, *(module / alias.name for alias in node.names)]
            else:
                names = [str(node.module)]
                inside = names[0] == own or names[0].startswith(own + ".")
                module = folder.joinpath(*names[0].removeprefix(own).split("."))
                places = [module, *(module / alias.name for alias in node.names)] if inside else []
            waiting += [p.with_name(p.name + ".py") for p in places] + [p / "__init__.py" for p in places]
            tops = {n.partition(".")[0] for n in names}
            missing |= {t for t in tops if not _is_installed(t) and not _is_inside(folder, t)}
    return sorted(missing)


def _declared(folder: Path) -> list[str]:
    path = folder / "requirements.txt"
    if not path.is_file():
        return []
    lines = (
        line.split(" #")[0].strip()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def _name(requirement: str) -> str:
    return re.split(r"[\s@<>=!~\[;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def wanted(folder: Path) -> dict[str, str]:
    """Import name to what installs it, for everything the plugin may import and this environment lacks.

    The plugin's own ``requirements.txt`` decides on version and address; what it does not name is the import name.
    """
    declared = {_name(line): line for line in _declared(folder)}
    found = {}
    for module in missing_imports(folder, lazy=True):
        distribution = _DISTRIBUTIONS.get(module, module).lower().replace("_", "-")
        found[module] = (
            declared.get(distribution) or declared.get(module.lower()) or _DISTRIBUTIONS.get(module, module)
        )
    return found


def listing(sheet: "pd.DataFrame") -> str:
    """What to install for a sheet's `brainscore` rows, in the format of a requirements file.

    One line per requirement, the models that need it in a comment; a model that the installed package does not
    register is a comment at the end.
    """
    needed: dict[str, list[str]] = {}
    unknown = []
    for row in sheet.itertuples():
        if row.source == "timm" and not _is_installed("timm"):
            needed.setdefault("timm", []).append(str(row.model))
        if row.source != "brainscore":
            continue
        spec = str(row.spec or row.model)
        plugin = plugin_of(spec)
        if plugin is None:
            unknown.append(spec)
            continue
        for line in wanted(plugin_folder(plugin)).values():
            needed.setdefault(line, []).append(str(row.model))
    lines = []
    for line, models in sorted(needed.items(), key=lambda t: (-len(t[1]), t[0])):
        more = f", … ({len(models)} models)" if len(models) > 3 else ""
        lines.append(f"{line}  # {', '.join(models[:3])}{more}")
    lines += [f"# not in the registry: {m}" for m in unknown]
    return "\n".join(lines or ["# nothing is missing"]) + "\n"
