"""One benchmark against one robustness target: rank correlation, straight line, and how many models say so."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alignsec.errors import AlignsecError
from alignsec.names import closest
from alignsec.tables import SCHEMAS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MINIMUM = 4  # models; three points have only six orders, so no rank correlation of them can mean anything
_DTYPES = {"str": "object", "int": "int64", "float": "float64", "bool": "bool"}


def correlate(total: "pd.DataFrame", benchmarks: "pd.DataFrame", targets: Sequence[str]) -> "pd.DataFrame":
    """Correlate every benchmark with every target, over the models that have both.

    Parameters
    ----------
    total : table of kind ``total_scores``: one row per model, one column per benchmark (score) and per target
        (accuracy, a share in [0, 1]); null or infinite is "the model has none"
    benchmarks : table of kind ``benchmarks``
    targets : columns of `total`

    Returns
    -------
    Table of kind ``correlations``, one row per benchmark x target, benchmarks in the order of their table,
    targets as given. `rho`, `p`: Spearman, two-sided (`scipy.stats.spearmanr`). `pearson_r, r2, slope,
    intercept, p_ols`: ordinary least squares of the target (y) on the benchmark (x)
    (`scipy.stats.linregress`); slope in units of target per unit of benchmark. `q`: Benjamini-Hochberg over
    `p` of leaves x targets; null for parents, which are means of leaves and would be counted twice.
    `loss_of_n`: models that have the target but not the benchmark. Where nothing can be estimated the row
    stays, estimates are null, and `note` says why.

    Both p treat models as independent. Variants of one model are not, so they are too small wherever
    `n_families` is well below `n`.

    Raises
    ------
    AlignsecError
        A benchmark or a target is no column of `total`.

    Source: Benjamini and Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    import numpy as np
    import pandas as pd

    columns = [str(c) for c in total.columns]
    for kind, names in (("benchmark", list(benchmarks["benchmark"])), ("target", list(targets))):
        for name in names:
            if name not in columns:
                near = f" (nearest: {closest(name, columns)[0][0]!r})" if columns else ""
                raise AlignsecError(f"{kind} {name!r} is no column of the joined table{near}")
    family = total["family"].to_numpy(dtype=object)
    y_of = {t: _values(total, t) for t in targets}
    rows: list[dict[str, Any]] = []
    for name, category, is_leaf in zip(
        benchmarks["benchmark"], benchmarks["category"], benchmarks["is_leaf"], strict=True
    ):
        x = _values(total, name)
        has_x = np.isfinite(x)
        for target, y in y_of.items():
            has_y = np.isfinite(y)
            both = has_x & has_y
            rows.append(
                {
                    "benchmark": name,
                    "target": target,
                    "category": None if pd.isna(category) else category,
                    "is_leaf": bool(is_leaf),
                    "n": int(both.sum()),
                    "n_families": len(set(family[both])),
                    "loss_of_n": int((has_y & ~has_x).sum()),
                    **_estimate(x[both], y[both]),
                }
            )
    schema = SCHEMAS["correlations"]
    frame = pd.DataFrame(rows, columns=list(schema))
    frame = frame.astype({name: _DTYPES[kind] for name, (kind, _) in schema.items()})
    frame["q"] = _adjusted(frame["p"].to_numpy(), frame["is_leaf"].to_numpy())
    return frame


def _values(total: "pd.DataFrame", column: str) -> "np.ndarray":
    return total[column].to_numpy(dtype="float64", na_value=math.nan)


def _estimate(x: "np.ndarray", y: "np.ndarray") -> dict[str, Any]:
    """The estimates of one row; none of them, and a note, where they do not exist."""
    from scipy.stats import linregress, spearmanr

    if len(x) < MINIMUM:
        few = {0: "no model has", 1: "only 1 model has"}.get(len(x), f"only {len(x)} models have")
        return {"note": f"{few} both"}
    if _constant(x):
        return {"note": "the benchmark is constant"}
    if _constant(y):
        return {"note": "the target is constant"}
    rank, line = spearmanr(x, y), linregress(x, y)
    return {
        "rho": float(rank.statistic),
        "p": float(rank.pvalue),
        "pearson_r": float(line.rvalue),
        "r2": float(line.rvalue) ** 2,
        "slope": float(line.slope),
        "intercept": float(line.intercept),
        "p_ols": float(line.pvalue),
        "note": "",
    }


def _constant(values: "np.ndarray") -> bool:
    # up to rounding: means of equal numbers differ in the last bit, and ranks would make a spread of that
    return bool(values.max() - values.min() <= 1e-12 * abs(values).max())


def _adjusted(p: "np.ndarray", is_leaf: "np.ndarray") -> "np.ndarray":
    """Benjamini-Hochberg over the leaves' p; NaN elsewhere."""
    import numpy as np
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    tested = is_leaf & np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q
