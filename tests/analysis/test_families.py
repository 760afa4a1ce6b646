"""Family intervals and tests against R, against loops written out, and against other libraries."""

import itertools
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.api as sm
from scipy.stats import binomtest, rankdata, spearmanr
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from alignsec.analysis import families
from alignsec.analysis.correlate import correlate
from alignsec.robustness.summarise import share_row

# printed by `Rscript tests/analysis/reference.R < tests/analysis/reference.csv` (R 4.2.2)
R = {
    "rho": 0.741078907690,
    "slope": 0.683279561220,
    "intercept": -0.313704629779,
    "r2": 0.506374544823,
    "p_ols": 0.000003436688,
    "rho_low": 0.091820904795,
    "rho_high": 0.948202133557,
    "lofo_low": 0.668680495113,
    "lofo_high": 0.839945344139,
    "p": 0.0078125,
    "rho_within": 0.346938927516,
    "rho_between": 0.949956987227,
    "n_effective": 14.264366607009,
}
R_WILSON = (0.024431348663, 0.047135190245)  # 34 of 1000

TREE = pd.DataFrame(
    {"benchmark": ["x"], "parent": None, "category": "neural", "depth": 0, "is_leaf": True, "n_scored": 1}
)


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    frame = pd.read_csv(Path(__file__).with_name("reference.csv")).rename(
        columns={"y": "robust_top1@1/255", "z": "clean_top1"}
    )
    return frame.assign(model=[f"m{i}" for i in range(len(frame))])


def row_of(total: pd.DataFrame, target: str = "robust_top1@1/255", **options: int) -> pd.Series:
    return correlate(total, TREE, [target], **options).iloc[0]


def test_every_estimate_is_that_of_r(reference: pd.DataFrame) -> None:
    row = row_of(reference)
    assert {k: row[k] for k in R} == pytest.approx(R, abs=1e-11)
    assert (row["n"], row["n_families"], row["partial_n"], row["control"]) == (33, 9, 33, "clean_top1")


def made(
    sizes: list[int], seed: int, ties: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    family = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    shared = rng.normal(size=(3, len(sizes)))[:, family]
    x, y, z = shared + rng.normal(size=shared.shape)
    y = y + 0.6 * z + 0.4 * x
    return (x.round(0), y.round(0), z.round(1), family) if ties else (x, y, z, family)


def rho_given(x: np.ndarray, y: np.ndarray, z: np.ndarray | None) -> float:
    if z is None:
        return float(spearmanr(x, y).statistic)
    ranks = [rankdata(v) for v in (x, y, z)]
    line = np.column_stack([np.ones(len(x)), ranks[2]])
    left = [r - line @ np.linalg.lstsq(line, r, rcond=None)[0] for r in ranks[:2]]
    return float(np.corrcoef(*left)[0, 1])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("controlled", [False, True])
@pytest.mark.parametrize("sizes", [[9, 5, 4, 4, 2, 1, 1], [5] * 6, [12, 6, 4, 3, 2, 2, 1, 1, 1, 1, 1]])
def test_interval_range_and_test_are_those_of_a_loop(sizes: list[int], controlled: bool, ties: bool) -> None:
    x, y, z, family = made(sizes, seed=sum(sizes), ties=ties)
    control = z if controlled else None
    found = families.estimate(x, y[None], family, families.Signs(1000, 0), control)
    rho = rho_given(x, y, control)
    assert found.rho[0] == pytest.approx(rho)
    left_out = []
    for f in range(len(sizes)):
        k = family != f
        left_out.append(rho_given(x[k], y[k], None if control is None else control[k]))
    count, n = len(sizes), sum(sizes)
    zs = [math.atanh(r) for r in left_out]
    error = math.sqrt((count - 1) / count * sum((v - sum(zs) / count) ** 2 for v in zs))
    half = student.ppf(0.975, (count + n**2 / sum(s**2 for s in sizes)) / 2 - 1) * error
    assert (found.low[0], found.high[0]) == pytest.approx(
        (math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half))
    )
    assert (found.lofo_low[0], found.lofo_high[0]) == pytest.approx((min(left_out), max(left_out)))
    assert found.lofo_family[0] == int(np.argmax(np.abs(np.array(left_out) - rho)))

    extra = np.ones((n, 1)) if control is None else np.column_stack([np.ones(n), rankdata(z)])

    def net(v: np.ndarray) -> np.ndarray:
        return v - extra @ np.linalg.lstsq(extra, v, rcond=None)[0]

    a, b = net(rankdata(x)), net(rankdata(y))
    hits = 0
    patterns = list(itertools.product((1, -1), repeat=count))
    for pattern in patterns:
        flipped = net(b * np.array(pattern)[family])
        hits += abs(np.corrcoef(a, flipped)[0, 1]) >= abs(rho) * (1 - 1e-9)
    assert found.p[0] == pytest.approx(hits / len(patterns))


