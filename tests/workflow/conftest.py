"""The published study, made once for all tests of a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignsec.study.layout import of_study

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """Where the study ran as far as its correlations."""
    if not (data_dir / "published").is_dir():
        pytest.skip(f"no published tables below {data_dir}: set ALIGNSEC_DATA")
    folder = tmp_path_factory.mktemp("published")
    study = of_study("published")
    wanted = (
        study.correlations.with_suffix(".csv"),
        study.names,
        study.kinds,
        study.selections,
        study.replication,
    )
    targets = [str(path) for path in (*wanted, study.figure("kinds", "png"))]
    command = [sys.executable, "-m", "snakemake", *targets, "-s", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--quiet", "all", "--configfile", str(ROOT / "config" / "published.yaml")]
    environment = {**os.environ, "ALIGNSEC_MIRROR": str(data_dir)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
