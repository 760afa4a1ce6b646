"""The lock of a run that was killed, and that of one that is alive."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alignsec.ground import locks
from alignsec.ground.errors import AlignsecError


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
