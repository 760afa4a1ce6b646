"""How much of the spread of an accuracy between models is noise of the images that it was counted on.

Everything is about ranks, since correlations are: an outlier (a model at chance) makes the raw variance large
and the noise look small, and moves no rank but its own.
"""

import math
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

LEAST = (
    0.3  # reliability below which nothing is corrected: the correction would multiply noise by more than 3
)


def variance(share: "Floats", images: "Floats | None") -> "Floats":
    """Sampling variance z(1 - z) / (N - 1) of shares, unbiased; 0 where the number of images is not known.

    Parameters
    ----------
    share : (...) float64, in [0, 1]; NaN stays NaN
    images : broadcasts against `share`; NaN or infinite: exact
    """
    import numpy as np

    if images is None:
        return np.where(np.isnan(share), np.nan, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = share * (1 - share) / np.maximum(images - 1, 1)
    return np.where(np.isnan(images), 0.0 * share, found)


def of_ranks(values: "Floats", error: "Floats", keep: "Floats", ranks: "Floats") -> "Floats":
    """Reliability of values as their ranks see it, in (-inf, 1]; NaN where the ranks are constant.

    Each value is given its own error a second time: the expected Spearman correlation c_s between the values
    and these replicates is summed over pairs, c = 2 sin(pi c_s / 6) is Pearson's of a normal pair with that
    Spearman correlation, and as c^2 = 1 / (2 - l) where error of the same size is added to what has
    reliability l, l = 2 - 1 / c^2.

    Parameters
    ----------
    values : (n,) float64
    error : (n,) float64, variances
    keep : (..., n) float64, 1 for the models that count, else 0
    ranks : (..., n) float64, centred ranks of the values among those, 0 elsewhere
    """
    import numpy as np

    above = _above(values.tobytes(), error.tobytes())
    with np.errstate(invalid="ignore", divide="ignore"):
        spearman = (ranks * (keep @ above.T)).sum(-1) / (ranks**2).sum(-1)
        found: Floats = 2 - 1 / (2 * np.sin(np.pi * spearman.clip(0, 1) / 6)) ** 2
    return found


@lru_cache(maxsize=8)  # every target of one study is seen net of the same few accuracies
def _above(values: bytes, error: bytes) -> "Floats":
    """(n, n): the probability that a replicate of one value is above one of another, less 1/2."""
    import numpy as np
    from scipy.special import ndtr

    value, variances = np.frombuffer(values), np.frombuffer(error)
    apart = np.nan_to_num(value[:, None] - value)
    spread = np.sqrt(np.nan_to_num(variances[:, None] + variances))
    above: Floats = np.sign(apart) / 2
    noisy = spread > 0
    above[noisy] = ndtr(apart[noisy] / spread[noisy]) - 0.5
    return above


def corrected(rho: float, target: float, benchmark: float = 1.0) -> float:
    """A correlation net of what noise in either variable takes off it, in [-1, 1]; NaN below `LEAST`.

    Source: Spearman (1904), doi:10.2307/1412159.

    >>> corrected(0.3, 0.36), corrected(0.3, 0.1)
    (0.5, nan)
    """
    if not min(target, benchmark) >= LEAST:
        return math.nan
    return max(-1.0, min(1.0, rho / math.sqrt(target * benchmark)))


def slopes(values: "Floats", error: "Floats", keep: "Floats") -> "Floats":
    """How many ranks a value climbs per unit of its own, where errors smooth the steps: (..., n).

    `values`, `error`: (T, n); `keep`: (T or 1, ..., n). Of each pair the normal density of their difference,
    given the errors of both.
    """
    import numpy as np

    apart = np.nan_to_num(values[:, :, None] - values[:, None])
    spread = np.sqrt(np.nan_to_num(error[:, :, None] + error[:, None]))
    density = np.zeros_like(apart)
    noisy = (spread > 0) & ~np.eye(values.shape[1], dtype=bool)
    density[noisy] = np.exp(-((apart[noisy] / spread[noisy]) ** 2) / 2) / spread[noisy] / np.sqrt(2 * np.pi)
    found: Floats = keep @ density
    return found
