"""Where a study's files may lie and what they may be called: nothing that stands in a name is executed."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from alignsec.ground.errors import AlignsecError
from alignsec.study import config, sheet
from tests.workflow.test_workflow import BIN, MODELS, ROOT, command, planned, snakemake

pytestmark = pytest.mark.workflow

DEMO = ROOT / "config" / "demo" / "models.tsv"

# a leading dash, spaces, quotes of both kinds, what a shell would run, expand or cut off, and no ASCII
NASTY = '-it\'s "$(touch pwned)" `touch pwned`;touch pwned&#*é'


def own_files(folder: Path) -> dict[str, Any]:
    """Leaderboard, package, images and sheet in `folder`, and the study of them by relative paths."""
    from sklearn.datasets import load_digits

    folder.mkdir(parents=True)
    (folder / f"{NASTY}.csv").write_text("model_name,neural_vision,A1\nmlp,.1,.1\nother,.2,.2\n")
    plugin = folder / f"{NASTY} package" / "models" / "mlp" / "__init__.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("model_registry['mlp'] = lambda: None\nmodel_registry['other'] = lambda: None\n")
    digits = load_digits()
    pixels = (digits.images[:4] / 16).astype(np.float32)
    np.savez(folder / f"{NASTY}.images.npz", images=pixels, labels=digits.target[:4])
    (folder / f"{NASTY} corruptions").mkdir()
    sheet.write(pd.DataFrame([["mlp", *MODELS[0][1:]]], columns=sheet.COLUMNS), folder / f"{NASTY}.tsv")
    return {
        "study": "small",
        "leaderboard": {"source": f"{NASTY}.csv", "registry": f"{NASTY} package"},
        "zoo": {"sheet": f"{NASTY}.tsv", "images": 0},
        "images": {"source": "npz", "path": f"{NASTY}.images.npz", "count": 2},
        "attack": {"epsilons": ["0.3"], "images_per_shard": 2},
    }


def run(folder: Path, configuration: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As `snakemake` of the other tests, with a configuration that lies elsewhere."""
    folder.mkdir(exist_ok=True)
    line, environment = command(folder, *arguments)
    line[line.index("--configfile") + 1] = str(configuration)
    return subprocess.run(line, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def commands(printed: str) -> list[list[str]]:
    """The words of every shell command that `-p` prints, as a shell takes them apart."""
    return [shlex.split(line) for line in re.findall(r"^Shell command: (.*)$", printed, re.M)]


def test_files_of_any_name_beside_their_configuration_and_none_is_executed(tmp_path: Path) -> None:
    """The run stands elsewhere, so the sheet, the table and the images are found beside the configuration."""
    place, here = tmp_path / f"study {NASTY}", tmp_path / "run"
    study = own_files(place)
    (place / f"{NASTY}.yaml").write_text(yaml.safe_dump(study))
    attacked = ("results/small/robustness/models.parquet", "results/small/registry/merged.parquet")
    done = run(here, place / f"{NASTY}.yaml", "--", *attacked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(pd.read_parquet(here / attacked[0])["model"]) == {"mlp"}
    assert set(pd.read_parquet(here / attacked[1])["model"]) == {"mlp", "other"}
    (place / f"{NASTY}.mine.csv").write_text("model,target,value\nmlp,clean_top1,0.9\n")
    study |= {"study": "own", "robustness": {"source": f"{NASTY}.mine.csv"}}
    (place / f"{NASTY}.yaml").write_text(yaml.safe_dump(study))
    joined = "results/own/analysis/total_scores.parquet"
    done = run(here, place / f"{NASTY}.yaml", "--", joined)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mlp" in set(pd.read_parquet(here / joined)["model"])
    assert not list(tmp_path.rglob("pwned"))
    assert {p.name for p in here.iterdir()} == {"results", ".snakemake"}


def test_every_path_reaches_its_verbs_as_one_word(tmp_path: Path) -> None:
    """Of all rules: the words of the commands that would run, taken apart as a shell does."""
    study = own_files(tmp_path / "study")
    study["robustness"] = {"corruptions": {"names": ["fog"], "path": f"{NASTY} corruptions"}}
    (tmp_path / "study" / "study.yaml").write_text(yaml.safe_dump(study))
    done = run(tmp_path / "study", tmp_path / "study" / "study.yaml", "-n", "-p", "estimate", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    found = commands(done.stdout + done.stderr)
    (tmp_path / "study" / f"{NASTY}.mine.csv").touch()
    study |= {"robustness": {"source": f"{NASTY}.mine.csv"}}
    (tmp_path / "study" / "study.yaml").write_text(yaml.safe_dump(study))
    done = run(tmp_path / "study", tmp_path / "study" / "study.yaml", "-n", "-p")
    found += commands(done.stdout + done.stderr)
    verbs = {" ".join(w for w in words[1:3]) for words in found}
    assert {f"leaderboard {verb}" for verb in ("fetch", "merge", "registry")} <= verbs
    assert {f"robustness {verb}" for verb in ("gather", "corruptions", "own")} <= verbs
    assert {"images shard", "attack estimate", "zoo account", "analysis join", "report figures"} <= verbs
    suffixes = (".csv", ".tsv", ".images.npz", ".mine.csv", " package", " corruptions")
    whole = {NASTY + suffix for suffix in suffixes}
    touched = [w for words in found for w in words if "pwned" in w]
    as_json = [w for w in touched if w.startswith("{")]
    assert {w for w in touched if w not in as_json} == whole
    # of a configuration or of options, in one word
    sheets = [given.get("zoo", given)["sheet"] for given in map(json.loads, as_json)]
    assert sheets and set(sheets) == {f"{NASTY}.tsv"}


NAMES = ("a{x}.tsv", "a\nb", "a\x00b", "", " ", "\x1b[31m")


@pytest.mark.parametrize("key", list(config.PATHS))
@pytest.mark.parametrize("name", NAMES)
def test_what_snakemake_cannot_take_is_refused_by_its_key(key: str, name: str) -> None:
    given: dict[str, Any] = {"study": "x", "zoo": {"sheet": "a.tsv"}}
    *sections, last = key.split(".")
    node = given
    for section in sections:
        node = node.setdefault(section, {})
    node[last] = name
    with pytest.raises(AlignsecError, match=rf"config: {re.escape(key)} .*no braces.*rename"):
        config.resolve(given)


def test_a_refused_name_is_told_before_any_job(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"study": "x", "zoo": {"sheet": "a{x}.tsv"}}))
    done = snakemake(tmp_path)
    assert done.returncode == 1
    assert "config: zoo.sheet 'a{x}.tsv': a path is not empty and holds no braces" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "results").exists()


