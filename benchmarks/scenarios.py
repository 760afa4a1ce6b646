"""Studies in which clean accuracy, missing scores or families are not as simple tests would like them.

Each scenario makes scores `x`, clean accuracy and robust accuracy of models with given families. Latent
variables are normal with intraclass correlation `ICC`; clean accuracies have the distribution given, robust
accuracy is a monotone function of its latent, and both are counted on `images` images or exact.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr, ndtri

ICC = 0.45
LEAF_CLEAN, ROBUST_CLEAN = 0.8, 0.7  # correlations of the latent variables
TARGET = "robust_top1@1/255"


@dataclass(frozen=True)
class Models:
    """What all scenarios draw on."""

    family: np.ndarray  # (n,) int, 0 to F - 1; of several studies at once, F more for each
    clean: np.ndarray  # sorted clean accuracies to draw from
    rng: np.random.Generator
    families: int  # F

    def normal(self, icc: float = ICC, family: np.ndarray | None = None) -> np.ndarray:
        """(n,) standard normal, alike within families."""
        family = self.family if family is None else family
        shared = self.rng.standard_normal(family.max() + 1)[family]
        return math.sqrt(icc) * shared + math.sqrt(1 - icc) * self.rng.standard_normal(len(family))

    def pair(self, rho: float) -> tuple[np.ndarray, np.ndarray]:
        """Two normal variables of Spearman correlation `rho` between and within families."""
        r = 2 * math.sin(math.pi * rho / 6)
        a = self.normal()
        return a, r * a + math.sqrt(1 - r * r) * self.normal()

    def accuracy(self, latent: np.ndarray) -> np.ndarray:
        """Clean accuracy of a standard normal latent."""
        return np.quantile(self.clean, ndtr(latent))


@dataclass
class Study:
    """What is true of the models, and which of them are scored."""

    x: np.ndarray
    clean: np.ndarray
    robust: np.ndarray  # at most `clean`
    scored: np.ndarray | None = None
    images: int | None = None
    alike: float = 0.0  # correlation of what makes images hard for one model and for another

    def measured(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Clean and robust accuracy as counted; images that are robust are correct."""
        if self.images is None:
            return self.clean, self.robust
        if not self.alike:
            correct = rng.binomial(self.images, self.clean)
            robust = rng.binomial(correct, self.robust / self.clean)
            return correct / self.images, robust / self.images
        hard = math.sqrt(self.alike) * rng.standard_normal(self.images)
        own = math.sqrt(1 - self.alike) * rng.standard_normal((len(self.clean), self.images))
        return tuple((hard + own < ndtri(share)[:, None]).mean(1) for share in (self.clean, self.robust))


def noisy(models: Models, rho: float, images: int | None, alike: float = 0.0) -> Study:
    """Leaf and robustness follow clean accuracy; what is left of them is correlated `rho`."""
    g, (a, b) = models.normal(), models.pair(rho)
    x = LEAF_CLEAN * g + math.sqrt(1 - LEAF_CLEAN**2) * a
    y = ROBUST_CLEAN * g + math.sqrt(1 - ROBUST_CLEAN**2) * b
    return _study(models, x, y, g, images=images, alike=alike)


def curved(models: Models, rho: float, images: int | None) -> Study:
    """The same, where both are highest at middling clean accuracy."""
    g, (a, b) = models.normal(), models.pair(rho)
    bow = (1 - g**2) / math.sqrt(2)
    x = LEAF_CLEAN * bow + math.sqrt(1 - LEAF_CLEAN**2) * a
    y = ROBUST_CLEAN * bow + math.sqrt(1 - ROBUST_CLEAN**2) * b
    return _study(models, x, y, g, images=images)


def floor(models: Models, rho: float, images: int | None) -> Study:
    """As `noisy`, with about 70 % of the models at a robust accuracy of 0."""
    made = noisy(models, rho, None)
    made.robust = np.clip(made.robust - 0.37, 0, None)
    made.images = images
    return made


def missing(models: Models, rho: float, images: int | None) -> Study:
    """Nothing follows clean accuracy; half of the models are scored, oftener the good and the robust ones."""
    x, y = models.pair(rho)
    made = _study(models, x, y, models.normal(), images=images)
    made.scored = models.rng.random(len(x)) < expit(x + y)
    return made


