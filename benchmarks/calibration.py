"""Do the intervals cover and the tests hold their level? Simulated studies through the rule's own function.

    python -m benchmarks.calibration FAMILIES [--leaderboard CSV] [--rows plain] [--studies 1000] [--jobs 2]

FAMILIES is a CSV of models with the columns `registry_name` and `family` (or a model sheet: `model`,
`family`). Models are drawn from it with their families, or those that LEADERBOARD scores on a benchmark are
taken. Scores, robustness and clean accuracy are normal, each with the intraclass correlation given; x and y
have the Spearman correlation given, and in the partial column both follow clean accuracy and nothing else.
Prints a Markdown table. With `--rows control` the studies are those of `benchmarks/scenarios.py`, of all
models; clean accuracies are drawn from the leaderboard's ImageNet-top1.
"""

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pandas as pd

from benchmarks import scenarios

TREE = pd.DataFrame(
    {
        "benchmark": ["x", "confounded"],
        "parent": None,
        "category": None,
        "depth": 0,
        "is_leaf": True,
        "n_scored": 1,
    }
)
FLIPS = 2_000  # more change a rate of 1,000 studies by less than its sampling error


def study(rng: np.random.Generator, family: np.ndarray, rho: float, icc: float) -> pd.DataFrame:
    """One study: x and y of Spearman correlation `rho` between and within families, and a confounded pair."""
    n, count = len(family), family.max() + 1

    def normal() -> np.ndarray:
        shared = rng.standard_normal(count)[family]
        return math.sqrt(icc) * shared + math.sqrt(1 - icc) * rng.standard_normal(n)

    r = 2 * math.sin(math.pi * rho / 6)  # Pearson's of a normal pair with Spearman's rho
    x, clean = normal(), normal()
    y = r * x + math.sqrt(1 - r * r) * normal()
    half = math.sqrt(0.5)
    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(n)],
            "family": [f"f{f}" for f in family],
            "x": x,
            "y": y,
            "confounded": half * clean + half * normal(),
            "robust": half * clean + half * normal(),
            "clean_top1": clean,
        }
    )


def outcomes(seed: int, family: np.ndarray, rho: float, icc: float) -> dict[str, float]:
    """What one study says, and whether it is right; NaN where it says nothing."""
    from scipy.stats import norm

    from alignsec.analysis.correlate import correlate

    rng = np.random.default_rng(seed)
    total = study(rng, family, rho, icc)
    table = correlate(total, TREE, ["y", "robust"], seed=seed, flips=FLIPS)
    table = table.set_index(["benchmark", "target"])
    row, other = table.loc[("x", "y")], table.loc[("confounded", "robust")]
    z, error = math.atanh(row["rho"]), math.sqrt(1.06 / (row["n"] - 3))
    return {
        "covers": _inside(rho, row["rho_low"], row["rho_high"]),
        "width": row["rho_high"] - row["rho_low"],
        "rejects": row["p"] <= 0.05 if math.isfinite(row["p"]) else math.nan,
        "partial covers": _inside(0.0, other["partial_low"], other["partial_high"]),
        "partial rejects": other["partial_p"] <= 0.05 if math.isfinite(other["partial_p"]) else math.nan,
        "plain covers": float(abs(z - math.atanh(rho)) <= norm.ppf(0.975) * error),
        "plain rejects": float(_permutation_p(total["x"].to_numpy(), total["y"].to_numpy(), rng) <= 0.05),
    }


def _inside(truth: float, low: float, high: float) -> float:
    return float(low <= truth <= high) if math.isfinite(low) else math.nan


def _permutation_p(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, count: int = 999) -> float:
    """Plain permutation test of Spearman's rho, models taken as exchangeable."""
    from scipy.stats import rankdata

    a, b = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
    shuffled = rng.permuted(np.tile(b, (count, 1)), axis=1) @ a
    return float((1 + (abs(shuffled) >= abs(a @ b) * (1 - 1e-12)).sum()) / (count + 1))


def draws(families: pd.Series, leaderboard: str | None) -> dict[str, np.ndarray]:
    """Label -> family number of each model: random subsets of the models, and those that benchmarks score."""
    found = {}
    for n in (12, 25, 47, 180):
        found[f"{n} drawn at random"] = families.sample(n, random_state=n)
    if leaderboard:
        from alignsec.leaderboard import export

        parsed = export.parse(leaderboard)
        wide = parsed.scores.pivot(index="model", columns="benchmark", values="score")
        wide = wide.reindex([m for m in families.index if m in wide.index])
        for name in (
            "Kar2019-ost",
            "ObjectNet-top1",
            "ImageNet-C-weather-top1",
            "tong.Coggan2024_fMRI.V4-rdm",
        ):
            found[name] = families[wide.index[wide[name].notna()]]
    found |= {"all": families}
    return {k: np.unique(v.to_numpy(str), return_inverse=True)[1] for k, v in found.items()}


# ---- given clean accuracy ----------------------------------------------------------------------------------


