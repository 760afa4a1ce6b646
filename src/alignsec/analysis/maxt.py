"""One test for all kinds of benchmarks: families' scores flip their signs, one sign for all leaves.

Sources: sign-flipped scores, Hemerik, Goeman and Finos (2020), doi:10.1111/rssb.12369; residuals before they
are flipped, Bell and McCaffrey (2002), Survey Methodology 28:169; largest statistic and step-down, Westfall
and Young (1993), Resampling-Based Multiple Testing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from alignsec.analysis import families, splines
from alignsec.analysis.control import CURVE, bends

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

_NOTHING = 1e-9
_MOST = 0.95  # of a family that what is held fixed may explain alone; more is taken for this
_PATTERNS = 500  # at a time
ALIKE = 0.45  # intraclass correlation taken for `spread`; the median of the leaderboard's leaves


class Scores(NamedTuple):
    """What each family adds to the correlation of each of L leaves with a target."""

    sums: "Floats"  # (F, L), over families the correlation
    flipped: "Floats"  # (F, L), the same before centring and the control took their part of it
    taken: "Floats"  # (F, L, k), what each family adds to the target's correlation with what is held fixed


def scores(
    x: "Floats",
    y: "Floats",
    family: "Ints",
    control: "Floats | None" = None,
    covariates: "Floats | None" = None,
) -> Scores:
    """Scores of families: sums of products of centred ranks, net of the spline of the control's ranks.

    Residuals vary less than errors do, and most where one family holds much of the control's range: to be
    flipped, a family's residuals are divided by the root of what is left of it (CR2).

    Parameters
    ----------
    x : (L, n) float64, NaN where a model has none
    y : (n,) float64, finite
    family : (n,) int, 0 to F - 1
    control : (n,) float64, finite, taken as exact; None: nothing is held fixed
    covariates : (n, k) float64, finite, held fixed too

    Source: Bell and McCaffrey (2002), Survey Methodology 28:169.
    """
    import numpy as np

    each = (np.arange(family.max() + 1)[:, None] == family).astype(float)
    sums, flipped = np.zeros((2, len(each), len(x)))
    more_columns = 0 if covariates is None else covariates.shape[1]
    taken = np.zeros((len(each), len(x), 1 + CURVE + more_columns))
    for leaf, values in enumerate(x):
        have = np.isfinite(values)
        if have.sum() < 3:
            continue
        design = _fixed(have, control, covariates)
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


def spread(
    x: "Floats",
    family: "Ints",
    leaves: "Mask",
    control: "Floats | None" = None,
    covariates: "Floats | None" = None,
) -> "Floats":
    """Relative size of each kind's sampling error, from its scores and models and not from the target: (K,).

    Variance of the mean correlation with a target of intraclass correlation `ALIKE` that has to do with
    nothing. The test divides by it so that kinds of few models, or of one leaf, do not decide what is large;
    it is right whatever it is divided by, as long as signs of the target's families do not change it.

    Parameters
    ----------
    x : (L, n) float64, NaN where a model has none
    family : (n,) int, 0 to F - 1
    leaves : (L, K) bool
    control, covariates : what is held fixed, as in `scores`
    """
    return _size(_loads(x, leaves, control, covariates), family)


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


def _loads(
    x: "Floats", leaves: "Mask", control: "Floats | None", covariates: "Floats | None" = None
) -> "Floats":
    """What each model's target is multiplied by in a kind's mean correlation, (K, n)."""
    import numpy as np

    loads = np.zeros(x.shape)
    for row in np.flatnonzero(leaves.any(1)):
        have = np.isfinite(x[row])
        if have.sum() < 3:
            continue
        design = _fixed(have, control, covariates)
        (rank,) = _left(x[row, have][None], design)
        loads[row, have] = rank / np.sqrt(max(rank @ rank, _NOTHING) * have.sum())
    found: Floats = (leaves / np.maximum(leaves.sum(0), 1)).T @ loads
    return found


def _fixed(have: "Mask", control: "Floats | None", covariates: "Floats | None") -> "Floats":
    """Orthonormal columns (n, k) of the models that are there: a constant, the spline of the control's ranks,
    what the covariates add."""
    import numpy as np
    from scipy.stats import rankdata

    n = int(have.sum())
    constant = np.full((n, 1), n**-0.5)
    columns = np.zeros((n, 0))
    if control is not None:
        columns = splines.basis((rankdata(control[have]) - 1) / (n - 1), bends(n))
    if covariates is None:
        return np.hstack([constant, np.linalg.qr(columns - columns.mean(0))[0]])
    columns = np.hstack([columns, covariates[have]])
    columns = columns - columns.mean(0)
    scale = np.sqrt((columns**2).sum(0))
    # one may be constant among these models, or a sum of others
    left, size, _ = np.linalg.svd(columns / np.where(scale > _NOTHING, scale, 1), full_matrices=False)
    return np.hstack([constant, left[:, size > _NOTHING * max(size.max(initial=0), 1)]])


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
