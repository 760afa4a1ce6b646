"""The published leaderboard with a made-up robustness table whose structure is known."""

from pathlib import Path

import numpy as np
import pandas as pd

from alignsec.analysis import parents
from alignsec.analysis.join import side_by_side
from alignsec.leaderboard import export
from alignsec.robustness import summarise

PLANTED = ("Geirhos2021stylized-error_consistency", "tong.Coggan2024_fMRI.V1-rdm")
CONFOUNDED = "SanghaviMurty2020.IT-pls"  # drives clean accuracy, and robustness through it only
ARTEFACT = (
    "Ferguson2024gray_hard-value_delta"  # its families' means drive robustness, its models' scores do not
)
EPSILONS = ("0.001", "0.5/255", "1/255")
IMAGES = 1000


def leaderboard(data_dir: Path) -> tuple[export.Parsed, pd.DataFrame]:
    """The parsed file, and the merged table of the models with a family."""
    parsed = export.parse(data_dir / "brainscore" / "leaderboard_2025-05-07.csv")
    families = pd.read_csv(data_dir / "brainscore" / "model_families.csv")
    wide = parsed.scores.pivot(index="model", columns="benchmark", values="score")
    known = dict(zip(families["registry_name"], families["family"], strict=True))
    merged = wide.loc[[m for m in wide.index if m in known], list(parsed.benchmarks["benchmark"])]
    merged.insert(0, "family", [known[m] for m in merged.index])
    merged.columns.name = None
    return parsed, merged.reset_index()


def robustness_table(merged: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Table of kind ``robustness``: clean and robust accuracy of every merged model."""
    rng = np.random.default_rng(seed)
    family = pd.factorize(merged["family"])[0]

    def standard(name: str) -> np.ndarray:
        ranks = merged[name].rank(pct=True) - 0.5
        return ranks.fillna(0).to_numpy() * np.sqrt(12)

    def noise() -> np.ndarray:
        shared = rng.normal(size=family.max() + 1)[family]
        return 0.6 * shared + 0.8 * rng.normal(size=len(family))

    clean = standard(CONFOUNDED) + 0.6 * noise()
    of_family = pd.Series(standard(ARTEFACT)).groupby(family).transform("mean").to_numpy()
    robust = (
        sum(standard(b) for b in PLANTED) + 1.1 * clean + 1.8 * of_family / of_family.std() + 0.7 * noise()
    )
    rows = []
    for target, level in [("clean_top1", 1.0 + 0.5 * clean)] + [
        (summarise.target_name(e, "Linf"), 1.3 - 1.4 * i + 0.6 * robust) for i, e in enumerate(EPSILONS)
    ]:
        share = 1 / (1 + np.exp(-level))
        if target != "clean_top1":
            share = np.minimum(share, rows[0][2])
        rows.append((target, None, rng.binomial(IMAGES, share) / IMAGES))
        if target != "clean_top1":
            rows[-1] = (target, None, np.minimum(rows[-1][2], rows[0][2]))
    table = pd.concat(
        pd.DataFrame({"model": merged["model"], "target": t, "value": v, "n": IMAGES}) for t, _, v in rows
    ).sort_values("model", kind="stable")
    intervals = [
        summarise.share_row("", "", round(v * n), n) for v, n in zip(table["value"], table["n"], strict=True)
    ]
    table = table.assign(low=[i["low"] for i in intervals], high=[i["high"] for i in intervals])
    return summarise.with_conditional(table[summarise.COLUMNS].reset_index(drop=True))


def study(data_dir: Path, seed: int = 0, completeness: float = 0.5) -> tuple[pd.DataFrame, ...]:
    """(total, benchmarks, robustness, scores) as the workflow would make them."""
    parsed, merged = leaderboard(data_dir)
    measured = robustness_table(merged, seed)
    total = side_by_side(merged, list(parsed.benchmarks["benchmark"]), measured, None)
    total = parents.complete(total, parsed.benchmarks, completeness)
    return total, parsed.benchmarks, measured, parsed.scores
