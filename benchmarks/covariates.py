"""Level, power and coverage where covariates of the real models are held fixed beside clean accuracy.

    python -m benchmarks.covariates FAMILIES LEADERBOARD KINDS COVARIATES [--studies 500] [--seed 0]

Families, clean accuracy and covariates are those of the leaderboard's models (as in `benchmarks.kinds`). A
leaf that all models have and robustness follow clean accuracy and every covariate, with weights drawn anew in
each study; what is left of them is normal with intraclass correlation .45 and has Spearman correlation `rho`.
Prints Markdown.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from alignsec.analysis import families, kinds, maxt
from alignsec.analysis.control import Control
from alignsec.analysis.design import between, matrix
from alignsec.analysis.taken import RARE, Taken
from alignsec.study import covariates
from benchmarks.kinds import FLIPS, ICC, Board

SETS = (
    ["training"],
    ["training", "input_size", "parameters"],
    ["training", "data", "input_size", "parameters"],
)
SHARE = 0.5  # variance that the covariates make, beside 1 of what is left
ONE = np.ones((1, 1), bool)


def studies(
    board: Board, table: pd.DataFrame, names: list[str], rho: float, seeds: range
) -> dict[str, float]:
    """Shares over studies."""
    known = np.isfinite(matrix(table, names)[0]).all(1)
    held = matrix(table[known], names, RARE)[0]
    family = np.unique(board.family[known], return_inverse=True)[1]
    clean, n = board.clean[known], int(known.sum())
    g = norm.ppf((rankdata(clean) - 0.5) / n)
    each = (held - held.mean(0)) / held.std(0)
    none = np.full(n, -1)
    found = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 29])
        shared = rng.standard_normal((2, family.max() + 1))[:, family]
        a, b = math.sqrt(ICC) * shared + math.sqrt(1 - ICC) * rng.standard_normal((2, n))
        r = 2 * math.sin(math.pi * rho / 6)
        weight = rng.standard_normal((2, each.shape[1])) * math.sqrt(SHARE / each.shape[1])
        x, y = (
            v + 0.8 * g + each @ w for v, w in zip((a, r * a + math.sqrt(1 - r * r) * b), weight, strict=True)
        )
        taken = Taken(x[None], y, family, Control(clean), none, held=held)
        pooled = kinds.pool(taken.leafwise(taken.x), taken.counts(taken.x), ONE, taken.used)
        low, high = kinds.interval(pooled.z, pooled.error, pooled.free)
        bare = Taken(x[None], y, family, Control(clean), none)
        rejects = [
            maxt.largest(t.scores(t.x, ONE), ONE.astype(float), np.ones(1), families.Signs(FLIPS, seed))[0]
            <= kinds.ERROR
            for t in (taken, bare)
        ]
        found.append((low[0], high[0], pooled.z[0], *rejects))
    low, high, z, rejects, without = np.array(found, float).T
    true = 0.0 if rho == 0 else math.tanh(z.mean())
    return {
        "models": n,
        "columns": each.shape[1],
        "between": between(held, family),
        "mean": math.tanh(z.mean()),
        "rejects": rejects.mean(),
        "covers": ((low <= true) & (true <= high)).mean(),
        "width": float(np.median(high - low)),
        "without": without.mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("families", "leaderboard", "kinds", "covariates"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    board = Board.read(given.families, given.leaderboard, given.kinds)
    sheet = pd.read_csv(given.families, sep=None, engine="python")
    sheet = sheet.rename(columns={"registry_name": "model"})
    table = covariates.of_study(sheet[["model", "family"]], covariates.read(given.covariates))
    heads = ["held fixed", "models", "columns", "between families", "rho", "mean estimate", "rejects",
             "covers", "width", "rejects, not held"]  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|---{'|---:' * (len(heads) - 1)}|")
    seeds = range(given.seed, given.seed + given.studies)
    for names in SETS:
        for rho in (0.0, 0.3, 0.4):
            said = studies(board, table, names, rho, seeds)
            cells = [", ".join(names), f"{said['models']:.0f}", f"{said['columns']:.0f}"]
            cells += [f"{said['between']:.1f}", f"{rho}", f"{said['mean']:.2f}", f"{said['rejects']:.1%}"]
            cells += [f"{said['covers']:.1%}", f"{said['width']:.2f}", f"{said['without']:.1%}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
