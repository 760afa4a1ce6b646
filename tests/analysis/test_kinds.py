"""Pooled correlations, the test of all kinds, verdicts: against loops written out, on simulated studies."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from scipy.stats import t as student

from alignsec.analysis import control, families, kinds, maxt, splines

FAMILY = np.repeat(np.arange(8), [9, 7, 6, 5, 4, 4, 3, 2])


def pooled_of(z: list[float], error: list[float]) -> kinds.Pooled:
    count = len(z)
    nothing = np.zeros((2, count))
    return kinds.Pooled(
        np.array(z), np.array(error), np.full(count, 20.0), np.array(error), nothing, nothing > 0, nothing
    )


def leaves(rng: np.random.Generator, count: int, family: np.ndarray = FAMILY) -> np.ndarray:
    shared = rng.standard_normal((count, family.max() + 1))
    return shared[:, family] + rng.standard_normal((count, len(family)))


def counts_of(x: np.ndarray, family: np.ndarray = FAMILY) -> np.ndarray:
    return np.stack([np.isfinite(x[:, family == f]).sum(1) for f in range(family.max() + 1)])


@pytest.fixture
def study() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Five leaves with gaps, a target, and three kinds of two, two and one leaf."""
    rng = np.random.default_rng(3)
    x = leaves(rng, 5)
    x[0, 3] = x[1, FAMILY == 5] = x[4, FAMILY == 7] = np.nan
    y = x[2] + leaves(rng, 1)[0]
    member = np.zeros((5, 3), bool)
    member[[0, 1, 2, 3, 4], [0, 0, 1, 1, 2]] = True
    return x, y, member


