"""Rank correlation of models that come in families: intervals by jackknife, tests by sign flips.

Variants of one model are not independent, so the unit that is left out, or whose sign is flipped, is the
family. Everything here is numpy on the models that have all the values asked for; `docs/statistics.md` has
the simulations that chose these methods, and their coverage.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]

LEVEL = 0.95
# Below these the simulations of docs/statistics.md leave 93-97 % coverage, or 3-7 % false alarms.
FAMILIES = 6  # with five, no pattern of signs can reach .05
EFFECTIVE = 4.0  # effective families: one family that holds most of the models is not many families
MODELS = 25  # for an interval; Fisher's z of fewer ranks is too coarse, and it covers too often
_EXACT = 12  # families; up to here all patterns of signs are counted, beyond they are drawn
_FEW = 10  # hits among the drawn patterns below which p is estimated again from more of them
_MORE = 20  # times as many
_CHUNK = 10_000  # patterns at a time


@dataclass(frozen=True)
class Estimates:
    """Estimates of one benchmark with T targets, each (T,) float64, NaN where there is none."""

    rho: "Floats"
    low: "Floats"
    high: "Floats"
    p: "Floats"
    lofo_low: "Floats"  # range of rho when one family is left out
    lofo_high: "Floats"
    lofo_family: "Ints"  # index of the family whose absence moves rho most, -1 where none
    within: "Floats"
    within_low: "Floats"
    within_high: "Floats"
    between: "Floats"
    n_effective: "Floats"


def effective(sizes: "Ints | Floats") -> float:
    """Effective number of families, (sum n)^2 / sum n^2 (Kish 1965): as many equal ones weigh as much."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def degrees_of_freedom(sizes: "Ints | Floats") -> float:
    """Of the jackknife's t: midway between the number of families and the effective number, less one.

    The number alone covers too little where families are unequal, the effective number alone too much.
    """
    return (len(sizes) + effective(sizes)) / 2 - 1


def objection(sizes: "Ints | Floats", *, interval: bool) -> str:
    """Why families of these sizes allow no test (or no interval), "" where they do."""
    if len(sizes) < FAMILIES:
        return f"{len(sizes)} famil{'y' if len(sizes) == 1 else 'ies'}, {FAMILIES} are needed"
    if effective(sizes) < EFFECTIVE:
        return f"one family dominates ({sizes.max():.0f} of {sizes.sum():.0f} models)"
    if interval and round(float(sizes.sum())) < MODELS:
        return f"{sizes.sum():.0f} models, {MODELS} are needed"
    return ""


def estimate(
    x: "Floats",
    y: "Floats",
    family: "Ints",
    signs: "Signs",
    control: "Floats | None" = None,
) -> Estimates:
    """Spearman correlation of `x` with every row of `y`, or the partial one given `control`.

    Parameters
    ----------
    x : (n,) float64, finite, not constant
    y : (T, n) float64, finite, no row constant
    family : (n,) int, 0 to F - 1, each at least once
    signs : source of the patterns of signs
    control : (n,) float64, finite; ranks of x and y are taken net of its ranks

    Returns
    -------
    Estimates
        `low, high`: 95 % interval, delete-one-family jackknife on Fisher's z with t quantiles
        (`degrees_of_freedom`). `p`: two-sided sign-flip test of family score sums: each family's centred
        ranks of y change sign together, rho is computed again, its denominator included; p is the share of
        patterns with |rho| at least as large, the observed one counted. `within`: correlation of ranks about
        their family's mean, `within_low, within_high` its interval, from leaving out one family of two models
        or more; null given a control. `between`: of the families' mean ranks weighted by size. `n_effective`:
        n divided by the design effect 1 + (sum n_f^2 / n - 1) icc_x icc_y, intraclass correlations of the
        ranks from one-way ANOVA. NaN where `objection` has one, and where something left out leaves a
        constant.

    Sources: jackknife of clusters, Cameron and Miller (2015), doi:10.3368/jhr.50.2.317; sign-flipped scores,
    Hemerik, Goeman and Finos (2020), doi:10.1111/rssb.12369; within and between, Bland and Altman (1995),
    doi:10.1136/bmj.310.6977.446 and 310.6980.633; design effect, Kish (1965), Survey Sampling.
    """
    import numpy as np

    n, count, sizes = len(x), len(y), np.bincount(family)
    columns = [x[None], y] if control is None else [x[None], y, control[None]]
    ranks = _ranks_without(np.concatenate(columns), family, len(sizes))
    # (1 + F, T): all models, then each family left out
    every = _correlations(ranks, partial=control is not None)
    rho, without = every[0], every[1:]
    low, high = _interval(rho, without, sizes)
    lofo_low, lofo_high, which = _range(rho, without)

    whole = ranks[0]
    if control is not None:
        whole = np.concatenate([_residuals(whole[:-1], whole[-1]), whole[-1:]])
    dx, dy = whole[0], whole[1 : 1 + count]
    p = np.full(count, np.nan)
    if not objection(sizes, interval=False):
        p = _flip(dx, dy, family, signs, None if control is None else whole[-1])
        p[np.isnan(rho)] = np.nan
    within, between = _within_between(dx, dy, family, sizes)
    shared = np.clip(_icc(dx[None], family, sizes), 0, 1) * np.clip(_icc(dy, family, sizes), 0, 1)
    design = 1 + ((sizes**2).sum() / n - 1) * np.nan_to_num(shared)
    inner = np.full((2, count), np.nan)
    if control is None:
        inner[:] = _within_interval(within, ranks, family, sizes)
    return Estimates(rho, low, high, p, lofo_low, lofo_high, which, within, inner[0], inner[1], between,
                     n / design)  # fmt: skip


