"""Do the claims about kinds hold? Simulated robustness of the leaderboard's own models.

    python -m benchmarks.kinds FAMILIES LEADERBOARD KINDS [--studies 1000] [--jobs 2] [--seed 0]

Scores, missing scores and families are the real ones: FAMILIES is a CSV with `registry_name` (or `model`) and
`family`, LEADERBOARD as published, KINDS the table of kinds. Clean accuracy is the leaderboard's
ImageNet-top1, and for models without it a draw given their other accuracies. Robustness is normal with the
intraclass correlation `ICC`: independent of everything, or carried by one kind, in turn each, so that the
kind's mean correlation given clean accuracy is as given (or, where its leaves agree too little for that, the
correlation with their mean score is). Then a leaf that all models have, also simulated. Prints Markdown.
"""

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm, rankdata

from alignsec.analysis import control as controlled
from alignsec.analysis import families, kinds, maxt, splines
from alignsec.analysis.taken import Taken
from benchmarks.scenarios import ROBUST_CLEAN

ICC = 0.45
FLIPS = 2_000
STRONGEST = 5
PLANTED = (0.4, 0.6)
USED = controlled.CURVE - 1
Floats = np.ndarray


class Fast:
    """`control.leafwise` of targets that every model has, the control exact; what no target changes is kept.

    Called with the ranks that `ranks` makes of a target. `within`: families are held fixed too.
    """

    def __init__(self, x: Floats, family: Floats, clean: Floats | None = None, within: bool = False) -> None:
        out = np.concatenate(
            [np.zeros((1, x.shape[1]), bool), family == np.arange(family.max() + 1)[:, None]]
        )
        self.keep = np.isfinite(x)[:, None] & ~out  # (L, 1 + F, n)
        self.n = self.keep.sum(-1)
        self.flat = self.keep.reshape(-1, x.shape[1]).astype(np.float32)
        self.of = (family[:, None] == np.arange(family.max() + 1)).astype(float)
        self.each = self.of if within else None
        self.basis: Floats | None = None
        if clean is not None:
            above = self.ranks(clean) + (self.n[..., None] - 1) / 2
            u = np.where(self.keep, above / np.maximum(self.n[..., None] - 1, 1), 0.0)
            columns = np.moveaxis(splines.basis(u, controlled.CURVE), -1, 0)
            middle = (columns * self.keep).sum(-1, keepdims=True) / np.maximum(self.n[..., None], 1)
            columns = np.where(self.keep, columns - middle, 0.0)
            columns = np.stack([self.centred(c) for c in columns], axis=-1)
            self.basis = np.linalg.qr(columns)[0]
        ranks = np.stack([self._one(row, keep) for row, keep in zip(x, self.keep, strict=True)])
        self.x = self._left(ranks)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.x = self.x / np.sqrt((self.x**2).sum(-1, keepdims=True))

    def ranks(self, y: Floats) -> Floats:
        """(L, 1 + F, n) centred ranks of a target among the models of each leaf without each family."""
        below = ((y[:, None] > y) + 0.5 * (y[:, None] == y)).astype(np.float32)
        ranks = (self.flat @ below.T).reshape(self.keep.shape)
        return np.where(self.keep, ranks - self.n[..., None] / 2, 0.0)

    def __call__(self, ranks: Floats) -> Floats:
        """(1 + F, L) correlations."""
        y = self._left(ranks)
        with np.errstate(invalid="ignore", divide="ignore"):
            return ((self.x * y).sum(-1) / np.sqrt((y**2).sum(-1))).T

    @cached_property
    def _design(self) -> tuple[Floats, Floats, Floats]:
        """What is held fixed (L, n, k), x of families along it (L, F, k), the matrix of `maxt.scores`."""
        keep = self.keep[:, 0]
        design = np.where(keep, keep.sum(1, keepdims=True) ** -0.5, 0.0)[..., None]
        if self.basis is not None:
            design = np.concatenate([design, self.basis[:, 0]], axis=-1)
        root, turn = np.linalg.eigh(np.einsum("lnk,lnj,nf->lfkj", design, design, self.of, optimize=True))
        root = root.clip(1e-9, maxt._MOST)
        more = (turn * (((1 - root) ** -0.5 - 1) / root)[..., None, :]) @ turn.swapaxes(-1, -2)
        return design, np.einsum("lnk,ln,nf->lfk", design, self.x[:, 0], self.of, optimize=True), more

    def scores(self, ranks: Floats) -> maxt.Scores:
        """`maxt.scores` of the target."""
        y = self._left(ranks)[:, 0]
        y = y / np.sqrt((y**2).sum(-1, keepdims=True))
        design, of_x, more = self._design
        of_y = np.einsum("lnk,ln,nf->lfk", design, y, self.of, optimize=True)
        sums = (self.x[:, 0] * y) @ self.of
        flipped = sums + np.einsum("lfk,lfkj,lfj->lf", of_x, more, of_y, optimize=True)
        return maxt.Scores(sums.T, flipped.T, of_y.swapaxes(0, 1))

    @staticmethod
    def _one(row: Floats, keep: Floats) -> Floats:
        ranks = rankdata(np.where(keep, row, np.inf), axis=-1)
        return np.where(keep, ranks - (keep.sum(-1, keepdims=True) + 1) / 2, 0.0)

    def centred(self, values: Floats) -> Floats:
        """About the means of families, where they are held fixed."""
        if self.each is None:
            return values
        sizes = np.maximum(self.keep.astype(float) @ self.each, 1)
        return np.where(self.keep, values - (values @ self.each / sizes) @ self.each.T, 0.0)

    def _left(self, ranks: Floats) -> Floats:
        ranks = self.centred(ranks)
        if self.basis is None:
            return ranks
        along = np.einsum("lfnk,lfn->lfk", self.basis, ranks, optimize=True)
        return ranks - np.einsum("lfnk,lfk->lfn", self.basis, along, optimize=True)


