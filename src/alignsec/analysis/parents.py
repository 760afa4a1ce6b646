"""Parents of the benchmark tree, computed again from their children.

Brain-Score counts a missing child as 0, so an exported parent partly measures how much of it was run.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

PREFIX = "exported_"


def recompute(
    scores: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    completeness: float = 0.5,
    *,
    missing_as_zero: bool = False,
) -> "pd.DataFrame":
    """Every parent as the mean of its available children, which are themselves so computed.

    Parameters
    ----------
    scores : one row per model, a float column per leaf of `benchmarks` at least; null is missing
    benchmarks : table of kind ``benchmarks``
    completeness : least share of a parent's leaves that a model must have; with less the parent is null
    missing_as_zero : as Brain-Score does: a missing child counts as 0, whatever is missing

    Returns
    -------
    float64, index of `scores`, one column per parent that has children, in the order of `benchmarks`.
    """
    import numpy as np
    import pandas as pd

    below = children(benchmarks)
    found: dict[str, Floats] = {}
    # per benchmark (models, leaves below it): has the model a score
    leaves: dict[str, npt.NDArray[np.bool_]] = {}

    def visit(name: str) -> None:
        if name not in below:
            found[name] = scores[name].to_numpy(float, na_value=np.nan)
            leaves[name] = np.isfinite(found[name])[:, None]
            return
        for child in below[name]:
            visit(child)
        parts = np.stack([found[c] for c in below[name]], 1)
        leaves[name] = np.concatenate([leaves[c] for c in below[name]], 1)
        if missing_as_zero:
            found[name] = np.nan_to_num(parts).mean(1)
            return
        have = np.isfinite(parts)
        enough = (leaves[name].mean(1) >= completeness) & have.any(1)
        mean = np.nan_to_num(parts).sum(1) / have.sum(1).clip(1)
        found[name] = np.where(enough, mean, np.nan)

    order = list(benchmarks["benchmark"])
    for name, parent in zip(order, benchmarks["parent"], strict=True):
        if pd.isna(parent):
            visit(name)
    return pd.DataFrame({n: found[n] for n in order if n in below}, index=scores.index)


def complete(total: "pd.DataFrame", benchmarks: "pd.DataFrame", completeness: float = 0.5) -> "pd.DataFrame":
    """`total` with parents that have children computed again, the exported ones as ``exported_<parent>``."""
    found = recompute(total, benchmarks, completeness)
    kept = total[list(found.columns)].add_prefix(PREFIX).astype(float)
    # the exported ones after all benchmarks and targets, where they disturb no order
    return total.assign(**{str(c): found[c] for c in found}).join(kept)


def children(benchmarks: "pd.DataFrame") -> dict[str, list[str]]:
    """Parent to children, in the order of the table."""
    import pandas as pd

    below: dict[str, list[str]] = {}
    for name, parent in zip(benchmarks["benchmark"], benchmarks["parent"], strict=True):
        if not pd.isna(parent):
            below.setdefault(parent, []).append(name)
    return below


def leaves_below(benchmarks: "pd.DataFrame") -> dict[str, list[str]]:
    """Parent to all leaves below it."""
    below = children(benchmarks)

    def leaves(name: str) -> list[str]:
        return [leaf for c in below[name] for leaf in leaves(c)] if name in below else [name]

    return {name: leaves(name) for name in benchmarks["benchmark"] if name in below}


def with_exported(benchmarks: "pd.DataFrame", columns: Iterable[str]) -> "pd.DataFrame":
    """`benchmarks`, and after it a row for each ``exported_<parent>`` among `columns`, which is no leaf."""
    import pandas as pd

    known = set(columns)
    exported = benchmarks[[PREFIX + b in known for b in benchmarks["benchmark"]]]
    exported = exported.assign(benchmark=PREFIX + exported["benchmark"], is_leaf=False)
    return pd.concat([benchmarks, exported], ignore_index=True) if len(exported) else benchmarks