def test_partial_rho_is_that_of_pingouin(reference: pd.DataFrame) -> None:
    for seed in range(5):
        x, y, z, family = made([6, 4, 3, 2, 2, 1, 1, 1], seed)
        wanted = pingouin.partial_corr(
            pd.DataFrame({"x": x, "y": y, "z": z}), "x", "y", "z", method="spearman"
        )
        found = families.estimate(x, y[None], family, families.Signs(1000, 0), z)
        assert found.rho[0] == pytest.approx(wanted["r"].iloc[0])


def test_within_and_between_are_those_of_pingouin_and_statsmodels() -> None:
    x, y, _, family = made([9, 7, 5, 4, 3, 2, 1], seed=3)
    found = families.estimate(x, y[None], family, families.Signs(1000, 0))
    ranks = pd.DataFrame({"x": rankdata(x), "y": rankdata(y), "family": family})
    wanted = pingouin.rm_corr(ranks, "x", "y", "family")["r"].iloc[0]
    assert found.within[0] == pytest.approx(wanted)
    means = ranks.groupby("family").mean()
    weighted = DescrStatsW(means, weights=ranks.groupby("family").size().to_numpy())
    assert found.between[0] == pytest.approx(weighted.corrcoef[0, 1])


def test_effective_n_is_the_design_effect_of_pingouins_icc() -> None:
    x, y, _, family = made([5] * 8, seed=1)
    found = families.estimate(x, y[None], family, families.Signs(1000, 0))
    icc = []
    for v in (x, y):
        long = pd.DataFrame({"family": family, "v": rankdata(v)}).sort_values("family")
        long["place"] = np.tile(np.arange(5), 8)
        table = pingouin.intraclass_corr(long, "family", "place", "v").set_index("Type")["ICC"]
        icc.append(max(0.0, table.iloc[0]))
    assert found.n_effective[0] == pytest.approx(40 / (1 + 4 * icc[0] * icc[1]), rel=1e-4)
    assert families.effective(np.array([5] * 8)) == pytest.approx(8)
    assert families.effective(np.array([10, 1, 1])) == pytest.approx(144 / 102)


def test_least_squares_is_that_of_statsmodels(reference: pd.DataFrame) -> None:
    fit = sm.OLS(reference["robust_top1@1/255"], sm.add_constant(reference["x"])).fit()
    row = row_of(reference)
    assert (row["slope"], row["intercept"]) == pytest.approx((fit.params["x"], fit.params["const"]))
    assert (row["r2"], row["p_ols"]) == pytest.approx((fit.rsquared, fit.f_pvalue))


def test_wilson_is_that_of_statsmodels_and_r() -> None:
    share = share_row("m", "t", 34, 1000)
    assert (share["low"], share["high"]) == pytest.approx(proportion_confint(34, 1000, method="wilson"))
    assert (share["low"], share["high"]) == pytest.approx(R_WILSON, abs=1e-11)


# ---- the sign-flip test
# -------------------------------------------------------------------------------------


