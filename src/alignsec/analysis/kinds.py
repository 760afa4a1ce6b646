"""Kinds of benchmarks against one target: a correlation of each, one test for all, and what may be said.

A kind's correlation is the mean over its leaves of Fisher's z of Spearman's rho. Everything that follows
starts from one matrix, the correlation of every leaf with the target over all models and without each family
(`control.leafwise`), so raw, controlled and within-family estimates are tested alike, and all leaves lose
the same family at the same time. `docs/statistics.md` has the simulations that chose these methods.

Sources: jackknife of clusters, Cameron and Miller (2015), doi:10.3368/jhr.50.2.317; sign-flipped scores,
Hemerik, Goeman and Finos (2020), doi:10.1111/rssb.12369; residuals before they are flipped, Bell and
McCaffrey (2002), Survey Methodology 28:169; largest statistic and step-down, Westfall and Young
(1993), Resampling-Based Multiple Testing; equivalence from a 90 % interval, Schuirmann (1987),
doi:10.1007/BF01068419; intervals after selection, Benjamini and Yekutieli (2005),
doi:10.1198/016214504000001907.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alignsec.analysis import families

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

ERROR = 0.05  # family-wise: any kind called supported that is not
MARGIN = 0.3  # smallest correlation of interest
EQUIVALENCE = 0.9  # level of the interval that must lie inside the margin
POWER = 0.8
SUPPORTED, UNKNOWN = "supported", "cannot tell"
CONTRADICTED, AGREES = "contradicted", "agrees"


def smaller(margin: float) -> str:
    """The verdict that a correlation is smaller than the margin.

    >>> smaller(0.3)
    'smaller than .3'
    """
    return f"smaller than {f'{margin:g}'.removeprefix('0')}"


@dataclass(frozen=True)
class Pooled:
    """Estimates of K kinds, each (K,) float64 unless said, NaN where there is none."""

    z: "Floats"  # mean of the leaves' Fisher z
    error: "Floats"  # its standard error, by the jackknife over families; NaN where that allows no interval
    free: "Floats"  # degrees of freedom of its t
    rough: "Floats"  # the same error where there is a test, be it too rough for an interval
    without: "Floats"  # (F, K) z without each family
    leaves: "Mask"  # (L, K) which leaves are in it
    sizes: "Floats"  # (F, K) models of each family, the mean over the leaves

    @property
    def rho(self) -> "Floats":
        """On the scale of correlations."""
        import numpy as np

        found: Floats = np.tanh(self.z)
        return found


def pool(
    rho: "Floats", counts: "Ints", member: "Mask", used: int = 0, allowed: "Mask | None" = None
) -> Pooled:
    """Mean Fisher z of each kind's leaves, and its jackknife over families across all leaves at once.

    Parameters
    ----------
    rho : (1 + F, L) float64, correlation of each leaf with the target over all models and without each family
    counts : (F, L) int, models of each family that the leaf is correlated over
    member : (L, K) bool, the leaves of each kind
    used : degrees of freedom that the control takes beyond a straight line's
    allowed : (L,) bool, the leaves that may take part; None: those whose families allow a test

    Returns
    -------
    Pooled
        Leaves whose own families allow no test (`families.objection`), or that are NaN in any row, are in no
        kind. No error where the kind's families allow no interval.
    """
    import numpy as np

    if allowed is None:
        fine = [not families.objection(c[c > 0], interval=False) for c in counts.T]
        allowed = np.array(fine, bool)
    leaves = member & (allowed & np.isfinite(rho).all(0))[:, None]
    many = leaves.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(many > 0, leaves / many, 0.0)
    z = np.arctanh(np.nan_to_num(rho).clip(-1 + 1e-12, 1 - 1e-12))
    kinds = np.where(many > 0, z @ weight, np.nan)
    sizes = counts @ weight
    error, free, rough = np.full((3, len(many)), np.nan)
    for k in np.flatnonzero(many):
        rough[k], free[k] = _jackknife(kinds[1:, k], sizes[:, k], used)
        if not families.objection(sizes[:, k][sizes[:, k] > 0], interval=True):
            error[k] = rough[k]
    return Pooled(kinds[0], error, free, rough, kinds[1:], leaves, sizes)


def _jackknife(without: "Floats", sizes: "Floats", used: int) -> tuple[float, float]:
    """Standard error and degrees of freedom from estimates without each family, NaN where there are none."""
    import numpy as np

    there = sizes > 0
    if families.objection(sizes[there], interval=False):
        return np.nan, np.nan
    spread = without[there] - without[there].mean()
    error = float(np.sqrt((there.sum() - 1) / there.sum() * (spread**2).sum()))
    # whatever is left out the estimate is the same, so nothing is known of its error
    free = max(families.degrees_of_freedom(sizes[there]) - used, 1.0)
    return error if error > 1e-12 else np.nan, free


def difference(both: Pooled, used: int = 0) -> dict[str, float]:
    """`difference, low, high` of Fisher z of the first kind less the second's, back on the scale of rho."""
    import numpy as np

    sizes = both.sizes.min(1)
    z = both.z[:1] - both.z[1:]
    error, free = np.nan, np.nan
    if np.isfinite(both.error).all():
        error, free = _jackknife(both.without[:, 0] - both.without[:, 1], sizes, used)
    low, high = interval(z, np.array([error]), np.array([free]))
    return {"difference": float(np.tanh(z[0])), "low": float(low[0]), "high": float(high[0])}


