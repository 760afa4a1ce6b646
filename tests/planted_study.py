"""The published leaderboard with a made-up robustness table whose structure is known."""

from pathlib import Path

import numpy as np
import pandas as pd

from alignsec.analysis import claims, duplicates, parents
from alignsec.analysis import plan as planning
from alignsec.analysis import rows as selecting
from alignsec.analysis.correlate import correlate
from alignsec.analysis.join import side_by_side
from alignsec.analysis.taken import images_of
from alignsec.ground import tables
from alignsec.leaderboard import export
from alignsec.report import findings
from alignsec.robustness import summarise
from alignsec.study import covariates as known_covariates
from alignsec.study import kinds as reviewed

KINDS, COVARIATES = (Path(__file__).parents[1] / "config" / f"{n}.tsv" for n in ("kinds", "covariates"))

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


# ---- kinds of benchmarks -----------------------------------------------------------------------------------

TRUE = ("V1 predictivity", "V4 similarity")
GOES_WITH_CLEAN = "error consistency"  # drives clean accuracy, and robustness through it only
OF_FAMILIES = "perceived similarity"  # its families' means drive robustness, its models' own scores do not
OF_TRAINED = "V2 predictivity"  # adversarially trained are those that score high, and they are robust
TRAINED = 50


def kinds_study(data_dir: Path, seed: int = 0) -> findings.Study:
    """The leaderboard's 233 models with robustness that five kinds have to do with in four ways.

    Made from tables through the steps of the workflow: plan, join, rows, correlations, kinds.
    """
    parsed, merged = leaderboard(data_dir)
    leaves, _ = reviewed.of_leaves(reviewed.read(KINDS), parsed.benchmarks)
    rng = np.random.default_rng(seed)
    family = pd.factorize(merged["family"])[0]
    score = {}
    for kind in (*TRUE, GOES_WITH_CLEAN, OF_FAMILIES, OF_TRAINED):
        ranks = merged[list(leaves.loc[leaves["kind"] == kind, "benchmark"])].rank(pct=True).mean(axis=1)
        known = ranks.rank(pct=True).sub(0.5).mul(np.sqrt(12)).to_numpy()
        score[kind] = np.where(np.isnan(known), rng.normal(size=len(known)), known)

    def noise() -> np.ndarray:
        shared = rng.normal(size=family.max() + 1)[family]
        return 0.6 * shared + 0.8 * rng.normal(size=len(family))

    def mean(values: np.ndarray) -> np.ndarray:
        return pd.Series(values).groupby(family).transform("mean").to_numpy()

    clean = score[GOES_WITH_CLEAN] + 0.5 * noise()
    trained = (score[OF_TRAINED] + 0.2 * noise()).argsort().argsort() >= len(merged) - TRAINED
    # kinds are correlated: what a true one shares with the others is no part of its effect
    others = np.column_stack([np.ones(len(clean)), clean, score[OF_FAMILIES], mean(score[OF_FAMILIES]),
                              *(score[k] for k in (GOES_WITH_CLEAN, OF_TRAINED))])  # fmt: skip
    effects = sum(score[k] - others @ np.linalg.lstsq(others, score[k], rcond=None)[0] for k in TRUE)
    between = mean(score[OF_FAMILIES])
    robust = effects + 0.9 * clean + 0.85 * between / between.std() + 0.2 * noise() + 6 * trained
    measured = _counted(merged["model"], 1 + 0.5 * clean, 0.4 * robust, rng)
    plan = planning.choose(measured)
    measured = planning.with_means(measured, plan)
    targets = list(dict.fromkeys(measured["target"]))
    total = side_by_side(merged, list(parsed.benchmarks["benchmark"]), measured, None)
    total = parents.complete(total, parsed.benchmarks, 0.5)
    sheet = merged[["model", "family"]].assign(training=np.where(trained, "adversarial", "standard"))
    covariates = known_covariates.of_study(merged, known_covariates.read(COVARIATES), sheet)
    rows = selecting.of_study(total, list(leaves["benchmark"]), measured, plan, covariates=covariates)
    images = images_of(measured)
    table = correlate(total, parsed.benchmarks, targets, images=images, flips=1000)
    kinds, _ = claims.claims(total, leaves, plan, rows, covariates, claims.Options(images, flips=2000))
    nothing = pd.DataFrame(columns=["model", "step", "reason"])
    return findings.Study(
        total, parsed.benchmarks, measured, table, nothing,
        duplicates.compare(total, total, parsed.benchmarks, []),
        pd.DataFrame(columns=["model", "warning", "value", "meaning"]), kinds=kinds, plan=plan,
    )  # fmt: skip


def _counted(
    models: pd.Series, clean: np.ndarray, robust: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Table of kind ``robustness``: logits of accuracies, counted on `IMAGES` images."""
    correct = rng.binomial(IMAGES, 1 / (1 + np.exp(-clean)))
    counts = {"clean_top1": correct}
    for i, epsilon in enumerate(EPSILONS):
        share = 1 / (1 + np.exp(0.6 * i - robust))
        counts[summarise.target_name(epsilon, "Linf")] = rng.binomial(correct, share)
    rows = [
        summarise.share_row(model, target, int(count), IMAGES)
        for target, of in counts.items()
        for model, count in zip(models, of, strict=True)
    ]
    return tables.validate(pd.DataFrame(rows, columns=summarise.COLUMNS), "robustness")
