"""The profile that Snakemake reads by itself: that it does, and what may be in it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.test_workflow import ROOT, snakemake

DEFAULT = ROOT / "profiles" / "default" / "config.yaml"
POOL = ("htcondor", "htcondor/shared")
# No more: it overrides --profile key by key, so that executor, cores, jobs, resources, keep-going and
# whatever else differs between a laptop and a pool would be lost there without a word.
MAY = {"rerun-incomplete", "show-failed-logs", "printshellcmds"}


def options(*words: str) -> dict[str, Any]:
    """What Snakemake makes of a command line that is given in the checkout, as comparable values."""
    cli = pytest.importorskip("snakemake.cli")
    given = vars(cli.parse_args(list(words))[1])
    resources = given.pop("default_resources") or {}
    del given["max_jobs_per_timespan"]  # an object that has no equality
    return given | {"default_resources": {k: str(v.raw) for k, v in resources.items()}}


def test_the_default_profile_holds_nothing_that_a_pool_must_set() -> None:
    given = yaml.safe_load(DEFAULT.read_text())
    assert {"rerun-incomplete", "show-failed-logs"} <= set(given) <= MAY
    for pool in POOL:
        there = yaml.safe_load((ROOT / pool / "config.yaml").read_text())
        assert {k: given[k] for k in given.keys() & there.keys()} == {
            k: there[k] for k in given.keys() & there.keys()
        }


@pytest.mark.parametrize("pool", POOL)
def test_the_default_profile_leaves_a_pools_profile_as_it_is(
    pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    alone = options("--profile", pool, "--workflow-profile", "none") | {"workflow_profile": None}
    assert alone["executor"] == "htcondor"
    assert options("--profile", pool) == alone


def test_a_plain_command_in_the_checkout_reads_the_default_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    given = options("--cores", "1")
    assert given["rerun_incomplete"] and given["show_failed_logs"]
    assert not given["keep_going"]


@pytest.mark.workflow
def test_a_failed_steps_own_message_is_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("model_name,neural_vision,A1\nmlp,.1,.1\nresnet50,.2,.2\n")
    (tmp_path / "mine.csv").write_text("model,target,accuracy\nmlp,clean_top1,.9\n")
    study = {"study": "own", "leaderboard": {"source": "l.csv", "registry": "installed"},
             "robustness": {"source": "mine.csv"}}  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    done = snakemake(tmp_path, "--", "results/own/robustness/models.parquet")
    assert done.returncode != 0
    said = (tmp_path / "results" / "own" / "logs" / "robustness.log").read_text().strip()
    assert "value" in said
    assert said in done.stdout + done.stderr
