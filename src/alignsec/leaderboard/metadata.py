"""What plugins say of their models in ``metadata.yaml``: read as data, beside the names, importing nothing.

Much of it was gathered by others than the models' authors and some is wrong (it contradicts the plugin's own
source); every statement is therefore kept with its key and the status that the file gives it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from alignsec.leaderboard.registry import models_folder

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 2**20  # bytes of a file; the largest of brainscore_vision 2.4.2 has 116 KiB
LONGEST = 300  # characters of a value
COLUMNS = ["model", "plugin", "property", "value", "key", "status"]
# property -> keys, the first that is there; counts under `legacy` are of the loaded network, others rounded
_KEYS = {
    "architecture": ("model.architecture.family", "architecture"),
    "parameters": ("legacy.total_parameter_count", "total_parameter_count", "model.parameter_count"),
    "input_size": ("model.input_resolution.height",),
    "data": ("data.summary", "data.training_datasets", "training_dataset"),
    "supervision": ("model.supervision.type",),
    "lineage": ("lineage.base_models",),
}


class Statement(NamedTuple):
    """A property of a model as its plugin gives it."""

    property: str
    value: str
    key: str  # where in the model's part of the file
    status: str  # as the file says: verified, probable, uncertain, undocumented; "" where it does not


def read(models: "pd.DataFrame", source: str = "installed") -> "tuple[pd.DataFrame, list[str]]":
    """What the plugins of registered models say of them.

    Parameters
    ----------
    models : `model` and `plugin` (null where a model cannot be loaded), as tables of kinds ``registry`` and
        ``merged`` have them
    source : ``installed``, the path of a copy, or ``demo`` or a table of models, which say nothing

    Returns
    -------
    (table, unreadable)
        `table`: a row per statement with `COLUMNS`, all strings, in the order of `models`; `unreadable`:
        files that are no YAML, too large or of another shape, each with its fault: they are passed over.

    Raises
    ------
    AlignsecError
        The package is not installed, or `source` is no folder of one.
    """
    import pandas as pd

    rows: list[tuple[str, ...]] = []
    unreadable: list[str] = []
    if source != "demo" and not Path(source).is_file():
        folder = models_folder(source)
        files: dict[str, Mapping[str, Any]] = {}
        for model, plugin in zip(models["model"], models["plugin"], strict=True):
            if not isinstance(plugin, str):
                continue
            if plugin not in files:
                files[plugin], fault = of_file(folder / plugin / "metadata.yaml")
                unreadable += [fault] if fault else []
            rows += [(model, plugin, *said) for said in statements(files[plugin].get(model))]
    return pd.DataFrame(rows, columns=COLUMNS, dtype="object"), unreadable


def of_file(path: Path) -> tuple[Mapping[str, Any], str]:
    """The parts of a plugin's file by model, empty where there is none; and what is wrong with it, or ""."""
    import yaml

    if not path.is_file():
        return {}, ""
    if path.stat().st_size > LARGEST:
        return {}, f"{path}: larger than {LARGEST} bytes"
    try:
        loaded = yaml.load(
            path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        return {}, f"{path}: not readable: {type(error).__name__}"
    models = loaded.get("models") if isinstance(loaded, Mapping) else None
    return (models, "") if isinstance(models, Mapping) else ({}, f"{path}: has no `models`")


def statements(part: Any) -> Iterator[Statement]:
    """What a model's part of a file says, a statement for each property that it has a value of.

    >>> part = {"model": {"parameter_count": 7}, "assertions": [{"path": "/model/parameter_count",
    ...                                                          "status": "probable"}]}
    >>> list(statements(part))
    [Statement(property='parameters', value='7', key='model.parameter_count', status='probable')]
    """
    if not isinstance(part, Mapping):
        return
    given = part.get("assertions")
    status = {
        str(a.get("path")): str(a.get("status"))
        for a in (given if isinstance(given, list) else [])
        if isinstance(a, Mapping)
    }
    for name, keys in _KEYS.items():
        for key in keys:
            if value := _text(_at(part, key)):
                # the file asserts on branches: /model/input_resolution for its height
                path = "/" + key.replace(".", "/")
                parent = path.rpartition("/")[0]
                yield Statement(name, value, key, status.get(path, status.get(parent, "")))
                break


def _at(part: Mapping[str, Any], key: str) -> Any:
    at: Any = part
    for name in key.split("."):
        at = at.get(name) if isinstance(at, Mapping) else None
    return at


def _text(value: Any) -> str:
    """A value on one line; of a list its names. Empty for what is none, and for other shapes."""
    if isinstance(value, list):
        named = [e.get("name") or e.get("identifier") if isinstance(e, Mapping) else e for e in value]
        return "; ".join(filter(None, map(_text, named)))[:LONGEST]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return " ".join(str(value).split())[:LONGEST]
