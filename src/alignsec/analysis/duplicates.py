"""Models of the same weights: counted once, and what that changes."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.analysis.correlate import MINIMUM

if TYPE_CHECKING:
    import pandas as pd


def collapse(total: "pd.DataFrame", weights: Mapping[str, str]) -> "pd.DataFrame":
    """One row for all models of the same weights: the mean of what they have, under the first one's name.

    Parameters
    ----------
    total : table of kind ``total_scores``
    weights : model -> what its weights are known by; models that are not in it stay as they are
    """
    key = [f"weights {weights[m]}" if m in weights else f"model {m}" for m in total["model"]]
    if len(set(key)) == len(key):
        return total
    how = {c: "first" if c in ("model", "family") else "mean" for c in total.columns}
    return total.groupby(key, sort=False).agg(how).reset_index(drop=True)


def compare(
    total: "pd.DataFrame", collapsed: "pd.DataFrame", benchmarks: "pd.DataFrame", targets: Sequence[str]
) -> "pd.DataFrame":
    """Spearman rho and n of every benchmark x target before and after `collapse`; none if it did nothing.

    Parameters
    ----------
    total, collapsed : tables of kind ``total_scores``
    benchmarks : table of kind ``benchmarks``
    """
    import pandas as pd

    columns = ["benchmark", "target", "n", "n_collapsed", "rho", "rho_collapsed"]
    rows: list[dict[str, Any]] = []
    for name in benchmarks["benchmark"] if len(collapsed) < len(total) else ():
        for target in targets:
            row: dict[str, Any] = {"benchmark": name, "target": target}
            for suffix, frame in (("", total), ("_collapsed", collapsed)):
                pairs = frame[[name, target]].dropna()
                row[f"n{suffix}"] = len(pairs)
                row[f"rho{suffix}"] = (
                    pairs[name].corr(pairs[target], method="spearman") if len(pairs) >= MINIMUM else math.nan
                )
            rows.append(row)
    return pd.DataFrame(rows, columns=columns)
