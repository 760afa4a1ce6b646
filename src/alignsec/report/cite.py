"""What a study is to cite, as BibTeX: the software, the question, and the methods and data that it used."""

import json
import re
from collections.abc import Mapping
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alignsec.ground.errors import AlignsecError
from alignsec.study.layout import Layout

ALWAYS = ("hoak2025alignment", "schrimpf2020integrative", "molder2021sustainable")
ATTACK = "croce2020reliable"
OF_IMAGES = {"imagenet-val": "russakovsky2015imagenet"}
CORRUPTIONS = "hendrycks2019benchmarking"
OF_SOURCES = {
    "testbed": "taori2020measuring",
    "timm": "wightman2019timm",
    "robustbench": "croce2021robustbench",
    "robustbench_c": "croce2021robustbench",
    "biases": "gavrikov2024biases",
}


def entries() -> dict[str, str]:
    """Every reference by its key, as written in ``references.bib``."""
    text = (resources.files("alignsec.report") / "references.bib").read_text(encoding="utf-8")
    found = re.findall(r"^@\w+\{(\w+),.*?^\}$", text, re.M | re.S)
    parts = re.findall(r"^@.*?^\}$", text, re.M | re.S)
    return dict(zip(found, parts, strict=True))


def keys(config: Mapping[str, Any] | None) -> list[str]:
    """The references of a study by its resolved configuration; None: those of every study.

    >>> keys({"robustness": {"source": "published", "published": {"use": ["timm"], "show": []}}})[-1]
    'wightman2019timm'
    """
    found = list(ALWAYS)
    if config is None:
        return found
    robustness = config["robustness"]
    if robustness["source"] == "attack":
        found.append(ATTACK)
        found += [OF_IMAGES[s] for s in [config["images"]["source"]] if s in OF_IMAGES]
        if robustness.get("corruptions", {}).get("names"):
            found.append(CORRUPTIONS)
    published = robustness.get("published", {})
    named = [*(published.get("use") or []), *(published.get("show") or [])]
    return list(dict.fromkeys([*found, *(OF_SOURCES[s] for s in named if s in OF_SOURCES)]))


def bibtex(study: Path | None = None) -> str:
    """BibTeX of the software and of what a finished study below ``results/<study>`` used.

    Raises
    ------
    AlignsecError
        The study has no ``provenance.json``: it has not run.
    """
    config = None
    if study is not None:
        path = Layout(study).provenance
        if not path.is_file():
            raise AlignsecError(f"{path} is not there: run the study first, or give the folder of another")
        config = json.loads(path.read_text(encoding="utf-8"))["config"]
    known = entries()
    lines = [
        "title = {alignsec}",
        "author = {{The alignsec authors}}",
        f"version = {{{version('alignsec')}}}",
    ]
    own = "\n".join(["@software{alignsec,", *(f"  {line}," for line in lines), "}"])
    return "\n".join([own, *(known[key] for key in keys(config))]) + "\n"