def test_where_a_path_is_looked_for(tmp_path: Path) -> None:
    """The working directory, the configuration's folder, the clone; what lies below is named from there."""
    here, beside, clone = tmp_path / "run", tmp_path / "run" / "mine", tmp_path / "clone"
    for folder in (here, beside, clone):
        folder.mkdir()
    resolved = config.resolve(
        {"study": "x", "zoo": {"sheet": "m.tsv"}, "images": {"source": "npz", "path": "i"}}
    )

    def sheet_of(**more: Any) -> str:
        found = config.located(resolved | more, [beside, clone], here)
        return str(found["zoo"]["sheet"])

    assert sheet_of() == "m.tsv"  # nowhere: as written, for the message of its reader
    (clone / "m.tsv").touch()
    assert sheet_of() == str(clone / "m.tsv")
    (beside / "m.tsv").touch()
    assert sheet_of() == "mine/m.tsv"
    (here / "m.tsv").touch()
    assert sheet_of() == "m.tsv"
    # a folder called as a keyword is no leaderboard, nor is a name too long for a file anything
    for keyword in ("demo", "attack"):
        (beside / keyword).mkdir()
    found = config.located(resolved | {"zoo": {"sheet": "x" * 5000}}, [beside, clone], here)
    assert found["leaderboard"] == resolved["leaderboard"] and found["robustness"]["source"] == "attack"
    (tmp_path / "a{x}").mkdir()
    (tmp_path / "a{x}" / "z.tsv").touch()
    with pytest.raises(AlignsecError, match="no braces"):
        config.located(resolved | {"zoo": {"sheet": "z.tsv"}}, [tmp_path / "a{x}"], here)


def clone_run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    _, environment = command(folder)
    line = [str(BIN / "snakemake"), "-s", str(ROOT / "Snakefile"), "-d", str(folder), "--cores", "1", "-n"]
    return subprocess.run(
        [*line, *arguments], env=environment, cwd="/", capture_output=True, text=True, check=False
    )


def test_the_demo_runs_from_elsewhere_also_under_another_name(tmp_path: Path) -> None:
    done = clone_run(tmp_path, "-p", "--config", "study=mine")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert re.search(rf"^attack +{len(sheet.read(DEMO))}$", text, re.M)
    assert "results/mine/summary.md" in text and "results/demo" not in text
    assert f"--sheet {DEMO}" in text


def test_a_configuration_of_ones_own_inherits_nothing_of_the_demo(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("study: mine\n")
    done = clone_run(tmp_path, "--configfile", str(tmp_path / "study.yaml"))
    assert done.returncode == 1
    assert "config: zoo.sheet is null, but the models are to be attacked" in done.stdout + done.stderr


def test_the_workflow_is_a_module_of_another(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        f'module alignsec:\n    snakefile: "{ROOT}/Snakefile"\n'
        '    config: {"study": "inner", "zoo": {"sheet": "config/demo/models.tsv"}}\n\n'
        "use rule * from alignsec as alignsec_*\n\n"
        "rule mine:\n    default_target: True\n    input: rules.alignsec_all.input\n"
    )
    done = clone_run(tmp_path, "-s", str(tmp_path / "Snakefile"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^alignsec_attack +{len(sheet.read(DEMO))}$", done.stdout + done.stderr, re.M)


def test_a_study_that_makes_no_findings_points_at_none(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("model_name,neural_vision,A1\nmlp,.1,.1\nother,.2,.2\n")
    study = {"study": "x", "leaderboard": {"source": "l.csv"}, "robustness": {"source": "none.csv"},
             "zoo": {"sheet": "m.tsv"}}  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    sheet.write(pd.DataFrame([["mlp", "timm", "", "f", ""]], columns=sheet.COLUMNS), tmp_path / "m.tsv")
    target = "results/x/scores/leaderboard.csv"
    done = snakemake(tmp_path, "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("findings:", "explore:", "figures:", "tables:"):
        assert word not in done.stdout + done.stderr
    (tmp_path / "results" / "x" / "summary.md").touch()
    (tmp_path / target).unlink()
    done = snakemake(tmp_path, "--", target)
    assert "findings: results/x/summary.md\n" in done.stderr and "explore:" not in done.stderr
    assert planned(tmp_path, target) == {}
