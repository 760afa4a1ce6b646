"""Quantities of published claims, from the tables at hand, with intervals over families (`QUANTITIES`)."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alignsec.analysis import families
from alignsec.analysis.effective import baseline
from alignsec.analysis.parents import PREFIX
from alignsec.ground.errors import AlignsecError
from alignsec.study.targets import CORRUPTIONS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

BASELINE = 0.55  # least clean accuracy of the models that the baseline is fitted on (Taori et al. 2020, code)
CLEAN, V2 = "clean_top1", "shift_top1@imagenetv2-matched-frequency-format-val"
_NO_BASELINE = ("subsample", "aws", "batch64")  # nor do these enter it there


@dataclass(frozen=True)
class Inputs:
    """What the quantities are computed from.

    Attributes
    ----------
    total : models of the study, benchmarks and targets side by side, `family`
    scores : models of the leaderboard, a column per leaf (null is missing), `model`, `family`
    benchmarks : table of kind ``benchmarks``
    target : the primary adversarial target, a column of `total`
    testbed : imagenet-testbed, a row per model of its own (index), a column per target without the source, in
        [0, 1]; `type` and `family`, which groups models of one intervention
    """

    total: "pd.DataFrame"
    scores: "pd.DataFrame"
    benchmarks: "pd.DataFrame"
    target: str
    testbed: "pd.DataFrame"


@dataclass(frozen=True)
class Found:
    """A quantity: value, 95 % interval (NaN where none can be had), models, families, and what it is."""

    value: float
    low: float
    high: float
    n: int
    n_families: int
    what: str


def jackknife(
    of: "Callable[[pd.DataFrame], float]",
    frame: "pd.DataFrame",
    to: "Callable[[float], float]" = lambda x: x,
    back: "Callable[[float], float]" = lambda x: x,
) -> tuple[float, float, float]:
    """A statistic of a table with a column `family`, and its 95 % interval, one family left out at a time.

    The interval is symmetric on the scale of `to`; t quantiles as `families.degrees_of_freedom` counts them.
    No interval where `families.objection` has one.

    Source: Cameron and Miller (2015), doi:10.3368/jhr.50.2.317, section VI.
    """
    import numpy as np
    from scipy.stats import t as student

    value = float(of(frame))
    codes, sizes = np.unique(frame["family"].to_numpy(str), return_counts=True)
    if families.objection(sizes, interval=True):
        return value, float("nan"), float("nan")
    without = np.array([to(float(of(frame[frame["family"] != f]))) for f in codes])
    if not np.isfinite(without).all():
        return value, float("nan"), float("nan")
    count = len(codes)
    error = float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
    half = float(student.ppf((1 + families.LEVEL) / 2, families.degrees_of_freedom(sizes))) * error
    return value, float(back(to(value) - half)), float(back(to(value) + half))


def _found(of: "Callable[[pd.DataFrame], float]", frame: "pd.DataFrame", what: str, fisher: bool) -> Found:
    import numpy as np

    scale = (_atanh, lambda z: float(np.tanh(z))) if fisher else (float, float)
    return Found(*jackknife(of, frame, *scale), len(frame), frame["family"].nunique(), what)


def _varies(values: "pd.Series") -> bool:
    return bool(values.max() > values.min())


def _atanh(r: float) -> float:
    import numpy as np

    return float(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))


def _spearman(x: str, y: str) -> "Callable[[pd.DataFrame], float]":
    return lambda frame: float(frame[x].corr(frame[y], method="spearman"))


def _pearson(x: str, y: str) -> "Callable[[pd.DataFrame], float]":
    return lambda frame: float(frame[x].corr(frame[y]))


# ---- Hoak, Li and McDaniel 2025 ----------------------------------------------------------------------------


def _root(benchmarks: "pd.DataFrame", area: str, columns: Sequence[str]) -> str:
    """The leaderboard's mean of an area, as exported where there is such a column."""
    tops = [b for b in benchmarks["benchmark"] if b.startswith(f"{area}_")]
    name = next((n for b in tops for n in (PREFIX + b, b) if n in columns), None)
    if name is None:
        raise AlignsecError(
            f"the joined table has no mean of {area!r}: such claims need the leaderboard's tree"
        )
    return str(name)


