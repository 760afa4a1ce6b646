"""What is said of kinds says which models took part."""

import pandas as pd
import pytest

from alignsec.report import claims


def row(rows: str, n: int, verdict: str = "cannot tell") -> dict[str, object]:
    return {
        "kind": "k", "name": "a kind", "area": "V1", "target": "robust_top1@mean", "rows": rows, "n": n,
        "n_families": 9, "control": "clean_top1", "margin": 0.3, "rho": 0.5, "low": 0.1, "high": 0.8,
        "p": 0.01, "verdict": verdict, "detectable": 0.6, "within_rho": float("nan"), "within_verdict": "",
        "within_low": float("nan"), "within_high": float("nan"), "raw_rho": 0.5, "raw_low": 0.1,
        "raw_high": 0.8, "raw_p": 0.2,
    }  # fmt: skip


@pytest.mark.parametrize(("primary", "only", "said"), [(26, 11, "11"), (15, 11, "none"), (26, 0, "none")])
def test_a_plan_with_adversarially_trained_networks_says_how_many(primary: int, only: int, said: str) -> None:
    rows = [row("primary", primary), row("with adversarially trained", 26)]
    rows += [row("adversarially trained only", only)] if only else []
    first = claims.sentences(pd.DataFrame(rows))[0]
    assert f"{primary} models of 9 families, {said} trained adversarially, given clean accuracy" in first


def test_what_holds_only_with_them_is_no_finding() -> None:
    rows = [row("primary", 15), row("with adversarially trained", 26, "supported")]
    rows.append(row("adversarially trained only", 11))
    lines = claims.sentences(pd.DataFrame(rows))
    assert "of 1 kinds of human-likeness 0 are supported" in lines[0]
    assert any(line.startswith("Only where adversarially trained") and "a kind" in line for line in lines)