@dataclass(frozen=True)
class Board:
    """The leaderboard's models: L leaves, n models, K kinds of human-likeness."""

    x: Floats  # (L, n)
    family: Floats  # (n,)
    member: Floats  # (L, K) bool
    names: list[str]
    clean: Floats  # (n,)

    @classmethod
    def read(cls, sheet: Path, leaderboard: Path, table: Path) -> "Board":
        """The models of the sheet that the leaderboard has, and the kinds that allow a test."""
        from alignsec.leaderboard import export
        from alignsec.study import kinds as reviewed

        parsed = export.parse(leaderboard)
        models = pd.read_csv(sheet, sep=None, engine="python").rename(columns={"registry_name": "model"})
        family = models.set_index("model")["family"]
        wide = parsed.scores.pivot(index="model", columns="benchmark", values="score").reindex(family.index)
        leaves, _ = reviewed.of_leaves(reviewed.read(table), parsed.benchmarks)
        code = np.unique(family.to_numpy(str), return_inverse=True)[1]
        made = leaves["area"] == reviewed.ENGINEERING
        clean = _clean(wide, list(leaves.loc[made, "benchmark"]))
        human = leaves[~made].reset_index(drop=True)
        x = wide[list(human["benchmark"])].to_numpy(float).T
        sizes = [np.bincount(code[np.isfinite(row)]) for row in x]
        fine = np.array([not families.objection(s[s > 0], interval=False) for s in sizes])
        names = list(dict.fromkeys(human.loc[fine, "kind"]))
        member = np.array([[k == name for name in names] for k in human.loc[fine, "kind"]])
        return cls(x[fine], code, member, names, clean)

    @cached_property
    def counts(self) -> Floats:
        """(F, L) models."""
        each = self.family == np.arange(self.family.max() + 1)[:, None]
        return each.astype(int) @ np.isfinite(self.x).T.astype(int)

    @cached_property
    def raw(self) -> Fast:
        """Raw correlations."""
        return Fast(self.x, self.family)

    @cached_property
    def given(self) -> Fast:
        """Given clean accuracy."""
        return Fast(self.x, self.family, self.clean)

    @cached_property
    def inside(self) -> Fast:
        """Given clean accuracy, within families."""
        return Fast(self.x, self.family, self.clean, within=True)

    @cached_property
    def scales(self) -> tuple[Floats, Floats]:
        """`maxt.spread`, raw and given clean accuracy."""
        return (
            maxt.spread(self.x, self.family, self.member),
            maxt.spread(self.x, self.family, self.member, self.clean),
        )

    @cached_property
    def pairs(self) -> tuple[Fast, list[Floats], Floats]:
        """Leaves of each pair of kinds over the models that have half of both, and what `largest` needs."""
        rows, members, scales = [], [], []
        scored = np.isfinite(self.x)
        mostly = [scored[m].mean(0) >= 0.5 for m in self.member.T]
        for a, b in combinations(range(len(self.names)), 2):
            which = np.flatnonzero(self.member[:, a] | self.member[:, b])
            rows.append(np.where(mostly[a] & mostly[b], self.x[which], np.nan))
            members.append(self.member[which][:, [a, b]])
            scales.append(maxt.spread_of_difference(rows[-1], self.family, members[-1], self.clean))
        x = np.concatenate(rows)
        return Fast(x, self.family, self.clean), members, np.array(scales)

    def normal(self, rng: np.random.Generator, icc: float = ICC) -> Floats:
        """(n,) standard normal, alike within families."""
        shared = rng.standard_normal(self.family.max() + 1)[self.family]
        return math.sqrt(icc) * shared + math.sqrt(1 - icc) * rng.standard_normal(len(self.family))

    def score(self, k: int) -> Floats:
        """(n,) mean normal score of a kind's leaves, net of clean accuracy; noise for models without one."""
        rng = np.random.default_rng(k)
        leaves = self.x[self.member[:, k]]
        have = np.isfinite(leaves)
        z = np.where(
            have, norm.ppf((rankdata(np.where(have, leaves, np.inf), axis=1) - 0.5) / have.sum(1)[:, None]), 0
        )
        many = have.sum(0)
        mean = np.where(many > 0, z.sum(0) / np.maximum(many, 1), 0)
        mean = np.where(many > 0, mean, mean[many > 0].std() * rng.standard_normal(len(mean)))
        g = norm.ppf((rankdata(self.clean) - 0.5) / len(mean))
        design = np.stack([np.ones(len(g)), g, g**2, g**3], axis=1)
        left = mean - design @ np.linalg.lstsq(design, mean, rcond=None)[0]
        return left / left.std()

    def loads(self, k: int) -> Floats:
        """Share of a kind's score in the target that gives its mean correlation each value of `PLANTED`."""
        rng = np.random.default_rng(1_000 + k)
        grid = np.linspace(0.15, 0.95, 9)
        score, noise = self.score(k), [self.normal(rng) for _ in range(6)]
        reached = []
        for load in grid:
            made = [load * score + math.sqrt(1 - load**2) * e for e in noise]
            rho = [self.given(self.given.ranks(y)) for y in made]
            reached.append(np.mean([kinds.pool(r, self.counts, self.member).rho[k] for r in rho]))
        return np.array([r if max(reached) < r else np.interp(r, reached, grid) for r in PLANTED])


