"""Natural cubic splines in a rank u of [0, 1], and what noise in u does to them."""

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_TERMS = 60  # of the Hermite series; its coefficients fall like powers of 1/2


class _Spline(NamedTuple):
    knots: "Floats"  # (k + 1,)
    mean: "Floats"  # (k,) of the raw basis over [0, 1]
    turn: "Floats"  # (k, k) from the centred raw basis to the orthonormal one
    hermite: "Floats"  # (_TERMS, k) coefficients of the basis of Phi(s), s standard normal, from the first on


def basis(u: "Floats", k: int, *, slope: bool = False) -> "Floats":
    """Natural cubic spline of `k` degrees of freedom, constant apart, at u in [0, 1]: (...) -> (..., k).

    Knots at 0, 1/k, ..., 1; linear at both ends; `k` of 1 is a straight line. Orthonormal, and of mean 0,
    where u is uniform. `slope`: its derivative.

    Source: Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, eq. 5.4.
    """
    import numpy as np

    spline = _spline(k)
    values: Floats = (_raw(u, spline.knots, slope) - (0 if slope else spline.mean)) @ spline.turn
    return np.asarray(values, float)


def mixing(reliability: "Floats", k: int) -> "Floats":
    """E[B(U) B(V)'] of the basis of `k` degrees of freedom, (...) -> (..., k, k) symmetric.

    U and V are uniform and their normal scores have correlation sqrt(reliability): V is U seen through noise,
    and its spline is as much of U's. From Mehler's expansion: the m-th Hermite polynomials of two standard
    normal variables of correlation r have correlation r^m, and others none.

    >>> import numpy as np
    >>> float(np.round(mixing(np.array(0.49), 1)[0, 0] - 6 / np.pi * np.arcsin(0.7 / 2), 9)) + 0.0
    0.0
    """
    import numpy as np

    h = _spline(k).hermite
    power = np.power(reliability[..., None], np.arange(1, len(h) + 1) / 2)
    mixed: Floats = np.einsum("...m,mj,mk->...jk", power, h, h, optimize=True)
    # what the series leaves out goes with its last term, so that without noise nothing is mixed
    return mixed + power[..., -1:, None] * (np.eye(k) - h.T @ h)


def _raw(u: "Floats", knots: "Floats", slope: bool) -> "Floats":
    import numpy as np

    def cube(at: float) -> "Floats":
        above: Floats = np.maximum(u - at, 0)
        found: Floats = (
            3 * above * above if slope else above * above * above
        )  # a power takes ten times as long
        return found

    top = cube(knots[-1])
    bend = [(cube(knot) - top) / (knots[-1] - knot) for knot in knots[:-1]]
    line = np.ones_like(u) if slope else u
    return np.stack([line, *(b - bend[-1] for b in bend[:-1])], axis=-1)


@lru_cache
def _spline(k: int) -> _Spline:
    import numpy as np
    from scipy.special import ndtr

    knots = np.linspace(0, 1, k + 1)
    s = np.linspace(-8.5, 8.5, 8001)  # the trapezoid rule is exact to rounding for what dies out like this
    weight = np.exp(-s * s / 2)
    weight /= weight.sum()
    raw = _raw(ndtr(s), knots, False)
    mean = weight @ raw
    centred = raw - mean
    turn = np.linalg.inv(np.linalg.cholesky((centred * weight[:, None]).T @ centred)).T
    before, polynomial, found = np.ones_like(s), s, []
    for m in range(1, _TERMS + 1):
        found.append((weight * polynomial) @ centred @ turn)
        before, polynomial = polynomial, (s * polynomial - np.sqrt(m) * before) / np.sqrt(m + 1)
    return _Spline(knots, mean, turn, np.array(found))
