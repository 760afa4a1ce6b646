"""Rank correlation given clean accuracy, where clean accuracy is itself counted on a few images.

A noisy control controls too little: what is left of it in both variables reads as an effect of its own. So
what the ranks of a variable have in common with the *true* accuracy is computed from what they have in common
with the measured one and the noise that its number of images makes, anew whenever a family is left out.

The model: a variable's ranks are a natural spline in the rank of the true control, plus a residual; normal
scores of the true and of the measured control have correlation sqrt(l), l the reliability. With B the
spline's orthonormal basis, E[x B(measured)] = A E[x B(true)] where A = E[B(true) B(measured)'], so A^-1 times
what was measured is what would be measured without noise. With a straight line A is near sqrt(l): the
classical correction for attenuation. With l = 1 everything is least squares. `docs/statistics.md` has the
simulations.

Sources: Spearman (1904), doi:10.2307/1412159 (attenuation); Carroll, Ruppert, Stefanski and Crainiceanu
(2006), Measurement Error in Nonlinear Models (errors in covariates, corrected moments).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from alignsec.analysis import families, reliability, splines

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]
    Mask = npt.NDArray[np.bool_]

CURVE = 4  # degrees of freedom of the spline
PER_DEGREE = 15  # models that each of them takes
_NOTHING = 1e-9  # of the variance: what rounding leaves of a variable that the control explains whole


@dataclass(frozen=True)
class Control:
    """What is held fixed, over n models.

    Parameters
    ----------
    value : (n,) float64, NaN where a model has none
    images : (n,) float64, the number of images that each value is the share of; NaN or infinite: exact; None:
        all exact
    shared : the target is an accuracy on the same images, so that their errors go together
    """

    value: "Floats"
    images: "Floats | None" = None
    shared: bool = False

    def reliability(self) -> float:
        """Share of the values' spread between these models that is no noise (`reliability.of_ranks`)."""
        import numpy as np

        have = np.isfinite(self.value)[None]
        error = reliability.variance(self.value, self.images)
        if not np.nan_to_num(error).any():
            return 1.0
        ranks = families.ranks_among(self.value[None], have[:, None])[0]
        return float(reliability.of_ranks(self.value, error, have.astype(float), ranks)[0])


def leafwise(
    x: "Floats",
    y: "Floats",
    family: "Ints",
    control: Control | None = None,
    covariates: "Floats | None" = None,
    curve: int | None = None,
    ranks: bool = True,
) -> "Floats":
    """Spearman correlation of every row of `x` with `y` given the control, with and without each family.

    Parameters
    ----------
    x : (L, n) float64, a row per benchmark, NaN where a model has none; each row over models that have all
    y : (n,) float64 or (L, n), the target, NaN where a model has none. Where `control.shared` it is a share
        of images, or a mean of logits of such shares
    family : (n,) int, 0 to F - 1
    control : None: the plain correlation
    covariates : (n, k) float64, held fixed too, taken as exact and as linear; NaN where a model has none
    curve : degrees of freedom of the control's spline, 1 a straight line in its ranks; None: `bends` of the
        number of models
    ranks : else Pearson correlation of the values as they are; the control is taken as exact then, and still
        a curve in its ranks

    Returns
    -------
    (1 + F, L) float64: row 0 of all models, row 1 + f without family f. NaN where nothing can be estimated:
    too few models, a constant, a reliability below `reliability.LEAST`, or nothing left beside the control
    """
    import numpy as np

    y = np.atleast_2d(y)
    have = np.isfinite(x) & np.isfinite(y)
    if control is not None:
        have &= np.isfinite(control.value)
    if covariates is not None:
        have &= np.isfinite(covariates).all(1)
    curves = np.array([curve or bends(int(n)) for n in have.sum(1)])
    if control is not None and not ranks:
        control = Control(control.value)
    found = np.full((1 + int(family.max()) + 1, len(x)), np.nan)
    for k in np.unique(curves):
        rows = curves == k
        of = y if len(y) == 1 else y[rows]
        found[:, rows] = _partial(x[rows], of, have[rows], family, control, covariates, int(k), ranks).T
    return found


