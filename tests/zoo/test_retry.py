"""Trying transient exclusions again: what is removed, what never is, and that looking removes nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded
from alignsec.study import layout
from alignsec.study.layout import Layout
from alignsec.study.records import MEASURED, read_report, read_status, verdict, write_json, write_status
from alignsec.zoo import retry
from tests.misbehaving import Net

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NAME = "again"
ROWS = ["fine", "waits", "plain"]
CONFIG = {
    "study": NAME,
    "leaderboard": {"source": "board.csv", "registry": "demo"},
    "zoo": {"sheet": "models.tsv", "images": 0},
    "images": {"source": "digits", "count": 8},
    "attack": {"epsilons": ["0.05"], "images_per_shard": 4},
}


def write_study(folder: Path) -> None:
    sheet = "model\tsource\tspec\tfamily\tnote\nfine\tdemo\tarch=mlp\tf\t\n"
    sheet += "waits\tfactory\ttests.flaky:waits\tg\t\nplain\tfactory\ttests.misbehaving:half\th\t\n"
    (folder / "models.tsv").write_text(sheet)
    (folder / "board.csv").write_text(
        "model_name,neural_vision,A1,A2\nfine,.1,.1,.1\nwaits,.3,.2,.4\nplain,.3,.4,.2\nother,.2,.2,.2\n"
    )
    (folder / "study.yaml").write_text(yaml.safe_dump(CONFIG))


def run(folder: Path, *line: str) -> str:
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "FLAKY_WEIGHTS": str(folder / "weights.pth"),
    }
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def snakemake(folder: Path, *arguments: str) -> str:
    files = ("-s", str(ROOT / "Snakefile"), "--configfile", "study.yaml")
    return run(folder, "snakemake", "--cores", "2", *files, *arguments)


def planned(folder: Path, *targets: str) -> dict[str, int]:
    """Rule to number of jobs that a dry run announces."""
    text = snakemake(folder, "-n", *targets)
    if "Nothing to be done" in text:
        return {}
    block = text.split("Job stats:")[1].split("total")[0]
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+)\s+(\d+)\s*$", block, re.M)}


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in sorted((folder / "results").rglob("*"))
        if p.is_file()
    }


def report(model: str, excluded: Excluded | None, study: Layout) -> None:
    found: dict[str, Any] = {"model": model, "kind": "", **dict.fromkeys(MEASURED), **verdict(excluded)}
    write_json(study.models.preflight(model), found)


TIMEOUT, OTHER = Excluded("timeout: no end after 1 s"), Excluded("forward error: ValueError: never")


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Path]:
    """A study whose every output is there, as a file of the same second; no record of a run."""
    write_study(tmp_path)
    study = Layout(tmp_path / layout.of_study(NAME).root)
    for line in snakemake(tmp_path, "--summary").splitlines()[1:]:
        name = line.split("\t")[0]
        if name.startswith("results/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
    for model in ROWS:
        report(model, None, study)
        for shard in layout.shard_names(8, 4):
            write_status(study.models.attack_status(model, shard), model, "attack", None)
            study.models.ledger(model, shard).write_text("settled")
    settle(tmp_path)
    yield tmp_path


def settle(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (4e9, 4e9))  # younger than what the clone brings


def test_only_what_may_change_is_removed_with_what_gathers_it(tmp_path: Path) -> None:
    study = Layout(tmp_path / layout.of_study(NAME).root)
    models = study.models
    report("fine", None, study)
    report("late", TIMEOUT, study)
    report("never", OTHER, study)
    report("missing", Excluded("missing package: json, no_such_package"), study)
    report("installed", Excluded("missing package: json"), study)
    for model in ("fine", "late", "never"):
        for shard, excluded in (("0000", None), ("0001", TIMEOUT), ("0002", OTHER)):
            write_status(models.attack_status(model, shard), model, "attack", excluded)
            models.attack(model, shard).write_text("")
            models.ledger(model, shard).write_text("settled")
    write_status(models.corruptions_status("fine"), "fine", "corruptions", Excluded("killed: x"))
    models.corruptions("fine").write_text("")
    gathered = [study.account, study.reasons, study.robustness, study.excluded, study.warnings, study.total]
    for path in gathered:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    before = contents(tmp_path)
    listed = retry.retry(tmp_path, NAME, remove=False)
    assert contents(tmp_path) == before
    assert [(a.model, a.reason) for a in listed] == [
        ("installed", "missing package: json"), ("late", TIMEOUT.reason), ("fine", TIMEOUT.reason),
        ("fine", "killed: x"),
    ]  # fmt: skip
    assert retry.retry(tmp_path, NAME) == listed
    gone = {
        models.preflight("installed"), models.preflight("late"), models.attack("fine", "0001"),
        models.attack_status("fine", "0001"), models.corruptions("fine"), models.corruptions_status("fine"),
        *gathered[:5],
    }  # fmt: skip
    assert set(before) - set(contents(tmp_path)) == {str(p.relative_to(tmp_path)) for p in gone}
    assert retry.retry(tmp_path, NAME) == []


def test_a_run_that_is_alive_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Layout(tmp_path / layout.of_study(NAME).root)
    report("late", TIMEOUT, study)
    monkeypatch.setattr("alignsec.ground.locks.running", lambda folder: [123] if folder == tmp_path else [])
    with pytest.raises(AlignsecError, match=r"a Snakemake run is alive here \(process 123\): wait for it"):
        retry.retry(tmp_path, NAME)
    assert [a.model for a in retry.retry(tmp_path, NAME, remove=False)] == ["late"]
    assert study.models.preflight("late").is_file()


@pytest.mark.workflow
@pytest.mark.parametrize("arguments", [["--list-rules"], ["--dag"], ["--summary"], ["-n"]], ids=" ".join)
def test_looking_removes_nothing(finished: Path, arguments: list[str]) -> None:
    study = Layout(finished / layout.of_study(NAME).root)
    report("waits", TIMEOUT, study)
    write_status(study.models.attack_status("plain", "0001"), "plain", "attack", TIMEOUT)
    settle(finished)
    before = contents(finished)
    snakemake(finished, *arguments)
    run(finished, "alignsec", "zoo", "retry", "--configfile", "study.yaml", "-n")
    assert contents(finished) == before


@pytest.mark.workflow
def test_a_plain_run_makes_again_what_was_removed_and_no_more(finished: Path) -> None:
    study = Layout(finished / layout.of_study(NAME).root)
    assert planned(finished) == {}
    write_status(study.models.attack_status("plain", "0001"), "plain", "attack", TIMEOUT)
    settle(finished)
    assert planned(finished) == {}
    told = run(finished, "alignsec", "zoo", "retry", "--configfile", "study.yaml")
    assert "again: plain (timeout: no end after 1 s)" in told
    assert "1 exclusions are tried again by the next run" in told
    jobs = planned(finished)
    assert (jobs["attack"], jobs["robustness"], jobs["join"]) == (1, 1, 1)
    assert "preflight" not in jobs


@pytest.mark.workflow
@pytest.mark.slow
def test_a_model_whose_weights_come_later_is_attacked_after_all(tmp_path: Path) -> None:
    write_study(tmp_path)
    study = Layout(tmp_path / layout.of_study(NAME).root)
    snakemake(tmp_path)
    assert read_report(study.models.preflight("waits"))["kind"] == "weights unavailable"
    assert set(pd.read_csv(study.excluded)["model"]) == {"waits"}
    torch.save(Net().state_dict(), tmp_path / "weights.pth")
    assert planned(tmp_path) == {}
    others = {k: v for k, v in contents(tmp_path).items() if "/models/fine/" in k or "/models/plain/" in k}
    told = run(tmp_path, "alignsec", "zoo", "retry", "--configfile", "study.yaml", "-n")
    assert "again: waits (weights unavailable: FileNotFoundError" in told
    assert "1 exclusions would be tried again" in told
    assert planned(tmp_path) == {}
    run(tmp_path, "alignsec", "zoo", "retry", "--configfile", "study.yaml")
    snakemake(tmp_path)
    assert read_report(study.models.preflight("waits"))["status"] == "ok"
    assert all(
        read_status(study.models.attack_status("waits", s))["status"] == "ok"
        for s in layout.shard_names(8, 4)
    )
    assert pd.read_csv(study.excluded).empty
    assert set(tables.read(study.robustness, "robustness")["model"]) == set(ROWS)
    assert others == {k: v for k, v in contents(tmp_path).items() if k in others}
    assert planned(tmp_path) == {}
