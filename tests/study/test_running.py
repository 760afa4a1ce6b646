"""`alignsec run`: Snakemake with a line per job, and what a failing rule itself says."""

import subprocess
import sys
from pathlib import Path

import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.study.running import HERE, check, command

RULES = """
rule all:
    input: "b_3a1.txt", "good.txt"
rule good:
    output: "good.txt"
    shell: "echo made > {output}"
rule breaks:
    output: "{model}.txt"
    log: "{model}.log"
    wildcard_constraints: model="b_.*"
    shell:
        "(echo 'some noise'; echo 'error: sheet.tsv:3: no such model'; "
        "echo 'a second line'; exit 2) > {log} 2>&1"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "Snakefile").write_text(RULES)
    asked = [sys.executable, "-m", "alignsec", "run", "--cores", "1", "--keep-going"]
    return subprocess.run(asked, cwd=folder, capture_output=True, text=True)


def test_a_job_is_a_line_and_a_failure_is_told_once(run: subprocess.CompletedProcess[str]) -> None:
    assert run.returncode == 1
    lines = run.stderr.splitlines()
    assert any(line.startswith("[1/3") and "] good  " in line for line in lines), run.stderr
    at = lines.index("FAILED  breaks b:1")
    assert lines[at + 1 : at + 3] == ["  error: sheet.tsv:3: no such model", "  a second line"]
    assert lines[at + 3] == "  log: b_3a1.log"
    assert "some noise" not in run.stderr and "At least one job" not in run.stderr
    assert "CalledProcessError" not in run.stderr and len(lines) < 12


def test_a_dry_run_and_verbose_look_as_snakemakes(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(RULES)
    asked = [sys.executable, "-m", "alignsec", "run", "-n"]
    dry = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert dry.returncode == 0
    assert "rule good:" in dry.stderr + dry.stdout and "Missing output files" in dry.stderr + dry.stdout
    assert "--logger" not in command(["--verbose"], tmp_path)


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").touch()
    check(["figures", "--configfile", "study.yaml", "--cores", "2", "target"], tmp_path)
    for words in (["--configfile", "stuudy.yaml"], ["--configfile", "study.yaml", "figures"]):
        with pytest.raises(AlignsecError, match=f"{words[-1]}: no such configuration file .*before"):
            check(words, tmp_path)
    asked = [sys.executable, "-m", "alignsec", "run", "--configfile", "gone.yaml"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: gone.yaml: no such")


def test_what_is_given_stands(tmp_path: Path) -> None:
    of_cluster = command(["--profile", "htcondor"], tmp_path)
    assert "--cores" not in of_cluster and of_cluster[-4:-2] == ["--snakefile", str(HERE)]
    (tmp_path / "Snakefile").touch()
    assert command(["-c1", "target"], tmp_path)[2:] == ["snakemake", "--logger", "alignsec", "-c1", "target"]
    assert "--cores" not in command(["--cores=2"], tmp_path)