# ---- correlations, of all models and without each family ---------------------------------------------------


def ranks_among(values: "Floats", keep: "npt.NDArray[np.bool_]") -> "Floats":
    """Centred mean ranks of values among those kept, 0 elsewhere.

    Each row is sorted once, whatever is left out of it: a rank is the number of those kept below.

    Parameters
    ----------
    values : (k or 1, n) float64, finite where kept
    keep : (k or 1, m, n) bool

    Returns
    -------
    (k, m, n) float64

    >>> import numpy as np
    >>> ranks_among(np.array([[5.0, 7.0, 7.0, 1.0]]), np.array([[[1, 1, 1, 1], [1, 1, 1, 0]]], bool))[0]
    array([[-0.5,  1. ,  1. , -1.5],
           [-1. ,  0.5,  0.5,  0. ]])
    """
    import numpy as np

    n = values.shape[-1]
    order = np.argsort(values, axis=-1, kind="stable")
    placed = np.take_along_axis(values, order, -1)
    at = np.arange(n)
    starts = np.concatenate([np.ones_like(placed[:, :1], bool), placed[:, 1:] != placed[:, :-1]], axis=-1)
    ends = np.concatenate([starts[:, 1:], np.ones_like(starts[:, :1])], axis=-1)
    # of the equal values around each place, the first and the one after the last
    first = np.maximum.accumulate(np.where(starts, at, 0), axis=-1)
    last = np.minimum.accumulate(np.where(ends, at + 1, n)[:, ::-1], axis=-1)[:, ::-1]
    order = np.broadcast_to(order[:, None], (max(len(order), len(keep)), *keep.shape[1:]))
    kept = np.take_along_axis(np.broadcast_to(keep, order.shape), order, -1)
    below = np.zeros((*kept.shape[:-1], n + 1))
    np.cumsum(kept, axis=-1, out=below[..., 1:])
    middle = np.take_along_axis(below, np.broadcast_to(first[:, None], order.shape), -1)
    middle += np.take_along_axis(below, np.broadcast_to(last[:, None], order.shape), -1)
    found = np.empty(order.shape)
    np.put_along_axis(found, order, np.where(kept, (middle - below[..., -1:]) / 2, 0.0), -1)
    return found


def _ranks_without(values: "Floats", family: "Ints", count: int) -> "Floats":
    """Centred ranks of (k, n) values, of all and without each family: (1 + count, k, n), 0 where left out."""
    import numpy as np

    out = np.concatenate([np.zeros((1, len(family)), bool), family == np.arange(count)[:, None]])
    return ranks_among(values, ~out[None]).swapaxes(0, 1)


def _correlations(ranks: "Floats", partial: bool) -> "Floats":
    """Of row 0 with the others, (m, k, n) -> (m, k - 1); or given the last, (m, k - 2). NaN if constant."""
    import numpy as np

    products = ranks @ ranks.transpose(0, 2, 1)
    scale = np.sqrt(np.diagonal(products, axis1=1, axis2=2))
    found: Floats
    with np.errstate(invalid="ignore", divide="ignore"):
        r = products / (scale[:, :, None] * scale[:, None, :])
        if not partial:
            found = r[:, 0, 1:].clip(-1, 1)
            return found
        xy, xz, yz = r[:, 0, 1:-1], r[:, 0, -1:], r[:, 1:-1, -1]
        left = (1 - xz**2) * (1 - yz**2)
        # x or y is the control itself up to rounding: nothing is left of it to correlate
        found = ((xy - xz * yz) / np.sqrt(np.where(left > 1e-12, left, np.nan))).clip(-1, 1)
        return found


