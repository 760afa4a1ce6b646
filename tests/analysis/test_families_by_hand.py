"""Statistics of families that can be counted by hand: at every threshold, with patterns of signs written out.

Expected values come from hand counts, from definitions written as plain loops, and from scipy.
"""

import itertools
import math
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from scipy.stats import t as student

from alignsec.analysis import families
from alignsec.analysis.control import Control, leafwise

NAN = float("nan")


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def of_sizes(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def estimate(x: np.ndarray, y: np.ndarray, sizes: list[int], signs: object = None) -> families.Estimates:
    signs = signs or families.Signs(1000, 0)
    return families.estimate(
        np.asarray(x, float), np.atleast_2d(np.asarray(y, float)), of_sizes(sizes), signs
    )


def partial(x: np.ndarray, y: np.ndarray, sizes: list[int], control: np.ndarray) -> np.ndarray:
    """Of all models and without each family, as the product holds a straight, exact control fixed."""
    return leafwise(np.atleast_2d(x), y, of_sizes(sizes), Control(control), curve=1)


def noise(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, x + rng.normal(size=n)


# ---- how many families are enough
# ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "test", "interval"),
    [
        ([30], "1 family, 6 are needed", "1 family, 6 are needed"),
        ([9] * 5, "5 families, 6 are needed", "5 families, 6 are needed"),
        ([4] * 6, "", "24 models, 25 are needed"),
        ([5, 4, 4, 4, 4, 4], "", ""),
        # 144 / 36 is four effective families, 169 / 45 less
        ([4, 4, 1, 1, 1, 1], "", "12 models, 25 are needed"),
        ([12, 12, 3, 3, 3, 3], "", ""),
        (
            [5, 4, 1, 1, 1, 1],
            "one family dominates (5 of 13 models)",
            "one family dominates (5 of 13 models)",
        ),
    ],
)
def test_a_test_needs_six_families_of_which_four_count_and_an_interval_25_models(
    sizes: list[int], test: str, interval: str
) -> None:
    assert families.objection(np.array(sizes), interval=False) == test
    assert families.objection(np.array(sizes), interval=True) == interval
    found = estimate(*noise(sum(sizes)), sizes)
    assert np.isnan(found.p[0]) == bool(test)
    assert np.isnan(found.low[0]) == np.isnan(found.high[0]) == bool(interval)
    assert found.rho[0] == pytest.approx(spearmanr(*noise(sum(sizes))).statistic)


def test_degrees_of_freedom_are_midway_between_all_and_effective_families() -> None:
    # (12^2) / (100 + 1 + 1) effective of three: (3 + 1.41176) / 2 - 1
    assert families.effective(np.array([10, 1, 1])) == pytest.approx(1.4117647)
    assert families.degrees_of_freedom(np.array([10, 1, 1])) == pytest.approx(1.2058824)
    assert families.degrees_of_freedom(np.array([3] * 8)) == pytest.approx(7)


# ---- the interval
# --------------------------------------------------------------------------------------------


def test_a_family_without_which_all_agree_gives_a_finite_interval() -> None:
    sizes = [5] * 6
    x = np.arange(30.0)
    y = x.copy()
    y[:5] = y[:5][::-1]
    found = estimate(x, y, sizes)
    # by hand: five reversed ranks move by 4, 2, 0, 2, 4, so rho is 1 - 6 * 40 / (30 * 899)
    rho = 1 - 240 / 26970
    assert found.rho[0] == pytest.approx(rho)
    # without the first family all agree; without another one 25 are left: 1 - 6 * 40 / (25 * 624)
    without = [1 - 1e-12] + [1 - 240 / 15600] * 5
    z = [math.atanh(v) for v in without]
    mean = sum(z) / 6
    half = student.ppf(0.975, 5) * math.sqrt(5 / 6 * sum((v - mean) ** 2 for v in z))
    assert found.low[0] == pytest.approx(math.tanh(math.atanh(rho) - half), abs=1e-6)
    assert found.high[0] == pytest.approx(math.tanh(math.atanh(rho) + half), abs=1e-6)
    assert (found.lofo_low[0], found.lofo_high[0]) == pytest.approx((1 - 240 / 15600, 1))
    assert found.lofo_family[0] == 0
    turned = estimate(x, -y, sizes)
    assert (turned.low[0], turned.high[0]) == pytest.approx((-found.high[0], -found.low[0]))


def test_the_narrowest_of_intervals_is_still_one() -> None:
    # two neighbours of 400 change places: the error is far above rounding
    x = np.arange(400.0)
    y = x.copy()
    y[[0, 1]] = y[[1, 0]]
    found = estimate(x, y, [40] * 10)
    assert found.low[0] < found.rho[0] < found.high[0] <= 1


def test_the_range_without_a_family_leaves_out_what_is_constant() -> None:
    # y varies in the first family only: without it nothing is left to correlate
    sizes = [5] * 6
    y = np.zeros(30)
    y[:5] = [3, 1, 2, 5, 4]
    x, _ = noise(30)
    found = estimate(x, np.stack([y, noise(30)[1]]), sizes)
    left_out = [
        spearmanr(np.delete(x, range(5 * f, 5 * f + 5)), np.delete(y, range(5 * f, 5 * f + 5))).statistic
        for f in range(1, 6)
    ]
    rho = spearmanr(x, y).statistic
    assert (found.lofo_low[0], found.lofo_high[0]) == pytest.approx((min(left_out), max(left_out)))
    assert found.lofo_family[0] == 1 + int(np.argmax(np.abs(np.array(left_out) - rho)))
    assert np.isnan(found.low[0])
    assert np.isfinite(found.low[1]) and np.isfinite(found.p).all()


def test_where_every_absence_leaves_a_constant_there_is_no_range() -> None:
    found = estimate([1, 2, 3, 4], [[0, 0, 1, 1], [1, 3, 2, 4]], [2, 2])
    assert np.isnan(found.lofo_low[0]) and np.isnan(found.lofo_high[0]) and found.lofo_family[0] == -1
    # of two models that are left, both pairs agree
    assert (found.lofo_low[1], found.lofo_high[1]) == pytest.approx((1, 1))
    assert found.lofo_family[1] == 0
    alone = estimate([1, 2, 3], [1, 3, 2], [3])
    assert np.isnan(alone.lofo_low[0]) and alone.lofo_family[0] == -1


# ---- signs
# ---------------------------------------------------------------------------------------------------


def test_all_patterns_of_three_families_are_four_as_rho_has_no_sign() -> None:
    found = families.Signs(10, 0).exact(3)
    assert found is not None
    # by hand: of eight patterns, each and its mirror are one
    one_of_each = sorted(tuple(row * row[0]) for row in found)
    assert one_of_each == [(1, -1, -1), (1, -1, 1), (1, 1, -1), (1, 1, 1)]


def test_twelve_families_are_counted_and_thirteen_are_drawn() -> None:
    signs = families.Signs(10, 0)
    all_of_twelve = signs.exact(12)
    assert all_of_twelve is not None and all_of_twelve.shape == (2048, 12)
    assert len(np.unique(all_of_twelve, axis=0)) == 2048
    assert signs.exact(13) is None


def test_drawn_signs_are_fair_and_depend_on_seed_and_chunk_alone() -> None:
    signs = families.Signs(10, 3)
    nine, five = signs.drawn(9, 0), families.Signs(10, 3).drawn(5, 0)
    assert nine.shape == (10_000, 9)
    np.testing.assert_array_equal(nine[:, :5], five)
    np.testing.assert_array_equal(signs.drawn(64, 1)[:, :9], families.Signs(99, 3).drawn(9, 1))
    assert set(np.unique(nine)) == {-1.0, 1.0}
    # four standard deviations of a mean of 10,000 signs
    assert (np.abs(nine.mean(0)) < 0.04).all()
    others = [signs.drawn(9, 1), signs.drawn(9, 2), families.Signs(10, 4).drawn(9, 0)]
    for a, b in itertools.combinations([nine, *others], 2):
        assert 0.45 < (a == b).mean() < 0.55


@pytest.mark.parametrize(("count", "width"), [(13, 64), (64, 64), (65, 128), (200, 256)])
def test_signs_are_numpys_stream_of_seed_chunk_and_width_so_that_published_p_can_be_had_again(
    count: int, width: int
) -> None:
    wanted = np.random.default_rng([3, 1, width]).integers(0, 2, (10_000, width))[:, :count] * 2 - 1
    np.testing.assert_array_equal(families.Signs(10, 3).drawn(count, 1), wanted)


def test_more_than_64_families_have_signs_of_their_own() -> None:
    wide = families.Signs(10, 3).drawn(65, 0)
    assert wide.shape == (10_000, 65)
    np.testing.assert_array_equal(wide, families.Signs(10, 3).drawn(128, 0)[:, :65])
    assert families.Signs(10, 3).drawn(129, 0).shape == (10_000, 129)
    # drawing wide ones first leaves the narrow ones as they are
    signs = families.Signs(10, 3)
    signs.drawn(100, 0)
    np.testing.assert_array_equal(signs.drawn(64, 0), families.Signs(10, 3).drawn(64, 0))


class Written:
    """Signs from a list: a chunk is `chunk` lines, "+" all plus (a hit), "-" every other family (none)."""

    def __init__(self, text: str, flips: int) -> None:
        self.flips, self.text = flips, text
        self.asked: list[int] = []

    def exact(self, count: int) -> None:
        return None

    def drawn(self, count: int, chunk: int) -> np.ndarray:
        self.asked.append(chunk)
        part = self.text[chunk * families._CHUNK : (chunk + 1) * families._CHUNK]
        return np.array([[1.0 if s == "+" or f % 2 else -1.0 for f in range(count)] for s in part])


@pytest.mark.parametrize(
    ("text", "asked", "p"),
    [
        # ten hits among twelve are enough; the observed pattern counts in both
        ("+" * 10 + "--" + "-" * 24, [0], 11 / 13),
        # nine are few: another 24
        ("+" * 9 + "---" + "-" * 24, [0, 1, 2], 10 / 37),
        ("-" * 12 + "+" * 5 + "-" * 19, [0, 1, 2], 6 / 37),
        ("-" * 36, [0, 1, 2], 1 / 37),
    ],
)
def test_fewer_than_ten_hits_are_counted_again_among_more_patterns(
    monkeypatch: pytest.MonkeyPatch, text: str, asked: list[int], p: float
) -> None:
    monkeypatch.setattr(families, "_CHUNK", 12)
    monkeypatch.setattr(families, "_MORE", 3)
    signs = Written(text, flips=12)
    x = np.arange(28.0)
    found = estimate(x, x, [4] * 7, signs=signs)
    assert signs.asked == asked
    assert found.p[0] == pytest.approx(p)


def test_only_the_rows_with_few_hits_are_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_CHUNK", 12)
    monkeypatch.setattr(families, "_MORE", 2)
    # y goes with x in every other family and against it in the others: flipped they agree, so every "-" is a
    # hit
    x, _ = noise(28, seed=5)
    against = np.where(of_sizes([4] * 7) % 2, x, -x)
    assert abs(spearmanr(x, against).statistic) < 0.3
    found = estimate(x, np.stack([x, against]), [4] * 7, signs=Written("-" * 24, flips=12))
    assert found.p.tolist() == pytest.approx([1 / 25, 13 / 13])


def test_a_last_chunk_is_cut_where_enough_patterns_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_CHUNK", 12)
    monkeypatch.setattr(families, "_MORE", 1)
    x = np.arange(28.0)
    # 17 of the 24: twelve and five
    found = estimate(x, x, [4] * 7, signs=Written("-" * 12 + "-----+++++++", flips=17))
    assert found.p[0] == pytest.approx(1 / 18)


def by_loop(x: np.ndarray, y: np.ndarray, sizes: list[int]) -> float:
    family = of_sizes(sizes)
    a, b = rankdata(x) - (len(x) + 1) / 2, rankdata(y) - (len(y) + 1) / 2
    rho = abs(np.corrcoef(a, b)[0, 1])
    hits = 0
    patterns = list(itertools.product((1, -1), repeat=len(sizes)))
    for pattern in patterns:
        flipped = b * np.array(pattern)[family]
        if np.ptp(flipped) > 1e-9:
            hits += abs(np.corrcoef(a, flipped)[0, 1]) >= rho * (1 - 1e-9)
    return hits / len(patterns)


def test_a_pattern_that_makes_y_constant_is_no_hit() -> None:
    sizes = [4] * 6
    y = (of_sizes(sizes) < 3).astype(float)
    x, _ = noise(24, seed=4)
    assert estimate(x, y, sizes).p[0] == pytest.approx(by_loop(x, y, sizes))
    # of x that is y, the constant and everything but the observed pattern and its mirror are no hits: 1 of 32
    assert estimate(y, y, sizes).p[0] == pytest.approx(1 / 32)


def test_p_of_six_families_that_agree_is_one_in_32() -> None:
    x = np.arange(30.0)
    for y in (x, -x):
        assert estimate(x, y, [5] * 6).p[0] == pytest.approx(1 / 32)


def test_a_pattern_that_changes_nothing_is_a_hit() -> None:
    # y is at its middle rank in the last family, so that family's sign changes nothing: the observed pattern
    # counts twice
    sizes = [4] * 5 + [3]
    y = np.concatenate([np.arange(10.0), np.arange(10.0) + 20, [15] * 3])
    x, _ = noise(23, seed=7)
    assert (rankdata(y)[-3:] == 12).all()
    p = estimate(x, y, sizes).p[0]
    assert p == pytest.approx(by_loop(x, y, sizes))
    assert estimate(y, y, sizes).p[0] == pytest.approx(2 / 32)


# ---- within and between
# --------------------------------------------------------------------------------------


def within_by_hand(x: np.ndarray, y: np.ndarray, sizes: list[int]) -> float:
    family, rows = of_sizes(sizes), []
    for v in (rankdata(x), rankdata(y)):
        rows.append(np.concatenate([v[family == f] - v[family == f].mean() for f in range(len(sizes))]))
    return float((rows[0] * rows[1]).sum() / math.sqrt((rows[0] ** 2).sum() * (rows[1] ** 2).sum()))


@pytest.mark.parametrize(
    ("sizes", "exists"), [([2, 2, 2, 1], True), ([2, 2, 1, 1, 1], False), ([7], True), ([1] * 6, False)]
)
def test_a_correlation_within_families_needs_three_models_more_than_families(
    sizes: list[int], exists: bool
) -> None:
    x, y = noise(sum(sizes), seed=2)
    found = estimate(x, y, sizes).within[0]
    assert found == pytest.approx(within_by_hand(x, y, sizes) if exists else NAN, nan_ok=True)


@pytest.mark.parametrize(
    ("sizes", "exists"), [([3, 3, 2, 1], True), ([3, 3, 2], False), ([5, 1, 1, 1, 1], True)]
)
def test_a_correlation_between_families_needs_four_of_them(sizes: list[int], exists: bool) -> None:
    x, y = noise(sum(sizes), seed=2)
    family = of_sizes(sizes)
    means = [[rankdata(v)[family == f].mean() for f in range(len(sizes))] for v in (x, y)]
    weighted = np.cov(*means, fweights=sizes)
    wanted = weighted[0, 1] / math.sqrt(weighted[0, 0] * weighted[1, 1])
    found = estimate(x, y, sizes).between[0]
    assert found == pytest.approx(wanted if exists else NAN, nan_ok=True)


def test_no_spread_within_or_between_families_is_no_correlation() -> None:
    sizes = [4] * 5
    family = of_sizes(sizes)
    each = np.tile([0.0, 1, 2, 3], 5)  # the same four values in every family
    whole = estimate(family, np.stack([family, each]), sizes)
    assert np.isnan(whole.within).all()
    assert whole.between[0] == pytest.approx(1) and np.isnan(whole.between[1])
    inner = estimate(each, np.stack([each, -each]), sizes)
    assert inner.within.tolist() == pytest.approx([1, -1]) and np.isnan(inner.between).all()


# ---- effective number of models
# --------------------------------------------------------------------------------


def icc(v: np.ndarray, sizes: list[int]) -> float:
    """ICC(1) from the mean squares of a one-way ANOVA of unequal groups (Donner 1986)."""
    family, n, k = of_sizes(sizes), sum(sizes), len(sizes)
    groups = [v[family == f] for f in range(k)]
    between = sum(len(g) * (g.mean() - v.mean()) ** 2 for g in groups) / (k - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (n - k)
    size = (n - sum(s**2 for s in sizes) / n) / (k - 1)
    return float((between - within) / (between + (size - 1) * within))


def test_n_effective_is_n_by_the_design_effect_of_unequal_families() -> None:
    sizes = [8, 5, 3, 2, 1]
    family = of_sizes(sizes)
    x, y = noise(19, seed=1)
    x, y = x + 1.5 * family, y - 1.2 * family
    found = estimate(x, y, sizes).n_effective[0]
    shared = icc(rankdata(x), sizes) * icc(rankdata(y), sizes)
    assert 0.2 < shared < 0.95
    assert found == pytest.approx(19 / (1 + (sum(s**2 for s in sizes) / 19 - 1) * shared))


def test_copies_within_families_leave_as_many_models_as_effective_families() -> None:
    # ICC 1 and 1: the design effect is 105 / 25, so (25)^2 / 105
    sizes = [5, 4, 4, 4, 4, 4]
    family = of_sizes(sizes)
    assert estimate(family, family, sizes).n_effective[0] == pytest.approx(625 / 105)


@pytest.mark.parametrize("sizes", [[6], [1] * 6])
def test_one_family_or_one_model_each_leaves_all_models(sizes: list[int]) -> None:
    assert estimate(*noise(6), sizes).n_effective[0] == 6


def test_families_that_are_less_alike_than_strangers_leave_all_models() -> None:
    # the same four values in every family: both ICC are negative, and their product must not count
    each = np.tile([0.0, 1, 2, 3], 5)
    assert icc(rankdata(each), [4] * 5) < 0
    assert estimate(each, each, [4] * 5).n_effective[0] == 20
    x = of_sizes([4] * 5).astype(float)
    assert estimate(x, each, [4] * 5).n_effective[0] == 20


# ---- partial correlation
# ---------------------------------------------------------------------------------------


def test_a_partial_correlation_by_the_textbooks_formula() -> None:
    sizes = [4] * 7
    rng = np.random.default_rng(3)
    x, y, z = rng.normal(size=(3, 28)) + rng.normal(size=28)
    xy, xz, yz = (spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    found = partial(x, y, sizes, z)
    assert found[0, 0] == pytest.approx((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))
    assert np.isfinite(found).all()
    # of the control itself nothing is left
    assert np.isnan(partial(z**3, y, sizes, z)).all()


def test_rounding_leaves_no_correlation_beyond_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        x, z = rng.normal(size=(2, 28))
        found = partial(np.stack([x, -x]), x, [4] * 7, z)
        assert found[0].tolist() == pytest.approx([1, -1])
        assert (np.abs(found) <= 1).all()


def test_a_control_that_says_nothing_changes_no_rank_correlation() -> None:
    # ranks of the control are orthogonal to the others' by construction: -1, 1, 1, -1 in each block of four
    x = np.arange(28.0)
    z = np.tile([-1.0, 1, 1, -1], 7)
    plain = estimate(x, x[::-1] ** 3, [4] * 7)
    assert plain.rho[0] == pytest.approx(-1) and partial(x, x[::-1] ** 3, [4] * 7, z)[0, 0] == pytest.approx(
        -1
    )
    assert plain.p[0] == 1 / 64


# ---- within families --------------------------------------------------------------------------------------


def test_the_interval_within_families_leaves_out_every_family_of_two_or_more_written_out() -> None:
    sizes = [5, 6, 4, 5, 3, 4, 1, 1]
    x, y = noise(sum(sizes), seed=4)
    code = of_sizes(sizes)

    def within(kept: np.ndarray) -> float:
        rx, ry = rankdata(x[kept]), rankdata(y[kept])
        for f in np.unique(code[kept]):
            mine = code[kept] == f
            rx[mine] -= rx[mine].mean()
            ry[mine] -= ry[mine].mean()
        return float((rx @ ry) / math.sqrt((rx @ rx) * (ry @ ry)))

    paired = [f for f, size in enumerate(sizes) if size > 1]
    z = np.arctanh([within(code != f) for f in paired])
    error = math.sqrt((len(paired) - 1) / len(paired) * ((z - z.mean()) ** 2).sum())
    of = np.array([sizes[f] for f in paired])
    freedom = (len(of) + of.sum() ** 2 / (of**2).sum()) / 2 - 1
    half = student.ppf(0.975, freedom) * error
    found = estimate(x, y, sizes)
    whole = within(np.ones(len(x), bool))
    assert found.within[0] == pytest.approx(whole, abs=1e-12)
    assert found.within_low[0] == pytest.approx(math.tanh(math.atanh(whole) - half), abs=1e-12)
    assert found.within_high[0] == pytest.approx(math.tanh(math.atanh(whole) + half), abs=1e-12)


def test_families_of_one_give_no_interval_within_families() -> None:
    sizes = [8, 8, 8, 8, 8, *[1] * 10]  # fifteen families, five with more than one model
    found = estimate(*noise(sum(sizes)), sizes)
    assert np.isfinite(found.low[0]) and np.isfinite(found.within[0])
    assert np.isnan(found.within_low[0]) and np.isnan(found.within_high[0])
