"""docs/images.md, followed to the letter: one's own pictures in class folders, one's own model."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from alignsec.images import shards
from alignsec.images.pixels import load as load_pixels
from alignsec.zoo.sources.factory import centre_crop
from tests.workflow.test_workflow import BIN, ROOT

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def pictures(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-10 images as PNG in ten named folders, and what programs leave beside them."""
    folder = tmp_path_factory.mktemp("own") / "pictures"
    with np.load(data_dir / "cifar10" / "test_head_256.npz") as file:
        images, labels = file["images"], file["labels"]
    for i in range(80):
        place = folder / CLASSES[labels[i]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i].transpose(1, 2, 0)).save(place / f"{i:04d}.png")
    for stray in (".ipynb_checkpoints", "__MACOSX"):
        (folder / stray).mkdir()
        (folder / stray / "copy.png").write_bytes((place / f"{79:04d}.png").read_bytes())
    (folder / "cat" / ".DS_Store").write_bytes(b"no image")
    return folder


def test_folders_that_programs_leave_are_no_classes(pictures: Path) -> None:
    table = shards.cut("folders", str(pictures), 0, 80, 0)
    named = {Path(i).parent.name: label for i, label in zip(table["image"], table["label"], strict=True)}
    assert named == {name: i for i, name in enumerate(CLASSES)}


def test_pictures_of_the_input_size_are_taken_as_they_are(pictures: Path, data_dir: Path) -> None:
    table = shards.cut("folders", str(pictures), 0, 80, 0)
    pixels, _ = load_pixels(table, centre_crop((32, 32)))
    with np.load(data_dir / "cifar10" / "test_head_256.npz") as file:
        own = file["images"][[int(Path(i).stem) for i in table["image"]]]
    assert np.array_equal(np.round(pixels * 255).astype(np.uint8), own)
    assert centre_crop((24, 20))([Path(table["path"][0])]).shape == (1, 3, 24, 20)


@pytest.mark.parametrize("suffix", ["webp", "gif", "bmp", "jpg"])
def test_no_class_is_lost_to_its_suffix(suffix: str, tmp_path: Path) -> None:
    for name, kind in (("ape", suffix), ("cat", "png")):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), "red" if name == "ape" else "blue").save(tmp_path / name / f"1.{kind}")
    table = shards.cut("folders", str(tmp_path), 0, 2, 0)
    assert sorted(table["label"]) == [0, 1]


def block(text: str, start: str) -> str:
    """The one fenced block of the page that begins so."""
    found = [b for b in re.findall(r"```\w*\n(.*?)```", text, re.S) if b.startswith(start)]
    assert len(found) == 1, start
    return found[0]


def trained(namespace: dict[str, object], folder: Path) -> None:
    """The page's network, trained a moment on the pictures themselves: weights are the reader's affair."""
    torch.manual_seed(0)
    network: nn.Module = namespace["Small"]()  # type: ignore[operator]
    table = shards.cut("folders", str(folder / "pictures"), 0, 80, 0)
    x = torch.from_numpy(load_pixels(table, centre_crop((32, 32)))[0])
    y = torch.tensor(table["label"].to_numpy())
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimiser.step()
    torch.save(network.state_dict(), folder / "small.pt")


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.timeout(900)
def test_the_page_leads_a_newcomer_to_a_table(pictures: Path) -> None:
    folder = pictures.parent
    page = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    code = block(page, "from pathlib")
    (folder / "ourlab.py").write_text(code)
    (folder / "models.tsv").write_text(block(page, "model\t"))
    (folder / "study.yaml").write_text(block(page, "study:"))
    namespace: dict[str, object] = {"__file__": str(folder / "ourlab.py")}
    exec(compile(code, "ourlab.py", "exec"), namespace)
    trained(namespace, folder)
    # of this environment: the commands, and where this checkout lies
    commands = block(page, "PYTHONPATH=. snakemake").replace("CLONE", str(ROOT))
    paths = os.pathsep.join([str(BIN), os.environ["PATH"]])
    source = os.pathsep.join([".", str(ROOT / "src")])
    for command in commands.strip().splitlines():
        line = command.replace("PYTHONPATH=.", f"PYTHONPATH={source}").replace("--cores all", "--cores 2")
        done = subprocess.run(
            line, shell=True, cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": paths},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    results = folder / "results" / "mine"
    (row,) = pd.read_csv(results / "zoo" / "models.csv", keep_default_na=False).to_dict("records")
    assert (row["status"], row["flags"], row["clean_n"]) == ("ok", "", 32)
    table = pd.read_parquet(results / "robustness" / "models.parquet").set_index("target")
    assert table.loc["robust_top1@1/255", "n"] == 16
    assert 0 <= table.loc["robust_top1@1/255", "value"] <= table.loc["clean_top1", "value"]
    assert table.loc["clean_top1", "value"] > 0.9
    assert pd.read_csv(results / "robustness" / "warnings.csv").empty
    told = (results / "logs" / "sample_images.log").read_text()
    assert "airplane 0, automobile 1" in told


def test_everything_that_the_page_says_goes_wrong_is_held_by_a_test() -> None:
    page = (ROOT / "docs" / "images.md").read_text(encoding="utf-8").partition("## What goes wrong")[2]
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| the")]
    named = re.findall(r"`(test_\w+)` \|$", page, re.M)
    assert len(named) >= len(rows) - 1 > 20
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name in named if f"def {name}(" not in tests]


def test_a_study_without_a_leaderboard_is_told_where_it_ends(tmp_path: Path) -> None:
    from alignsec.demo.benchmarks import measure_all
    from alignsec.ground.errors import AlignsecError
    from alignsec.study import sheet

    rows = pd.DataFrame([["m", "factory", "a:b", "f", ""]], columns=sheet.COLUMNS)
    with pytest.raises(
        AlignsecError, match=r"leaderboard\.source: demo .* sheet has none.*snakemake robustness"
    ):
        measure_all(rows, tmp_path, 0)


@pytest.mark.workflow
def test_a_run_is_refused_before_its_first_job_where_corruptions_need_larger_images(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "study: small\nzoo: {sheet: models.tsv}\nimages: {source: digits}\n"
        "robustness: {corruptions: {names: [contrast, frost]}}\n"
    )
    (tmp_path / "models.tsv").write_text("model\tsource\tspec\tfamily\tnote\nm\tfactory\ta:b\t\t\n")
    line = [str(BIN / "snakemake"), "-s", str(ROOT / "Snakefile"), "--cores", "1", "robustness"]
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [*line, "--configfile", "study.yaml"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "frost is for images of 64 pixels and more, these have 8 × 8" in done.stdout + done.stderr
    assert not list((tmp_path / "results").rglob("*.parquet"))