def _interval(rho: "Floats", without: "Floats", sizes: "Ints") -> tuple["Floats", "Floats"]:
    """Jackknife over families on Fisher's z of rho (T,), given rho without each family (F, T)."""
    import numpy as np
    from scipy.stats import t as student

    if objection(sizes, interval=True):
        return np.full(len(rho), np.nan), np.full(len(rho), np.nan)
    z, z_without = (np.arctanh(r.clip(-1 + 1e-12, 1 - 1e-12)) for r in (rho, without))
    spread = z_without - z_without.mean(0)
    error = np.sqrt((len(sizes) - 1) / len(sizes) * (spread**2).sum(0))
    error[~(error > 1e-12)] = np.nan  # rho is 1 whatever is left out, so nothing is known of its error
    half = student.ppf((1 + LEVEL) / 2, degrees_of_freedom(sizes)) * error
    return np.tanh(z - half), np.tanh(z + half)


def _range(rho: "Floats", without: "Floats") -> tuple["Floats", "Floats", "Ints"]:
    """Smallest and largest of rho without one family, and the family whose absence moves it most."""
    import numpy as np

    low, high = np.full(len(rho), np.nan), np.full(len(rho), np.nan)
    which = np.full(len(rho), -1)
    seen = np.isfinite(without).any(0)
    if seen.any():
        low[seen], high[seen] = np.nanmin(without[:, seen], 0), np.nanmax(without[:, seen], 0)
        which[seen] = np.nanargmax(np.abs(without[:, seen] - rho[seen]), 0)
    return low, high, which


def _residuals(rows: "Floats", control: "Floats") -> "Floats":
    """Centred rows net of a centred control, by least squares."""
    import numpy as np

    return rows - np.outer(rows @ control / (control @ control), control)


def _sums(values: "Floats", family: "Ints") -> "Floats":
    """Sums over families, (T, n) -> (T, F)."""
    import numpy as np

    sums: Floats = values @ (family[:, None] == np.arange(family.max() + 1)).astype(float)
    return sums


# ---- the sign-flip test ------------------------------------------------------------------------------------