def _clean(wide: pd.DataFrame, others: list[str]) -> Floats:
    """ImageNet-top1, drawn around its line on the mean rank of the other accuracies where it is missing."""
    known = wide["ImageNet-top1"].to_numpy(float)
    mean = (
        wide[[o for o in others if o != "ImageNet-top1"]].rank(pct=True).mean(axis=1).fillna(0.5).to_numpy()
    )
    have = np.isfinite(known)
    slope, start = np.polyfit(mean[have], known[have], 1)
    error = (known[have] - start - slope * mean[have]).std()
    drawn = start + slope * mean + error * np.random.default_rng(1).standard_normal(len(mean))
    return np.where(have, known, drawn.clip(known[have].min(), known[have].max()))


# ---- studies of the leaderboard ----------------------------------------------------------------------------


@lru_cache
def board(*paths: Path) -> Board:
    """One of each process."""
    return Board.read(*paths)


def loads(k: int, paths: tuple[Path, ...]) -> Floats:
    """`Board.loads` of a kind."""
    return board(*paths).loads(k)


def study(seed: int, paths: tuple[Path, ...], load: Floats, icc: float) -> dict[str, Floats]:
    """What one study says of the kinds, (K,) each; `load` of the kind whose turn it is, 0: of none."""
    of = board(*paths)
    rng = np.random.default_rng([seed, 17])
    k = seed % len(of.names)
    y = load[k] * of.score(k) + math.sqrt(1 - load[k] ** 2) * of.normal(rng, icc)
    ranks = of.raw.ranks(y)
    signs = families.Signs(FLIPS, seed)
    raw = kinds.pool(of.raw(ranks), of.counts, of.member)
    given = kinds.pool(of.given(ranks), of.counts, of.member, USED)
    inside = kinds.pool(of.inside(ranks), np.where(of.counts > 1, of.counts, 0), of.member, USED)
    weight, score = maxt.weights(of.member), of.given.scores(ranks)
    p = maxt.largest(score, weight, of.scales[1], signs)
    p_raw = maxt.largest(of.raw.scores(ranks), weight, of.scales[0], signs)
    low, high = kinds.interval(given.z, given.error, given.free)
    best_low, best_high = kinds.strongest(given, STRONGEST)
    within = kinds.within_verdicts(given.rho, *kinds.interval(inside.z, inside.error, inside.free))
    said = np.array(kinds.verdicts(given, p))
    alone = maxt.largest(score, weight[:, [k]], of.scales[1][[k]], signs)
    return {
        "z": given.z,
        "low": low,
        "high": high,
        "best_low": best_low,
        "best_high": best_high,
        "p": p,
        "raw_p": p_raw,
        "alone": alone,
        "supported": said == kinds.SUPPORTED,
        "raw_supported": np.array(kinds.verdicts(raw, p_raw)) == kinds.SUPPORTED,
        "smaller": said == kinds.smaller(kinds.MARGIN),
        "contradicted": np.array(within) == kinds.CONTRADICTED,
        "detectable": kinds.detectable(given, len(p)),
    }


