"""A study's configuration: checked against the schema, with every default filled in."""

import copy
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from alignsec.ground.errors import AlignsecError
from alignsec.study import epsilon, sheet
from alignsec.study.layout import SITE
from alignsec.study.request import AttackRequest

Json = dict[str, Any]
# keys of earlier versions -> those of today; of a section, everything in it
MOVED = {
    "scores": "leaderboard",
    "registry.source": "leaderboard.registry",
    "registry": "leaderboard",
    "models": "zoo",
    "preflight": "zoo",
    "corruptions": "robustness.corruptions",
    "statistics": "analysis",
    "figures": "report",
}
# keys that name files or folders of the user's -> the words that are none
PATHS: dict[str, tuple[str, ...]] = {
    "zoo.sheet": (),
    "leaderboard.source": ("demo", SITE),
    "leaderboard.registry": ("installed", "demo"),
    "robustness.source": ("attack", "published"),
    "robustness.names": (),
    "robustness.published.sources": (),
    "robustness.published.name_map": (),
    "robustness.published.claims": (),
    "images.path": (),
    "robustness.corruptions.path": (),
    "analysis.plan": (),
    "analysis.kinds": (),
    "analysis.covariates": (),
}

PATHS_IN_LISTS = {"leaderboard.extra": "file"}  # of each entry of a list, the key that names a file


def is_remote(source: str) -> bool:
    """Whether a leaderboard comes from the network."""
    return "://" in source or source == SITE


