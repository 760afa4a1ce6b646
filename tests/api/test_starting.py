"""`alignsec new`: a configuration that is checked before it is run, and that Snakemake can plan."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from alignsec import cli
from alignsec.api.starting import Start, new
from alignsec.ground.errors import AlignsecError
from alignsec.study import config, sheet

MODELS = ("torchvision:ResNet50_Weights.IMAGENET1K_V2", "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k")


@pytest.fixture
def board(tmp_path: Path) -> str:
    rows = [f"net{i},{i / 10},{1 - i / 20}" for i in range(9)]
    path = tmp_path / "board.csv"
    path.write_text("\n".join(["model,MajajHong2015.IT-pls,ImageNet-top1", *rows]) + "\n")
    return str(path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(
        "model,clean_top1,robust_top1@1/255,n\nnet1,0.5,0.1,1000\nnet2,0.7,0.2,1000\nnet22,0.7,0.2,1000\n"
    )
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for k in range(3):
        place = tmp_path / "images" / f"class {k}" / "one.png"
        place.parent.mkdir(parents=True)
        Image.fromarray(np.full((16, 16, 3), 40 * k, dtype=np.uint8)).save(place)
    return tmp_path / "images"


def test_of_a_table_names_are_told_and_the_leaderboard_is_pinned(
    tmp_path: Path, board: str, table: Path
) -> None:
    path, said = new(Start(name="mine", folder=tmp_path, leaderboard=board, robustness=table))
    assert "2 of its models are on the leaderboard" in said
    assert any("net22" in line and "net2" in line for line in said)
    assert said[-1] == f"run it: alignsec run --configfile {path}"
    found = config.read(path)
    assert len(found["leaderboard"]["sha256"]) == 64 and found["robustness"]["source"] == str(table)


def test_of_models_the_sheet_is_written_and_the_images_are_counted(
    tmp_path: Path, board: str, images: Path
) -> None:
    path, said = new(Start(name="own", folder=tmp_path, leaderboard=board, models=MODELS, images=images))
    found = config.read(path)
    rows = sheet.read(found["zoo"]["sheet"])
    assert list(rows["source"]) == ["torchvision", "timm"] and list(rows["family"]) == ["resnet", "vit"]
    assert found["images"] == {**found["images"], "source": "folders", "path": str(images), "count": 3}
    assert any(line == "images: 3 of 3, 3 classes, labels 0 to 2" for line in said)
    assert any("fewer than 6 families" in line for line in said)


@pytest.mark.workflow
def test_what_it_writes_can_be_planned(tmp_path: Path, board: str, table: Path, images: Path) -> None:
    table.write_text("\n".join(table.read_text().splitlines()[:3]) + "\n")
    one, _ = new(Start(name="mine", folder=tmp_path, leaderboard=board, robustness=table))
    other, _ = new(Start(name="own", folder=tmp_path, leaderboard=board, models=MODELS, images=images))
    for path, rule in ((one, "correlate"), (other, "attack")):
        asked = [sys.executable, "-m", "alignsec", "run", "-n", "--configfile", str(path)]
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0 and rule in done.stdout + done.stderr, done.stderr


def test_nothing_is_written_where_something_is_wrong(
    tmp_path: Path, board: str, table: Path, images: Path
) -> None:
    there = {p.name for p in tmp_path.iterdir()}

    def refused(said: str, **given: object) -> None:
        with pytest.raises(AlignsecError, match=said):
            new(Start(**{"name": "x", "folder": tmp_path, "leaderboard": board, **given}))  # type: ignore[arg-type]
        assert {p.name for p in tmp_path.iterdir()} == there

    refused("give one")
    refused("give one", robustness=table, models=MODELS)
    refused("no such robustness table", robustness=tmp_path / "gone.csv")
    refused("write source:spec", models=["resnet:18", "b:c"], images=images)
    refused("no such model sheet", models=["gone.tsv"], images=images)
    refused("weights enum", models=["torchvision:resnet18x"], images=images)
    refused("models need images", models=MODELS)
    refused("no such|not there|is no", models=MODELS[:1], images=tmp_path / "gone")
    refused("epsilon", models=["timm:resnet18.a1_in1k"], images=images, epsilons=["2"])


def test_what_is_there_is_not_overwritten(tmp_path: Path, board: str, table: Path) -> None:
    (tmp_path / "mine.yaml").write_text("study: mine\n")
    with pytest.raises(AlignsecError, match="is there already"):
        new(Start(name="mine", folder=tmp_path, leaderboard=board, robustness=table))
    assert (tmp_path / "mine.yaml").read_text() == "study: mine\n"


def test_it_asks_for_what_is_not_given(tmp_path: Path, board: str, table: Path) -> None:
    asked = ["new", "--folder", str(tmp_path), "--leaderboard", board]
    said = CliRunner().invoke(cli.app, asked, input=f"mine\ny\n{table}\n")
    assert said.exit_code == 0, said.output
    assert "Name of the study" in said.output and (tmp_path / "mine.yaml").is_file()
