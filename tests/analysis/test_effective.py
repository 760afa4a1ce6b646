"""Effective robustness against numpy's own least squares, and what it does with floors and sources."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from alignsec.analysis import effective


def study(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    clean, beyond = rng.normal(size=n), rng.normal(size=n)

    def share(logits: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-logits))

    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(n)],
            "family": [f"f{i % 10}" for i in range(n)],
            "leaf": beyond + 0.3 * rng.normal(size=n),
            "accuracy": clean + 0.3 * rng.normal(size=n),
            "clean_top1[a]": share(1 + clean),
            "clean_top1": share(rng.normal(size=n)),
            "shift_top1@v2[a]": share(-1 + 0.8 * clean + 0.5 * beyond),
        }
    )


def logit(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1 - share))


def test_the_residual_is_that_of_numpys_least_squares_on_the_models_of_the_baseline() -> None:
    total = study()
    clean, accuracy = (total[c].to_numpy(copy=True) for c in ("clean_top1[a]", "shift_top1@v2[a]"))
    of = np.arange(len(total)) < 40
    slope, intercept = np.polyfit(logit(clean[of]), logit(accuracy[of]), 1)
    line = effective.baseline(clean, accuracy, of)
    assert line is not None and line.n == 40
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept), abs=1e-12)
    expected = 1 / (1 + np.exp(-(intercept + slope * logit(clean))))
    np.testing.assert_allclose(line.expected(clean), expected, atol=1e-12)
    np.testing.assert_allclose(line.beyond(clean, accuracy), logit(accuracy) - logit(expected), atol=1e-9)


def test_models_on_the_floor_or_without_a_value_have_no_effective_robustness() -> None:
    total = study()
    clean, accuracy = (total[c].to_numpy(copy=True) for c in ("clean_top1[a]", "shift_top1@v2[a]"))
    accuracy[:3] = 0, 1, np.nan
    line = effective.baseline(clean, accuracy)
    assert line is not None and line.n == 57
    beyond = line.beyond(clean, accuracy)
    assert np.isnan(beyond[:3]).all() and np.isfinite(beyond[3:]).all()
    assert effective.baseline(clean[:4], clean[:4]) is None
    assert effective.baseline(np.full(9, 0.5), clean[:9]) is None


def test_what_goes_with_clean_accuracy_alone_does_not_go_with_effective_robustness() -> None:
    found = effective.table(study(200), ["leaf", "accuracy"], ["shift_top1@v2[a]"]).set_index("benchmark")
    assert found.loc["leaf", "low"] > 0.5
    assert found.loc["accuracy", "low"] < 0 < found.loc["accuracy", "high"]
    assert (found["baseline_n"] == 200).all() and (found["n_families"] == 10).all()


def test_the_correlation_is_scipys_net_of_the_clean_accuracy_of_the_targets_own_source() -> None:
    total = study()
    total.loc[:9, "leaf"] = np.nan
    (row,) = effective.table(total, ["leaf"], ["shift_top1@v2[a]", "clean_top1[a]"]).itertuples()
    assert (row.control, row.n) == ("clean_top1[a]", 50)
    clean, accuracy = logit(total["clean_top1[a]"]), logit(total["shift_top1@v2[a]"])
    beyond = accuracy - np.polyval(np.polyfit(clean, accuracy, 1), clean)
    assert row.rho == pytest.approx(spearmanr(total["leaf"][10:], beyond[10:])[0], abs=1e-12)
    alone = total.drop(columns="clean_top1[a]")
    assert effective.table(alone, ["leaf"], ["shift_top1@v2[a]"]).empty


def test_a_constant_benchmark_keeps_its_row_without_an_estimate() -> None:
    total = study().assign(leaf=1.0)
    (row,) = effective.table(total, ["leaf"], ["shift_top1@v2[a]"]).itertuples()
    assert row.n == 60 and np.isnan(row.rho)
