"""The model sheet, devices, locks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground import devices, locks
from alignsec.ground.errors import AlignsecError
from alignsec.study import sheet


def test_sheet_round_trip_keeps_names_to_the_letter(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [[" a/b c", "demo", "arch=x", "f", ""], ["b", "brainscore", "", "g", "n"]], columns=sheet.COLUMNS
    )
    sheet.write(frame, tmp_path / "m.tsv")
    pd.testing.assert_frame_equal(sheet.read(tmp_path / "m.tsv"), frame)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("model\tsource\n", "header"),
        ("\t".join(sheet.COLUMNS) + "\n", "no model"),
        ("\t".join(sheet.COLUMNS) + "\na\tdemo\na\tdemo\n", "m.tsv:3: model 'a' is already on line 2"),
        ("\t".join(sheet.COLUMNS) + "\na\tnowhere\n", "m.tsv:2: source 'nowhere'"),
        ("\t".join(sheet.COLUMNS) + "\n \tdemo\n", "no name"),
    ],
)
def test_sheet_errors(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "m.tsv").write_text(body)
    with pytest.raises(AlignsecError, match=message):
        sheet.read(tmp_path / "m.tsv")


def test_devices_are_given_once_and_ids_may_be_strings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a0223334,GPU-b1223334")
    with devices.acquire(tmp_path) as first:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == first == "GPU-a0223334"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a0223334,GPU-b1223334")
        with devices.acquire(tmp_path) as second:
            assert second == "GPU-b1223334"
    with devices.acquire(tmp_path) as again:
        assert again == "GPU-a0223334"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with devices.acquire(tmp_path) as none:
        assert none is None


def test_a_dead_runs_lock_is_removed_and_a_live_runs_lock_kept(tmp_path: Path) -> None:
    assert locks.unlock(tmp_path) is False
    (tmp_path / "Snakefile").write_text("rule all:\n    output: 'x'\n    shell: 'echo > x; sleep 60'\n")
    held = tmp_path / ".snakemake" / "locks"
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1"], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        waited = time.monotonic() + 60
        while not (tmp_path / "x").exists() and time.monotonic() < waited:
            time.sleep(0.1)
        with pytest.raises(AlignsecError, match=f"alive here .process .*{run.pid}"):
            locks.unlock(tmp_path)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert any(held.iterdir())
    assert locks.unlock(tmp_path) is True
    assert not held.exists()


@pytest.mark.parametrize(
    ("command", "is_one"),
    [
        ("/venv/bin/python /venv/bin/snakemake --cores 2", True),
        ("python3 -m snakemake", True),
        ("snakemake", True),
        ("vim snakemake.log", False),
        ("tail -f snakemake", False),
        ("", False),
    ],
)
def test_what_counts_as_a_run(command: str, is_one: bool) -> None:
    assert locks.is_snakemake(command.split()) is is_one