def summary(found: list[dict[str, Floats]], planted: Floats | None) -> dict[str, float]:
    """Shares of studies; `planted` (S,): the kind planted in each."""
    all_of = {name: np.array([f[name] for f in found]) for name in found[0]}  # (S, K)
    z, supported = all_of["z"], all_of["supported"]
    n, count = z.shape
    true = np.zeros((n, count))
    mine = np.zeros((n, count), bool)
    if planted is not None:
        mine[np.arange(n), planted] = True
        for k in range(count):
            if (planted == k).any():
                true[planted == k] = np.tanh(z[planted == k].mean(0))
    best = np.isfinite(all_of["best_low"])
    covers = (all_of["low"] <= true) & (true <= all_of["high"])
    adjusted = (all_of["best_low"] <= true) & (true <= all_of["best_high"])
    both = (all_of["p"] <= kinds.ERROR).any(1) | (all_of["raw_p"] <= kinds.ERROR).any(1)
    shown = {
        "covers": covers.mean(),
        "five strongest": adjusted[best].mean(),
        "same, plain": covers[best].mean(),
    }
    if planted is None:
        return {
            "any p ≤ .05, raw": (all_of["raw_p"] <= kinds.ERROR).any(1).mean(),
            "given": (all_of["p"] <= kinds.ERROR).any(1).mean(),
            "either": both.mean(),
            "any supported, raw": all_of["raw_supported"].any(1).mean(),
            "supported": supported.any(1).mean(),
            "each test": (all_of["alone"] <= 0.05).mean(),
            "smaller": all_of["smaller"].mean(),
            **shown,
        }
    shown |= {
        "planted": supported[mine].mean(),
        "its rho": true[mine].mean(),
        "detectable": np.nanmean(all_of["detectable"][mine]),
        "test alone": (all_of["alone"] <= 0.05).mean(),
        "contradicted": all_of["contradicted"][mine].mean(),
    }
    for low, high in ((0, 0.05), (0.05, 0.15), (0.15, 0.25), (0.25, 1)):
        some = ~mine & (abs(true) >= low) & (abs(true) < high)
        if some.any():
            shown[f"others {low:g} to {high:g}"] = supported[some].mean()
    return shown


