"""One benchmark and one robustness target: how they go together over models, with what evidence."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alignsec.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MINIMUM = 4  # models; below it no estimate is worth its row


def correlate(total: "pd.DataFrame", benchmarks: "pd.DataFrame", targets: Sequence[str]) -> "pd.DataFrame":
    """Spearman correlation and least squares for every benchmark and target, pairwise complete.

    Parameters
    ----------
    total : one row per model: `model`, `family`, one column per benchmark and per target
    benchmarks : table of kind ``benchmarks``, in tree order
    targets : columns of `total`

    Returns
    -------
    Table of kind ``correlations``: `rho`, `p` (Spearman, two-sided, models taken as independent), `q`
    (Benjamini and Hochberg 1995 over leaves x targets, null for parents), `pearson_r, r2, slope, intercept,
    p_ols` (the target regressed on the benchmark), `n`, `n_families`, and `loss_of_n` (models with the target
    that lack the benchmark). With fewer than four models, or a constant column, estimates are null and `note`
    says why.

    Raises
    ------
    AlignsecError
        A benchmark or target is no column of `total`.
    """
    import numpy as np
    import pandas as pd
    from scipy.stats import false_discovery_control

    for name in [*benchmarks["benchmark"], *targets]:
        if name not in total.columns:
            raise AlignsecError(f"{name!r} is no column of the joined scores")
    codes = pd.factorize(total["family"])[0]
    rows = []
    for b in benchmarks.to_dict("records"):
        x = total[b["benchmark"]].to_numpy(float)
        for target in targets:
            y = total[target].to_numpy(float)
            both = np.isfinite(x) & np.isfinite(y)
            rows.append(
                {
                    "benchmark": b["benchmark"],
                    "target": target,
                    "category": b["category"],
                    "is_leaf": bool(b["is_leaf"]),
                    "n": int(both.sum()),
                    "n_families": len(np.unique(codes[both])),
                    "loss_of_n": int((np.isfinite(y) & ~both).sum()),
                    **_estimates(x[both], y[both]),
                }
            )
    table = pd.DataFrame(rows)
    tested = (table["is_leaf"] & table["p"].notna()).to_numpy()
    table["q"] = np.nan
    if tested.any():
        table.loc[tested, "q"] = false_discovery_control(table.loc[tested, "p"].to_numpy(float))
    from alignsec.tables import SCHEMAS

    return table[list(SCHEMAS["correlations"])]


def _estimates(x: "np.ndarray", y: "np.ndarray") -> dict[str, Any]:
    import numpy as np
    from scipy.stats import linregress, spearmanr

    names = ("rho", "p", "pearson_r", "r2", "slope", "intercept", "p_ols")
    note = ""
    if len(x) < MINIMUM:
        note = f"only {len(x)} models have both"
    elif np.ptp(x) == 0:
        note = "the benchmark is constant"
    elif np.ptp(y) == 0:
        note = "the target is constant"
    if note:
        return dict.fromkeys(names, np.nan) | {"note": note}
    rank = spearmanr(x, y)
    line = linregress(x, y)
    values = (
        rank.statistic,
        rank.pvalue,
        line.rvalue,
        line.rvalue**2,
        line.slope,
        line.intercept,
        line.pvalue,
    )
    return dict(zip(names, map(float, values), strict=True)) | {"note": ""}
