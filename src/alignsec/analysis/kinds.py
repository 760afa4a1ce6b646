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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from alignsec.analysis import families, splines
from alignsec.analysis.control import CURVE, bends

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
_NOTHING = 1e-9
_MOST = 0.95  # of a family that what is held fixed may explain alone; more is taken for this
_PATTERNS = 500  # at a time
ALIKE = 0.45  # intraclass correlation taken for `spread`; the median of the leaderboard's leaves
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


def pool(rho: "Floats", counts: "Ints", member: "Mask", used: int = 0) -> Pooled:
    """Mean Fisher z of each kind's leaves, and its jackknife over families across all leaves at once.

    Parameters
    ----------
    rho : (1 + F, L) float64, correlation of each leaf with the target over all models and without each family
    counts : (F, L) int, models of each family that the leaf is correlated over
    member : (L, K) bool, the leaves of each kind
    used : degrees of freedom that the control takes beyond a straight line's

    Returns
    -------
    Pooled
        Leaves whose own families allow no test (`families.objection`), or that are NaN in any row, are in no
        kind. No error where the kind's families allow no interval.
    """
    import numpy as np

    fine = [not families.objection(c[c > 0], interval=False) for c in counts.T]
    leaves = member & (np.array(fine, bool) & np.isfinite(rho).all(0))[:, None]
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


# ---- one test for all kinds --------------------------------------------------------------------------------


class Scores(NamedTuple):
    """What each family adds to the correlation of each of L leaves with a target."""

    sums: "Floats"  # (F, L), over families the correlation
    flipped: "Floats"  # (F, L), the same before centring and the control took their part of it
    taken: "Floats"  # (F, L, k), what each family adds to the target's correlation with what is held fixed


def scores(x: "Floats", y: "Floats", family: "Ints", control: "Floats | None" = None) -> Scores:
    """Scores of families: sums of products of centred ranks, net of the spline of the control's ranks.

    Residuals vary less than errors do, and most where one family holds much of the control's range: to be
    flipped, a family's residuals are divided by the root of what is left of it (CR2).

    Parameters
    ----------
    x : (L, n) float64, NaN where a model has none
    y : (n,) float64, finite
    family : (n,) int, 0 to F - 1
    control : (n,) float64, finite, taken as exact; None: nothing is held fixed

    Source: Bell and McCaffrey (2002), Survey Methodology 28:169.
    """
    import numpy as np

    each = (np.arange(family.max() + 1)[:, None] == family).astype(float)
    sums, flipped = np.zeros((2, len(each), len(x)))
    taken = np.zeros((len(each), len(x), 1 + CURVE))
    for leaf, values in enumerate(x):
        have = np.isfinite(values)
        if have.sum() < 3:
            continue
        design = _fixed(None if control is None else control[have], int(have.sum()))
        a, b = _left(np.stack([values[have], y[have]]), design)
        a, b = (v / max(np.sqrt(v @ v), _NOTHING) for v in (a, b))
        of = each[:, have]
        along_x, along_y = (of @ (design * v[:, None]) for v in (a, b))  # (F, k)
        root, turn = np.linalg.eigh(np.einsum("fn,nk,nj->fkj", of, design, design, optimize=True))
        root = root.clip(1e-9, _MOST)
        more = (turn * (((1 - root) ** -0.5 - 1) / root)[:, None]) @ turn.swapaxes(1, 2)
        sums[:, leaf] = of @ (a * b)
        flipped[:, leaf] = sums[:, leaf] + np.einsum("fk,fkj,fj->f", along_x, more, along_y)
        taken[:, leaf, : design.shape[1]] = along_y
    return Scores(sums, flipped, taken)


def corrected(plain: Scores, rho: "Floats", uncorrected: "Floats", counts: "Ints") -> Scores:
    """Scores with what the correction of a noisy control adds to them.

    Parameters
    ----------
    plain : given the control, taken as exact
    rho, uncorrected : (1 + F, L) float64, of `control.leafwise`
    counts : (F, L) int, models of each family; with n models, n_f of them in family f, that family's part of
        a correlation is about rho - (1 - n_f / n) rho_without
    """
    import numpy as np

    share = counts / np.maximum(counts.sum(0), 1)
    more = np.nan_to_num(rho - uncorrected)
    part = more[0] - (1 - share) * more[1:]
    part += share * (more[0] - part.sum(0))  # correlations are nearly sums over families, and now they are
    return Scores(plain.sums + part, plain.flipped + part, plain.taken)


def spread(x: "Floats", family: "Ints", leaves: "Mask", control: "Floats | None" = None) -> "Floats":
    """Relative size of each kind's sampling error, from its scores and models and not from the target: (K,).

    Variance of the mean correlation with a target of intraclass correlation `ALIKE` that has to do with
    nothing. The test divides by it so that kinds of few models, or of one leaf, do not decide what is large;
    it is right whatever it is divided by, as long as signs of the target's families do not change it.

    Parameters
    ----------
    x : (L, n) float64, NaN where a model has none
    family : (n,) int, 0 to F - 1
    leaves : (L, K) bool
    control : (n,) float64, finite, or None
    """
    return _size(_loads(x, leaves, control), family)


def spread_of_difference(
    x: "Floats", family: "Ints", leaves: "Mask", control: "Floats | None" = None
) -> float:
    """The same of the difference of two kinds; `leaves` (L, 2)."""
    loads = _loads(x, leaves, control)
    return float(_size(loads[:1] - loads[1:], family)[0])