def super_families(models: Models, rho: float, images: int | None) -> Study:
    """As `missing` with all scored; families belong to five clusters, which share nearly as much."""
    cluster = models.family // models.families * 5 + models.family % models.families % 5
    shared = models.rng.standard_normal((2, cluster.max() + 1))[:, cluster]
    r = 2 * math.sin(math.pi * rho / 6)
    shared[1] = r * shared[0] + math.sqrt(1 - r * r) * shared[1]
    x, y = (
        math.sqrt(1 - 0.3) * v + math.sqrt(0.3) * s for v, s in zip(models.pair(rho), shared, strict=True)
    )
    return _study(models, x, y, models.normal(), images=images)


def size(models: Models, rho: float, images: int | None) -> Study:
    """As `missing` with all scored; models of large families are more robust."""
    x, y = models.pair(rho)
    large = np.log(np.bincount(models.family))[models.family]
    y = y + (large - large.mean()) / large.std()
    return _study(models, x, y, models.normal(), images=images)


def _study(models: Models, x: np.ndarray, y: np.ndarray, g: np.ndarray, **options: float | None) -> Study:
    clean = models.accuracy(g)
    return Study(x, clean, np.minimum(expit(0.8 * y - 1), 0.98 * clean), **options)


def spread(row: "Row", top1: np.ndarray) -> np.ndarray:
    """Sorted clean accuracies to draw from, given those of a leaderboard."""
    if row.spread == "even":
        return np.linspace(0.4, 0.85, 100)
    return np.sort(top1 if row.spread == "chance" else top1[top1 > 0.05])


@dataclass(frozen=True)
class Row:
    """A scenario with its number of images."""

    label: str
    make: Callable[..., Study]
    options: dict[str, float | None] = field(default_factory=dict)
    spread: str = "real"  # of clean accuracies: as on a leaderboard, "chance" with those at chance, "even"


ROWS = [
    *(
        Row(f"follow clean accuracy, {n or 'all'} images", noisy, {"images": n})
        for n in (64, 200, 1000, None)
    ),
    Row("same, 64 images, some models at chance", noisy, {"images": 64}, spread="chance"),
    *(Row(f"same, {n} images, hard for all alike", noisy, {"images": n, "alike": 0.6}) for n in (64, 200)),
    *(Row(f"shared inverted U, {n or 'all'} images", curved, {"images": n}) for n in (64, 200, 1000, None)),
    Row(
        "shared inverted U, 64 images, clean accuracies spread evenly", curved, {"images": 64}, spread="even"
    ),
    Row("follow clean accuracy, 70 % at the floor, 200 images", floor, {"images": 200}),
    Row("missing not at random", missing, {"images": 1000}),
    Row("five super-families", super_families, {"images": 1000}),
    Row("large families are more robust", size, {"images": 1000}),
]


def table_of(study: Study, family: np.ndarray, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The study as `alignsec.analysis.correlate.correlate` takes it: values, and numbers of images."""
    clean, robust = study.measured(rng)
    names = [f"m{i}" for i in range(len(family))]
    x = study.x if study.scored is None else np.where(study.scored, study.x, np.nan)
    total = pd.DataFrame({"model": names, "family": [f"f{f}" for f in family], "x": x})
    total = total.assign(**{TARGET: robust, "clean_top1": clean})
    count = math.nan if study.images is None else float(study.images)
    return total, pd.DataFrame({TARGET: count, "clean_top1": count}, index=names)


def truth(row: Row, models: Models, rho: float, times: int = 100) -> tuple[float, float]:
    """Spearman correlation of many models without noise, and the same given clean accuracy (a spline)."""
    from scipy.stats import spearmanr

    from alignsec.analysis.control import Control, leafwise

    count = models.families
    many = np.concatenate([models.family + i * count for i in range(times)])
    made = row.make(Models(many, models.clean, models.rng, count), rho, **row.options)
    one = np.zeros(len(many), int)
    net = leafwise(made.x[None], made.robust, one, Control(made.clean))[0, 0]
    return float(spearmanr(made.x, made.robust).statistic), float(net)
