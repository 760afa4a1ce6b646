"""Published claims computed again: effective robustness by hand, the jackknife as a loop, verdicts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.special import expit, logit
from scipy.stats import t as student

from alignsec.analysis import families, quantities, replication
from alignsec.analysis.quantities import Found, Inputs
from alignsec.analysis.replication import verdict
from alignsec.ground.errors import AlignsecError

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = ROOT / "config" / "published" / "claims.yaml"
TYPES = ROOT / "config" / "published" / "testbed_types.tsv"


def bed(n: int = 60) -> pd.DataFrame:
    """Models of which the standard ones lie on a line of the logit scale, the others a share above it."""
    rng = np.random.default_rng(0)
    val = rng.uniform(0.56, 0.85, n)
    kind = np.array(["standard", "more data", "lp adversarial"])[np.arange(n) % 3]
    lift = np.where(kind == "more data", 0.02, np.where(kind == "lp adversarial", -0.01, 0.0))
    return pd.DataFrame(
        {
            quantities.CLEAN: val,
            quantities.V2: expit(0.9 * logit(val) - 0.4) + lift,
            "type": kind,
            "family": [f"{k}{i % 8}" for i, k in enumerate(kind)],
        },
        index=[f"m{i}" for i in range(n)],
    )


def test_effective_robustness_is_what_was_added_to_the_line_of_the_standard_models() -> None:
    frame = bed()
    found = quantities.effective(frame, quantities.V2)
    expected = frame["type"].map({"standard": 0.0, "more data": 0.02, "lp adversarial": -0.01})
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_line_takes_no_model_that_is_weak_or_trained_on_a_part() -> None:
    frame = bed()
    odd = pd.DataFrame(
        {quantities.CLEAN: [0.3, 0.7], quantities.V2: [0.29, 0.69], "type": "standard", "family": "odd"},
        index=["weak", "resnet50_subsample_1_of_2"],
    )
    found = quantities.effective(pd.concat([frame, odd]), quantities.V2)
    np.testing.assert_allclose(found[frame.index], quantities.effective(frame, quantities.V2), atol=1e-12)
    assert found["weak"] > 0.05  # it still has a value of its own


def test_the_jackknife_is_the_loop_written_out() -> None:
    frame = bed()
    value, low, high = quantities.jackknife(lambda f: float(f[quantities.CLEAN].mean()), frame)
    names = sorted(set(frame["family"]))
    without = [frame.loc[frame["family"] != f, quantities.CLEAN].mean() for f in names]
    sizes = frame["family"].value_counts()[names].to_numpy()
    spread = sum((w - np.mean(without)) ** 2 for w in without)
    error = np.sqrt((len(names) - 1) / len(names) * spread)
    half = student.ppf(0.975, families.degrees_of_freedom(sizes)) * error
    assert value == pytest.approx(frame[quantities.CLEAN].mean(), abs=1e-12)
    assert (low, high) == pytest.approx((value - half, value + half), abs=1e-12)


def test_few_families_give_a_number_without_an_interval() -> None:
    frame = bed().assign(family="one")
    value, low, high = quantities.jackknife(lambda f: float(f[quantities.CLEAN].mean()), frame)
    assert np.isfinite(value) and np.isnan(low) and np.isnan(high)
    assert verdict(Found(value, low, high, 60, 1, ""), (0, 1), same_data=True) == "cannot tell"


@pytest.mark.parametrize(
    ("low", "high", "same", "expected"),
    [
        (0.35, 0.6, True, "disagrees"),
        (0.35, 0.6, False, "different data"),
        (-0.2, 0.2, False, "agrees"),
        (0.2, 0.4, True, "cannot tell"),
        (-0.3, 0.3, True, "agrees"),
        (-0.9, -0.31, True, "disagrees"),
    ],
)
def test_a_verdict_follows_from_interval_and_region(
    low: float, high: float, same: bool, expected: str
) -> None:
    assert verdict(Found((low + high) / 2, low, high, 40, 9, ""), (-0.3, 0.3), same_data=same) == expected


def test_the_bundled_claims_name_quantities_and_works_that_exist() -> None:
    claims = replication.read_claims(CLAIMS)
    assert {c["work"] for c in claims["claims"]} == set(claims["works"])
    assert {c["quantity"] for c in claims["claims"]} == set(quantities.QUANTITIES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quantity": "behaviour_r2"}, "nearest: 'behavior_r2'"),
        ({"work": "nobody"}, "work 'nobody'"),
        ({"data": "mine"}, "'same' or 'other'"),
        ({"holds": None}, None),
    ],
)
def test_a_claim_that_makes_no_sense_is_named(
    tmp_path: Path, change: dict[str, str], said: str | None
) -> None:
    data = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
    key, value = next(iter(change.items()))
    if said is None:
        del data["claims"][0][key]
        said = "key 'holds' is missing"
    else:
        data["claims"][0][key] = value
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(AlignsecError, match=said) as told:
        replication.read_claims(path)
    assert "claims.yaml: claim 'weak-average'" in str(told.value)


def test_every_type_of_the_testbed_has_a_group_and_standard_ones_only_one() -> None:
    types = pd.read_csv(TYPES, sep="\t")
    assert set(types["type"]) == {"standard", "more data", "lp adversarial", "other intervention"}
    assert types["source_model"].is_unique and types.notna().all(axis=None)
    assert set(types.loc[types["type"] == "standard", "group"]) == {"standard"}


def test_every_claim_gets_a_row_and_what_cannot_be_computed_says_so() -> None:
    rng = np.random.default_rng(1)
    n, leaves = 80, [f"n{i}" for i in range(5)] + ["b_texture", "b_shape_bias"]
    total = pd.DataFrame(rng.normal(size=(n, len(leaves))), columns=leaves)
    total["model"] = [f"m{i}" for i in range(n)]
    total["family"] = [f"f{i % 12}" for i in range(n)]
    total["average_vision"], total["behavior_vision"] = total[leaves].mean(axis=1), total["b_texture"]
    total["robust"] = rng.normal(size=n)
    tree = pd.DataFrame(
        {
            "benchmark": ["average_vision", "behavior_vision", *leaves],
            "category": [None, "behavior", *["neural"] * 5, "behavior", "behavior"],
            "is_leaf": [False, False, *[True] * 7],
        }
    )
    frame = bed(90)
    frame["pgd_top1@x"] = expit(logit(frame[quantities.CLEAN]) - 2 + rng.normal(0, 0.2, 90))
    frame["corruption_top1@mean"] = expit(logit(frame[quantities.CLEAN]) - 1 + rng.normal(0, 0.2, 90))
    claims = replication.read_claims(CLAIMS)
    table = replication.replicate(claims, Inputs(total, total, tree, "robust", frame))
    assert list(table.columns) == list(replication.COLUMNS) and len(table) == len(claims["claims"])
    row = table.set_index("claim").loc["more-data"]
    assert row["ours"] == pytest.approx(0.02, abs=1e-9) and row["n"] == 30
    with pytest.raises(AlignsecError, match="texture"):
        quantities.texture_shape(
            Inputs(total, total, tree[~tree["benchmark"].str.startswith("b_")], "robust", frame),
            next(c for c in claims["claims"] if c["quantity"] == "texture_shape"),
        )