def average_alignment(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """Spearman rho of the leaderboard's average and the primary adversarial target."""
    x = _root(data.benchmarks, "average", [str(c) for c in data.total])
    frame = data.total[[x, data.target, "family"]].dropna()
    return _found(_spearman(x, data.target), frame, f"Spearman rho of {x} with {data.target}", fisher=True)


def behavior_r2(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """Share of the variance of the primary adversarial target that the behavioral average explains (R²)."""
    import numpy as np

    x = _root(data.benchmarks, "behavior", [str(c) for c in data.total])
    frame = data.total[[x, data.target, "family"]].dropna()
    r = _found(_pearson(x, data.target), frame, f"R² of {data.target} by {x}", fisher=True)
    # the interval of r, squared; it holds 0 where r may be of either sign
    low = 0.0 if r.low <= 0 <= r.high else min(r.low**2, r.high**2)
    high = max(r.low**2, r.high**2) if np.isfinite(r.low) else float("nan")
    return Found(r.value**2, low if np.isfinite(high) else high, high, r.n, r.n_families, r.what)


def texture_shape(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """Mean Spearman rho (Fisher's z) of the claim's leaves with the primary adversarial target."""
    import numpy as np

    leaves = list(data.benchmarks.loc[data.benchmarks["is_leaf"], "benchmark"])
    mine = [b for b in leaves if any(fnmatch.fnmatch(b.lower(), p) for p in claim["leaves"])]
    mine = [b for b in mine if _varies(data.total.loc[data.total[data.target].notna(), b])]
    if not mine:
        raise AlignsecError(f"claim {claim['id']!r}: no leaf is named like {claim['leaves']}")
    frame = data.total.loc[data.total[data.target].notna(), [*mine, data.target, "family"]]
    frame = frame[frame[mine].notna().any(axis=1)]

    def mean(of: "pd.DataFrame") -> float:
        rho = of[mine].corrwith(of[data.target], method="spearman").to_numpy(float)
        return float(np.tanh(np.nanmean(np.arctanh(rho.clip(-1 + 1e-12, 1 - 1e-12)))))

    what = f"mean Spearman rho of {len(mine)} leaves of texture and shape with {data.target}"
    return _found(mean, frame, what, fisher=True)


# ---- Taori et al. 2020 -------------------------------------------------------------------------------------


def effective(testbed: "pd.DataFrame", column: str) -> "pd.Series":
    """Effective robustness: accuracy beyond what clean accuracy predicts, in shares.

    The prediction is a line on the logit scale, fitted on the standardly trained models with a clean accuracy
    of at least `BASELINE`. Models on 0 or 1 have none.

    Source: Taori et al. (2020), arXiv 2007.00644, section 3.
    """
    import numpy as np

    frame = testbed[[CLEAN, column, "type"]].dropna()
    frame = frame[frame[column].between(0, 1, inclusive="neither")]
    names = frame.index.str.lower()
    fit = (frame["type"] == "standard") & (frame[CLEAN] >= BASELINE)
    fit &= ~np.logical_or.reduce([names.str.contains(n) for n in _NO_BASELINE])
    clean, accuracy = (frame[c].to_numpy(float) for c in (CLEAN, column))
    line = baseline(clean, accuracy, fit.to_numpy())
    if line is None:
        raise AlignsecError(f"{column}: too few standardly trained models for a line on clean accuracy")
    return (frame[column] - line.expected(clean)).rename(column)


def _transfer(data: Inputs, columns: Sequence[str], what: str) -> Found:
    import pandas as pd

    bed = data.testbed.assign(mean=data.testbed[list(columns)].mean(axis=1, skipna=False))
    frame = pd.DataFrame(
        {
            "x": effective(bed, "mean"),
            "y": effective(bed, V2),
            "type": bed["type"],
            "family": bed["family"],
        }
    ).dropna()
    frame = frame[(frame["type"] != "standard") & ~frame.index.str.contains("subsample")]
    return _found(_pearson("x", "y"), frame, what, fisher=True)


def transfer_pgd(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """Pearson r of effective robustness under Lp attacks and on ImageNetV2, models that are not standard."""
    columns = [c for c in map(str, data.testbed) if c.startswith("pgd_top1@")]
    return _transfer(data, columns, f"Pearson r of effective robustness, mean of {len(columns)} PGD and V2")


def transfer_corruptions(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """The same for the mean of the published ImageNet-C settings."""
    return _transfer(data, [CORRUPTIONS], "Pearson r of effective robustness, mean of corruptions and V2")


def _shift(data: Inputs, types: Sequence[str], what: str) -> Found:
    import pandas as pd

    frame = pd.DataFrame(
        {"y": effective(data.testbed, V2), "type": data.testbed["type"], "family": data.testbed["family"]}
    ).dropna()
    frame = frame[frame["type"].isin(types)]
    return _found(lambda of: float(of["y"].mean()), frame, what, fisher=False)


def interventions_shift(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """Mean effective robustness on ImageNetV2 of models trained with an intervention for robustness."""
    types = ("lp adversarial", "other intervention")
    return _shift(data, types, "mean effective robustness on V2 of interventions for robustness")


def more_data_shift(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """The same of models trained on more data."""
    return _shift(data, ("more data",), "mean effective robustness on V2 of models trained on more data")


# ---- Ahlert et al. 2024 ------------------------------------------------------------------------------------


def _aligned(data: Inputs) -> tuple["pd.DataFrame", list[str], list[str]]:
    """Models with every neural and behavioral leaf that at least half of the models have; those leaves."""
    tree = data.benchmarks[data.benchmarks["is_leaf"]]
    half = [b for b in tree["benchmark"] if data.scores[b].notna().mean() >= 0.5]
    category = dict(zip(tree["benchmark"], tree["category"], strict=True))
    neural = [b for b in half if category[b] == "neural"]
    behavior = [b for b in half if category[b] == "behavior"]
    frame = data.scores[[*neural, *behavior, "family"]].dropna()
    varied = [c for c in (*neural, *behavior) if _varies(frame[c])]
    return frame, [c for c in neural if c in varied], [c for c in behavior if c in varied]


def pairwise_metrics(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """Mean Spearman rho of all pairs of neural and behavioral leaves, models that have them all."""
    import numpy as np

    frame, neural, behavior = _aligned(data)
    columns = [*neural, *behavior]

    def mean(of: "pd.DataFrame") -> float:
        r = of[columns].corr(method="spearman").to_numpy()
        return float(np.nanmean(r[np.triu_indices(len(columns), 1)]))

    what = f"mean Spearman rho of all pairs of {len(columns)} leaves"
    return _found(mean, frame, what, fisher=True)


def behavior_minus_neural(data: Inputs, claim: Mapping[str, Any]) -> Found:
    """R² of the average by the behavioral mean less that by the neural mean, same models and leaves."""
    frame, neural, behavior = _aligned(data)
    frame = frame.assign(n=frame[neural].mean(axis=1), b=frame[behavior].mean(axis=1))
    frame["average"] = (frame["n"] + frame["b"]) / 2

    def difference(of: "pd.DataFrame") -> float:
        return float(of["b"].corr(of["average"]) ** 2 - of["n"].corr(of["average"]) ** 2)

    what = f"R² of the average by behavior ({len(behavior)} leaves) less by neural ({len(neural)} leaves)"
    return _found(difference, frame, what, fisher=False)


QUANTITIES: dict[str, Callable[[Inputs, Mapping[str, Any]], Found]] = {
    f.__name__: f
    for f in (
        average_alignment, behavior_r2, texture_shape, transfer_pgd, transfer_corruptions,
        interventions_shift, more_data_shift, pairwise_metrics, behavior_minus_neural,
    )
}  # fmt: skip