class Signs:
    """Patterns of signs for families: all of them where they are few, else drawn, the same for every call.

    Parameters
    ----------
    flips : patterns drawn where not all are counted
    seed : of the draw
    """

    def __init__(self, flips: int, seed: int) -> None:
        self.flips, self.seed = flips, seed
        self._drawn: dict[tuple[int, int], npt.NDArray[np.int8]] = {}

    def exact(self, count: int) -> "Floats | None":
        """All patterns of `count` families, (2^(count-1), count); the first sign is fixed: |rho| has none."""
        import numpy as np

        if count > _EXACT:
            return None
        bits = np.arange(2 ** (count - 1))[:, None] >> np.arange(count) & 1
        signs: Floats = 1.0 - 2.0 * bits
        return signs

    def shared(self, count: int) -> tuple["Floats", bool]:
        """Patterns (P, count) where a family has one sign for all benchmarks, and whether they are all."""
        import numpy as np

        if (pattern := self.exact(count)) is not None:
            return pattern, True
        chunks = range(-(-self.flips // _CHUNK))
        return np.concatenate([self.drawn(count, c) for c in chunks])[: self.flips], False

    def least(self, count: int) -> float:
        """The smallest p that patterns of `count` families can give."""
        return 2.0 ** (1 - count) if count <= _EXACT else 1 / (self.flips + 1)

    def drawn(self, count: int, chunk: int) -> "Floats":
        """Chunk number `chunk` of drawn patterns, (_CHUNK, count); the same whatever `count` is asked for."""
        import numpy as np

        width = max(64, 2 ** int(np.ceil(np.log2(count))))
        if (chunk, width) not in self._drawn:
            rng = np.random.default_rng([self.seed, chunk, width])
            # every benchmark asks for the same ones again: a byte each, or they would fill the memory
            self._drawn[chunk, width] = (rng.integers(0, 2, (_CHUNK, width)) * 2 - 1).astype(np.int8)
        signs: Floats = self._drawn[chunk, width][:, :count].astype(float)
        return signs


def _flip(dx: "Floats", dy: "Floats", family: "Ints", signs: Signs, dz: "Floats | None") -> "Floats":
    """Two-sided p of each row of dy (T, n) by flipping its sign family by family."""
    import numpy as np

    n, count = len(dx), int(family.max()) + 1
    score, total = _sums(dx * dy, family), _sums(dy, family)
    along = None if dz is None else _sums(dz * dy, family) / np.sqrt(dz @ dz)
    square = (dy**2).sum(1)
    observed = np.abs(score.sum(1)) / np.sqrt(square)

    def hits(rows: "Ints", pattern: "Floats") -> "Ints":
        """How many of the patterns make a correlation at least as large, for each of the rows."""
        left = square[rows, None] - (total[rows] @ pattern.T) ** 2 / n
        if along is not None:
            left -= (along[rows] @ pattern.T) ** 2
        # y flipped into a constant correlates with nothing
        left = np.where(left > 1e-9 * square[rows, None], left, np.inf)
        extreme = np.abs(score[rows] @ pattern.T) >= (1 - 1e-9) * observed[rows, None] * np.sqrt(left)
        extremes: Ints = extreme.sum(1)
        return extremes

    everything = np.arange(len(dy))
    if (pattern := signs.exact(count)) is not None:
        return hits(everything, pattern) / len(pattern)
    found, patterns, chunk = np.zeros(len(dy)), np.zeros(len(dy)), 0
    for wanted in (signs.flips, _MORE * signs.flips):
        rows = everything if chunk == 0 else np.flatnonzero(found < _FEW)
        done = chunk * _CHUNK
        while len(rows) and done < wanted:
            pattern = signs.drawn(count, chunk)[: wanted - done]
            found[rows] += hits(rows, pattern)
            patterns[rows] += len(pattern)
            chunk, done = chunk + 1, done + len(pattern)
    return (found + 1) / (patterns + 1)


# ---- within and between families ---------------------------------------------------------------------------


def _within_between(dx: "Floats", dy: "Floats", family: "Ints", sizes: "Ints") -> tuple["Floats", "Floats"]:
    """Correlations of centred ranks about their family's mean, and of the means weighted by size."""
    import numpy as np

    nan = np.full(len(dy), np.nan)
    mx, my = _sums(dx[None], family)[0] / sizes, _sums(dy, family) / sizes

    def r(a: "Floats", b: "Floats", weight: "Floats") -> "Floats":
        """Of a (n,) with every row of b (T, n)."""
        scale = np.sqrt((weight * a**2).sum() * (weight * b**2).sum(1))
        # what rounding leaves of a constant is no spread
        floor = 1e-9 * len(dx)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(scale > floor, (weight * a * b).sum(1) / scale, np.nan).clip(-1, 1)

    within = r(dx - mx[family], dy - my[:, family], np.ones(len(dx))) if len(dx) - len(sizes) >= 3 else nan
    between = r(mx, my, sizes.astype(float)) if len(sizes) >= 4 else nan
    return within, between


def _within_interval(
    within: "Floats", ranks: "Floats", family: "Ints", sizes: "Ints"
) -> tuple["Floats", "Floats"]:
    """Interval of the correlation within families (T,), from the ranks of `_ranks_without`.

    A family of one says nothing of what goes on within families: it counts for nothing here.
    """
    import numpy as np

    paired = np.flatnonzero(sizes > 1)
    if objection(sizes[paired], interval=True):
        return np.full(len(within), np.nan), np.full(len(within), np.nan)
    without = []
    for left in paired:
        kept = family != left
        code = family[kept] - (family[kept] > left)
        dx, dy = ranks[1 + left, 0, kept], ranks[1 + left, 1:, kept].T
        without.append(_within_between(dx, dy, code, np.delete(sizes, left))[0])
    return _interval(within, np.array(without), sizes[paired])


def _icc(rows: "Floats", family: "Ints", sizes: "Ints") -> "Floats":
    """Intraclass correlation ICC(1) of (T, n) centred rows from one-way ANOVA; NaN where it is undefined."""
    import numpy as np

    n, count = int(sizes.sum()), len(sizes)
    if count < 2 or n <= count:
        return np.full(len(rows), np.nan)
    means = _sums(rows, family) / sizes
    between = (sizes * means**2).sum(1) / (count - 1)
    within = ((rows - means[:, family]) ** 2).sum(1) / (n - count)
    size = (n - (sizes**2).sum() / n) / (count - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        icc: Floats = (between - within) / (between + (size - 1) * within)
    return icc