def test_drawn_patterns_agree_with_all_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, z, family = made([3] * 12, seed=2)
    ys = np.stack([y, z, x + 3 * y, z - x])
    exact = families.estimate(x, ys, family, families.Signs(10_000, 0)).p
    monkeypatch.setattr(families, "_EXACT", 0)
    drawn = families.estimate(x, ys, family, families.Signs(10_000, 5)).p
    spread = np.sqrt(exact * (1 - exact) / 10_000)
    assert (np.abs(drawn - exact) < 4 * spread + 2e-4).all()
    assert (drawn != exact).any()


def test_few_hits_are_counted_again_among_more_patterns() -> None:
    rng = np.random.default_rng(0)
    family = np.repeat(np.arange(30), 4)
    x = rng.normal(size=120)
    strong, none = x + 0.3 * rng.normal(size=120), rng.normal(size=120)
    p = families.estimate(x, np.stack([strong, none]), family, families.Signs(10_000, 0)).p
    assert p[0] == pytest.approx(1 / 200_001)  # no pattern of 20 times as many comes near
    assert p[1] > 0.01


def test_same_seed_same_p_and_rows_do_not_depend_on_each_other() -> None:
    x, y, z, family = made([4] * 14, seed=6)
    one = families.estimate(x, np.stack([y, z]), family, families.Signs(2000, 3))
    two = families.estimate(x, z[None], family, families.Signs(2000, 3))
    assert one.p[1] == two.p[0]
    assert one.low[1] == pytest.approx(two.low[0])


def test_order_and_names_of_models_do_not_matter(reference: pd.DataFrame) -> None:
    shuffled = reference.sample(frac=1, random_state=1).reset_index(drop=True)
    shuffled["family"] = shuffled["family"].str.replace("f", "another ")
    one, two = row_of(reference), row_of(shuffled)
    for column in R:
        assert one[column] == pytest.approx(two[column])
    flipped = row_of(reference.assign(x=-reference["x"]))
    assert (flipped["rho_low"], flipped["p"]) == pytest.approx((-one["rho_high"], one["p"]))


# ---- where there is nothing to say
# ---------------------------------------------------------------------------

ESTIMATES = ["rho", "rho_low", "rho_high", "p", "partial_rho", "partial_p", "r2", "slope", "rho_within"]


def degenerate(case: str) -> tuple[pd.DataFrame, str]:
    rng = np.random.default_rng(0)
    n = 60
    total = pd.DataFrame({"model": [f"m{i}" for i in range(n)], "family": [f"f{i % 9}" for i in range(n)]})
    for c in ("x", "robust_top1@1/255", "clean_top1"):
        total[c] = rng.random(n)
    if case == "few":
        total.loc[4:, "x"] = np.nan
        return total, "only 4 models have both"
    if case == "constant benchmark":
        return total.assign(x=0.3), "the benchmark is constant"
    if case == "all tied":
        return total.assign(**{"robust_top1@1/255": 0.0}), "the target is constant"
    if case == "target missing":
        return total.assign(**{"robust_top1@1/255": np.nan}), "no model has both"
    if case == "infinite":
        return total.assign(x=np.inf), "no model has both"
    assert case == "clean constant"
    return total.assign(clean_top1=0.5), ""


@pytest.mark.parametrize(
    "case", ["few", "constant benchmark", "all tied", "target missing", "infinite", "clean constant"]
)
def test_degenerate_input_leaves_a_row_and_no_warning(case: str) -> None:
    total, note = degenerate(case)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = row_of(total)
    assert row["note"] == note
    if case == "clean constant":
        assert pd.notna(row["rho_low"]) and pd.isna(row["partial_rho"])
    else:
        assert row[ESTIMATES].isna().all()
        assert row["n"] == {"few": 4, "target missing": 0, "infinite": 0}.get(case, 60)