def _size(weights: "Floats", family: "Ints") -> "Floats":
    """Standard deviation of weighted sums of what is alike within families: (K, n) -> (K,)."""
    import numpy as np

    shared = weights @ (family[:, None] == np.arange(family.max() + 1)).astype(float)
    found: Floats = np.sqrt((1 - ALIKE) * (weights**2).sum(1) + ALIKE * (shared**2).sum(1))
    return found


def _loads(x: "Floats", leaves: "Mask", control: "Floats | None") -> "Floats":
    """What each model's target is multiplied by in a kind's mean correlation, (K, n)."""
    import numpy as np

    loads = np.zeros(x.shape)
    for row in np.flatnonzero(leaves.any(1)):
        have = np.isfinite(x[row])
        if have.sum() < 3:
            continue
        design = _fixed(None if control is None else control[have], int(have.sum()))
        (rank,) = _left(x[row, have][None], design)
        loads[row, have] = rank / np.sqrt(max(rank @ rank, _NOTHING) * have.sum())
    found: Floats = (leaves / np.maximum(leaves.sum(0), 1)).T @ loads
    return found


def _fixed(control: "Floats | None", n: int) -> "Floats":
    """Orthonormal columns (n, k): a constant, and the spline of the control's ranks."""
    import numpy as np
    from scipy.stats import rankdata

    constant = np.full((n, 1), n**-0.5)
    if control is None:
        return constant
    basis = splines.basis((rankdata(control) - 1) / (n - 1), bends(n))
    return np.hstack([constant, np.linalg.qr(basis - basis.mean(0))[0]])


def _left(values: "Floats", design: "Floats") -> "Floats":
    """Ranks of (k, n) values, net of orthonormal columns."""
    from scipy.stats import rankdata

    ranks: Floats = rankdata(values, axis=1)
    left: Floats = ranks - (ranks @ design) @ design.T
    return left


def weights(leaves: "Mask") -> "Floats":
    """What each leaf counts in the mean of each kind, (L, K); NaN of a kind without one."""
    import numpy as np

    many = leaves.sum(0)
    return np.where(many > 0, leaves / np.maximum(many, 1), np.nan)


def beside(columns: "Sequence[Floats]") -> "Floats":
    """Weights of sums that are each of leaves of their own: K columns (l_k,) as (sum l_k, K)."""
    from scipy.linalg import block_diag

    found: Floats = block_diag(*(c[:, None] for c in columns))
    return found


def largest(of: Scores, weight: "Floats", scale: "Floats", signs: families.Signs) -> "Floats":
    """Family-wise p of K weighted sums of Fisher z, by the largest of them under flipped signs, stepped down.

    Parameters
    ----------
    of : scores of families
    weight : (L, K) float64 of the leaves in each sum (`weights`); a column with a NaN is no hypothesis
    scale : (K,) float64, what the sums are divided by before they are compared
    signs : patterns; a family has one sign for all leaves

    Returns
    -------
    (K,) float64: share of patterns whose largest |sum| / scale, over this kind and those with smaller ones,
    is at least this kind's; no smaller than that of any kind with a larger one. Under a pattern every leaf's
    correlation is computed again, what it is divided by included. NaN where there is no hypothesis.
    """
    import numpy as np

    p = np.full(weight.shape[1], np.nan)
    tested = np.flatnonzero(np.isfinite(weight).all(0) & (scale > 0))
    leaf = np.flatnonzero((np.nan_to_num(weight[:, tested]) != 0).any(1))
    there = (of.sums[:, leaf] != 0).any(1)
    if not there.any():
        return p
    share = weight[np.ix_(leaf, tested)] / scale[tested]
    limit = 1 - 1e-12
    observed = abs(np.arctanh(of.sums[:, leaf].sum(0).clip(-limit, limit)) @ share)
    order = np.argsort(-observed, kind="stable")
    flipped, taken = of.flipped[np.ix_(there, leaf)], of.taken[np.ix_(there, leaf)]
    patterns, exact = signs.shared(int(there.sum()))
    hits = np.zeros(len(tested))
    for chunk in np.array_split(patterns, max(1, len(patterns) // _PATTERNS)):
        fixed = (chunk @ taken.reshape(len(taken), -1)).reshape(len(chunk), *taken.shape[1:])
        # a target flipped into what is held fixed correlates with nothing else
        left = np.maximum(1 - (fixed**2).sum(-1), _NOTHING)
        z = np.arctanh((chunk @ flipped / np.sqrt(left)).clip(-limit, limit))
        drawn = abs(z @ share[:, order])
        drawn = np.maximum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]
        hits += (drawn >= (1 - 1e-9) * observed[order]).sum(0)
    # the pattern that flips nothing is one of all
    found = np.maximum(hits, 1) / len(patterns) if exact else (hits + 1) / (len(patterns) + 1)
    p[tested[order]] = np.maximum.accumulate(found)
    return p


def least(sizes: "Floats", signs: families.Signs) -> float:
    """The smallest p that the test could have given with these families.

    >>> round(least([3.0] * 11, families.Signs(10_000, 0)) * 2**10)
    1
    """
    count = sum(size > 0 for size in sizes)
    return signs.least(count) if count else float("nan")


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
