"""How much better robustness of an unseen family is predicted with benchmarks than with clean accuracy alone.

A description, and part of no verdict: it is one number with much noise, and a category of many kinds predicts
worse than one of few where neither knows anything. The band says how much of either chance makes.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.analysis import splines
from alignsec.analysis.control import bends
from alignsec.analysis.correlate import MINIMUM
from alignsec.ground import tables
from alignsec.ground.schemas import SCHEMAS
from alignsec.study.kinds import of_leaves
from alignsec.study.records import Plan
from alignsec.study.targets import control_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]

FAMILIES = 6  # fewer leave too few to learn from


def of_plan(
    total: "pd.DataFrame",
    benchmarks: "pd.DataFrame",
    kinds: "pd.DataFrame",
    plan: Plan,
    *,
    completeness: float = 0.5,
    seed: int = 0,
) -> "pd.DataFrame":
    """The primary target of every kind of target but clean accuracy, by categories and kinds of benchmarks.

    Parameters
    ----------
    total, benchmarks : tables of the kinds ``total_scores`` and ``benchmarks``
    kinds : of `study.kinds.read`
    plan : of the study; its control is that of every target
    completeness, seed : as of `predict`
    """
    leaves = of_leaves(kinds, benchmarks)[0].merge(benchmarks[["benchmark", "category"]], on="benchmark")
    targets = [target for kind, target in plan["primary"].items() if kind != "clean"]
    return predict(total, leaves, targets, control=plan["control"], completeness=completeness, seed=seed)


def predict(
    total: "pd.DataFrame",
    leaves: "pd.DataFrame",
    targets: Sequence[str],
    *,
    control: str | None = None,
    completeness: float = 0.5,
    flips: int = 1000,
    seed: int = 0,
) -> "pd.DataFrame":
    """R2 of every target in families left out, with clean accuracy alone and with each group of benchmarks.

    Parameters
    ----------
    total : table of kind ``total_scores``
    leaves : `benchmark, category` and, where kinds are known, `kind`; columns of `total`
    targets : columns of `total`
    control : column of `total`; None: of each target, the clean accuracy of its source
    completeness : least share of a kind's leaves that a model must have; its score is their mean rank. Also
        the least share of a category's models that must have a kind, for it to be one of the predictors
    flips, seed : patterns of signs for the band

    Returns
    -------
    Table of kind ``prediction``, a row per group and target (`level` is ``kind`` or ``category``; a
    category's predictors are the scores of its kinds). `r2_control`, `r2`: 1 - sum (y - predicted)^2 /
    sum (y - mean y)^2 over all models, each predicted by least squares on the other families, y the target's
    rank; `delta` is their difference. The control is a natural spline of its rank (`splines.basis`).
    `null_mean, null_low, null_high`: mean, 5 % and 95 % quantile of `delta` where the signs of the families'
    residuals given the control are drawn; `p`: share of draws that reach `delta`, the observed one counted.
    Null with a `note` where models or families are too few. `delta` is not corrected for the control's noise.
    """
    import numpy as np
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for level, group, members in _groups(leaves):
        scores = np.column_stack([_score(total, columns, completeness) for columns in members.values()])
        for target in targets:
            held = control or control_of(target, [str(c) for c in total])
            row: dict[str, Any] = {"level": level, "group": group, "target": target, "control": held}
            mine = np.isfinite(scores[total[target].notna().to_numpy()])
            # one kind that few models have would leave few to predict
            kept = mine.any(0) & (mine.mean(0) >= completeness * mine.any(1).mean())
            many = [len(m) for m, k in zip(members.values(), kept, strict=True) if k]
            row |= {"predictors": len(many), "benchmarks": sum(many), "note": ""}
            rows.append(row | _row(total, scores[:, kept], target, held, flips, seed))
    schema = SCHEMAS["prediction"]
    frame = pd.DataFrame(rows, columns=list(schema))
    return frame.astype({name: tables.dtype(*spec) for name, spec in schema.items()})


def _groups(leaves: "pd.DataFrame") -> list[tuple[str, str, Mapping[str, list[str]]]]:
    """Level, name, and the benchmarks of each predictor."""
    known = leaves.dropna(subset=["category"])
    kinds = known["kind"] if "kind" in known else known["category"]
    found: list[tuple[str, str, Mapping[str, list[str]]]] = []
    for category, part in known.groupby("category", sort=False):
        members = {
            str(kind): list(rows["benchmark"])
            for kind, rows in part.groupby(kinds.loc[part.index], sort=False)
        }
        found.append(("category", str(category), members))
        if "kind" in known:
            found += [("kind", kind, {kind: columns}) for kind, columns in members.items()]
    return found


def _score(total: "pd.DataFrame", columns: Sequence[str], completeness: float) -> "Floats":
    """Mean rank, in (0, 1), over the benchmarks that a model has; NaN where it has too few of them."""
    ranks = total[list(columns)].rank(pct=True)
    enough = ranks.notna().mean(axis=1) >= completeness
    score: Floats = ranks.mean(axis=1).where(enough).to_numpy(dtype=float)
    return score


def _row(
    total: "pd.DataFrame", scores: "Floats", target: str, control: str | None, flips: int, seed: int
) -> dict[str, Any]:
    import numpy as np
    from scipy.stats import rankdata

    y = total[target].to_numpy(dtype=float, na_value=np.nan)
    z = np.zeros(len(y)) if control is None else total[control].to_numpy(dtype=float, na_value=np.nan)
    have = np.isfinite(y) & np.isfinite(z) & np.isfinite(scores).all(1)
    family = np.unique(total["family"].to_numpy(dtype=str)[have], return_inverse=True)[1]
    n, count = int(have.sum()), len(set(family))
    counts = {"n": n, "n_families": count}
    y, z, scores = rankdata(y[have]), z[have], scores[have]
    if not scores.shape[1]:
        return {**counts, "note": "no model has a score"}
    if count < FAMILIES or n < MINIMUM * (2 + scores.shape[1]):
        return {**counts, "note": f"{n} models of {count} families are too few"}
    if np.ptp(y) == 0:
        return {**counts, "note": "the target is constant"}
    base = np.ones((n, 1))
    if np.ptp(z) > 0:
        base = np.column_stack([base, splines.basis((rankdata(z) - 1) / (n - 1), bends(n))])
    # around what the control explains, each family's residuals change sign together
    fitted = base @ np.linalg.lstsq(base, y, rcond=None)[0]
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (flips, count))
    drawn = np.vstack([y, fitted + signs[:, family] * (y - fitted)])
    of_base, of_both = (r2(design, drawn, family) for design in (base, np.column_stack([base, scores])))
    delta = of_both - of_base
    low, high = np.quantile(delta[1:], (0.05, 0.95))
    return {
        **counts,
        "r2_control": of_base[0],
        "r2": of_both[0],
        "delta": delta[0],
        "null_mean": delta[1:].mean(),
        "null_low": low,
        "null_high": high,
        "p": (1 + (delta[1:] >= delta[0] - 1e-12).sum()) / (1 + flips),
    }


def r2(design: "Floats", y: "Floats", family: "Ints") -> "Floats":
    """R2 of least squares over families that it was not fitted on.

    Parameters
    ----------
    design : (n, k) float64, a column of ones among them
    y : (B, n) float64
    family : (n,) int, 0 to F - 1

    Returns
    -------
    (B,) float64, as `sklearn.metrics.r2_score` of `cross_val_predict` with `LeaveOneGroupOut`
    """
    import numpy as np

    error = np.empty_like(y)
    for f in range(int(family.max()) + 1):
        out = family == f
        # the prediction is linear in y, so one matrix serves all rows
        hat = design[out] @ np.linalg.pinv(design[~out])
        error[:, out] = y[:, out] - y[:, ~out] @ hat.T
    spread = ((y - y.mean(1, keepdims=True)) ** 2).sum(1)
    found: Floats = 1 - (error**2).sum(1) / spread
    return found
