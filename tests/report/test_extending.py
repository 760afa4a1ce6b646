"""`docs/extending.md` taken at its word: its blocks go where it says in a copy, and a study runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from alignsec.study import layout

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(
    r"^```\w+ (?:file=(?P<file>\S+)(?: below=\"(?P<below>[^\"\n]+)\")?|(?P<what>config|sheet))$\n"
    r"(?P<body>.*?)^```$",
    re.M | re.S,
)
STUDY = {
    "study": "extended",
    "zoo": {"sheet": "models.tsv", "images": 8},
    "images": {"source": "digits", "count": 8},
    "attack": {"epsilons": ["0.02"], "version": "custom", "attacks": ["apgd-ce"], "images_per_shard": 8},
    "robustness": {"corruptions": {"names": ["contrast"], "severities": [3]}},
}
SHEET = """model\tsource\tspec\tfamily\tnote
mlp\tdemo\tarch=mlp,training=standard,seed=1\tmlp\t
cnn\tdemo\tarch=cnn,training=standard,seed=2\tcnn\t
"""


def checkout(folder: Path) -> None:
    """Copy what git tracks, or would."""
    line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def apply(folder: Path) -> list[str]:
    """Do what the page says below `folder`; the kinds of its blocks, in order."""
    done = []
    for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        body = block["body"]
        if block["what"] == "config":
            place = folder / "page.yaml"
            given = yaml.safe_load(place.read_text()) if place.exists() else {}
            place.write_text(yaml.safe_dump(given | yaml.safe_load(body)))
        elif block["what"] == "sheet":
            with (folder / "models.tsv").open("a") as sheet:
                sheet.write(body)
        elif block["below"]:
            place = folder / block["file"]
            text = place.read_text(encoding="utf-8")
            assert text.count(f"{block['below']}\n") == 1, block["below"]
            place.write_text(
                text.replace(f"{block['below']}\n", f"{block['below']}\n{body}"), encoding="utf-8"
            )
        else:
            place = folder / block["file"]
            assert place.parent.is_dir(), place
            before = f"{place.read_text(encoding='utf-8')}\n\n" if place.exists() else ""
            place.write_text(before + body, encoding="utf-8")
        done.append(block["what"] or block["file"])
    return done


@pytest.mark.workflow
def test_the_page_of_extensions_does_what_it_says(tmp_path: Path) -> None:
    checkout(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    (tmp_path / "models.tsv").write_text(SHEET)
    done = apply(tmp_path)
    assert [done.count(w) for w in ("config", "sheet", "src/alignsec/study/catalogue.py")] == [2, 1, 2]
    study = layout.Layout(Path("results") / "extended")
    binaries = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path / "src"),
    }
    line = [
        str(binaries / "snakemake"), "--cores", "2", "--configfile", "study.yaml", "page.yaml", "--",
        str(study.figure("spread", "png")), str(study.robustness),
    ]  # fmt: skip
    run = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

    for suffix in layout.FIGURE_SUFFIXES:  # the figure
        assert (tmp_path / study.figure("spread", suffix)).stat().st_size > 1000
    assert pd.read_csv(tmp_path / study.excluded).empty
    table = pd.read_parquet(tmp_path / study.robustness).pivot(
        index="model", columns="target", values="value"
    )
    assert list(table.index) == ["cnn", "mlp", "ridge"]  # the model of the new source
    verdicts = pd.read_parquet(tmp_path / study.models.attack("ridge", layout.shard_name(0)))
    assert sorted(verdicts["epsilon"].unique()) == [0.02, 0.05, 0.1]
    assert verdicts["image"].nunique() == 8
    # accuracy of a linear classifier falls with epsilon, and the new epsilon is the hardest
    falling = table.loc["ridge", ["clean_top1", *(f"robust_top1@{e}" for e in ("0.02", "0.05", "0.1"))]]
    assert falling.is_monotonic_decreasing and falling.iloc[0] > 0.7 > falling.iloc[-1]
    corrupted = table[["corruption_top1@contrast-3", "corruption_top1@inversion-3"]]
    assert corrupted.notna().all(axis=None)