def interval(
    z: "Floats", error: "Floats", free: "Floats", level: float = families.LEVEL
) -> tuple["Floats", "Floats"]:
    """Two-sided interval of correlations from Fisher z, its standard error and degrees of freedom."""
    import numpy as np
    from scipy.stats import t as student

    half = student.ppf((1 + level) / 2, free) * error
    return np.tanh(z - half), np.tanh(z + half)


def strongest(pooled: Pooled, count: int, level: float = families.LEVEL) -> tuple["Floats", "Floats"]:
    """Intervals of the `count` strongest of the correlations that have one, NaN for the others.

    Of R selected among m, the interval of level 1 - R (1 - level) / m: the expected share of the selected
    whose interval misses is at most 1 - level (Benjamini and Yekutieli 2005).
    """
    import numpy as np

    low, high = np.full(len(pooled.z), np.nan), np.full(len(pooled.z), np.nan)
    known = np.flatnonzero(np.isfinite(pooled.error))
    if len(known):
        chosen = known[np.argsort(-abs(pooled.z[known]), kind="stable")[:count]]
        wide = 1 - len(chosen) * (1 - level) / len(known)
        low[chosen], high[chosen] = interval(
            pooled.z[chosen], pooled.error[chosen], pooled.free[chosen], wide
        )
    return low, high


def detectable(pooled: Pooled, tests: int, power: float = POWER) -> "Floats":
    """The correlation that the test of `tests` kinds finds with this power, (K,).

    From the jackknife's t with the error shared out (Sidak): an approximation from above, since the kinds are
    correlated. Also where models are too few for an interval.
    """
    import numpy as np
    from scipy.stats import t as student

    each = 1 - (1 - ERROR) ** (1 / max(tests, 1))
    reach = student.ppf(1 - each / 2, pooled.free) + student.ppf(power, pooled.free)
    found: Floats = np.tanh(reach * pooled.rough)
    return found


# ---- what may be said --------------------------------------------------------------------------------------


def verdicts(pooled: Pooled, p: "Floats", margin: float = MARGIN) -> list[str]:
    """What may be said of each kind.

    ``supported``: the family-wise p is at most `ERROR` and the 95 % jackknife interval leaves 0 out.
    ``smaller than <margin>``: else, where the 90 % interval lies inside the margin on either side.
    ``cannot tell``: else.
    """
    import numpy as np

    low, high = interval(pooled.z, pooled.error, pooled.free)
    inner, outer = interval(pooled.z, pooled.error, pooled.free, EQUIVALENCE)
    with np.errstate(invalid="ignore"):
        found = (p <= ERROR) & (low * high > 0)
        small = (inner > -margin) & (outer < margin)
    return [SUPPORTED if f else smaller(margin) if s else UNKNOWN for f, s in zip(found, small, strict=True)]


def within_verdicts(rho: "Floats", low: "Floats", high: "Floats") -> list[str]:
    """What the within-family interval says of an estimate over all models.

    ``contradicted``: it lies wholly on the other side of 0; ``agrees``: wholly on the same; else
    ``cannot tell``.

    >>> import numpy as np
    >>> within_verdicts(np.array([0.4, 0.4]), np.array([-0.6, -0.1]), np.array([-0.1, 0.5]))
    ['contradicted', 'cannot tell']
    """
    return [
        UNKNOWN if not (a > 0 or b < 0) else AGREES if (a > 0) == (r > 0) else CONTRADICTED
        for r, a, b in zip(rho, low, high, strict=True)
    ]
