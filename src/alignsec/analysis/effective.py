"""Effective robustness: accuracy beyond what clean accuracy predicts.

Models of higher clean accuracy are more accurate on other images too, along a line on the logit scale; what a
model has beyond that line is its effective robustness (Taori et al. 2020, arXiv 2007.00644, section 3). It
stands beside the partial correlation: that takes ranks net of ranks, this a line net of a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

MINIMUM = 5  # models that a baseline needs
COLUMNS = ["benchmark", "target", "control", "n", "n_families", "baseline_n", "rho", "low", "high"]


@dataclass(frozen=True)
class Baseline:
    """logit(accuracy) = `intercept` + `slope` logit(clean accuracy), fitted on `n` models."""

    slope: float
    intercept: float
    n: int

    def expected(self, clean: "Floats") -> "Floats":
        """Accuracy that clean accuracies in (0, 1) predict."""
        from scipy.special import expit, logit

        found: Floats = expit(self.intercept + self.slope * logit(clean))
        return found

    def beyond(self, clean: "Floats", accuracy: "Floats") -> "Floats":
        """Effective robustness on the logit scale; NaN where an accuracy is missing, 0 or 1."""
        import numpy as np
        from scipy.special import logit

        have = _inside(clean) & _inside(accuracy)
        found = np.full(len(clean), np.nan)
        found[have] = logit(accuracy[have]) - self.intercept - self.slope * logit(clean[have])
        return found


def baseline(clean: "Floats", accuracy: "Floats", models: "Mask | None" = None) -> Baseline | None:
    """The line of the given models (None: of all), by least squares on the logit scale.

    Parameters
    ----------
    clean, accuracy : (n,) float64, shares; models with a missing one, 0 or 1 take no part
    models : (n,) bool, those that the line is of, such as the standardly trained ones

    Returns
    -------
    None where fewer than `MINIMUM` models take part, or all have one clean accuracy.

    >>> import numpy as np
    >>> clean = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    >>> line = baseline(clean, clean)
    >>> round(line.slope, 6), abs(round(line.intercept, 6)), line.n
    (1.0, 0.0, 5)
    """
    import numpy as np
    from scipy.special import logit
    from scipy.stats import linregress

    have = _inside(clean) & _inside(accuracy)
    if models is not None:
        have &= models
    if have.sum() < MINIMUM or np.ptp(clean[have]) == 0:
        return None
    line = linregress(logit(clean[have]), logit(accuracy[have]))
    return Baseline(float(line.slope), float(line.intercept), int(have.sum()))


def _inside(values: "Floats") -> "Mask":
    found: Mask = (values > 0) & (values < 1)
    return found


def table(
    total: "pd.DataFrame",
    benchmarks: Sequence[str],
    targets: Sequence[str],
    models: "Mask | None" = None,
) -> "pd.DataFrame":
    """Spearman correlation of benchmarks with the effective robustness at targets.

    Parameters
    ----------
    total : table of kind ``total_scores``
    benchmarks, targets : columns of `total`; targets that are no share or have no clean accuracy of their
        source are left out
    models : (len(total),) bool, those that the baselines are fitted on; None: all

    Returns
    -------
    A row per benchmark and target, `COLUMNS`. `low, high`: 95 % interval by leaving out one family at a time
    (`families.estimate`), the baseline held; null where too few models or families have all values.
    """
    import pandas as pd

    from alignsec.study.targets import control_of, is_share

    rows: list[dict[str, Any]] = []
    for target in targets:
        control = control_of(target, [str(c) for c in total])
        if control is None or not is_share(target):
            continue
        clean, accuracy = (total[c].to_numpy("float64", na_value=float("nan")) for c in (control, target))
        line = baseline(clean, accuracy, models)
        if line is None:
            continue
        beyond = line.beyond(clean, accuracy)
        for benchmark in benchmarks:
            x = total[benchmark].to_numpy("float64", na_value=float("nan"))
            found = _correlated(x, beyond, total["family"])
            rows.append(
                {"benchmark": benchmark, "target": target, "control": control, "baseline_n": line.n} | found
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _correlated(x: "Floats", beyond: "Floats", family: "pd.Series") -> dict[str, Any]:
    import numpy as np

    from alignsec.analysis import families

    have = np.isfinite(x) & np.isfinite(beyond)
    names, code = np.unique(family.to_numpy(dtype=str)[have], return_inverse=True)
    counts = {"n": int(have.sum()), "n_families": len(names)}
    if have.sum() < MINIMUM or np.ptp(x[have]) == 0 or np.ptp(beyond[have]) == 0:
        return counts
    # one pattern of signs: nothing is tested here
    found = families.estimate(x[have], beyond[None, have], code, families.Signs(1, 0))
    return counts | {"rho": found.rho[0], "low": found.low[0], "high": found.high[0]}
