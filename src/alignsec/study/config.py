"""A study's configuration: checked against the schema, with every default filled in."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from alignsec.ground.errors import AlignsecError
from alignsec.study import epsilon, sheet

Json = dict[str, Any]
# keys of earlier versions -> those of today; of a section, everything in it
MOVED = {
    "scores": "leaderboard",
    "registry.source": "leaderboard.registry",
    "models": "zoo",
    "preflight": "zoo",
    "corruptions": "robustness.corruptions",
    "statistics": "analysis",
    "figures": "report",
}


def schema() -> Json:
    """The JSON schema that ships with the workflow."""
    import yaml

    path = resources.files("alignsec.study") / "config.schema.yaml"
    loaded: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def _where(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _reject_unknown(config: Any, node: Json, path: str) -> None:
    properties: Json = node.get("properties", {})
    if not properties or not isinstance(config, Mapping):
        return
    for key, value in config.items():
        if key not in properties:
            if not path and (moved := _moved(str(key), value)):
                raise AlignsecError(f"config: {moved}")
            every = {k: _where(path, k) for k in properties}
            near = difflib.get_close_matches(str(key), list(every), n=1, cutoff=0.5)
            hint = f": did you mean {every[near[0]]}?" if near else f": valid here are {', '.join(every)}"
            raise AlignsecError(f"config: unknown key {_where(path, str(key))}{hint}")
        _reject_unknown(value, properties[key], _where(path, str(key)))


def _moved(section: str, value: Any) -> str:
    """`scores.source is now leaderboard.source`, for the first key of a section of an earlier version; else ""."""
    for name in [f"{section}.{k}" for k in value] if isinstance(value, Mapping) and value else [section]:
        for old, new in MOVED.items():
            if name == old or name.startswith(f"{old}."):
                return (
                    f"{name} is now {new}{name.removeprefix(old)}: rename it (config/README.md has every key)"
                )
    return ""


def _fill(config: Mapping[str, Any], node: Json) -> Json:
    filled: Json = {}
    for key, child in node["properties"].items():
        value = config.get(key, child.get("default"))
        filled[key] = _fill(value or {}, child) if "properties" in child else value
    return filled


def resolve(config: Mapping[str, Any]) -> Json:
    """Return `config` with defaults filled in, every key of the schema present.

    Raises
    ------
    AlignsecError
        An unknown key (the nearest valid one is named), a value of the wrong type or range, an impossible
        epsilon, or keys that contradict each other. The message names the key.
    """
    import jsonschema

    node = schema()
    _reject_unknown(config, node, "")
    errors = sorted(
        jsonschema.Draft202012Validator(node).iter_errors(dict(config)), key=lambda e: list(e.path)
    )
    if errors:
        error = errors[0]
        key = ".".join(map(str, error.absolute_path)) or "the file"
        raise AlignsecError(f"config: {key}: {error.message}")
    filled = _fill(config, node)
    epsilon.check(filled["attack"]["epsilons"], filled["attack"]["norm"])
    if (filled["attack"]["version"] == "custom") != bool(filled["attack"]["attacks"]):
        raise AlignsecError(
            "config: attack.attacks names the attacks of attack.version custom: give both or neither"
        )
    if filled["attack"]["version"] == "rand" and filled["attack"]["top5"]:
        raise AlignsecError(
            "config: attack.top5 is not defined for attack.version rand: set one of them back"
        )
    attacks = filled["robustness"]["source"] == "attack"
    if attacks and filled["zoo"]["sheet"] is None:
        raise AlignsecError(
            "config: zoo.sheet is null, but the models are to be attacked: name a sheet, or set "
            "robustness.source to a table of your own"
        )
    for key in ("source", "registry"):
        if filled["leaderboard"][key] == "demo" and filled["zoo"]["sheet"] is None:
            raise AlignsecError(f"config: leaderboard.{key} is demo, which needs zoo.sheet")
    if attacks and filled["images"]["source"] != "digits" and filled["images"]["path"] is None:
        raise AlignsecError(f"config: images.path is needed for images.source {filled['images']['source']!r}")
    return filled


def read(path: Path) -> Json:
    """The configuration of a file, checked, with its defaults.

    Raises
    ------
    AlignsecError
        The file is missing or no YAML, or as `resolve`.
    """
    import yaml

    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AlignsecError(f"{path}: not a readable YAML file: {error}") from error
    if given is not None and not isinstance(given, dict):
        raise AlignsecError(f"{path}: expected are keys and values, as in config/config.yaml")
    return resolve(given or {})


# keys that name files or folders of the user's
PATHS = ("zoo.sheet", "leaderboard.source", "leaderboard.registry", "robustness.source", "images.path",
         "robustness.corruptions.path")  # fmt: skip


def located(config: Json, places: Sequence[Path]) -> Json:
    """`config` with each relative path of `PATHS` that does not lie below the working directory taken from the first of
    `places` where it does: the folders of the configuration files, then that of the Snakefile.

    A path that lies nowhere stays as it is written, for the message of whoever reads it.
    """
    found = copy.deepcopy(config)
    for key in PATHS:
        *sections, last = key.split(".")
        node = found
        for section in sections:
            node = node[section]
        text = node[last]
        if text is None or "://" in text or Path(text).is_absolute() or Path(text).exists():
            continue
        node[last] = next((str(p / text) for p in places if (p / text).exists()), text)
    return found


def warnings(config: Json) -> list[str]:
    """What is allowed but unlikely to be meant, for a resolved configuration."""
    found = epsilon.check(config["attack"]["epsilons"], config["attack"]["norm"])
    if config["leaderboard"]["source"] != "demo" and config["leaderboard"]["sha256"] is None:
        found.append("leaderboard.sha256 is null: the leaderboard file is not checked")
    return found


def markdown() -> str:
    """`config/README.md`, generated from the schema."""
    lines = [
        "# Configuration",
        "",
        "Generated from `src/alignsec/study/config.schema.yaml` by `alignsec config readme`; edit the schema.",
        "",
        "| study | file | what it does |",
        "|---|---|---|",
        "| demo | `config.yaml` | small networks on handwritten digits; nothing is downloaded |",
        "| leaderboard | `leaderboard.yaml` | analysis only: a leaderboard with your own robustness table |",
        "| paper | `paper.yaml` | ImageNet validation images, AutoAttack at three epsilons |",
        "",
        "Give another file with `snakemake --cores all --configfile config/leaderboard.yaml`. A second file after",
        "it overrides single keys. An unknown key is an error at every level.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]

    def rows(node: Json, path: str) -> None:
        for key, child in node["properties"].items():
            name = _where(path, key)
            if "properties" in child:
                rows(child, name)
                continue
            kind = child.get("type", "one of " + ", ".join(f"`{v}`" for v in child.get("enum", [])))
            kind = " or ".join(kind) if isinstance(kind, list) else kind
            default = "(required)" if "default" not in child else f"`{_text(child['default'])}`"
            lines.append(f"| `{name}` | {kind} | {default} | {' '.join(child['description'].split())} |")

    rows(schema(), "")
    lines += ["", "## The model sheet", "", "Tab-separated, UTF-8, a header and a row for each model.", ""]
    return "\n".join(lines) + "\n" + sheet.markdown()


def _text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)
