"""What plugs into a study, a line each: sources of models, figures of the report, clusters.

The one place that names modules by text, so that a rule or a sheet can know what there is without importing
it (a test imports every entry). Adding one: docs/extending.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Source:
    """A source of models.

    Parameters
    ----------
    module : offers `load` and `problem` (`alignsec.zoo.sources.Loader`), and imports no torch before `load`
        does
    imagenet : its models answer with the thousand classes of ImageNet
    trained : the workflow trains its models and makes their weights
    takes_weights : a file of weights may be put in place of the published ones
    """

    module: str
    imagenet: bool = False
    trained: bool = False
    takes_weights: bool = False


SOURCES: dict[str, Source] = {
    "brainscore": Source("alignsec.zoo.sources.brainscore", imagenet=True),
    "torchvision": Source("alignsec.zoo.sources.torchvision", imagenet=True, takes_weights=True),
    "timm": Source("alignsec.zoo.sources.timm", imagenet=True, takes_weights=True),
    "factory": Source("alignsec.zoo.sources.factory"),
    "demo": Source("alignsec.demo.source", trained=True, takes_weights=True),
}


@dataclass(frozen=True)
class Figure:
    """A figure of the report; the key in `FIGURES` is its name, and that of its rule.

    Its looks are the section ``report.<name>`` of the configuration, its caption
    ``workflow/report/<name>.rst``, where there are such.

    Parameters
    ----------
    module : offers ``of_study(tables, options)`` (`alignsec.report.drawing.Drawer`)
    tables : what it reads, by the names that `alignsec.study.layout.Layout` has for them
    keys : further keys of the configuration that it takes, as ``analysis.completeness``; it gets the value
        under the key's last part
    files : names of the drawings; none: one, of the figure's name
    """

    module: str
    tables: tuple[str, ...]
    keys: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


FIGURES: dict[str, Figure] = {
    "kinds": Figure("alignsec.report.figures.kinds", ("kinds",)),
    "specifications": Figure("alignsec.report.figures.specifications", ("specifications",)),
    "heatmap": Figure("alignsec.report.figures.heatmap", ("correlations", "benchmarks")),
    "forest": Figure("alignsec.report.figures.forest", ("correlations", "total", "plan")),
    "scatter": Figure(
        "alignsec.report.figures.scatter", ("total", "correlations"),
        files=("scatter_average", "scatter_neural", "scatter_behavior", "scatter_engineering"),
    ),
    "curves": Figure("alignsec.report.figures.curves", ("robustness", "total"), keys=("zoo.sheet",)),
    "within_between": Figure("alignsec.report.figures.within_between", ("correlations", "total", "plan")),
    "p_values": Figure("alignsec.report.figures.p_values", ("correlations",)),
    "tsne": Figure(
        "alignsec.report.figures.tsne", ("total", "correlations", "benchmarks", "plan"),
        keys=("analysis.completeness", "seed"),
    ),
    "missingness": Figure("alignsec.report.figures.missingness", ("scores", "benchmarks", "total")),
}  # fmt: skip

# of a study's findings, for a paper (`alignsec.report.findings.all_tables`)
TABLES = (
    "correlations",
    "predictors",
    "effective",
    "aggregates",
    "targets",
    "duplicates",
    "models",
    "excluded",
    "dictionary",
)

CLUSTERS = {"htcondor": "alignsec.cluster.workflow"}


def files(figure: str) -> tuple[str, ...]:
    """Names of the drawings of a figure, without suffix."""
    return FIGURES[figure].files or (figure,)


def value(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key of a resolved configuration.

    >>> value({"analysis": {"completeness": 0.5}}, "analysis.completeness")
    0.5
    """
    found: Any = config
    for part in key.split("."):
        found = found[part]
    return found


def options(figure: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a figure takes of a resolved configuration: its looks, and the values of its further keys."""
    further = {key.rpartition(".")[2]: value(config, key) for key in FIGURES[figure].keys}
    return {**config["report"].get(figure, {}), **further}


def imported(entry: Source | Figure) -> Any:
    """The module of an entry."""
    return import_module(entry.module)


def problem(source: str, spec: str) -> str | None:
    """What is wrong with the form of a spec, as its source reads it, and the remedy; None where nothing is.

    >>> problem("torchvision", "resnet18")
    'write a weights enum of torchvision.models, such as ResNet50_Weights.IMAGENET1K_V2'
    """
    found: str | None = imported(SOURCES[source]).problem(spec)
    return found


def cluster(name: str) -> Any:
    """The module of a cluster: its class ``Cluster`` is what the rules need of it."""
    return import_module(CLUSTERS[name])
