"""Benchmarks of one's own, in a study's rules."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.workflow.test_paths import NASTY, own_files, run

pytestmark = pytest.mark.workflow


def test_an_own_benchmark_beside_the_configuration_enters_the_tables(tmp_path: Path) -> None:
    place, here = tmp_path / "study", tmp_path / "run"
    study = own_files(place)
    (place / f"{NASTY}.mine.csv").write_text("model,score\nmlp,.4\n")
    study["leaderboard"] |= {
        "extra": [{"file": f"{NASTY}.mine.csv", "parent": "neural_vision", "category": "neural"}],
        "categories": {"A1": "neural"},
    }
    (place / "study.yaml").write_text(yaml.safe_dump(study))
    target = "results/small/scores/benchmarks.parquet"
    done = run(here, place / "study.yaml", "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_parquet(here / target).set_index("benchmark")
    assert list(table.index) == ["neural_vision", "A1", NASTY]
    assert table.loc[NASTY, ["parent", "n_scored"]].tolist() == ["neural_vision", 1]
    assert not list(tmp_path.rglob("pwned"))
