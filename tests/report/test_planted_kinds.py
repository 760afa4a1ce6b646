"""Robustness planted into the real leaderboard: each kind of benchmarks is named for what it is."""

import re
from pathlib import Path

import pandas as pd
import pytest

from alignsec.report import claims, findings, summary
from tests import planted_study as planted

HEADING = "## Which kinds of human-likeness go with robustness"


@pytest.fixture(scope="module")
def study(data_dir: Path) -> findings.Study:
    return planted.kinds_study(data_dir)


@pytest.fixture(scope="module")
def said(study: findings.Study) -> list[str]:
    """The sentences on kinds in `summary.md`."""
    text = summary.markdown(study, "planted")
    return [line.removeprefix("- ") for line in text.split(HEADING)[1].split("##")[0].strip().splitlines()]


def of(study: findings.Study, kind: str, rows: str = "primary") -> pd.Series:
    assert study.kinds is not None
    (row,) = study.kinds[(study.kinds["kind"] == kind) & (study.kinds["rows"] == rows)].to_dict("records")
    return pd.Series(row)


def about(said: list[str], study: findings.Study, kind: str) -> list[str]:
    return [line for line in said if of(study, kind)["name"] in line]


def test_true_kinds_and_no_other_are_supported(study: findings.Study, said: list[str]) -> None:
    assert int(of(study, planted.TRUE[0])["n"]) > 150
    supported = [line for line in said if line.startswith("Supported")]
    assert len(supported) == len(planted.TRUE)
    for kind in planted.TRUE:
        row = of(study, kind)
        (line,) = about(said, study, kind)
        assert line.startswith(f"Supported: {row['name']}, ρ = {row['rho']:.2f} [")
        assert f"; within families ρ = {row['within_rho']:.2f} [" in line and row["within_low"] > 0


def test_what_goes_with_clean_accuracy_alone_is_said_to_vanish(
    study: findings.Study, said: list[str]
) -> None:
    row = of(study, planted.GOES_WITH_CLEAN)
    assert row["raw_p"] <= 0.05
    line = next(x for x in about(said, study, planted.GOES_WITH_CLEAN) if "anishes" in x)
    assert re.match(rf"Vanishes given clean accuracy: .*, raw ρ = {row['raw_rho']:.2f} \[", line)
    assert f"; given clean accuracy ρ = {row['rho']:.2f} [".replace("-", "−") in line


def test_what_goes_between_families_alone_is_said_not_to_hold_within(
    study: findings.Study, said: list[str]
) -> None:
    row = of(study, planted.OF_FAMILIES)
    assert row["low"] > 0 > row["within_low"]
    (line,) = (x for x in about(said, study, planted.OF_FAMILIES) if "families" in x)
    assert line.startswith(f"Not held within families, and not supported: {row['name']}, ρ = ")


def test_what_adversarially_trained_networks_carry_is_said_to_need_them(
    study: findings.Study, said: list[str]
) -> None:
    with_them = of(study, planted.OF_TRAINED, claims.WITH)
    line = next(x for x in about(said, study, planted.OF_TRAINED) if x.startswith("Only where"))
    start = "Only where adversarially trained networks take part: "
    assert line.startswith(f"{start}{with_them['name']}, ρ = {with_them['rho']:.2f} [")
    assert " without" in line and not of(study, planted.OF_TRAINED)["low"] > 0


def test_supported_kinds_that_fail_within_families_say_so() -> None:
    """The same sentences where the artefact is strong enough to be supported over all models."""
    row = {
        "kind": "k", "name": "K", "area": "IT", "target": "robust_top1@mean", "rows": "primary", "n": 99,
        "n_families": 20, "control": "clean_top1", "margin": 0.3, "rho": 0.5, "low": 0.3, "high": 0.7,
        "p": 0.0001, "verdict": "supported", "detectable": 0.4, "raw_rho": 0.5, "raw_low": 0.3,
        "raw_high": 0.7, "raw_p": 0.001,         "within_rho": 0.0, "within_low": -0.1, "within_high": 0.1,
        "within_verdict": "cannot tell",
    }  # fmt: skip

    def second(**changed: object) -> str:
        return claims.sentences(pd.DataFrame([row | changed]))[1]

    assert second() == (
        "Supported between families but not held within them: K, ρ = 0.50 [0.30, 0.70], family-wise p < .001"
        "; within families ρ = 0.00 [−0.10, 0.10]."
    )
    assert second(within_high=0.6).startswith("Supported: K")
    assert second(within_high=-0.01, within_verdict="contradicted").startswith(
        "Supported over all models but contradicted within families, where the sign is the other: K"
    )
    unsure = claims.sentences(pd.DataFrame([row | {"verdict": "cannot tell", "low": -0.1}]))
    assert unsure[-1] == "Raw correlations of which clean accuracy may leave all or nothing: K."