def differences(seed: int, paths: tuple[Path, ...]) -> float:
    """Is any pair of kinds said to differ where robustness is independent of all?"""
    of = board(*paths)
    fast, members, scales = of.pairs
    ranks = fast.ranks(of.normal(np.random.default_rng([seed, 17])))
    columns = [maxt.weights(member) @ np.array([1.0, -1.0]) for member in members]
    p = maxt.largest(fast.scores(ranks), maxt.beside(columns), scales, families.Signs(FLIPS, seed))
    return float((p <= kinds.ERROR).any())


def noisy(seed: int, paths: tuple[Path, ...], images: int) -> dict[str, float]:
    """Is any kind supported where robustness follows clean accuracy, and both are counted on these images?"""
    of = board(*paths)
    rng = np.random.default_rng([seed, 31])
    g = norm.ppf((rankdata(of.clean) - 0.5) / len(of.clean))
    latent = ROBUST_CLEAN * g + math.sqrt(1 - ROBUST_CLEAN**2) * of.normal(rng)
    robust = np.minimum(expit(0.8 * latent - 1), 0.98 * of.clean)
    correct = rng.binomial(images, of.clean)
    y = rng.binomial(correct, robust / of.clean) / images
    value, count = correct / images, np.full(len(y), float(images))
    signs, weight = families.Signs(FLIPS, seed), maxt.weights(of.member)
    found = {}
    for label, control in (
        ("corrected", controlled.Control(value, count, shared=True)),
        ("taken as exact", controlled.Control(value)),
    ):
        taken = Taken(of.x, y, of.family, control, np.full(len(y), -1))
        rho = taken.leafwise(of.x)
        p = maxt.largest(
            taken.scores(of.x, rho), weight, maxt.spread(of.x, of.family, of.member, value), signs
        )
        pooled = kinds.pool(rho, of.counts, of.member, USED)
        low, high = kinds.interval(pooled.z, pooled.error, pooled.free)
        found |= {
            f"{label}: any p ≤ .05": float((p <= kinds.ERROR).any()),
            f"{label}: any supported": float((np.array(kinds.verdicts(pooled, p)) == kinds.SUPPORTED).any()),
            f"{label}: covers": float(((low <= 0) & (high >= 0)).mean()),
        }
    return found


# ---- one leaf that every model has -------------------------------------------------------------------------


