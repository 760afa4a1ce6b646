"""What other choices say: which are made, that the primary one is the claim's, and what each of them does."""

import numpy as np
import pandas as pd
import pytest

from alignsec.analysis import claims, specifications
from alignsec.analysis.specifications import specify
from alignsec.ground import tables
from alignsec.report.figures import specifications as figure
from tests.analysis.test_claims import CLEAN, FAMILY, ROBUST, SIZES, Study, plan_of

EPSILONS = [f"robust_top1@{e}/255" for e in (1, 2)]
PLAN = plan_of(**{"adversarial Linf": ROBUST, "clean": CLEAN})
PLAN.update(means={ROBUST: EPSILONS}, sensitivity=[], one_per_network=True, adversarially_trained="without")


@pytest.fixture(scope="module")
def study() -> Study:
    made = Study()
    rng = np.random.default_rng(1)
    for i, epsilon in enumerate(EPSILONS):
        made.total[epsilon] = (made.total[ROBUST] * (0.95 - 0.1 * i) + 0.01 * rng.random(len(FAMILY))).round(
            3
        )
    made.total["ImageNet-top1"] = np.where(FAMILY < 6, made.total[CLEAN], np.nan)
    # the second model of the largest family is a copy of the first
    made.rows.loc[1, ["copy_of", "why"]] = ["m0", "the same network as m0, which has no fewer scored leaves"]
    made.rows.loc[1, "primary"] = False
    made.rows.loc[[0, 1], "training"] = "standard"
    made.rows.loc[0, ["why", "primary"]] = [None, True]
    return made


@pytest.fixture(scope="module")
def found(study: Study) -> pd.DataFrame:
    return specifications.specifications(
        study.total, study.leaves, PLAN, study.rows, study.covariates, claims.Options(images=images_of(study))
    )


def images_of(study: Study) -> pd.DataFrame:
    return pd.DataFrame(500.0, index=study.total["model"], columns=[ROBUST, CLEAN, *EPSILONS])


def test_the_first_specification_is_that_of_the_claims(study: Study, found: pd.DataFrame) -> None:
    table = study.claims(PLAN, images=images_of(study))[0]
    claimed = table[table["rows"] == "primary"].set_index("kind")
    primary = found[found["primary"]].set_index("kind")
    assert len(primary) == len(claimed)
    for column in ("rho", "low", "high", "n", "n_families", "n_leaves"):
        np.testing.assert_allclose(
            primary[column].astype(float), claimed.loc[primary.index, column].astype(float), atol=1e-12
        )


def test_there_are_sixty_four_and_every_option_is_among_them(found: pd.DataFrame) -> None:
    one = found[found["kind"] == "signal"]
    assert len(one) == specifications.MOST == len(one.drop_duplicates(list(specifications.CHOICES)))
    assert set(one["target"]) == {ROBUST, *EPSILONS}
    assert one["control"].nunique() == 5
    for choice in ("completeness", "models", "adversarially_trained", "scale", "families"):
        assert one[choice].nunique() == 2, choice
    corrected = one["control"] == specifications.CORRECTED
    assert set(one.loc[corrected, "scale"]) == {specifications.RANKS}
    tables.validate(found, "specifications")


def test_the_same_seed_draws_the_same_ones() -> None:
    choices = {"target": list("abcdefgh"), "control": list("uvwxyz"), "families": ["f", "g"]}
    assert specify(choices, 3, 20) == specify(choices, 3, 20) != specify(choices, 4, 20)
    assert len(specify(choices, 3, 20)) == 20
    assert len(specify(choices)) == 8 * 6 + 1


def where(found: pd.DataFrame, kind: str, **chosen: str) -> pd.DataFrame:
    mine = found[found["kind"] == kind]
    return mine[np.logical_and.reduce([mine[c] == v for c, v in chosen.items()])]


def test_each_choice_does_what_it_says(found: pd.DataFrame) -> None:
    few = where(found, "signal", control=specifications.LEADERBOARD)
    whole = where(found, "signal", control=specifications.CURVE, scale=specifications.RANKS)
    assert few["n"].max() <= sum(SIZES[:6]) < whole["n"].min()
    full = {}
    for which in (specifications.NETWORKS, specifications.ROWS):
        mine = where(found, "signal", models=which, adversarially_trained="without")
        full[which] = mine.loc[mine["control"] != specifications.LEADERBOARD, "n"].max()
    assert full[specifications.ROWS] == full[specifications.NETWORKS] + 1
    carried = found[found["kind"] == "carried"].groupby("adversarially_trained")["rho"].median()
    assert carried["with"] > 0.3 > carried["without"]
    (clusters,) = where(found, "signal", families=specifications.CLUSTERS).to_dict("records")
    (primary,) = where(found, "signal", primary=True).to_dict("records")
    assert clusters["rho"] == pytest.approx(primary["rho"]) and np.isnan(clusters["low"])
    assert clusters["n_families"] == 2


def test_scores_and_logits_without_a_control_are_pearsons_r(study: Study, found: pd.DataFrame) -> None:
    rows = where(found, "signal", scale=specifications.LOGIT, control=specifications.NONE)
    assert len(rows)
    for row in rows.to_dict("records"):
        models = [r["model"] for r in study.rows.to_dict("records")
                  if (row["adversarially_trained"] == "with" or r["training"] != "adversarial")
                  and (row["models"] == "every row" or r["copy_of"] is None)]  # fmt: skip
        part = study.total[study.total["model"].isin(models)]
        share = (part[row["target"]] * 500 + 0.5) / 501
        logit = np.log(share / (1 - share))
        z = [np.arctanh(np.corrcoef(part[f"signal{i}"], logit)[0, 1]) for i in (0, 1)]
        assert row["rho"] == pytest.approx(np.tanh(np.mean(z)))


def test_a_study_without_choices_has_one_specification_of_each_scale() -> None:
    bare = Study()
    bare.total = bare.total.drop(columns=CLEAN)
    bare.rows = bare.rows.assign(training="standard", why=None, primary=True)
    plan = plan_of(**{"adversarial Linf": ROBUST})
    plan.update(means={}, sensitivity=[], one_per_network=True, adversarially_trained="without")
    table = specifications.specifications(bare.total, bare.leaves, plan, bare.rows)
    one = table[table["kind"] == "signal"]
    assert len(one) == 4 and set(one["control"]) == {specifications.NONE}
    assert one["primary"].sum() == 1


def test_the_figure_is_the_table(found: pd.DataFrame) -> None:
    drawn = figure.draw(found)
    (panel,) = drawn.findobj(lambda a: getattr(a, "get_title", str)() == "name of signal")
    mine = found[(found["kind"] == "signal") & found["rho"].notna()].sort_values("rho")
    points = [line for line in panel.lines if line.get_gid() in ("sure", "unsure")]
    heights = np.sort(np.concatenate([line.get_ydata() for line in points]))
    np.testing.assert_allclose(heights, mine["rho"])
    (diamond,) = (line for line in panel.lines if line.get_gid() == "primary")
    assert diamond.get_ydata()[0] == mine.loc[mine["primary"], "rho"].iloc[0]
    middle = figure.medians(figure.chosen(found))
    assert middle.loc[("scale", specifications.LOGIT), "signal"] == pytest.approx(
        where(found, "signal", scale=specifications.LOGIT)["rho"].median()
    )
    assert "engineered" not in middle
    figure.draw(found[:0])
