"""Correlations given a control, exact or noisy, straight or curved, against libraries and simulations."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.api as sm
from scipy.special import expit, ndtri
from scipy.stats import binom, rankdata, spearmanr
from scipy.stats import t as student

from alignsec.analysis import families, reliability, splines
from alignsec.analysis.control import Control, bends, given, jackknife, leafwise
from alignsec.analysis.correlate import correlate
from benchmarks import scenarios

# printed by `Rscript tests/analysis/reference.R < tests/analysis/reference.csv` (R 4.2.2)
R = {"partial_rho": 0.719938024286, "partial_low": 0.125318403382, "partial_high": 0.934026348889}


def made(
    seed: int, sizes: list[int], ties: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y, z and family; x and y follow z."""
    rng = np.random.default_rng(seed)
    family = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    x, y, z = rng.normal(size=(3, len(sizes)))[:, family] + rng.normal(size=(3, len(family)))
    x, y = x + 0.5 * z, y + 0.6 * z + 0.4 * x
    return (x.round(0), y.round(0), z.round(1), family) if ties else (x, y, z, family)


SIZES = [14, 9, 7, 6, 5, 5, 4, 3, 2, 2, 1, 1, 1]


# ---- an exact control


@pytest.mark.parametrize("ties", [False, True])
def test_a_straight_exact_control_is_that_of_pingouin(ties: bool) -> None:
    for seed in range(5):
        x, y, z, family = made(seed, SIZES, ties)
        found = leafwise(x[None], y, family, Control(z), curve=1)[:, 0]
        frame = pd.DataFrame({"x": x, "y": y, "z": z})
        for row, keep in enumerate([np.ones(len(x), bool), *(family != f for f in range(len(SIZES)))]):
            wanted = pingouin.partial_corr(frame[keep], "x", "y", "z", method="spearman")["r"].iloc[0]
            assert found[row] == pytest.approx(wanted, abs=1e-12)


def test_the_interval_of_a_straight_exact_control_is_that_of_r() -> None:
    frame = pd.read_csv(Path(__file__).with_name("reference.csv"))
    family = np.unique(frame["family"], return_inverse=True)[1]
    x, y, z = (frame[c].to_numpy() for c in "xyz")
    rho = leafwise(x[None], y, family, Control(z), curve=1)
    sure = jackknife(rho, np.bincount(family))
    found = {"partial_rho": rho[0, 0], "partial_low": sure.low[0], "partial_high": sure.high[0]}
    assert found == pytest.approx(R, abs=1e-11)