def test_one_family_has_a_correlation_and_nothing_else(reference: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = row_of(reference.assign(family="all of them"))
    assert row["rho"] == pytest.approx(R["rho"])
    assert pd.notna(row["partial_rho"])
    assert row[["rho_low", "rho_high", "p", "q", "lofo_low", "rho_between", "partial_low"]].isna().all()
    assert row["note"] == "no interval, no test: 1 family, 6 are needed"
    every_own = row_of(reference.assign(family=reference["model"]))
    assert pd.isna(every_own["rho_within"]) and pd.notna(every_own["rho_low"])


def test_one_family_that_dominates_allows_no_interval() -> None:
    rng = np.random.default_rng(0)
    sizes = [60, 1, 1, 1, 1, 1, 1]
    total = pd.DataFrame(
        {"model": [f"m{i}" for i in range(66)], "family": np.repeat([f"f{i}" for i in range(7)], sizes)}
    ).assign(x=rng.random(66), **{"robust_top1@1/255": rng.random(66)})
    row = row_of(total)
    assert pd.notna(row["rho"]) and row[["rho_low", "p"]].isna().all()
    assert row["note"] == "no interval, no test: one family dominates (60 of 66 models)"


def test_a_perfect_correlation_has_no_interval(reference: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = row_of(reference.assign(**{"robust_top1@1/255": reference["x"] * 2}))
    assert row["rho"] == pytest.approx(1)
    assert row[["rho_low", "rho_high"]].isna().all() and "no interval" in row["note"]
    assert row["p"] == pytest.approx(2 / 2**9)


def test_the_benchmark_may_be_clean_accuracy_itself(reference: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = row_of(reference.assign(x=reference["clean_top1"]))
    assert pd.notna(row["rho_low"])
    assert row[["partial_rho", "partial_low", "partial_p"]].isna().all()


def test_a_target_on_its_floor_is_said(reference: pd.DataFrame) -> None:
    values = reference["robust_top1@1/255"].where(reference.index < 12, 0.0)
    row = row_of(reference.assign(**{"robust_top1@1/255": values}))
    assert "64% of the models are at the floor of 0" in row["note"]
    tied = row_of(reference.assign(**{"robust_top1@1/255": values.replace(0.0, 0.25)}))
    assert "64% of the models are tied at 0.25" in tied["note"]


def test_clean_accuracy_is_not_controlled_for_itself(reference: pd.DataFrame) -> None:
    row = row_of(reference, "clean_top1")
    assert row[["control", "partial_rho", "partial_p"]].isna().all() and pd.notna(row["rho_low"])
    five = reference.rename(columns={"robust_top1@1/255": "robust_top5@1/255"}).assign(
        clean_top5=reference["clean_top1"] ** 3
    )
    assert row_of(five, "robust_top5@1/255")["control"] == "clean_top5"


def test_wilson_needs_whole_counts() -> None:
    assert binomtest(3, 10).proportion_ci(method="wilson").low == pytest.approx(
        share_row("m", "t", 3, 10)["low"]
    )


def test_ranks_among_those_kept_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9, (4, 30)).astype(float)
    keep = rng.random((4, 6, 30)) < 0.7
    values[:, :3], keep[:, :, :3] = np.nan, False
    found = families.ranks_among(values, keep)
    for row, mask, ranks in zip(values, keep, found, strict=True):
        for one, got in zip(mask, ranks, strict=True):
            wanted = rankdata(row[one])
            np.testing.assert_array_equal(got[one], wanted - wanted.mean())
            assert not got[~one].any()
    # one row of values for several of those kept, as a control is
    np.testing.assert_array_equal(families.ranks_among(values[:1], keep)[0], found[0])


def test_drawn_signs_are_the_same_whenever_they_are_asked_for() -> None:
    signs = families.Signs(10_000, 7)
    once = signs.drawn(5, 3)
    np.testing.assert_array_equal(signs.drawn(20, 3)[:, :5], once)
    np.testing.assert_array_equal(families.Signs(10_000, 7).drawn(5, 3), once)
    assert set(np.unique(once)) == {-1.0, 1.0}
