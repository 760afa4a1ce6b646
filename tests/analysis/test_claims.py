"""The table of kinds: what is tested together, over which models, and what it says of planted studies."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from alignsec.analysis import claims, kinds, splines
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.schemas import SCHEMAS
from alignsec.study.records import Plan

SIZES = [24, 18, 14, 12, 10, 8, 8, 6, 5, 4, 3, 3, 2, 2, 2, 1, 1]
FAMILY = np.repeat(np.arange(len(SIZES)), SIZES)
ROBUST, CLEAN, SHIFT = "robust_top1@mean", "clean_top1", "shift_top1@mean"
NAMES = ["signal", "nothing", "artefact", "carried", "few"]


def normal(rng: np.random.Generator, icc: float = 0.45) -> np.ndarray:
    shared = rng.standard_normal(len(SIZES))[FAMILY]
    return math.sqrt(icc) * shared + math.sqrt(1 - icc) * rng.standard_normal(len(FAMILY))


def plan_of(**primary: str) -> Plan:
    whole: Any = {"primary": primary, "margin": 0.3, "control": None}
    made: Plan = whole
    return made


PLAN = plan_of(**{"adversarial Linf": ROBUST})


class Study:
    """Kinds of two leaves: one that goes with robustness, one that does not, one that does between families
    and the other way within them, one that does because of adversarially trained models, one of few models;
    and an accuracy that is nearly robustness itself.
    """

    def __init__(self, seed: int = 5) -> None:
        rng = np.random.default_rng(seed)
        clean, signal, between = normal(rng), normal(rng), rng.standard_normal(len(SIZES))[FAMILY]
        own = rng.standard_normal(len(FAMILY))
        trained = rng.permutation(len(FAMILY)) < 16
        y = 1.0 * signal + 0.9 * between + 0.5 * own + 0.5 * clean + 0.4 * normal(rng) + 4 * trained
        columns: dict[str, np.ndarray] = {}
        for i in (0, 1):
            columns |= {
                f"signal{i}": signal + 0.5 * normal(rng) + 0.3 * clean,
                f"nothing{i}": normal(rng),
                f"artefact{i}": 1.2 * between - 0.6 * own + 0.3 * rng.standard_normal(len(FAMILY)),
                f"carried{i}": normal(rng) + 4 * trained,
                f"few{i}": np.where(FAMILY < 3, normal(rng), np.nan),
            }
        columns["top1"] = y + normal(rng)
        names = [f"m{i}" for i in range(len(FAMILY))]
        self.total = pd.DataFrame({"model": names, "family": [f"f{f}" for f in FAMILY], **columns})
        self.total[ROBUST] = 1 / (1 + np.exp(-0.5 * y))
        self.total[CLEAN] = 1 / (1 + np.exp(-clean))
        self.total[SHIFT] = 1 / (1 + np.exp(-clean - signal))
        kind = ["engineered" if b == "top1" else b[:-1] for b in columns]
        self.leaves = pd.DataFrame(
            {"benchmark": list(columns), "kind": kind, "name": [f"name of {k}" for k in kind]}
        )
        self.leaves["area"] = ["engineering" if k == "engineered" else "behavior" for k in kind]
        self.rows = pd.DataFrame({"model": names, "source": None, "network": names, "copy_of": None})
        self.rows["training"] = np.where(trained, "adversarial", "standard")
        self.rows["why"] = np.where(trained, "adversarially trained", None)
        self.rows["primary"] = ~trained
        self.covariates = pd.DataFrame(
            {"model": names, "architecture": np.where(FAMILY % 2, "CNN", "transformer")}
        )

    def claims(self, plan: Plan = PLAN, **options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        return claims.claims(
            self.total, self.leaves, plan, self.rows, self.covariates, claims.Options(flips=2000, **options)
        )


@pytest.fixture(scope="module")
def study() -> Study:
    return Study()


@pytest.fixture(scope="module")
def found(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    return study.claims()


def row(frame: pd.DataFrame, kind: str, rows: str = "primary", target: str = ROBUST) -> pd.Series:
    (one,) = (
        r
        for _, r in frame[(frame["kind"] == kind) & (frame["rows"] == rows)].iterrows()
        if r["target"] == target
    )
    return one


def test_each_planted_kind_is_named_for_what_it_is(found: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    frame = found[0]
    assert row(frame, "signal")["verdict"] == "supported"
    assert row(frame, "nothing")["verdict"] in ("smaller than .3", "cannot tell")
    assert row(frame, "artefact")["rho"] > 0
    assert row(frame, "artefact")["within_verdict"] == "contradicted"
    assert row(frame, "artefact")["within_high"] < 0
    assert row(frame, "signal")["within_verdict"] == "agrees"
    assert row(frame, "carried")["verdict"] != "supported"
    assert row(frame, "carried", "with adversarially trained")["verdict"] == "supported"


def test_a_kind_that_cannot_be_tested_keeps_its_row_and_says_why(
    found: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    few = row(found[0], "few")
    assert few[["rho", "low", "p", "within_rho", "detectable"]].isna().all()
    assert (few["verdict"], few["n_leaves"]) == ("cannot tell", 0)
    assert few["note"] == "nothing: 3 families, 6 are needed"


def test_selections_count_their_models(study: Study, found: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    counts = found[0].drop_duplicates("rows").set_index("rows")
    assert list(counts.index) == ["primary", "with adversarially trained", "adversarially trained only"]
    assert row(found[0], "signal")["n"] == len(FAMILY) - 16
    assert row(found[0], "signal", "with adversarially trained")["n"] == len(FAMILY)
    assert row(found[0], "signal", "adversarially trained only")["n_leaves"] in (0, 2)


def test_accuracies_are_hypotheses_of_their_own(
    study: Study, found: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    assert row(found[0], "engineered")["verdict"] == "supported"
    assert row(found[0], "engineered")["hypotheses"] == "engineering"
    without = Study()
    without.leaves = without.leaves[without.leaves["area"] != "engineering"]
    alone = without.claims()[0]
    for kind in NAMES[:4]:
        assert row(alone, kind)[["p", "raw_p", "verdict"]].equals(
            row(found[0], kind)[["p", "raw_p", "verdict"]]
        )


def test_other_targets_of_the_study_change_no_claim(
    study: Study, found: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    more, pairs = study.claims(plan_of(**{"adversarial Linf": ROBUST, "shift": SHIFT, "clean": CLEAN}))
    pd.testing.assert_frame_equal(more[more["target"] == ROBUST].reset_index(drop=True), found[0])
    assert set(more["target"]) == set(pairs["target"]) == {ROBUST, SHIFT}  # clean accuracy is no robustness


def test_without_a_control_the_raw_correlation_is_what_is_claimed() -> None:
    one = Study()
    one.total = one.total.drop(columns=CLEAN)
    signal = row(one.claims()[0], "signal")
    assert signal["control"] is None
    assert (signal["rho"], signal["p"]) == (signal["raw_rho"], signal["raw_p"])


def test_pairs_are_tested_over_models_that_have_both(
    study: Study, found: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    pairs = found[1].set_index(["kind", "other"])
    assert len(pairs) == math.comb(5, 2)
    one = pairs.loc[("signal", "nothing")]
    assert one["n"] == len(FAMILY) - 16
    assert (one["low"] > 0, one["p"] <= 0.05) == (True, True)
    assert one["difference"] == pytest.approx(
        math.tanh(math.atanh(one["rho"]) - math.atanh(one["other_rho"]))
    )
    assert pairs.loc[("signal", "few"), "note"] == "no interval: too few models or families have both"
    missing = Study()
    missing.total.loc[:39, ["nothing0", "nothing1"]] = np.nan
    other = missing.claims()[1].set_index(["kind", "other"]).loc[("signal", "nothing")]
    part = Study()
    part.total = part.total.iloc[40:]
    complete = row(part.claims()[0], "signal")
    assert other["n"] == complete["n"]
    assert other["rho"] == pytest.approx(complete["rho"], abs=1e-12)


def test_super_families_give_a_range_and_no_interval(
    study: Study, found: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    one = row(found[0], "signal")
    assert one["super_low"] <= one["super_high"]
    assert one["super_family"] in ("CNN", "transformer")
    part = Study()
    part.covariates = part.covariates.assign(architecture="CNN")
    assert pd.isna(row(part.claims()[0], "signal")["super_low"])


def test_only_the_strongest_have_adjusted_intervals_and_these_are_wider(
    found: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    frame = found[0][(found[0]["rows"] == "primary") & (found[0]["hypotheses"] == claims.HUMAN)]
    adjusted = frame.dropna(subset=["strongest_low"])
    assert len(adjusted) == min(claims.STRONGEST, frame["low"].notna().sum())
    assert (adjusted["strongest_low"] <= adjusted["low"] + 1e-12).all()


def test_a_noisy_control_is_corrected_for(study: Study, found: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    images = pd.DataFrame(100.0, index=study.total["model"], columns=[ROBUST, CLEAN])
    noisy = row(study.claims(images=images)[0], "signal")
    assert noisy["control_reliability"] < row(found[0], "signal")["control_reliability"] == 1
    assert noisy["rho"] != row(found[0], "signal")["rho"]


def test_covariates_are_held_fixed_in_rows_of_their_own(study: Study) -> None:
    """A kind that goes with robustness through what networks were trained on is supported; then no more."""
    made = Study()
    rng = np.random.default_rng(2)
    more = rng.permutation(len(FAMILY)) < 50
    for i in (0, 1):
        made.total[f"nothing{i}"] += 3 * more
    made.total[ROBUST] = 1 / (1 + np.exp(-2 * more) * (1 / made.total[ROBUST] - 1))
    parameters = np.where(np.arange(len(FAMILY)) == 3, np.nan, 10.0 ** (6 + 2 * rng.random(len(FAMILY))))
    made.covariates = made.covariates.assign(
        data=np.where(more, "more", "ImageNet-1k"), parameters=parameters, training="standard"
    )
    before, pairs = made.claims()
    table, same = made.claims(held=["data", "parameters"])
    pd.testing.assert_frame_equal(pairs, same)
    left = table[table["rows"] != claims.GIVEN].reset_index(drop=True)
    pd.testing.assert_frame_equal(left, before)
    one, given = (row(table, "nothing", which) for which in ("primary", claims.GIVEN))
    assert (one["verdict"], given["verdict"]) == ("supported", "smaller than .3")
    assert given["control"] == f"{CLEAN}, data, parameters"
    free = not made.rows.loc[3, "primary"]
    assert given["n"] == one["n"] - (not free)
    assert given["p"] > 0.05 and given["low"] < 0 < given["high"]
    # by hand: residuals of ranks about the spline of clean accuracy and both columns
    who = made.rows["primary"].to_numpy() & np.isfinite(parameters)
    u = (rankdata(made.total[CLEAN][who]) - 1) / (who.sum() - 1)
    fixed = np.column_stack([np.ones(who.sum()), splines.basis(u, 4), more[who], np.log10(parameters[who])])
    ranks = [rankdata(made.total[c][who]) for c in ("nothing0", "nothing1", ROBUST)]
    a, b, y = (v - fixed @ np.linalg.lstsq(fixed, v, rcond=None)[0] for v in ranks)
    z = np.arctanh([np.corrcoef(a, y)[0, 1], np.corrcoef(b, y)[0, 1]]).mean()
    assert given["rho"] == pytest.approx(np.tanh(z), abs=1e-9)
    with pytest.raises(AlignsecError, match="'colour' is no column of the table of covariates"):
        made.claims(held=["colour"])


def test_the_table_has_its_schema_and_comes_back_from_a_file(
    found: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    for frame, kind in zip(found, ("kinds", "differences"), strict=True):
        tables.validate(frame, kind)
        tables.write_csv(frame, tmp_path / "t.csv")
        back = tables.read_csv(tmp_path / "t.csv")
        assert list(back.columns) == list(SCHEMAS[kind])
        number = "rho" if kind == "kinds" else "difference"
        assert back[number].dropna().tolist() == frame[number].dropna().tolist()


def test_a_target_that_the_study_lacks_is_named() -> None:
    with pytest.raises(AlignsecError, match="'shift' is 'shift_top1@mean', which is no column"):
        one = Study()
        one.total = one.total.drop(columns=SHIFT)
        one.claims(plan_of(shift=SHIFT))


def test_a_constant_target_leaves_rows_that_say_so() -> None:
    one = Study()
    one.total[ROBUST] = 0.0
    frame, pairs = one.claims()
    assert len(pairs) == 0
    assert set(frame["verdict"]) == {kinds.UNKNOWN}
    assert frame["note"].str.contains("the target is constant").all()


def test_the_verb_reads_the_study_and_writes_both_tables(study: Study, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from alignsec.cli import app

    files = {
        name: tmp_path / name
        for name in ("total.parquet", "benchmarks.parquet", "targets.parquet", "plan.json")
    }
    tables.write(study.total, files["total.parquet"], "total_scores")
    tree = pd.DataFrame({"benchmark": study.leaves["benchmark"], "parent": None, "category": "behavior"})
    tables.write(tree.assign(depth=0, is_leaf=True, n_scored=5), files["benchmarks.parquet"], "benchmarks")
    measured = study.total[["model", ROBUST, CLEAN]].melt("model", var_name="target")
    measured = measured.assign(low=np.nan, high=np.nan, n=200).astype({"low": float, "high": float})
    tables.write(measured, files["targets.parquet"], "robustness")
    whole = dict.fromkeys(Plan.__required_keys__) | {"primary": {"adversarial Linf": ROBUST}, "margin": 0.3}
    files["plan.json"].write_text(json.dumps(whole))
    tables.write_csv(study.rows, tmp_path / "rows.csv")
    tables.write_csv(study.covariates, tmp_path / "covariates.csv")
    listed = study.leaves[study.leaves["kind"] != "few"].assign(metric=study.leaves["kind"], paradigm="p")
    listed = listed[["benchmark", "kind", "area", "metric", "paradigm", "name"]]
    listed.to_csv(tmp_path / "kinds.tsv", sep="\t", index=False)
    said = CliRunner().invoke(
        app,
        ["analysis", "kinds", "--total", str(files["total.parquet"]), "--benchmarks",
         str(files["benchmarks.parquet"]), "--targets", str(files["targets.parquet"]), "--rows",
         str(tmp_path / "rows.csv"), "--plan", str(files["plan.json"]), "--covariates",
         str(tmp_path / "covariates.csv"), "--table", str(tmp_path / "kinds.tsv"), "--signs", "500", "1",
         "--out", str(tmp_path / "kinds.csv")],
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert "few0: not in" in said.output
    back = tables.read_csv(tmp_path / "kinds.csv")
    assert row(back, "signal")["verdict"] == "supported"
    assert row(back, "other behavior")["n_leaves"] == 0
    assert len(tables.read_csv(tmp_path / "differences.csv")) == math.comb(5, 2)