def natural(u: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Natural cubic spline of patsy: other basis, same span (a constant among it)."""
    patsy = pytest.importorskip("patsy")
    inner, ends = list(knots[1:-1]), (knots[0], knots[-1])
    return np.asarray(patsy.cr(u, knots=inner, lower_bound=ends[0], upper_bound=ends[1]))


@pytest.mark.parametrize("ties", [False, True])
def test_a_curved_exact_control_is_least_squares_on_the_spline_of_patsy(ties: bool) -> None:
    x, y, z, family = made(3, SIZES * 2, ties)
    found = leafwise(x[None], y, family, Control(z), curve=4)[:, 0]
    for row, keep in enumerate([np.ones(len(x), bool), *(family != f for f in range(family.max() + 1))]):
        ranks = [rankdata(v[keep]) for v in (x, y, z)]
        design = natural((ranks[2] - 1) / (keep.sum() - 1), np.linspace(0, 1, 5))
        left = [sm.OLS(r, design).fit().resid for r in ranks[:2]]
        assert found[row] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)


def test_covariates_are_held_fixed_as_by_pingouin_and_constants_do_no_harm() -> None:
    x, y, z, family = made(1, SIZES * 2)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rankdata(x), "y": rankdata(y), "z": rankdata(z)})
    frame["size"], frame["sort"] = rng.normal(size=len(x)), (rng.random(len(x)) < 0.3).astype(float)
    covariates = np.column_stack([frame["size"], frame["sort"], np.ones(len(x)), frame["sort"]])
    found = leafwise(x[None], y, family, Control(z), covariates, curve=1)[0, 0]
    wanted = pingouin.partial_corr(frame, "x", "y", ["z", "size", "sort"])["r"].iloc[0]
    assert found == pytest.approx(wanted, abs=1e-12)
    alone = leafwise(x[None], y, family, None, covariates[:, :2])[0, 0]
    assert alone == pytest.approx(
        pingouin.partial_corr(frame, "x", "y", ["size", "sort"])["r"].iloc[0], abs=1e-12
    )


def test_every_leaf_is_over_the_models_that_have_all_and_no_leaf_touches_another() -> None:
    x, y, z, family = made(2, SIZES * 2)
    rng = np.random.default_rng(1)
    many = np.where(rng.random((7, len(x))) < 0.3, np.nan, x + rng.normal(size=(7, len(x))))
    y = np.where(rng.random(len(y)) < 0.1, np.nan, y)
    images = np.full(len(z), 300.0)
    control = Control((rankdata(z) / len(z)).round(3), images)
    found = leafwise(many, y, family, control)
    assert found.shape == (1 + family.max() + 1, 7)
    for i, row in enumerate(many):
        keep = np.isfinite(row) & np.isfinite(y)
        code = np.unique(family[keep], return_inverse=True)[1]
        alone = leafwise(row[None, keep], y[keep], code, Control(control.value[keep], images[keep]))
        absent = ~np.isin(np.arange(family.max() + 1), family[keep])
        np.testing.assert_allclose(found[0, i], alone[0, 0])
        np.testing.assert_allclose(found[1:, i][~absent], alone[1:, 0])
        np.testing.assert_allclose(found[1:, i][absent], alone[0, 0])
    plain = leafwise(many, y, family)[0]
    for row, rho in zip(many, plain, strict=True):
        assert rho == pytest.approx(spearmanr(row, y, nan_policy="omit").statistic, abs=1e-12)


def test_interval_and_p_are_a_t_with_the_splines_degrees_of_freedom_counted() -> None:
    x, y, z, family = made(5, SIZES * 2)
    found = given(x, y, family, Control(z))
    rho = leafwise(x[None], y, family, Control(z))[:, 0]
    scale, count = np.arctanh(rho), family.max() + 1
    error = math.sqrt((count - 1) / count * ((scale[1:] - scale[1:].mean()) ** 2).sum())
    free = families.degrees_of_freedom(np.bincount(family)) - (bends(len(x)) - 1)
    assert found.p == pytest.approx(2 * student.sf(abs(scale[0]) / error, free))
    half = student.ppf(0.975, free) * error
    assert (found.low, found.high) == pytest.approx((np.tanh(scale[0] - half), np.tanh(scale[0] + half)))
    assert (found.reliability, found.why) == (1.0, "")


# ---- noise


def test_mixing_is_what_noise_does_to_a_spline() -> None:
    rng = np.random.default_rng(0)
    s, noise = rng.standard_normal((2, 400_000))
    for trust in (0.5, 0.9):
        u, v = (rankdata(r) / len(s) for r in (s, math.sqrt(trust) * s + math.sqrt(1 - trust) * noise))
        simulated = splines.basis(u, 4).T @ splines.basis(v, 4) / len(s)
        np.testing.assert_allclose(splines.mixing(np.array(trust), 4), simulated, atol=0.01)
    np.testing.assert_allclose(splines.mixing(np.array(1.0), 4), np.eye(4), atol=1e-12)


def test_a_spline_is_orthonormal_and_its_slope_is_its_derivative() -> None:
    u = (np.arange(200_000) + 0.5) / 200_000
    for k in (1, 2, 4):
        basis = splines.basis(u, k)
        np.testing.assert_allclose(basis.T @ basis / len(u), np.eye(k), atol=1e-6)
        np.testing.assert_allclose(basis.mean(0), 0, atol=1e-6)
        slope = np.gradient(basis, u, axis=0)[1:-1]
        np.testing.assert_allclose(splines.basis(u, k, slope=True)[1:-1], slope, atol=1e-3)


@pytest.mark.parametrize("images", [64, 200, 1000])
@pytest.mark.parametrize("chance", [False, True])
def test_reliability_of_ranks_is_that_of_two_sets_of_images(images: int, chance: bool) -> None:
    rng = np.random.default_rng(images)
    true = 1 / (1 + np.exp(-1 - 0.5 * rng.standard_normal(400)))
    if chance:  # in raw values these make the others look alike
        true[:20] = 0.001
    between, said = [], []
    for _ in range(30):
        one, two = rng.binomial(images, true, (2, 400)) / images
        between.append(2 * math.sin(math.pi * spearmanr(one, two).statistic / 6))
        said.append(Control(one, np.full(400, float(images))).reliability())
    assert np.mean(said) == pytest.approx(np.mean(between), abs=0.03)


def test_noise_of_the_images_is_unbiased_and_exact_where_their_number_is_unknown() -> None:
    hits = np.arange(11)
    weight = binom.pmf(hits, 10, 0.3)
    assert weight @ reliability.variance(hits / 10, np.array(10.0)) == pytest.approx(0.3 * 0.7 / 10)
    unknown = reliability.variance(np.array([0.2, 0.5]), np.array([np.nan, np.inf]))
    assert unknown.tolist() == [0, 0]
    assert Control(np.array([0.2, 0.5, 0.4])).reliability() == 1


def test_a_control_that_is_noise_says_nothing_and_the_table_says_why() -> None:
    rng = np.random.default_rng(0)
    n = 120
    family = np.arange(n) % 12
    z = rng.binomial(16, 0.7, n) / 16
    x, y = rng.standard_normal((2, n)) + 3 * z
    found = given(x, y, family, Control(z, np.full(n, 16.0)))
    assert found.fault and "mostly noise" in found.why
    assert all(math.isnan(v) for v in (found.rho, found.low, found.high, found.p))
    total = pd.DataFrame({"model": [f"m{i}" for i in range(n)], "family": [f"f{f}" for f in family]})
    total = total.assign(x=x, clean_top1=z, **{scenarios.TARGET: (z - 0.2).clip(0)})
    images = pd.DataFrame({scenarios.TARGET: 16.0, "clean_top1": 16.0}, index=total["model"])
    row = correlate(total, TREE, [scenarios.TARGET], images=images, flips=100).iloc[0]
    assert (
        row[["partial_rho", "partial_p", "rho_corrected"]].isna().all() and row["control_reliability"] < 0.3
    )
    assert row["note"].startswith("given clean_top1, nothing: on so few images it is mostly noise")


TREE = pd.DataFrame(
    {"benchmark": ["x"], "parent": None, "category": "neural", "depth": 0, "is_leaf": True, "n_scored": 1}
)


def test_shared_images_are_assumed_where_numbers_agree_and_can_be_said() -> None:
    family, rng = np.arange(150) % 20, np.random.default_rng(3)
    drawn = scenarios.Models(family, np.linspace(0.4, 0.85, 100), rng, 20)
    total, images = scenarios.table_of(scenarios.noisy(drawn, 0.0, 64), family, rng)
    frame = total.set_index("model")
    x, y, z = (frame[c].to_numpy() for c in ("x", scenarios.TARGET, "clean_top1"))

    def row(images: pd.DataFrame | None, same: bool | None) -> pd.Series:
        table = correlate(total, TREE, [scenarios.TARGET], images=images, same_images=same, flips=100)
        return table.iloc[0]

    n = np.full(150, 64.0)
    alone, together = (leafwise(x[None], y, family, Control(z, n, s))[0, 0] for s in (False, True))
    exact = leafwise(x[None], y, family, Control(z))[0, 0]
    assert len({round(v, 6) for v in (alone, together, exact)}) == 3
    assert row(images, None)["partial_rho"] == pytest.approx(together)
    assert row(images, False)["partial_rho"] == pytest.approx(alone)
    other = images.assign(**{scenarios.TARGET: 65.0})
    assert row(other, None)["partial_rho"] == pytest.approx(alone)
    assert row(other, True)["partial_rho"] == pytest.approx(together)
    assert row(None, None)["partial_rho"] == pytest.approx(exact)
    found = row(images, None)
    trust = Control(y, n).reliability()
    assert found["rho_corrected"] == pytest.approx(found["rho"] / math.sqrt(trust)) and trust < 0.95
    assert pd.isna(row(None, None)["rho_corrected"])


def test_the_leaderboards_own_top1_is_a_second_control_taken_as_exact() -> None:
    x, y, z, family = made(4, SIZES * 2)
    names = [f"m{i}" for i in range(len(x))]
    total = pd.DataFrame(
        {"model": names, "family": [f"f{f}" for f in family], "x": x, "clean_top1": rankdata(z)}
    )
    other = np.where(np.arange(len(x)) < 80, z + x, np.nan)
    total = total.assign(**{"ImageNet-top1": other, scenarios.TARGET: y})
    found = correlate(total, TREE, [scenarios.TARGET, "clean_top1"], flips=100).set_index("target")
    keep = np.isfinite(other)
    code = np.unique(family[keep], return_inverse=True)[1]
    wanted = given(x[keep], y[keep], code, Control(other[keep]))
    row = found.loc[scenarios.TARGET]
    assert (row["leaderboard_n"], row["partial_n"]) == (80, len(x))
    said = row[["leaderboard_rho", "leaderboard_low", "leaderboard_high", "leaderboard_p"]].tolist()
    assert said == pytest.approx([wanted.rho, wanted.low, wanted.high, wanted.p])
    assert row["partial_rho"] == pytest.approx(given(x, y, family, Control(z)).rho)
    assert found.loc["clean_top1", ["leaderboard_n", "leaderboard_rho", "partial_rho"]].isna().all()
    alone = correlate(total.drop(columns="ImageNet-top1"), TREE, [scenarios.TARGET], flips=100).iloc[0]
    assert pd.isna(alone["leaderboard_n"])


@pytest.mark.parametrize("images", [32, 100])
def test_corrected_rho_is_what_it_would_be_without_noise_of_the_images(images: int) -> None:
    family, off = np.arange(200) % 40, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        made = scenarios.noisy(scenarios.Models(family, CLEAN, rng, 40), 0.0, images)
        robust = Control(made.measured(rng)[1], np.full(200, float(images)))
        true, raw = (spearmanr(made.x, y).statistic for y in (made.robust, robust.value))
        off.append((raw - true, reliability.corrected(raw, robust.reliability()) - true))
    raw, corrected = np.mean(off, axis=0)
    assert raw < -0.01 and abs(corrected) < 0.3 * abs(raw)


# ---- simulated studies; the full run is `python -m benchmarks.calibration … --rows control`


def rates(row: scenarios.Row, rho: float, studies: int) -> tuple[float, float, float]:
    """Shares of the studies that cover 0, that reject, and that would if clean accuracy were exact."""
    sizes = [41, 25, 20, 18, 14, 12, 11, 10, 9, 8, 8, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    family = np.repeat(np.arange(len(sizes)), sizes)
    covers, rejects, naive = 0, 0, 0
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        drawn = scenarios.Models(family, CLEAN, rng, len(sizes))
        total, images = scenarios.table_of(row.make(drawn, rho, **row.options), family, rng)
        x, y, z = (total[c].to_numpy() for c in ("x", scenarios.TARGET, "clean_top1"))
        found = given(
            x, y, family, Control(z, images["clean_top1"].to_numpy(), row.options["images"] is not None)
        )
        covers += found.low <= 0 <= found.high
        rejects += found.p <= 0.05
        straight = leafwise(x[None], y, family, Control(z), curve=1)
        naive += jackknife(straight, np.bincount(family)).p[0] <= 0.05
    return covers / studies, rejects / studies, naive / studies


CLEAN = expit(1 + 0.5 * ndtri(np.linspace(0.005, 0.995, 100)))
ROWS = {row.label: row for row in scenarios.ROWS}


@pytest.mark.parametrize("label", ["follow clean accuracy, 64 images", "shared inverted U, 200 images"])
def test_what_follows_clean_accuracy_only_is_not_taken_for_more(label: str) -> None:
    covers, rejects, naive = rates(ROWS[label], 0.0, 60)
    assert covers >= 0.86 and rejects <= 0.14  # three standard errors of 60 studies about .95 and .05
    assert naive >= 0.16  # what it is to be cured of


def test_what_is_more_than_clean_accuracy_is_found() -> None:
    assert rates(ROWS["follow clean accuracy, 200 images"], 0.4, 40)[1] >= 0.6
