"""The workflow as a module of another one, as `snakedeploy` writes it: the same tables."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
# what `snakedeploy deploy-workflow` 0.17.1 writes, its place pointed at a copy
DEPLOYED = """
configfile: "config/config.yaml"


module alignsec:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from alignsec
"""

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a checkout holds, and nothing else."""
    place = tmp_path_factory.mktemp("deployed") / "alignsec"
    place.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes((ROOT / name).read_bytes())
    return place


def study(folder: Path) -> None:
    """A leaderboard of forty networks and a table of their robustness."""
    rng = np.random.default_rng(0)
    board = pd.DataFrame(rng.random((40, 2)).round(4), columns=["MajajHong2015.IT-pls", "ImageNet-top1"])
    board.insert(0, "model", [f"resnet{i}" if i % 2 else f"vgg{i}" for i in range(40)])
    mine = board[["model"]].assign(clean_top1=board["ImageNet-top1"], n=1000)
    mine["robust_top1@1/255"] = (0.5 * board["MajajHong2015.IT-pls"]).round(3)
    (folder / "config").mkdir(parents=True)
    board.to_csv(folder / "board.csv", index=False)
    mine.round(3).to_csv(folder / "mine.csv", index=False)
    (folder / "config" / "config.yaml").write_text(
        "study: mine\nleaderboard: {source: board.csv, registry: config/published/registry.csv}\n"
        "robustness: {source: mine.csv}\nanalysis: {flips: 1000}\n"
    )


def run(folder: Path, *arguments: str) -> pd.DataFrame:
    table = "results/mine/correlations/all.csv"
    asked = [sys.executable, "-m", "snakemake", table, "--cores", "2", *arguments]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(asked, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return pd.read_csv(folder / table)


def test_a_deployment_gives_the_tables_of_the_workflow(copy: Path, tmp_path: Path) -> None:
    study(tmp_path / "direct")
    direct = run(tmp_path / "direct", "-s", str(copy / "Snakefile"), "--configfile", "config/config.yaml")
    study(tmp_path / "module")
    (tmp_path / "module" / "workflow").mkdir()
    text = DEPLOYED.format(snakefile=copy / "Snakefile")
    (tmp_path / "module" / "workflow" / "Snakefile").write_text(text)
    assert len(direct) > 4 and direct["rho"].notna().any()
    pd.testing.assert_frame_equal(run(tmp_path / "module"), direct)
