"""What plugs into a study, a line each: the sources that models come from, the clusters that jobs go to.

The one place that names modules by text, so that a rule or a sheet knows what there is without importing all
of it (a test imports every entry). Adding one: docs/extending.md.
"""

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
    """

    module: str
    imagenet: bool = False
    trained: bool = False


SOURCES: dict[str, Source] = {
    "brainscore": Source("alignsec.zoo.sources.brainscore", imagenet=True),
    "torchvision": Source("alignsec.zoo.sources.torchvision", imagenet=True),
    "timm": Source("alignsec.zoo.sources.timm", imagenet=True),
    "factory": Source("alignsec.zoo.sources.factory"),
    "demo": Source("alignsec.demo.source", trained=True),
}


CLUSTERS = {"htcondor": "alignsec.cluster.workflow"}


def imported(entry: Source) -> Any:
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
