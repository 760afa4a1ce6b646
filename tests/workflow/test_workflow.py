"""The workflow on a study of four networks and eight images: what runs, what reruns, what a user is told."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from alignsec.ground import locks, names
from alignsec.study import sheet
from alignsec.zoo import retry
from tests import thin

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.workflow

MODELS = [
    ["mlp standard", "demo", "arch=mlp,training=standard,seed=1", "mlp", ""],
    ["lab/mlp noise", "demo", "arch=mlp,training=noise,strength=0.2,seed=2", "mlp", ""],
    ["cnn", "demo", "arch=cnn,training=standard,seed=3", "cnn", ""],
    ["broken", "factory", "no_such_package_at_all:make", "own", "excluded, and the others go on"],
]
CONFIG = {
    "study": "small",
    "leaderboard": {"source": "demo", "registry": "demo"},
    "zoo": {"sheet": "models.tsv"},
    "images": {"source": "digits", "count": 8},
    "attack": {"epsilons": ["0.02", "0.05"], "images_per_shard": 8},
    "robustness": {"corruptions": {"names": ["contrast"], "severities": [3]}},
}


def command(folder: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    line = [
        str(BIN / "snakemake"), "-s", str(ROOT / "Snakefile"), "--directory", str(folder), "--cores", "2",
        "--configfile", str(folder / "study.yaml"), *arguments,
    ]  # fmt: skip
    return line, os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line, environment = command(folder, *arguments)
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, cwd=folder)


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """Rule to number of jobs that a dry run announces."""
    done = snakemake(folder, "-n", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    if "Nothing to be done" in text:
        return {}
    block = text.split("Job stats:")[1].split("total")[0]
    return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+)\s+(\d+)\s*$", block, re.M)}


def trained(jobs: dict[str, int]) -> set[str]:
    """Rules that train demo networks among planned ones."""
    return {rule for rule in jobs if rule.startswith("train_demo")}


def configure(folder: Path, **sections: dict[str, object]) -> None:
    merged = {k: ({**v, **sections.pop(k, {})} if isinstance(v, dict) else v) for k, v in CONFIG.items()}
    (folder / "study.yaml").write_text(yaml.safe_dump(merged | sections))


def write_sheet(folder: Path, rows: list[list[str]]) -> None:
    sheet.write(pd.DataFrame(rows, columns=sheet.COLUMNS), folder / "models.tsv")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    configure(folder)
    write_sheet(folder, MODELS)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def study(finished: Path) -> Path:
    """The finished study, its configuration and sheet as they were."""
    configure(finished)
    write_sheet(finished, MODELS)
    return finished


def test_every_output_of_the_design_is_there(study: Path) -> None:
    results = study / "results" / "small"
    for name in [
        "scores/leaderboard.csv",
        "scores/scores.parquet",
        "scores/benchmarks.parquet",
        "registry/registry.parquet",
        "registry/merged.parquet",
        "registry/names.csv",
        "images/shards/0000.parquet",
        "images/manifest.parquet",
        "models/cnn/preflight.json",
        "models/cnn/attack/0000.parquet",
        "models/cnn/corruptions.parquet",
        "robustness/models.parquet",
        "robustness/excluded.csv",
        "robustness/warnings.csv",
        "models/cnn/attack/0000.ledger",
        "analysis/total_scores.parquet",
        "correlations/all.parquet",
        "correlations/all.csv",
        "correlations/selections.csv",
        "correlations/kinds.csv",
        "correlations/differences.csv",
        "correlations/prediction.csv",
        "correlations/specifications.csv",
        "figures/heatmap.pdf",
        "figures/scatter_average.png",
        "figures/scatter_neural.pdf",
        "figures/scatter_behavior.png",
        "figures/scatter_engineering.pdf",
        "figures/tsne.png",
        "figures/forest.pdf",
        "figures/curves.png",
        "figures/within_between.pdf",
        "figures/p_values.png",
        "figures/missingness.pdf",
        "analysis/duplicates.csv",
        "summary.md",
        "explorer.html",
        "tables/correlations.tex",
        "tables/aggregates.csv",
        "tables/models.csv",
        "provenance.json",
    ]:
        assert (results / name).stat().st_size > 0, name
    every = pd.read_csv(results / "correlations" / "all.csv")
    tree = pd.read_parquet(results / "scores" / "benchmarks.parquet")
    measured = pd.read_parquet(results / "robustness" / "models.parquet")["target"].unique()
    targets = pd.read_parquet(results / "analysis" / "targets.parquet")["target"].unique()
    plan = json.loads((results / "analysis" / "plan.json").read_text())
    assert set(plan["primary"]) == {"adversarial Linf", "corruption", "clean"}
    assert set(targets) - set(measured) == set(plan["means"])
    rows = pd.read_csv(results / "analysis" / "rows.csv")
    assert len(rows) == rows["model"].nunique() and (rows["primary"] == rows["why"].isna()).all()
    parents = int((~tree["is_leaf"]).sum())  # as recomputed and as exported
    assert len(every) == (len(tree) + parents) * len(targets)
    # three networks have scores: too few for an estimate, and the table says so
    assert (every["note"] == "only 3 models have both").all()
    files = {p.stem for p in (results / "correlations").glob("*.parquet")}
    assert files == {"all", *map(names.encode, every["benchmark"])}
    one = pd.read_parquet(results / "correlations" / f"{names.encode('exported_neural_vision')}.parquet")
    assert set(one["benchmark"]) == {"exported_neural_vision"} and len(one) == len(targets)
    assert "robust_given_correct@0.02" in targets and "clean_top5" not in targets  # of ten classes
    assert "1 model: missing package: no_such_package_at_all" in (results / "summary.md").read_text()


def test_one_bad_model_is_listed_and_stops_nothing(study: Path) -> None:
    excluded = pd.read_csv(study / "results" / "small" / "robustness" / "excluded.csv")
    assert set(excluded["model"]) == {"broken"}
    assert set(excluded["reason"]) == {"missing package: no_such_package_at_all"}
    models = pd.read_parquet(study / "results" / "small" / "robustness" / "models.parquet")
    assert set(models["model"]) == {"mlp standard", "lab/mlp noise", "cnn"}


def test_scores_are_measured_on_the_weights(study: Path) -> None:
    import torch

    from alignsec.demo import benchmarks as demo_benchmarks
    from alignsec.demo import networks as demo

    results = study / "results" / "small"
    model = demo.load(MODELS[2][2], results / "models" / "cnn" / "weights.pt")
    board = pd.read_csv(results / "scores" / "leaderboard.csv", index_col="model_name")
    assert list(board.index) == [m[0] for m in MODELS[:3]]
    untrained = demo.untrained(MODELS[2][2], 0)
    before = demo_benchmarks.measure(model, untrained)
    assert {b: round(v, 4) for b, v in before.items()} == board.loc["cnn", list(before)].to_dict()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    after = demo_benchmarks.measure(model, untrained)
    assert {k for k in before if after[k] == before[k]} == {"Absent2026.untrained-rdm"}


def test_nothing_to_do_twice(study: Path) -> None:
    assert planned(study) == {}


def test_an_epsilon_reruns_attacks_and_no_training(study: Path) -> None:
    configure(study, attack={"epsilons": ["0.02", "0.06"], "images_per_shard": 8})
    jobs = planned(study)
    assert jobs["attack"] == 4
    assert not trained(jobs) | {"measure_demo", "preflight", "corruptions", "merge_registry"} & set(jobs)
    assert {"robustness", "join", "correlate", "heatmap", "scatter", "tsne", "explorer", "summary"} <= set(
        jobs
    )


def test_an_option_that_changes_no_verdict_reruns_no_attack(study: Path) -> None:
    configure(study, attack={"epsilons": ["0.02", "0.05"], "images_per_shard": 8, "batch_size": 3})
    assert set(planned(study)) == {"provenance", "all"}


def test_a_figure_option_redraws_that_figure_only(study: Path) -> None:
    configure(study, report={"heatmap": {"annotate": True}})
    assert set(planned(study)) == {"heatmap", "all"}


def test_a_new_row_runs_that_model_also_with_a_new_leaderboard(study: Path) -> None:
    write_sheet(study, [*MODELS, ["vgg", "demo", "arch=vgg,training=blur,seed=9", "vgg", ""]])
    jobs = planned(study)
    own = ("train_demo_vgg", "preflight", "attack", "corruptions")
    assert {r: jobs[r] for r in own} == dict.fromkeys(own, 1) and not trained(jobs) - {"train_demo_vgg"}
    shutil.copy(study / "results" / "small" / "scores" / "leaderboard.csv", study / "other.csv")
    with (study / "other.csv").open("a") as handle:
        row = (study / "other.csv").read_text().splitlines()[1].split(",")
        handle.write(",".join(["somebody", "99", *row[2:]]) + "\n")
    configure(study, leaderboard={"source": "other.csv"})
    jobs = planned(study)
    assert (jobs["attack"], jobs["train_demo_vgg"], jobs["parse_scores"]) == (1, 1, 1)
    write_sheet(study, MODELS)
    jobs = planned(study)
    assert not trained(jobs) | {"attack", "preflight", "corruptions"} & set(jobs)


def test_a_new_demo_network_trains_its_family_only(study: Path) -> None:
    write_sheet(study, [*MODELS, ["blur", "demo", "arch=mlp,training=blur,seed=9", "mlp", ""]])
    jobs = planned(study)
    assert trained(jobs) == {"train_demo_mlp"} and jobs["measure_demo"] == 1
    assert [jobs[r] for r in ("preflight", "attack", "corruptions")] == [3, 3, 3]


def test_more_images_add_shards(study: Path) -> None:
    configure(study, images={"source": "digits", "count": 12})
    jobs = planned(study)
    assert (jobs["attack"], jobs["shard_images"]) == (4, 1)
    assert not trained(jobs)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"study": "small", "atack": {}}, "did you mean attack?"),
        (CONFIG | {"attack": {"epsilons": ["0"]}}, "not above zero"),
        (CONFIG | {"attack": {"epsilons": ["-1/255"]}}, "not above zero"),
        (CONFIG | {"attack": {"epsilons": ["3/2"]}}, "above 0.5"),
    ],
)
def test_bad_configurations_stop_before_anything_runs(tmp_path: Path, body: object, message: str) -> None:
    write_sheet(tmp_path, MODELS)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(body))
    done = snakemake(tmp_path, "-n")
    assert done.returncode != 0
    text = done.stdout + done.stderr  # a dry run logs to standard output
    assert message in text
    assert "Traceback" not in text


def test_a_large_epsilon_is_warned_about_and_a_row_twice_refused(tmp_path: Path) -> None:
    write_sheet(tmp_path, MODELS)
    configure(tmp_path, attack={"epsilons": ["0.35"]})
    done = snakemake(tmp_path, "-n")
    assert done.returncode == 0
    assert 'did you mean "0.35/255"?' in done.stdout + done.stderr
    with (tmp_path / "models.tsv").open("a") as handle:
        handle.write("cnn\tdemo\tarch=cnn\tcnn\t\n")
    done = snakemake(tmp_path, "-n")
    assert done.returncode != 0
    assert "models.tsv:6: model 'cnn' is already on line 4" in done.stdout + done.stderr


def test_a_wrong_hash_and_an_unknown_model_are_told_before_any_attack(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("model_name,neural_vision,A1\nmlp,.1,.1\nresnet50,.2,.2\n")
    rows = [["mlp", "demo", MODELS[0][2], "mlp", ""], ["resnet5O", "brainscore", "", "f", ""]]
    write_sheet(tmp_path, rows)
    configure(tmp_path, leaderboard={"source": "l.csv", "sha256": "0" * 64})
    done = snakemake(tmp_path)
    assert done.returncode != 0
    found = hashlib.sha256((tmp_path / "l.csv").read_bytes()).hexdigest()
    assert f"has SHA-256 {found}" in done.stdout + done.stderr
    configure(tmp_path, leaderboard={"source": "l.csv", "sha256": found})
    done = snakemake(tmp_path)
    assert done.returncode != 0
    assert "'resnet5O' (closest: 'mlp')" in done.stdout + done.stderr
    assert not list(tmp_path.glob("results/small/models/*/attack/*.parquet"))


def test_a_killed_run_continues_and_ends_the_same(study: Path, tmp_path: Path) -> None:
    configure(tmp_path)
    write_sheet(tmp_path, MODELS)
    line, environment = command(tmp_path)
    process = subprocess.Popen(
        line, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    waited = time.monotonic() + 120
    while not list(tmp_path.glob("results/small/models/*/preflight.json")) and time.monotonic() < waited:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "results" / "small" / "provenance.json").exists()
    assert locks.unlock(tmp_path)
    done = snakemake(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (
        "correlations/all.csv",
        "robustness/excluded.csv",
        "scores/leaderboard.csv",
        "figures/tsne.pdf",
    ):
        one, two = (f / "results" / "small" / name for f in (study, tmp_path))
        assert one.read_bytes() == two.read_bytes(), name


def test_analysis_of_a_table_of_ones_own(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published leaderboard and the committed registry, against pandas; no attack runs, and no job (nor
    Snakemake) asks for a package of the extra `attack`."""
    import numpy as np
    from scipy.stats import linregress

    source = data_dir / "brainscore" / "leaderboard_2025-05-07.csv"
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(
            {
                "study": "own",
                "leaderboard": {"source": str(source), "registry": "config/published/registry.csv"},
                "robustness": {"source": "mine.csv"},
            }
        )
    )
    names = pd.read_csv(source, dtype=str)["model_name"].unique()
    rng = np.random.default_rng(5)
    mine = pd.DataFrame(
        {"model": names, "target": "robust_top1@1/255", "value": rng.uniform(size=len(names)).round(4)}
    )
    mine.to_csv(tmp_path / "mine.csv", index=False)
    variables, asked = thin.environment(tmp_path / "thin")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    jobs = planned(tmp_path)
    assert not trained(jobs) | {"attack", "preflight"} & set(jobs)
    done = snakemake(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "results" / "own"
    total = pd.read_parquet(results / "analysis" / "total_scores.parquet")
    # nothing is loaded, so what the registry lacks stays
    assert len(total) == total["robust_top1@1/255"].notna().sum() == 443
    every = pd.read_csv(results / "correlations" / "all.csv").set_index("benchmark")
    tree = pd.read_parquet(results / "scores" / "benchmarks.parquet")
    rho = total[[*tree["benchmark"], "robust_top1@1/255"]].corr(method="spearman")["robust_top1@1/255"]
    for benchmark in tree["benchmark"]:
        pairs = total[[benchmark, "robust_top1@1/255"]].dropna()
        assert every.loc[benchmark, "rho"] == pytest.approx(rho[benchmark])
        assert every.loc[benchmark, "r2"] == pytest.approx(linregress(*pairs.to_numpy().T).rvalue ** 2)
        assert every.loc[benchmark, "n"] == len(pairs)
    assert len(list((results / "figures").glob("*.p*"))) == 26
    merged = pd.read_parquet(results / "registry" / "merged.parquet")
    assert merged["plugin"].notna().sum() == 233
    assert not asked.exists(), asked.read_text()


def test_an_analysis_only_installation_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, asked = thin.environment(tmp_path / "thin")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    line = [sys.executable, "-m", "alignsec", "leaderboard", "registry", "installed", "--out"]
    done = subprocess.run([*line, str(tmp_path / "r.csv")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "alignsec[attack]" in done.stderr and "Traceback" not in done.stderr
    assert asked.read_text().startswith("brainscore_vision in ")


HOSTILE = {
    "exits": r"import error: it called sys.exit(3)",
    "vanishes": "crashed: the process ended with exit status 0 and no result",
    "prints": "side effects: printed 9.5 MiB",
    "hangs": "timeout: no end after 120 s",
    "changes_dtype": "side effects: changed the default dtype",
    "writes": "side effects: wrote junk.txt into its working folder",
    "segfaults": "crashed: by signal SIGSEGV",
}


@pytest.mark.slow
def test_plugins_that_misbehave_are_rows_and_the_others_unaffected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    name = "../../etc/x:y=z"
    rows = [[model, "factory", f"tests.misbehaving:{model}", model, ""] for model in HOSTILE]
    rows += [
        [name, "factory", "tests.misbehaving:good", "f", ""],
        ["half", "factory", "tests.misbehaving:half", "f", ""],
    ]
    write_sheet(tmp_path, rows)
    (tmp_path / "l.csv").write_text("model_name,neural_vision,A1\nhalf,.1,.1\nother,.2,.2\n")
    configure(
        tmp_path,
        leaderboard={"source": "l.csv"},
        attack={"epsilons": ["0.05"]},
        robustness={"corruptions": {"names": []}},
        zoo={"timeout": 120},
        images={"source": "digits", "count": 8},
    )
    results = tmp_path / "results" / "small"
    targets = ("zoo", "results/small/robustness/excluded.csv")
    before = set(tmp_path.parent.rglob("*etc*"))
    done = snakemake(tmp_path, "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    excluded = pd.read_csv(results / "robustness" / "excluded.csv")
    assert dict(zip(excluded["model"], excluded["reason"], strict=True)) == HOSTILE
    models = pd.read_parquet(results / "robustness" / "models.parquet")
    assert set(models["model"]) == {name, "half"}
    counted = pd.read_csv(results / "zoo" / "reasons.csv")
    assert counted.loc[counted["status"] != "flagged", "models"].sum() == len(rows)
    assert not list(tmp_path.rglob("junk.txt"))
    assert (results / "models" / "_2e._2f.._2fetc_2fx_3ay_3dz" / "preflight.json").is_file()
    assert all(p.is_relative_to(results) for p in set(tmp_path.parent.rglob("*etc*")) - before)
    # of these only the time limit may end otherwise next time
    assert [again.model for again in retry.retry(tmp_path, "small", remove=False)] == ["hangs"]
    assert planned(tmp_path, *targets) == {}


def test_workflow_is_clean_to_its_own_linter() -> None:
    line = [str(BIN / "snakemake"), "--lint", "-s", str(ROOT / "Snakefile")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
