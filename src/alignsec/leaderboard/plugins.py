"""What plugins need, read from their source without running it: packages to import, places of weights."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import util
from pathlib import Path

from alignsec.leaderboard.registry import PACKAGE

# import name -> distribution, where the two differ
_DISTRIBUTIONS = {
    "PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn", "skimage": "scikit-image",
    "yaml": "pyyaml", "efficientnet_pytorch": "efficientnet-pytorch", "antialiased_cnns": "antialiased-cnns",
    "pytorch_lightning": "pytorch-lightning",
}  # fmt: skip
# what a plugin's source says of where its weights come from, in the order of the models that it decides for
_WEIGHTS = [
    (
        "Brain-Score storage",
        r"load_weight_file\(|download_weights\(|brainscore-storage|brainscore-vision\.s3",
    ),
    ("torch.hub", r"torch\.hub\.load\("),
    ("Hugging Face hub", r"from_pretrained\(|hf_hub_download|timm\.create_model\([^)]*pretrained=True"),
    ("torchvision", r"torchvision.*\b(?!create_model)\w+\([^)]*(?:pretrained=True|weights=[^N)])"),
    (
        "web address",
        r"https?://[^\s'\"]+\.(?:pth|pt|tar|npz|ckpt|bin)|load_state_dict_from_url|urlretrieve|gdown",
    ),
]


# ---- packages ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported here; it is not."""
    try:
        return module in sys.stdlib_module_names or util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def wanted(folder: Path) -> dict[str, str]:
    """Import name to what installs it, for everything the plugin may import and this environment lacks.

    The plugin's own ``requirements.txt`` decides on version and address; what it does not name is the import
    name.
    """
    declared = {_name(line): line for line in _declared(folder)}
    found = {}
    for module in missing_imports(folder, lazy=True):
        distribution = _DISTRIBUTIONS.get(module, module)
        asked = declared.get(distribution.lower().replace("_", "-")) or declared.get(module.lower())
        found[module] = asked or distribution
    return found


def missing_imports(folder: Path, lazy: bool = False) -> list[str]:
    """Top-level packages that importing the plugin in `folder` needs and this environment lacks, sorted.

    Follows the plugin's own modules as far as they are imported; an import that is guarded (``try``, ``if``)
    is taken as optional. With `lazy`, imports inside functions and classes count as well: what loading the
    model may need, an upper bound.
    """
    missing: set[str] = set()
    seen: set[Path] = set()
    waiting = [folder / "__init__.py"]
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
            names, places = _imported(node, path, folder)
            waiting += [p.with_name(p.name + ".py") for p in places] + [p / "__init__.py" for p in places]
            tops = {n.partition(".")[0] for n in names}
            missing |= {t for t in tops if not is_installed(t) and not _is_inside(folder, t)}
    return sorted(missing)


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


def _imported(node: ast.Import | ast.ImportFrom, path: Path, folder: Path) -> tuple[list[str], list[Path]]:
    """Absolute names that an import in the file `path` asks for, and where in the plugin it may lie."""
    own = f"{PACKAGE}.models.{folder.name}"
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
        parts = [n.removeprefix(own).lstrip(".") for n in names if n.startswith(own)]
        return names, [folder.joinpath(*p.split(".")) for p in parts]
    if node.level:
        base = path.parents[min(node.level, len(path.parents)) - 1]
        module = base.joinpath(*node.module.split(".")) if node.module else base
        return [], [module, *(module / alias.name for alias in node.names)]
    name = str(node.module)
    if name != own and not name.startswith(own + "."):
        return [name], []
    module = folder.joinpath(*name.removeprefix(own).split("."))
    return [name], [module, *(module / alias.name for alias in node.names)]


def _is_inside(folder: Path, module: str) -> bool:
    """Whether the plugin brings a module of this name, which it may put on the path as it runs."""
    return any(p.stem == module for p in folder.rglob(f"{module}*") if p.is_dir() or p.suffix == ".py")


def _declared(folder: Path) -> list[str]:
    """Lines of the plugin's ``requirements.txt`` that name a package."""
    path = folder / "requirements.txt"
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def _name(requirement: str) -> str:
    return re.split(r"[\s@<>=!~\[;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


# ---- weights -----------------------------------------------------------------------------------------------


def weights_source(folder: Path) -> str:
    """Where a plugin's weights come from as far as its source says, comma-separated; "" where it does not."""
    paths = sorted(p for p in folder.rglob("*.py") if not p.name.startswith("test"))
    text = "\n".join(p.read_text(encoding="utf-8", errors="replace") for p in paths)
    # bibliographies hold addresses too
    text = re.sub(r"@\w+\s*\{.*?\n\s*\}", "", text, flags=re.S)
    return ", ".join(name for name, pattern in _WEIGHTS if re.search(pattern, text, re.S))