def bends(n: int) -> int:
    """Degrees of freedom of the control's spline over n models: one for every `PER_DEGREE`, at most `CURVE`.

    >>> bends(25), bends(47), bends(233)
    (1, 3, 4)
    """
    return min(max(n // PER_DEGREE, 1), CURVE)


def _partial(
    x: "Floats",
    y: "Floats",
    have: "Mask",
    family: "Ints",
    control: Control | None,
    covariates: "Floats | None",
    curve: int,
    ranks: bool,
) -> "Floats":
    """(L, 1 + F); arguments as of `leafwise`, all rows of the same curve."""
    import numpy as np

    out = family == np.arange(family.max() + 1)[:, None]
    # what is not of the leaf itself is computed once for all leaves of the same models
    same, which = have, np.arange(len(x))
    if len(y) == 1 < len(x):
        same, which = np.unique(have, axis=0, return_inverse=True)
    once = same[:, None] & ~np.concatenate([np.zeros((1, len(family)), bool), out])
    keep = once[which]
    with np.errstate(invalid="ignore", divide="ignore"):
        among = families.ranks_among if ranks else _among
        rx = _standard(among(x, keep)[..., None], keep)[..., 0]
        ry = _standard(among(y, once)[..., None], once)[..., 0][which]
        rho = _mean(rx * ry, keep)
        fixed = None
        if control is not None:
            fixed = _Fixed(*(part[which] for part in _spline_of(control, y, once, curve)))
        if fixed is None and covariates is None:
            return rho.clip(-1, 1)
        gram, of_x, of_y = _moments(rx, ry, keep, fixed, covariates)
        # a family left out can leave a dummy constant, or two covariates equal
        inverse = np.linalg.pinv(np.nan_to_num(gram), rcond=1e-9, hermitian=True)
        xx, yy, xy = (
            np.einsum("...i,...ij,...j->...", a, inverse, b)
            for a, b in ((of_x, of_x), (of_y, of_y), (of_x, of_y))
        )
        left = np.where((1 - xx > _NOTHING) & (1 - yy > _NOTHING), (1 - xx) * (1 - yy), np.nan)
        few = keep.sum(-1) < gram.shape[-1] + 4
        return np.where(few, np.nan, ((rho - xy) / np.sqrt(left)).clip(-1, 1))


class _Fixed(NamedTuple):
    """The control's spline among the models kept, and what is to be done to moments with it."""

    basis: "Floats"  # (L, 1 + F, n, k)
    unmix: "Floats"  # (L, 1 + F, k, k), inverse of A; NaN where the reliability is too small
    together: "Floats"  # (L, 1 + F, k), part of its moments with y that is the images' alone


def _moments(
    rx: "Floats", ry: "Floats", keep: "Mask", fixed: _Fixed | None, covariates: "Floats | None"
) -> tuple["Floats", "Floats", "Floats"]:
    """Moments of all that is held fixed: among themselves (..., k, k), with x and with y (..., k)."""
    import numpy as np

    n = keep.sum(-1)
    blocks: list[Floats] = []
    if fixed is not None:
        blocks.append(fixed.basis)
    if covariates is not None:
        wide = np.where(np.isfinite(covariates), covariates, 0.0)
        blocks.append(np.nan_to_num(_standard(_centred(np.where(keep[..., None], wide, 0.0), keep), keep)))
    design = np.concatenate(blocks, axis=-1)
    gram = design.swapaxes(-1, -2) @ design / n[..., None, None]
    of_x, of_y = ((v[..., None, :] @ design)[..., 0, :] / n[..., None] for v in (rx, ry))
    if fixed is not None:
        k = fixed.basis.shape[-1]
        of_y[..., :k] -= fixed.together
        for of in (of_x, of_y):
            of[..., :k] = np.einsum("...ij,...j->...i", fixed.unmix, of[..., :k])
        # of the spline with itself nothing changes: ranks are uniform with noise or without
        gram[..., :k, k:] = fixed.unmix @ gram[..., :k, k:]
        gram[..., k:, :k] = gram[..., :k, k:].swapaxes(-1, -2)
    return gram, of_x, of_y


def _spline_of(control: Control, y: "Floats", keep: "Mask", curve: int) -> _Fixed:
    """Spline of the control's ranks; see the module for what is corrected."""
    import numpy as np

    ranks = families.ranks_among(control.value[None], keep)
    n = keep.sum(-1)[..., None]
    u = np.where(keep, (ranks + (n - 1) / 2) / (n - 1), 0.0)
    basis = _centred(np.where(keep[..., None], splines.basis(u, curve), 0.0), keep)
    error = reliability.variance(control.value, control.images)
    if not np.nan_to_num(error).any():
        unmix = np.broadcast_to(np.eye(curve), (*keep.shape[:2], curve, curve))
        return _Fixed(basis, unmix, np.zeros((*keep.shape[:2], curve)))
    weight = keep.astype(float)
    trust = reliability.of_ranks(control.value, error, weight, ranks)
    trust = np.where(trust >= reliability.LEAST, trust.clip(0, 1), np.nan)[..., None]
    root, turn = np.linalg.eigh(splines.mixing(np.nan_to_num(trust[..., 0], nan=1.0), curve))
    # noise hides a parabola by l; what it hides more than that would come back as noise times 1 / l^2
    unmix = (turn / np.maximum(root, trust)[..., None, :]) @ turn.swapaxes(-1, -2)
    together = np.zeros((*keep.shape[:2], curve))
    if control.shared:
        assert control.images is not None
        shares = (np.isnan(y) | ((y >= 0) & (y <= 1))).all(1, keepdims=True)
        share = np.where(shares, y, 1 / (1 + np.exp(-np.where(shares, 0.0, y))))
        # robust images are correct ones: the errors' covariance is y (1 - z) / (N - 1)
        both = np.nan_to_num(share * (1 - control.value) / np.maximum(control.images - 1, 1))
        steps = reliability.slopes(control.value[None], error[None], weight) / (n - 1)
        climbs = reliability.slopes(share, reliability.variance(share, control.images), weight)
        spread = np.sqrt(_mean(families.ranks_among(y, keep) ** 2, keep))
        joint = np.where(keep, both[:, None] * steps * climbs, 0.0) / spread[..., None]
        together = (joint[..., None, :] @ splines.basis(u, curve, slope=True))[..., 0, :] / n
    return _Fixed(basis, unmix, together)


# ---- sums over the models kept -----------------------------------------------------------------------------


def _among(values: "Floats", keep: "Mask") -> "Floats":
    """Values about their mean among those kept, (L, 1 + F, n); 0 elsewhere. As `families.ranks_among`."""
    import numpy as np

    return _centred(np.where(keep, values[:, None], 0.0)[..., None], keep)[..., 0]


def _mean(values: "Floats", keep: "Mask") -> "Floats":
    found: Floats = values.sum(-1) / keep.sum(-1)
    return found


def _centred(columns: "Floats", keep: "Mask") -> "Floats":
    """(L, 1 + F, n, k) columns, 0 where nothing is kept, about their mean."""
    import numpy as np

    middle = columns.sum(-2, keepdims=True) / keep.sum(-1)[..., None, None]
    found: Floats = np.where(keep[..., None], columns - middle, 0.0)
    return found


def _standard(columns: "Floats", keep: "Mask") -> "Floats":
    """Centred (L, 1 + F, n, k) columns divided by their standard deviation, NaN where constant."""
    import numpy as np

    scale = np.sqrt((columns**2).sum(-2, keepdims=True) / keep.sum(-1)[..., None, None])
    found: Floats = np.where(scale > 1e-12, columns / scale, np.nan)
    return found


# ---- how sure it is ----------------------------------------------------------------------------------------


class Sure(NamedTuple):
    """Interval and test of each of L correlations, (L,) float64, NaN where there is none."""

    low: "Floats"
    high: "Floats"
    p: "Floats"


def jackknife(rho: "Floats", sizes: "Ints", used: "Ints | int" = 0, level: float = families.LEVEL) -> Sure:
    """Interval and two-sided p of correlations by the delete-one-family jackknife on Fisher's z.

    Parameters
    ----------
    rho : (1 + F, L) float64, as `leafwise` returns
    sizes : (F,) number of models in each family, none 0
    used : degrees of freedom that a control takes beyond a straight line's (`bends`)
    level : of the interval

    Returns
    -------
    Sure
        t with `families.degrees_of_freedom` less `used`, at least 1, in both. NaN where `families.objection`
        has one (no interval, or neither), and where something left out leaves nothing to estimate.
    """
    import numpy as np
    from scipy.stats import t as student

    nothing = np.full(rho.shape[1], np.nan)
    if families.objection(sizes, interval=False):
        return Sure(nothing, nothing, nothing)
    z = np.arctanh(rho.clip(-1 + 1e-12, 1 - 1e-12))
    spread = z[1:] - z[1:].mean(0)
    error = np.sqrt((len(sizes) - 1) / len(sizes) * (spread**2).sum(0))
    error[~(error > 1e-12)] = np.nan  # rho is 1 whatever is left out, so nothing is known of its error
    free = np.maximum(families.degrees_of_freedom(sizes) - used, 1)
    p = 2 * student.sf(abs(z[0]) / error, free)
    if families.objection(sizes, interval=True):
        return Sure(nothing, nothing, p)
    half = student.ppf((1 + level) / 2, free) * error
    return Sure(np.tanh(z[0] - half), np.tanh(z[0] + half), p)


@dataclass(frozen=True)
class Given:
    """A benchmark and a target given a control; numbers are NaN where there is nothing to say."""

    rho: float
    low: float
    high: float
    p: float
    reliability: float  # of the control
    why: str  # there is no interval, or nothing at all; "" where there is one
    fault: bool  # of the control, and not of too few models or families


def given(x: "Floats", y: "Floats", family: "Ints", control: Control) -> Given:
    """Spearman correlation of `x` with `y` given the control, with interval and test.

    Parameters
    ----------
    x, y : (n,) float64, finite, not constant
    family : (n,) int, 0 to F - 1, each at least once
    control : of the same n models, none NaN

    Returns
    -------
    Given
        `leafwise` and `jackknife`, the spline's degrees of freedom counted.
    """
    import numpy as np

    sizes = np.bincount(family)
    trust = control.reliability()
    rho = leafwise(x[None], y, family, control)
    sure = jackknife(rho, sizes, bends(len(x)) - 1)
    why, fault = "", True
    if not trust >= reliability.LEAST:
        why = f"nothing: on so few images it is mostly noise (reliability {trust:.2f})"
    elif objection := families.objection(sizes, interval=True):
        why, fault = f"no interval: {objection}", False
    elif np.isfinite(rho[0, 0]) and np.isnan(sure.low[0]):
        why = "no interval: without one family nothing is left to estimate"
    low, high, p = (float(v[0]) for v in sure)
    return Given(float(rho[0, 0]), low, high, p, trust, why, fault)
