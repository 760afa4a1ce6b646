"""Which models the installed Brain-Score package can load, and which of them have scores.

Registrations are read from the plugins' source by syntax tree: importing 600 plugins would run third-party
code, download weights and take minutes.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = "brainscore_vision"
UNRESOLVED = ["plugin", "line", "text"]
UNMATCHED = ["model", "side", "closest", "similarity"]


def _package_folder(source: str) -> tuple[Path, str]:
    """The package's folder and version, without importing it."""
    from importlib import metadata, util

    if source == "installed":
        spec = util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise AlignsecError(
                f"registry.source: {PACKAGE} is not installed: run `make setup`, or give the path of a copy"
            )
        return Path(next(iter(spec.submodule_search_locations))), metadata.version(PACKAGE)
    given = Path(source)
    for folder in (given, given / PACKAGE, given.parent if given.name == "models" else given):
        if (folder / "models").is_dir():
            return folder, _version_of(folder)
    raise AlignsecError(
        f"registry.source: {source}: neither `installed` nor a folder that holds {PACKAGE}/models"
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


def read_registry(source: str = "installed") -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Registered model names of the installed package, or of a copy at a path.

    Returns
    -------
    (registry, unresolved)
        `registry`: table of kind ``registry``; `unresolved`: plugin, line, text of every registration whose
        name is not a literal, and of every plugin that cannot be parsed.

    Raises
    ------
    AlignsecError
        Not installed, no such folder, or no registration found.
    """
    import pandas as pd

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
        raise AlignsecError(f"registry.source: {folder}: no plugin there registers a model")
    return (
        pd.DataFrame(list(rows.values()), columns=["model", "plugin", "package_version"]),
        pd.DataFrame(unresolved, columns=UNRESOLVED),
    )


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


def plugin_folder(plugin: str, source: str = "installed") -> Path:
    """Where a plugin's source is."""
    return _package_folder(source)[0] / "models" / plugin


def demo_registry(sheet: "pd.DataFrame") -> "pd.DataFrame":
    """The demo's registry: the models of its sheet, loaded by this package."""
    import pandas as pd

    from alignsec import __version__

    demo = sheet[sheet["source"] == "demo"]
    return pd.DataFrame(
        {"model": demo["model"], "plugin": "alignsec.zoo.demo", "package_version": __version__}
    ).reset_index(drop=True)


def _normalised(name: str) -> str:
    return re.sub(r"[\s_\-.:/=]+", "", name.lower())


def merge(
    scores: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    registry: "pd.DataFrame",
    families: Mapping[str, str] | None = None,
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Models that are on the leaderboard and in the registry, by exact name.

    Near-matches are reported and never used: of the published names, those that only normalising brings
    together belong to different submissions.

    Returns
    -------
    (merged, unmatched)
        `merged`: table of kind ``merged``, one column per benchmark; `unmatched`: model, side
        (``leaderboard`` or ``registry``), closest name of the other side, and their similarity in [0, 1]
        after removing case and separators (1: equal but for those).

    Raises
    ------
    AlignsecError
        No model is in both.
    """
    import pandas as pd
    from rapidfuzz import fuzz, process

    wide = scores.pivot(index="model", columns="benchmark", values="score")[list(benchmarks["benchmark"])]
    plugins = dict(zip(registry["model"], registry["plugin"], strict=True))
    both = [m for m in dict.fromkeys(scores["model"]) if m in plugins]
    if not both:
        raise AlignsecError(
            f"none of the leaderboard's {len(wide)} models is among the registry's {len(plugins)}: "
            "check scores.source and registry.source"
        )
    merged = wide.loc[both].astype(float)
    known = families or {}
    merged.insert(0, "plugin", [plugins[m] for m in both])
    merged.insert(1, "family", [known.get(m) or propose_family(m) for m in both])
    merged.columns.name = None

    sides = {"leaderboard": list(wide.index), "registry": list(plugins)}
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
    return merged.reset_index(), pd.DataFrame(rows, columns=UNMATCHED)


# Name pattern -> family; the first that matches decides. Variants of one lineage are not independent models.
_FAMILIES = [
    (r"^vone", "vone"),
    (r"^realnet", "realnet"),
    (r"^yudixie", "yudixie"),
    (r"^effnetb1|_avge\d", "effnetb1_riedel"),
    (
        r"^(tau|convlstm|predrnn|mim|mvit_v|selavi|simvp|mc3_|r2plus1d|r3d_|s3d$|x3d|i3d|timesformer|slowfast)",
        "temporal",
    ),
    (r"clip", "vitclip"),
    (r"antialiased", "other:antialiased"),
    (r"alexnet", "alexnet"),
    (r"^bit-", "bit"),
    (r"convnext", "convnext"),
    (r"cornet", "cornet"),
    (r"^cvt", "cvt"),
    (r"deit", "deit"),
    (r"densenet", "densenet"),
    (r"grcnn", "grcnn"),
    (r"hmax|^pixels$", "hmax"),
    (r"inception|xception", "inception"),
    (r"mobilenet|mobilevit|nasnet_mobile", "mobilenet"),
    (r"nasnet", "nasnet"),
    (r"efficientnet", "efficientnet"),
    (r"resnext|res2net", "resnext"),
    (r"shufflenet", "shufflenet"),
    (r"swin", "swin"),
    (r"vgg(?!-sound)", "vgg"),
    (r"resnet", "resnet"),
    (r"vit", "vit"),
]


def propose_family(model: str) -> str:
    """A family guessed from the name, for a person to review; ``other:<first word>`` where nothing fits."""
    name = model.strip().lower()
    for pattern, family in _FAMILIES:
        if re.search(pattern, name):
            return family
    return "other:" + (re.match(r"[a-z]+|.", name) or ["unnamed"])[0]


def propose_series(model: str) -> str:
    """The architecture line of a name: lower case, every number `#`, so that sizes and seeds of one line meet."""
    return re.sub(r"\d+", "#", model.lower())


# What a plugin's source says of where its weights come from, in the order of the models that it decides for.
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


def weights_source(folder: Path) -> str:
    """Where a plugin's weights come from as far as its source says, comma-separated; empty where it does not."""
    paths = sorted(p for p in folder.rglob("*.py") if not p.name.startswith("test"))
    text = "\n".join(p.read_text(encoding="utf-8", errors="replace") for p in paths)
    # bibliographies hold addresses too
    text = re.sub(r"@\w+\s*\{.*?\n\s*\}", "", text, flags=re.S)
    return ", ".join(name for name, pattern in _WEIGHTS if re.search(pattern, text, re.S))


def propose_sheet(merged: "pd.DataFrame", source: str = "installed") -> "pd.DataFrame":
    """A model sheet of every merged model, for a person to review.

    Families and series are proposed from the names; `weights` (where they are fetched from) and `packages` (what the
    plugin imports that is not installed here) are read from the plugin's source, which is not run.
    """
    import pandas as pd

    from alignsec.requirements import wanted

    folders = [plugin_folder(str(plugin), source) for plugin in merged["plugin"]]
    return pd.DataFrame(
        {
            "model": merged["model"],
            "source": "brainscore",
            "spec": merged["model"],
            "family": [propose_family(m) for m in merged["model"]],
            "note": "",
            "series": [propose_series(m) for m in merged["model"]],
            "weights": [weights_source(f) for f in folders],
            "packages": [", ".join(wanted(f)) for f in folders],
        }
    ).sort_values(["family", "series", "model"], ignore_index=True)


def check_sheet(sheet: "pd.DataFrame", known: Iterable[str]) -> None:
    """Raise ``AlignsecError`` for the ``brainscore`` rows that the merge does not know, with the closest names."""
    from alignsec.ground.names import closest

    names = set(known)
    asked = sheet.loc[sheet["source"] == "brainscore", "model"]
    unknown = [m for m in asked if m not in names]
    if unknown:
        near = "; ".join(f"{m!r} (closest: {closest(m, names)[0][0]!r})" for m in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise AlignsecError(
            f"the sheet asks for models that are not both on the leaderboard and in the registry: {near}{more}: "
            "correct the names or remove the rows (registry/unmatched.csv lists what is on one side only)"
        )


def check_early(sheet: "pd.DataFrame", source: str, sha256: str | None, registry: str) -> None:
    """Check a sheet against a local leaderboard file before any job runs; the merge checks it again.

    Does nothing where it cannot be told yet (a leaderboard to be measured or downloaded) or need not be (no
    ``brainscore`` row).

    Raises
    ------
    AlignsecError
        As `scores.fetch`, `scores.parse`, `read_registry` and `check_sheet`.
    """
    from tempfile import TemporaryDirectory

    from alignsec import scores

    if source == "demo" or "://" in source or not (sheet["source"] == "brainscore").any():
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / Path(source).name
        scores.fetch(source, copy, sha256)
        listed = scores.parse(copy).scores["model"]
    found = demo_registry(sheet) if registry == "demo" else read_registry(registry)[0]
    check_sheet(sheet, set(listed) & set(found["model"]))