def controlled(
    seed: int,
    row: scenarios.Row,
    rho: float,
    family: np.ndarray,
    clean: np.ndarray,
    true: tuple[float, float],
) -> dict[str, float]:
    """What one study of a scenario says; `true`: its correlation, and that given clean accuracy."""
    from alignsec.analysis.control import Control, jackknife, leafwise
    from alignsec.analysis.correlate import correlate

    rng = np.random.default_rng(seed)
    made = row.make(scenarios.Models(family, clean, rng, family.max() + 1), rho, **row.options)
    total, images = scenarios.table_of(made, family, rng)
    table = correlate(total, TREE.iloc[:1], [scenarios.TARGET], images=images, seed=seed, flips=1000)
    found = table.iloc[0]
    # as if clean accuracy were exact and all depended on it in a straight line
    have = total["x"].notna().to_numpy()
    x, y, z = (total.loc[have, c].to_numpy() for c in ("x", scenarios.TARGET, "clean_top1"))
    code = np.unique(family[have], return_inverse=True)[1]
    naive = jackknife(leafwise(x[None], y, code, Control(z), curve=1), np.bincount(code))
    return {
        "covers": _inside(true[0], found["rho_low"], found["rho_high"]),
        "rejects": float(found["p"] <= 0.05),
        "reliability": found["control_reliability"],
        "partial covers": _inside(true[1], found["partial_low"], found["partial_high"]),
        "partial width": found["partial_high"] - found["partial_low"],
        "partial rejects": float(found["partial_p"] <= 0.05),
        "partial none": float(not math.isfinite(found["partial_low"])),
        "naive covers": _inside(true[1], naive.low[0], naive.high[0]),
        "naive rejects": float(naive.p[0] <= 0.05),
    }


def control_table(families: pd.Series, leaderboard: str, studies: int, pool: ProcessPoolExecutor) -> None:
    """Print the rows of `scenarios.ROWS`."""
    from alignsec.leaderboard import export

    family = np.unique(families.to_numpy(str), return_inverse=True)[1]
    scores = export.parse(leaderboard).scores
    top1 = scores.loc[scores["benchmark"] == "ImageNet-top1", "score"].dropna().to_numpy()
    head = [
        "models",
        "rho",
        "true",
        "covers",
        "rejects",
        "reliability",
        "true, given clean",
        "covers",
        "width",
    ]
    head += ["rejects", "nothing said", "straight and exact covers", "rejects"]
    print("| " + " | ".join(head) + " |\n|---|" + "---:|" * (len(head) - 1))
    for row in scenarios.ROWS:
        clean = scenarios.spread(row, top1)
        for rho in (0.0, 0.4):
            true = scenarios.truth(
                row, scenarios.Models(family, clean, np.random.default_rng(0), family.max() + 1), rho
            )
            one = partial(controlled, row=row, rho=rho, family=family, clean=clean, true=true)
            mean = pd.DataFrame(list(pool.map(one, range(studies), chunksize=20))).mean()
            cells = [row.label, f"{rho}", f"{true[0]:.2f}", f"{mean['covers']:.1%}", f"{mean['rejects']:.1%}"]
            cells += [f"{mean['reliability']:.2f}", f"{true[1]:.2f}", f"{mean['partial covers']:.1%}"]
            cells += [f"{mean['partial width']:.2f}", f"{mean['partial rejects']:.1%}"]
            cells += [f"{mean[c]:.1%}" for c in ("partial none", "naive covers", "naive rejects")]
            print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    from alignsec.analysis.families import effective

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families")
    parser.add_argument("--leaderboard")
    parser.add_argument("--rows", choices=("plain", "control"), default="plain")
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--icc", type=float, default=0.45)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    frame = pd.read_csv(given.families, sep=None, engine="python").rename(columns={"registry_name": "model"})
    families = frame.set_index("model")["family"]
    if given.rows == "control":
        if not given.leaderboard:
            parser.error("--rows control draws clean accuracies from a --leaderboard")
        with ProcessPoolExecutor(given.jobs) as pool:
            control_table(families, given.leaderboard, given.studies, pool)
        return
    print(
        "| models | n | families | effective | rho | interval covers | median width | test rejects |", end=""
    )
    print(" partial covers | partial rejects | plain interval covers | plain permutation rejects |")
    print("|---|" + "---:|" * 11)
    with ProcessPoolExecutor(given.jobs) as pool:
        for label, family in draws(families, given.leaderboard).items():
            sizes = np.bincount(family)
            for rho in (0.0, 0.4):
                one = partial(outcomes, family=family, rho=rho, icc=given.icc)
                table = pd.DataFrame(list(pool.map(one, range(given.studies), chunksize=20)))
                cells = [
                    "none"
                    if table[c].isna().all()
                    else f"{table[c].median():.2f}"
                    if c == "width"
                    else f"{table[c].mean():.1%}"
                    for c in table.columns
                ]
                print(
                    f"| {label} | {len(family)} | {len(sizes)} | {effective(sizes):.1f} | {rho} | "
                    + " | ".join(cells)
                    + " |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