def test_a_pooled_correlation_and_its_jackknife_equal_a_loop_written_out(
    study: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, y, member = study
    found = kinds.pool(control.leafwise(x, y, FAMILY), counts_of(x), member)
    for k in range(3):

        def mean_z(keep: np.ndarray, k: int = k) -> float:
            total = []
            for leaf in np.flatnonzero(member[:, k]):
                both = keep & np.isfinite(x[leaf])
                total.append(math.atanh(spearmanr(x[leaf][both], y[both]).statistic))
            return sum(total) / len(total)

        scored = np.isfinite(x[member[:, k]]).any(0)
        present = [f for f in range(8) if scored[f == FAMILY].any()]
        without = [mean_z(f != FAMILY) for f in present]
        middle = sum(without) / len(without)
        error = math.sqrt((len(present) - 1) / len(present) * sum((z - middle) ** 2 for z in without))
        assert found.z[k] == pytest.approx(mean_z(FAMILY >= 0), abs=1e-12)
        assert found.error[k] == pytest.approx(error, abs=1e-12)
        sizes = np.array([np.isfinite(x[member[:, k]][:, f == FAMILY]).sum(1).mean() for f in present])
        assert found.free[k] == pytest.approx((len(sizes) + sizes.sum() ** 2 / (sizes**2).sum()) / 2 - 1)
        low, high = kinds.interval(found.z, found.error, found.free)
        half = student.ppf(0.975, found.free[k]) * error
        assert (low[k], high[k]) == pytest.approx(
            (math.tanh(mean_z(FAMILY >= 0) - half), math.tanh(mean_z(FAMILY >= 0) + half)), abs=1e-12
        )


def test_on_complete_balanced_data_a_mixed_model_gives_nearly_the_same() -> None:
    statsmodels = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(5)
    family = np.repeat(np.arange(20), 8)
    y = leaves(rng, 1, family)[0]
    x = np.stack([share * y + leaves(rng, 1, family)[0] for share in (0.3, 0.5, 0.6, 0.8, 1.0, 0.4)])
    found = kinds.pool(control.leafwise(x, y, family), counts_of(x, family), np.ones((6, 1), bool))

    def standard(v: np.ndarray) -> np.ndarray:
        ranks = v.argsort(-1).argsort(-1).astype(float)
        return (ranks - ranks.mean(-1, keepdims=True)) / ranks.std(-1, keepdims=True)

    stacked = standard(x).ravel()[:, None]  # a slope of standardised ranks is a correlation; one per leaf
    model = statsmodels.MixedLM(
        np.tile(standard(y), 6), stacked, groups=np.repeat(np.arange(6), len(y)), exog_re=stacked
    )
    assert found.rho[0] == pytest.approx(model.fit().fe_params[0], abs=0.05)


def fixed(control_: np.ndarray | None, n: int) -> np.ndarray:
    columns = np.ones((n, 1))
    if control_ is None:
        return columns
    return np.column_stack([columns, splines.basis((rankdata(control_) - 1) / (n - 1), control.bends(n))])


def test_scores_of_families_are_sums_of_products_of_what_the_control_leaves(
    study: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, y, _ = study
    clean = leaves(np.random.default_rng(6), 1)[0] + y
    for given in (None, clean):
        found = maxt.scores(x, y, FAMILY, given)
        for leaf, values in enumerate(x):
            have = np.isfinite(values)
            design = fixed(None if given is None else given[have], have.sum())
            hat = design @ np.linalg.pinv(design)
            a, b = (rankdata(v[have]) - hat @ rankdata(v[have]) for v in (values, y))
            a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
            for f in range(8):
                of = FAMILY[have] == f
                assert found.sums[f, leaf] == pytest.approx(a[of] @ b[of], abs=1e-12)
                # (I - H_ff)^(-1/2) of the family's residuals, as Bell and McCaffrey write it
                root, turn = np.linalg.eigh(np.eye(of.sum()) - hat[np.ix_(of, of)])
                adjusted = (turn * root.clip(1 - maxt._MOST) ** -0.5) @ turn.T @ b[of]
                assert found.flipped[f, leaf] == pytest.approx(a[of] @ adjusted, abs=1e-9)
        rho = control.leafwise(x, y, FAMILY, None if given is None else control.Control(given))
        assert found.sums.sum(0) == pytest.approx(rho[0], abs=1e-12)


def test_scores_sum_to_the_corrected_correlation_where_the_control_is_noisy(
    study: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, y, _ = study
    clean = 1 / (1 + np.exp(-leaves(np.random.default_rng(6), 1)[0] - y))
    rho = control.leafwise(x, y, FAMILY, control.Control(clean, np.full(len(y), 80.0)))
    exact = control.leafwise(x, y, FAMILY, control.Control(clean))
    plain = maxt.scores(x, y, FAMILY, clean)
    found = maxt.corrected(plain, rho, exact, counts_of(x))
    assert abs(rho - exact).max() > 0.005
    assert found.sums.sum(0) == pytest.approx(rho[0], abs=1e-12)
    assert (maxt.corrected(plain, exact, exact, counts_of(x)).flipped == plain.flipped).all()


def raw_scores(sums: np.ndarray) -> maxt.Scores:
    return maxt.Scores(sums, sums, np.zeros((*sums.shape, 1)))


def test_the_largest_of_flipped_sums_equals_a_loop_over_all_patterns_stepped_down(
    study: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    x, y, member = study
    clean = leaves(np.random.default_rng(6), 1)[0]
    scores, scale = maxt.scores(x, y, FAMILY, clean), np.array([1.0, 0.8, 1.2])
    weight = maxt.weights(member)
    observed = abs(np.arctanh(scores.sums.sum(0)) @ weight) / scale

    def drawn(pattern: np.ndarray, k: int) -> float:
        total = 0.0
        for leaf in np.flatnonzero(member[:, k]):
            left = 1 - sum((pattern @ scores.taken[:, leaf, j]) ** 2 for j in range(scores.taken.shape[2]))
            rho = (pattern @ scores.flipped[:, leaf]) / math.sqrt(left)
            total += math.atanh(max(min(rho, 1 - 1e-12), 1e-12 - 1)) / member[:, k].sum()
        return abs(total) / scale[k]

    order = sorted(range(3), key=lambda k: -observed[k])
    every = [[drawn(np.array([1, *p]), k) for k in range(3)] for p in itertools.product([1, -1], repeat=7)]
    before, expected = 0.0, {}
    for i, k in enumerate(order):
        hits = sum(max(row[j] for j in order[i:]) >= observed[k] - 1e-9 for row in every)
        before = expected[k] = max(before, max(hits, 1) / len(every))
    found = maxt.largest(scores, weight, scale, families.Signs(1000, 0))
    assert found == pytest.approx([expected[k] for k in range(3)], abs=1e-15)
    assert len(set(found)) > 1


def test_drawn_patterns_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(2)
    sums = np.vstack([rng.standard_normal((12, 3)) + 0.4, np.zeros((30, 3))]) / 20
    every = maxt.largest(raw_scores(sums), np.eye(3), np.ones(3), families.Signs(100, 0))
    # families of next to nothing make too many for all patterns
    sums[12:] = 1e-9
    drawn = maxt.largest(raw_scores(sums), np.eye(3), np.ones(3), families.Signs(20_000, 0))
    assert drawn == pytest.approx(every, abs=0.012)
    assert (drawn >= 1 / 20_001).all()


def test_a_kind_without_an_estimate_is_no_hypothesis() -> None:
    scores = raw_scores(np.random.default_rng(2).standard_normal((9, 3)) / 20)
    signs = families.Signs(100, 0)
    alone = maxt.largest(scores, np.eye(3)[:, :2], np.ones(2), signs)
    weight = maxt.weights(np.eye(3, 4, dtype=bool)[:, [0, 1, 3]])
    found = maxt.largest(scores, weight, np.array([1.0, 1.0, 0.0]), signs)
    assert list(found[:2]) == list(alone)
    assert np.isnan(found[2])


def test_sums_of_leaves_of_their_own_stand_beside_each_other() -> None:
    found = maxt.beside([np.array([1.0, -1.0]), np.array([0.5, 0.5, -1.0])])
    assert found.T.tolist() == [[1, -1, 0, 0, 0], [0, 0, 0.5, 0.5, -1]]
    one = maxt.beside([np.array([math.nan, math.nan]), np.array([1.0])])
    assert np.isnan(one[:, 0]).any()
    assert np.isfinite(one[:, 1]).all()


def test_spread_is_the_error_of_a_target_that_has_to_do_with_nothing() -> None:
    rng = np.random.default_rng(9)
    family = np.repeat(np.arange(30), 6)
    x = leaves(rng, 6, family)
    x[1] = x[0] + 0.3 * x[1]
    x[2, 60:] = np.nan
    member = np.zeros((6, 4), bool)
    member[[0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 2, 3]] = True
    made = [
        math.sqrt(maxt.ALIKE) * rng.standard_normal(30)[family]
        + math.sqrt(1 - maxt.ALIKE) * rng.standard_normal(len(family))
        for _ in range(300)
    ]
    simulated = np.std(
        [kinds.pool(control.leafwise(x, y, family), counts_of(x, family), member).z for y in made], axis=0
    )
    assert maxt.spread(x, family, member) == pytest.approx(simulated, rel=0.2)
    assert maxt.spread(x, family, member, made[0]) == pytest.approx(simulated, rel=0.2)


def test_leaves_of_too_few_families_are_in_no_kind() -> None:
    rng = np.random.default_rng(4)
    x = leaves(rng, 3)
    x[1, FAMILY > 3] = np.nan
    y = leaves(rng, 1)[0]
    member = np.array([[True, False], [True, False], [False, True]])
    found = kinds.pool(control.leafwise(x, y, FAMILY), counts_of(x), member)
    assert found.leaves[:, 0].tolist() == [True, False, False]
    assert found.z[0] == pytest.approx(math.atanh(spearmanr(x[0], y).statistic))
    member = np.array([[False, True], [True, False], [False, True]])
    assert np.isnan(kinds.pool(control.leafwise(x, y, FAMILY), counts_of(x), member).z[0])


@pytest.mark.parametrize(
    ("z", "error", "p", "verdict"),
    [
        (0.5, 0.1, 0.01, "supported"),
        (-0.5, 0.1, 0.01, "supported"),
        (0.5, 0.1, 0.051, "cannot tell"),
        (0.15, 0.1, 0.01, "cannot tell"),  # the interval has 0 in it
        (0.05, 0.1, 0.6, "smaller than .3"),
        (0.15, 0.1, 0.6, "cannot tell"),  # 90 % interval to .31
        (0.0, math.nan, 0.6, "cannot tell"),
    ],
)
def test_verdicts(z: float, error: float, p: float, verdict: str) -> None:
    assert kinds.verdicts(pooled_of([z], [error]), np.array([p])) == [verdict]


def test_the_margin_decides_what_is_small_and_is_named() -> None:
    assert kinds.verdicts(pooled_of([0.05], [0.1]), np.array([0.6]), margin=0.2) == ["cannot tell"]
    assert kinds.verdicts(pooled_of([0.0], [0.1]), np.array([0.6]), margin=0.2) == ["smaller than .2"]


def test_the_strongest_have_wider_intervals_as_benjamini_and_yekutieli_say() -> None:
    pooled = pooled_of([0.1, -0.6, 0.4, 0.9, 0.2], [0.1, 0.1, 0.1, math.nan, 0.1])
    low, high = kinds.strongest(pooled, 2)
    half = student.ppf(1 - 0.05 * 2 / 4 / 2, 20) * 0.1  # 2 of the 4 that have an interval
    assert np.isnan(low[[0, 3, 4]]).all()
    assert low[1] == pytest.approx(math.tanh(-0.6 - half))
    assert high[2] == pytest.approx(math.tanh(0.4 + half))


def test_what_is_detectable_is_found_with_that_power() -> None:
    pooled = pooled_of([0.0], [0.1])
    z = math.atanh(kinds.detectable(pooled, 1)[0])
    drawn = z + 0.1 * np.random.default_rng(1).standard_t(20, 20_000)
    assert (drawn > student.ppf(0.975, 20) * 0.1).mean() == pytest.approx(0.8, abs=0.01)
    assert kinds.detectable(pooled, 16)[0] > kinds.detectable(pooled, 1)[0]


def test_too_few_models_for_an_interval_still_say_what_could_be_found() -> None:
    family = np.repeat(np.arange(8), [4, 3, 3, 3, 3, 3, 2, 2])
    x = leaves(np.random.default_rng(8), 1, family)
    y = leaves(np.random.default_rng(9), 1, family)[0]
    found = kinds.pool(control.leafwise(x, y, family), counts_of(x, family), np.ones((1, 1), bool))
    assert np.isnan(found.error[0])
    assert 0.5 < kinds.detectable(found, 16)[0] < 1


def test_the_difference_of_two_kinds_is_jackknifed_itself() -> None:
    rng = np.random.default_rng(8)
    x = leaves(rng, 1)
    x = np.vstack([x, x + 0.01 * leaves(rng, 1)])  # nearly the same, so their difference is known well
    y = x[0] + leaves(rng, 1)[0]
    both = kinds.pool(control.leafwise(x, y, FAMILY), counts_of(x), np.eye(2, dtype=bool))
    found = kinds.difference(both)
    assert found["difference"] == pytest.approx(math.tanh(both.z[0] - both.z[1]))
    assert (
        found["high"] - found["low"]
        < 0.2
        * (
            kinds.interval(both.z, both.error, both.free)[1]
            - kinds.interval(both.z, both.error, both.free)[0]
        ).min()
    )


# ---- simulated studies -------------------------------------------------------------------------------------

SIZES = [30, 20, 15, 12, 10, 8, 8, 6, 5, 4, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1]


def simulated(seed: int, rho: float) -> list[str]:
    """Verdicts given clean accuracy of eight kinds, some scores missing; the first carries `rho`."""
    rng = np.random.default_rng([seed, 1])
    family = np.repeat(np.arange(len(SIZES)), SIZES)

    def normal(count: int) -> np.ndarray:
        shared = rng.standard_normal((count, len(SIZES)))[:, family]
        return math.sqrt(0.45) * shared + math.sqrt(0.55) * rng.standard_normal((count, len(family)))

    common, clean = normal(8), normal(1)[0]
    x = (0.8 * common[:, None] + 0.6 * normal(16).reshape(8, 2, -1) + 0.5 * clean).reshape(16, -1)
    y = rho * common[0] + math.sqrt(1 - rho**2) * normal(1)[0] + 0.5 * clean
    x[2:6, rng.random(len(family)) < 0.3] = np.nan
    member = np.repeat(np.eye(8, dtype=bool), 2, axis=0)
    found = kinds.pool(
        control.leafwise(x, y, family, control.Control(clean)), counts_of(x, family), member, 3
    )
    scale = maxt.spread(x, family, found.leaves, clean)
    p = maxt.largest(
        maxt.scores(x, y, family, clean), maxt.weights(found.leaves), scale, families.Signs(1000, seed)
    )
    return kinds.verdicts(found, p)


def test_kinds_that_robustness_has_nothing_to_do_with_are_rarely_supported_and_often_called_small() -> None:
    said = [simulated(seed, 0.0) for seed in range(60)]
    assert sum("supported" in study for study in said) <= 8  # 5 % of 60, and four standard errors more
    small = sum(study.count("smaller than .3") for study in said)
    assert small >= 0.25 * 8 * 60  # of 134 models


def test_a_planted_kind_is_supported_and_the_others_are_not() -> None:
    said = [simulated(seed, 0.7) for seed in range(30)]
    assert sum(study[0] == "supported" for study in said) >= 24
    assert sum("supported" in study[1:] for study in said) <= 6


def test_the_benchmark_computes_what_the_library_does() -> None:
    from benchmarks.kinds import Fast

    rng = np.random.default_rng(12)
    family = np.repeat(np.arange(len(SIZES)), SIZES)
    x, (y, clean) = leaves(rng, 4, family), leaves(rng, 2, family)
    x[1, rng.random(len(family)) < 0.2] = np.nan
    dummies = (family[:, None] == np.arange(len(SIZES))).astype(float)
    for given, within in ((None, False), (clean, False), (clean, True)):
        fast = Fast(x, family, given, within)
        held = None if given is None else control.Control(given)
        covariates = dummies if within else None
        expected = control.leafwise(x, y, family, held, covariates, curve=control.CURVE)
        assert fast(fast.ranks(y)) == pytest.approx(expected, abs=1e-9)
        if not within:
            mine, its = maxt.scores(x, y, family, given), fast.scores(fast.ranks(y))
            assert its.sums == pytest.approx(mine.sums, abs=1e-9)
            assert its.flipped == pytest.approx(mine.flipped, abs=1e-9)
            # the columns of a basis may be turned, what is along them all may not
            assert (its.taken**2).sum(-1) == pytest.approx((mine.taken**2).sum(-1), abs=1e-9)
