"""Which keys of the configuration make an attack run again, read from a dry run of a finished study."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from alignsec.study import config, layout
from alignsec.study.request import AttackRequest
from tests.workflow.test_workflow import configure, planned, snakemake, write_sheet

pytestmark = pytest.mark.workflow

BASE: dict[str, Any] = {
    "epsilons": ["0.02"], "images_per_shard": 4, "version": "custom", "attacks": ["fab-t"],
}  # fmt: skip
SECTIONS: dict[str, Any] = {"images": {"count": 4}, "robustness": {"corruptions": {"names": []}}}
# every key of the section, and the seed, at another value; what it takes beside
FLIPS: dict[str, dict[str, Any]] = {
    "epsilons": {"epsilons": ["0.02", "0.05"]},
    "norm": {"norm": "L2"},
    "version": {"version": "rand", "attacks": []},
    "attacks": {"attacks": ["fab-t", "apgd-ce"]},
    "ladder": {"ladder": False},
    "top5": {"top5": True},
    "precision": {"precision": "tf32"},
    "screen_precision": {"screen_precision": "bfloat16"},
    "keep": {"keep": True},
    "batch_size": {"batch_size": 2},
    "job_hours": {"job_hours": 1},
    "images_per_shard": {"images_per_shard": 2},
    "audit": {"audit": 0.5},
}
UNCHANGED = {"keep", "batch_size", "job_hours", "audit"}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one network, attacked on four images."""
    folder = tmp_path_factory.mktemp("requests")
    write_sheet(folder, [["cnn", "demo", "arch=cnn,training=standard,seed=3", "cnn", ""]])
    asked(folder)
    done = snakemake(folder, "--", "robustness")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def asked(folder: Path, seed: int = 0, **attack: Any) -> None:
    configure(folder, seed=seed, attack=BASE | attack, **SECTIONS)


def attacks(folder: Path) -> int:
    """How many attacks a dry run announces."""
    return planned(folder, "--", "robustness").get("attack", 0)


def test_every_key_is_flipped_here() -> None:
    assert set(FLIPS) == set(config.schema()["properties"]["attack"]["properties"])
    verdicts = {f.name for f in dataclasses.fields(AttackRequest) if f.metadata["verdicts"]}
    assert verdicts - {"seed"} == set(FLIPS) - UNCHANGED - {"images_per_shard"}


def test_a_finished_study_attacks_nothing_again_and_a_default_that_is_written_out_is_none(
    attacked: Path,
) -> None:
    asked(attacked)
    assert attacks(attacked) == 0
    defaults = {f.name: f.default for f in dataclasses.fields(AttackRequest) if f.name != "seed"}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}
    asked(attacked, **json.loads(json.dumps(plain | BASE)))
    assert attacks(attacked) == 0


@pytest.mark.parametrize("key", list(FLIPS))
def test_a_key_that_changes_verdicts_attacks_again_and_the_others_do_not(attacked: Path, key: str) -> None:
    asked(attacked, **FLIPS[key])
    assert attacks(attacked) == (0 if key in UNCHANGED else 2 if key == "images_per_shard" else 1)


def test_another_seed_attacks_again(attacked: Path) -> None:
    asked(attacked, seed=1)
    assert attacks(attacked) == 1


def test_what_changes_no_verdict_still_reaches_the_job(attacked: Path) -> None:
    asked(attacked, keep=True, batch_size=3)
    done = snakemake(attacked, "--forcerun", "attack", "--", "robustness")
    assert done.returncode == 0, done.stdout + done.stderr
    models = layout.Layout(attacked / "results" / "small").models
    assert models.adversarials("cnn", "0000").is_file()
    status = json.loads(models.attack_status("cnn", "0000").read_text())
    assert status["status"] == "ok" and status["cost"]["batch_size"] == 3
    # and nothing more is to be done for it
    asked(attacked)
    assert attacks(attacked) == 0