def leaf(seed: int, family: Floats, rho: float) -> dict[str, float]:
    """A kind of one leaf; beside clean accuracy, it and robustness have Spearman correlation `rho`."""
    rng = np.random.default_rng([seed, 23])
    n, count = len(family), family.max() + 1

    def normal() -> Floats:
        return math.sqrt(ICC) * rng.standard_normal(count)[family] + math.sqrt(1 - ICC) * rng.standard_normal(
            n
        )

    r = 2 * math.sin(math.pi * rho / 6)
    a, clean = normal(), normal()
    b = r * a + math.sqrt(1 - r * r) * normal()
    half = math.sqrt(0.5)
    x, y = half * a + half * clean, half * b + half * clean
    sizes = np.bincount(family)[:, None]
    one, signs = np.ones((1, 1), bool), families.Signs(FLIPS, seed)
    raw = kinds.pool(controlled.leafwise(a[None], b, family), sizes, one)
    pooled = kinds.pool(controlled.leafwise(x[None], y, family, controlled.Control(clean)), sizes, one, USED)
    scores = (maxt.scores(x[None], y, family, clean), maxt.scores(a[None], b, family))
    p, p_raw = (maxt.largest(v, np.ones((1, 1)), np.ones(1), signs) for v in scores)
    said = kinds.verdicts(pooled, p)[0]
    low, high = kinds.interval(pooled.z, pooled.error, pooled.free)
    inner, outer = kinds.interval(pooled.z, pooled.error, pooled.free, kinds.EQUIVALENCE)
    raw_inner, raw_outer = kinds.interval(raw.z, raw.error, raw.free, kinds.EQUIVALENCE)
    return {
        "raw, rejects": float(p_raw[0] <= 0.05),
        "raw, smaller": float(raw_inner[0] > -kinds.MARGIN and raw_outer[0] < kinds.MARGIN),
        "given, rejects": float(p[0] <= 0.05),
        "jackknife rejects": float(low[0] > 0 or high[0] < 0),
        "covers": float(low[0] <= rho <= high[0]),
        "smaller": float(inner[0] > -kinds.MARGIN and outer[0] < kinds.MARGIN),
        "verdict smaller": float(said == kinds.smaller(kinds.MARGIN)),
        "detectable": float(kinds.detectable(pooled, 1)[0]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("families", "leaderboard", "kinds"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--differences", type=int, default=200, help="studies in which pairs are tested too")
    parser.add_argument("--noisy", type=int, default=300, help="studies of a noisy control")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    paths = (given.families, given.leaderboard, given.kinds)
    seeds = range(given.seed, given.seed + given.studies)
    with ProcessPoolExecutor(given.jobs) as pool:
        names = board(*paths).names
        none = np.zeros(len(names))
        shares = np.array(list(pool.map(partial(loads, paths=paths), range(len(names)))))  # (K, 2)
        for label, load, icc in (
            ("independent", none, ICC),
            ("independent, families less alike", none, 0.1),
            ("independent, families more alike", none, 0.8),
            ("one kind, .4", shares[:, 0], ICC),
            ("one kind, .6", shares[:, 1], ICC),
        ):
            one = partial(study, paths=paths, load=load, icc=icc)
            found = list(pool.map(one, seeds, chunksize=20))
            planted = np.array(seeds) % len(names) if load.any() else None
            _show(label, len(found), summary(found, planted))
            if planted is not None:
                mine = np.array([f["supported"][k] for f, k in zip(found, planted, strict=True)])
                each = [f"{name} {mine[planted == k].mean():.0%}" for k, name in enumerate(names)]
                print("; ".join(each), flush=True)
        family = board(*paths).family
        for label, code in (("233 models", family), ("180 drawn", _drawn(family, 180))):
            for rho in (0.0, 0.3, 0.4):
                table = pd.DataFrame(list(pool.map(partial(leaf, family=code, rho=rho), seeds, chunksize=20)))
                _show(f"{label}, one leaf, {rho:.1f}", len(table), dict(table.mean()))
        for images in (64, 200):
            one = partial(noisy, paths=paths, images=images)
            table = pd.DataFrame(list(pool.map(one, seeds[: given.noisy], chunksize=5)))
            _show(f"follows clean accuracy, {images} images", len(table), dict(table.mean()))
        any_pair = list(pool.map(partial(differences, paths=paths), seeds[: given.differences], chunksize=5))
        _show("pairs of kinds, independent", len(any_pair), {"any": float(np.mean(any_pair))})


def _drawn(family: Floats, n: int) -> Floats:
    some = np.random.default_rng(n).choice(family, n, replace=False)
    return np.unique(some, return_inverse=True)[1]


def _show(label: str, count: int, said: dict[str, float]) -> None:
    cells = [f"{name} {value:.3f}" for name, value in said.items()]
    print(f"| {label} | {count} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
