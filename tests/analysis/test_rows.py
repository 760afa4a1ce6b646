"""Which models an analysis has, and the reason of each that it has not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from alignsec.analysis import plan as planning
from alignsec.analysis import rows
from alignsec.ground import tables
from alignsec.study.plan import PlanFile

LEAVES = ["x", "y"]
SAME, SIZE, LIKELY = "same weights", "same weights, other input size", "likely"
# model -> network, identity, training, scored leaves
NETWORKS: dict[str, tuple[str, str, str, int]] = {
    "net": ("s:net", SAME, "standard", 1),
    "net-again": ("s:net", SAME, "standard", 2),
    "likely-more": ("s:net", LIKELY, "standard", 2),
    "lone-likely": ("s:lone", LIKELY, "standard", 2),
    "at": ("s:at", SAME, "adversarial", 2),
    "at-a": ("s:at", SAME, "adversarial", 2),
    "advprop": ("s:advprop", SIZE, "adversarial", 2),
}


def study() -> dict[str, Any]:
    models = [*NETWORKS, "without"]
    total = pd.DataFrame({"model": models, "family": [m[:2] for m in models]})
    for i, leaf in enumerate(LEAVES):
        total[leaf] = [0.5 if m in NETWORKS and NETWORKS[m][3] > i else None for m in models]
    total["pgd_top1@1/255[s]"] = [0.3 if m in NETWORKS else None for m in models]
    total["robust_top1@1/255"] = [0.3 if m in ("net", "net-again") else None for m in models]
    long = total.melt("model", ["pgd_top1@1/255[s]", "robust_top1@1/255"], "target").dropna()
    return {
        "total": total,
        "leaves": LEAVES,
        "targets": long.assign(low=None, high=None, n=None),
        "covariates": pd.DataFrame(
            {"model": list(NETWORKS), "training": [t for _, _, t, _ in NETWORKS.values()]}
        ),
        "identities": pd.DataFrame(
            [(m, "s", i, n) for m, (n, i, _, _) in NETWORKS.items()],
            columns=["model", "source", "identity", "network"],
        ),
    }


def found(given: PlanFile | None = None, **changed: Any) -> pd.DataFrame:
    tables_ = study() | changed
    plan = planning.choose(tables_["targets"], given)
    return rows.of_study(plan=plan, **tables_)


def primary(table: pd.DataFrame, source: str | None = "s") -> list[str]:
    return rows.selected(table, rows.PRIMARY, source)


def reasons(table: pd.DataFrame) -> Mapping[str, str]:
    mine = table[table["source"] == "s"]
    return dict(zip(mine["model"], mine["why"], strict=True))


def test_every_row_with_a_target_is_there_and_each_that_is_not_primary_says_why() -> None:
    table = found()
    assert list(table.columns) == rows.COLUMNS
    assert set(table.loc[table["source"] == "s", "model"]) == set(NETWORKS)
    assert (table["primary"] == table["why"].isna()).all() and not table["primary"].all()
    assert primary(table) == ["net-again"]
    why = reasons(table)
    assert why["at"] == "adversarially trained"
    assert why["advprop"] == f"adversarially trained; identity: {SIZE}"
    assert why["net"] == "the same network as net-again, which has no fewer scored leaves"
    assert why["lone-likely"] == "identity: likely"


def test_of_a_network_the_row_with_most_scored_leaves_stands_and_the_first_name_among_equals() -> None:
    table = found().set_index(["source", "model"])["copy_of"]
    assert table["s", "net"] == table["s", "likely-more"] == "net-again"
    assert table["s", "at-a"] == "at" and pd.isna(table["s", "at"])


def test_an_identity_that_is_not_admitted_never_stands_for_one_that_is() -> None:
    covered = study()["total"].assign(y=[None] * 2 + [0.5] * 6)  # likely-more has more leaves than net-again
    assert primary(found(total=covered)) == ["net"]


def test_every_choice_is_a_switch_of_the_plan_file() -> None:
    assert primary(found(PlanFile(adversarially_trained="with"))) == ["at", "net-again"]
    assert primary(found(PlanFile(adversarially_trained="only"))) == ["at"]
    assert primary(found(PlanFile(one_per_network=False))) == ["net", "net-again"]
    assert primary(found(PlanFile(identities=(SAME, LIKELY)))) == ["likely-more", "lone-likely"]
    only = found(PlanFile(exclude={"net-again": "its weights are lost"}))
    assert primary(only) == ["net"]
    assert reasons(only)["net-again"].startswith("excluded by the plan: its weights are lost")


def test_selections_do_not_depend_on_which_of_them_the_plan_calls_primary() -> None:
    for whom in ("without", "with", "only"):
        table = found(PlanFile(adversarially_trained=whom))
        assert rows.selected(table, rows.WITH, "s") == ["at", "net-again"]
        assert rows.selected(table, rows.ONLY, "s") == ["at"]
        assert rows.selected(table, rows.NETWORKS, "s") == ["advprop", "at", "lone-likely", "net-again"]
        assert set(rows.selected(table, rows.EVERY, "s")) == set(NETWORKS)


def test_an_excluded_model_is_in_every_row_and_nowhere_else() -> None:
    table = found(PlanFile(exclude={"lone-likely": "no such"}, identities=(SAME, LIKELY)))
    at = {which: "lone-likely" in rows.selected(table, which, "s")
          for which in (rows.EVERY, rows.NETWORKS, rows.PRIMARY, rows.WITH)}  # fmt: skip
    assert at == {rows.EVERY: True, rows.NETWORKS: False, rows.PRIMARY: False, rows.WITH: False}


def test_an_untrained_network_is_no_primary_row_and_says_why() -> None:
    told = study()["covariates"]
    told.loc[told["model"] == "lone-likely", "training"] = "untrained"
    given = PlanFile(identities=(SAME, LIKELY))
    assert "lone-likely" in primary(found(given))
    table = found(given, covariates=told)
    row = table[table["model"] == "lone-likely"].iloc[0]
    assert row["why"] == "not trained at all" and not row["primary"]
    for which, there in ((rows.EVERY, True), (rows.NETWORKS, True), (rows.WITH, False), (rows.ONLY, False)):
        assert ("lone-likely" in rows.selected(table, which, "s")) is there, which
    assert "lone-likely" not in rows.admitted(table, "s", networks=False, trained=True)


def test_own_targets_go_by_weights() -> None:
    table = found(weights={"net": "abc", "net-again": "abc"})
    assert primary(table, None) == ["net-again"]
    own = table[table["source"].isna()]
    assert list(own["network"]) == ["abc", "abc"] and own["identity"].isna().all()
    assert primary(found(), None) == ["net", "net-again"]  # unknown weights are weights of their own


def test_without_covariates_training_is_unknown_and_keeps_nobody_out() -> None:
    table = found(covariates=None)
    assert set(table["training"]) == {"unknown"} and primary(table) == ["at", "net-again"]


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = found(PlanFile(exclude={"net": "one; two"}))
    tables.write_csv(table, tmp_path / "rows.csv")
    again = tables.read_csv(tmp_path / "rows.csv")
    for which in (rows.EVERY, rows.NETWORKS, rows.PRIMARY, rows.WITH, rows.ONLY):
        for source in ("s", None):
            assert rows.selected(again, which, source) == rows.selected(table, which, source)


@pytest.mark.parametrize("seed", range(3))
def test_permuted_scores_change_no_row_but_by_what_is_missing(seed: int) -> None:
    given = study()
    total = given["total"].copy()
    have = total["x"].notna()
    total.loc[have, "x"] = total.loc[have, "x"].sample(frac=1, random_state=seed).to_numpy() + seed
    pd.testing.assert_frame_equal(found(total=total), found())