def schema() -> Json:
    """The JSON schema that ships with the workflow."""
    import yaml

    path = resources.files("alignsec.study") / "config.schema.yaml"
    loaded: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def _where(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _reject_unknown(config: Any, node: Json, path: str, of: str) -> None:
    properties: Json = node.get("properties", {})
    if isinstance(config, list):
        for number, entry in enumerate(config):
            _reject_unknown(entry, node.get("items", {}), f"{path}[{number}]", of)
    if not properties or not isinstance(config, Mapping):
        return
    for key, value in config.items():
        if key not in properties:
            every = {k: _where(path, k) for k in properties}
            near = difflib.get_close_matches(str(key), list(every), n=1, cutoff=0.5)
            hint = f": did you mean {every[near[0]]}?" if near else f": valid here are {', '.join(every)}"
            raise AlignsecError(f"{of}: unknown key {_where(path, str(key))}{hint}")
        _reject_unknown(value, properties[key], _where(path, str(key)), of)


def keys(node: Json | None = None, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every key of the schema by its full name, sections included, with its node."""
    for key, child in (schema() if node is None else node)["properties"].items():
        name = _where(path, key)
        yield name, child
        if "properties" in child:
            yield from keys(child, name)


def _reject_moved(config: Mapping[str, Any]) -> None:
    """Keys of earlier versions are answered with those of today, all of them at once."""
    today = {name for name, _ in keys()}
    found = []
    for section, value in config.items():
        if section in today or section not in {old.partition(".")[0] for old in MOVED}:
            continue
        inside = [f"{section}.{key}" for key in value] if isinstance(value, Mapping) and value else [section]
        for name in inside:
            old = next(o for o in MOVED if name == o or name.startswith(f"{o}."))
            new = MOVED[old] + name.removeprefix(old)
            found.append(f"{name} is now {new}" if new in today else f"{old} is now {MOVED[old]}")
    if found:
        raise AlignsecError(
            f"config: {'; '.join(dict.fromkeys(found))}: rename (config/README.md has every key)"
        )


def _check_path(key: str, text: str | None) -> None:
    if text is not None and (not text.strip() or re.search(r"[{}\x00-\x1f\x7f]", text)):
        raise AlignsecError(
            f"config: {key} {text!r}: a path is not empty and holds no braces, which are Snakemake's "
            "wildcards, and no control characters: rename the file or a folder above it"
        )


def _fill(config: Mapping[str, Any], node: Json) -> Json:
    filled: Json = {}
    for key, child in node["properties"].items():
        value = config.get(key, child.get("default"))
        filled[key] = _fill(value or {}, child) if "properties" in child else value
    return filled


def checked(given: Mapping[str, Any], node: Json, of: str = "config") -> Json:
    """What was `given` with the defaults of the JSON schema `node`, every key present.

    Raises
    ------
    AlignsecError
        An unknown key (the nearest valid one is named), or a value of the wrong type or range. The message
        begins with `of` and names the key.
    """
    import jsonschema

    _reject_unknown(given, node, "", of)
    errors = sorted(
        jsonschema.Draft202012Validator(node).iter_errors(dict(given)), key=lambda e: list(e.path)
    )
    if errors:
        error = errors[0]
        key = ".".join(map(str, error.absolute_path)) or "the file"
        raise AlignsecError(f"{of}: {key}: {error.message}")
    return _fill(given, node)


def resolve(config: Mapping[str, Any]) -> Json:
    """Return `config` with defaults filled in, every key of the schema present.

    Raises
    ------
    AlignsecError
        An unknown key (the nearest valid one is named) or one of an earlier version, a value of the wrong
        type or range, a path that Snakemake cannot take, an impossible epsilon, or keys that contradict each
        other. The message names the key.
    """
    _reject_moved(config)
    filled = checked(config, schema())
    for key, section, last, _ in _paths(filled):
        _check_path(key, section[last])
    try:
        AttackRequest.of_config(filled)
    except AlignsecError as error:
        raise AlignsecError(f"config: attack: {error}") from error
    attacks = filled["robustness"]["source"] == "attack"
    if attacks and filled["zoo"]["sheet"] is None:
        raise AlignsecError(
            "config: zoo.sheet is null, but the models are to be attacked: name a sheet, or set "
            "robustness.source to a table of your own"
        )
    published = filled["robustness"]["published"]
    if filled["robustness"]["source"] == "published" and not published["use"]:
        raise AlignsecError(
            "config: robustness.source is published, but robustness.published.use names no source: name some "
            "(docs/published.md)"
        )
    if both := set(published["use"]) & set(published["show"]):
        raise AlignsecError(
            f"config: robustness.published: {min(both)} stands in both use and show: keep one"
        )
    for key in ("source", "registry"):
        if filled["leaderboard"][key] == "demo" and filled["zoo"]["sheet"] is None:
            raise AlignsecError(f"config: leaderboard.{key} is demo, which needs zoo.sheet")
    if attacks and filled["images"]["source"] != "digits" and filled["images"]["path"] is None:
        raise AlignsecError(f"config: images.path is needed for images.source {filled['images']['source']!r}")
    # what is settled is known by image, so that a model needs no more jobs than one
    if filled["attack"]["images_per_shard"] is None:
        filled["attack"]["images_per_shard"] = filled["images"]["count"]
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


def _at(config: Json, key: str) -> tuple[Json, str]:
    """The section that a key lies in, and its name there."""
    *sections, last = key.split(".")
    for section in sections:
        config = config[section]
    return config, last


def _paths(config: Json) -> Iterator[tuple[str, Json, str, tuple[str, ...]]]:
    """Every path of a configuration: its key, where it lies, its name there, the words that are none."""
    for key, words in PATHS.items():
        yield key, *_at(config, key), words
    for key, last in PATHS_IN_LISTS.items():
        section, name = _at(config, key)
        for number, entry in enumerate(section[name]):
            yield f"{key}[{number}].{last}", entry, last, ()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for a file
        return False


def located(config: Json, places: Sequence[Path], folder: Path = Path()) -> Json:
    """The resolved `config`, its relative paths as they are read from the working directory.

    Paths are the values of `PATHS` and `PATHS_IN_LISTS`. One is that of the working directory where it exists
    there; else it is taken from the first of `places` where it exists: the folders of the configuration
    files, then the Snakefile's. One that lies nowhere stays as it is written, for the message of whoever
    reads it. What lies below the working directory is named from there, as jobs of a pool find it.

    Raises
    ------
    AlignsecError
        A folder of such a path has a name that Snakemake cannot take.
    """
    found, here = copy.deepcopy(config), folder.absolute()
    for key, section, last, words in _paths(found):
        text = section[last]
        if text is None or text in words or "://" in text or _exists(folder / text):
            continue
        if place := next((p for p in places if _exists(p / text)), None):
            full = (place / text).absolute()
            section[last] = str(full.relative_to(here) if full.is_relative_to(here) else full)
            _check_path(key, section[last])
    return found


def of_run(path: Path, folder: Path = Path()) -> Json:
    """The configuration that a run in `folder` reads from a file, its paths located.

    They are located as the Snakefile does, which lies above the configurations that ship with it.
    """
    full = (folder / path).absolute()
    return located(read(full), [full.parent, full.parents[1]], folder)


def warnings(config: Json) -> list[str]:
    """What is allowed but unlikely to be meant, for a resolved configuration."""
    # digits on an empty ground stand more than photographs do: .3 is what MNIST is attacked at
    large = 0.3 if config["images"]["source"] == "digits" else 32 / 255
    found = epsilon.check(config["attack"]["epsilons"], config["attack"]["norm"], large)
    if config["leaderboard"]["source"] != "demo" and config["leaderboard"]["sha256"] is None:
        found.append("leaderboard.sha256 is null: the leaderboard file is not checked")
    return found


def markdown() -> str:
    """`config/README.md`, generated from the schema."""
    lines = [
        "# Configuration",
        "",
        "Generated from `src/alignsec/study/config.schema.yaml` by `alignsec config readme`; edit the "
        "schema.",
        "",
        "| study | file | what it does |",
        "|---|---|---|",
        "| demo | `config.yaml` | small networks on handwritten digits; nothing is downloaded |",
        "| leaderboard | `leaderboard.yaml` | analysis only: a leaderboard with your own robustness table |",
        "| published | `published.yaml` | analysis only: the leaderboard with published robustness |",
        "| paper | `paper.yaml` | ImageNet validation images, AutoAttack at three epsilons |",
        "| realnets | `realnets.yaml` | three ImageNet networks from wheels, on photographs of yours |",
        "",
        "Give another file with `snakemake --cores all --configfile config/leaderboard.yaml`; targets "
        "stand before",
        "`--configfile`. A second file after it overrides single keys; one of your own inherits nothing of "
        "the",
        "demo's. An unknown key is an error at every level.",
        "",
        "A relative path is the working directory's, else that of the folder of the configuration file, "
        "else that of",
        "the clone. It may have any name but with braces (Snakemake's wildcards) and control characters.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]

    for name, node in keys():
        if "properties" in node:
            continue
        kind = node.get("type", "one of " + ", ".join(f"`{v}`" for v in node.get("enum", [])))
        kind = " or ".join(kind) if isinstance(kind, list) else kind
        default = "(required)" if "default" not in node else f"`{_text(node['default'])}`"
        lines.append(f"| `{name}` | {kind} | {default} | {' '.join(node['description'].split())} |")
    sheets = "A header and a row for each model: tab-separated text, or as a spreadsheet saves it."
    lines += ["", "## The model sheet", "", sheets, ""]
    return "\n".join(lines) + "\n" + sheet.markdown()


def _text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)
