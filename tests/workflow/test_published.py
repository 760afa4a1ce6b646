"""The published study, offline from the mirror, against pandas and scipy on the raw files."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import spearmanr

from alignsec.study.layout import of_study
from tests.report.test_dictionary import unexplained

ROOT = Path(__file__).resolve().parents[2]
PGD = {"pgd.linf.eps0.5": "pgd_top1@0.5/255[testbed]", "pgd.linf.eps2": "pgd_top1@2/255[testbed]",
       "pgd.l2.eps0.1": "pgd_top1@L2:0.1[testbed]", "val": "clean_top1[testbed]"}  # fmt: skip

pytestmark = pytest.mark.workflow


def raw(data_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leaderboard and testbed as they were published."""
    board = pd.read_csv(next((data_dir / "brainscore").glob("leaderboard_*.csv")))
    bed = pd.read_csv(next((data_dir / "published" / "testbed").glob("*.csv")), index_col="model") / 100
    return board, bed


def test_a_notebook_gets_the_same(
    place: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`alignsec.relate` and the rules are one computation."""
    import alignsec

    study = of_study("published")
    monkeypatch.setenv("ALIGNSEC_MIRROR", str(data_dir))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    board = alignsec.load_leaderboard()
    plan = ROOT / "config" / "published" / "plan.yaml"
    found = alignsec.relate(board, alignsec.load_published(board), plan=plan)
    table = pd.read_csv(place / study.correlations.with_suffix(".csv"))
    assert len(same(table, found.leaves, ["benchmark", "target"])) > 3000
    kinds = pd.read_csv(place / study.kinds)
    assert len(same(kinds, found.kinds, ["kind", "target", "rows"])) > 100


def same(table: pd.DataFrame, again: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The two side by side, their numbers equal to 1e-12."""
    both = table.merge(again, on=key, suffixes=("", " again"), validate="1:1")
    assert len(both) == len(table) == len(again)
    numbers = [c for c in table if pd.api.types.is_float_dtype(table[c]) and table[c].notna().any()]
    assert len(numbers) > 10 and "rho" in numbers
    for column in numbers:
        other = both[f"{column} again"].astype(float)
        pd.testing.assert_series_equal(both[column], other, check_names=False, rtol=0, atol=1e-12)
    return both


def test_every_column_is_in_the_dictionary(place: Path) -> None:
    assert unexplained(place / of_study("published").root) == {}


def test_correlations_are_those_of_the_raw_files(place: Path, data_dir: Path) -> None:
    board, bed = raw(data_dir)
    names = pd.read_csv(ROOT / "config" / "published" / "name_map.tsv", sep="\t")
    names = names[names["source"] == "testbed"].set_index("leaderboard_model")["source_model"]
    study = of_study("published")
    table = pd.read_csv(place / study.correlations.with_suffix(".csv"))
    scores = pd.read_parquet(place / study.scores).pivot(index="model", columns="benchmark", values="score")
    once = board[~board["model_name"].duplicated(keep=False)].set_index("model_name")
    compared = 0
    for theirs, target in PGD.items():
        joined = names.map(bed[theirs]).dropna()
        mine = table[(table["target"] == target) & table["is_leaf"]].set_index("benchmark")
        for leaf in mine.index:
            y = scores[leaf].reindex(joined.index).dropna()
            # what was parsed is what was published, where a model has one row
            if leaf in once:
                shown = pd.to_numeric(once[leaf].reindex(y.index), errors="coerce").dropna()
                assert not ((shown - y[shown.index]).abs() > 1e-12).any()
            assert mine.loc[leaf, "n"] == len(y)
            if len(y) < 5 or y.nunique() < 2 or pd.isna(mine.loc[leaf, "rho"]):
                continue
            rho = spearmanr(y, joined[y.index]).statistic
            assert mine.loc[leaf, "rho"] == pytest.approx(rho, abs=1e-9)
            compared += 1
    assert compared > 300


def test_rows_networks_and_families_are_counted(place: Path) -> None:
    study = of_study("published")
    identities = pd.read_csv(place / study.identities)
    counts = identities.groupby(["source", "identity"]).size().unstack(fill_value=0)
    assert counts.loc["testbed"].to_dict() == {
        "likely": 23, "same weights": 32, "same weights, other input size": 6,
    }  # fmt: skip
    total = pd.read_parquet(place / study.total)
    registry = pd.read_parquet(place / study.registry)
    target = "pgd_top1@0.5/255[testbed]"
    have = total[total[target].notna()]
    assert len(have) == 57
    loadable = have[have["model"].isin(registry["model"])]
    network = identities[identities["source"] == "testbed"].set_index("model")["network"]
    assert (len(loadable), loadable["family"].nunique()) == (36, 10)
    assert loadable["model"].map(network).nunique() == 29
    whole = loadable[["average_vision", target]].dropna()
    assert len(whole) == 33 and spearmanr(whole["average_vision"], whole[target]).statistic == pytest.approx(
        0.155, abs=5e-4
    )


def test_nothing_is_joined_that_the_map_does_not_say(place: Path) -> None:
    names = pd.read_csv(ROOT / "config" / "published" / "name_map.tsv", sep="\t")
    robustness = pd.read_parquet(place / of_study("published").robustness)
    said = set(names["leaderboard_model"] + "[" + names["source"] + "]")
    found = robustness["model"] + robustness["target"].str.extract(r"(\[[a-z_]+\])$")[0]
    assert set(found) <= said


TRAP = """
import os, pathlib
pathlib.Path(os.environ["TRAPPED"]).write_text("imported")
raise ImportError("a job of this study imports what loads models")
"""


def trapped(folder: Path) -> dict[str, str]:
    """An environment in which an import of torch or of what brings it is written down and fails."""
    for name in ("torch", "torchvision", "pyautoattack", "timm"):
        (folder / "trap" / name).mkdir(parents=True)
        (folder / "trap" / name / "__init__.py").write_text(TRAP)
    path = os.pathsep.join([str(folder / "trap"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "TRAPPED": str(folder / "trapped")}


def test_the_trap_snaps(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import torch"], env={**os.environ, **trapped(tmp_path)})
    assert done.returncode and (tmp_path / "trapped").exists()


@pytest.mark.slow
def test_the_whole_study_is_made_offline_and_no_job_imports_torch(tmp_path: Path, data_dir: Path) -> None:
    if not (data_dir / "published").is_dir():
        pytest.skip(f"no published tables below {data_dir}: set ALIGNSEC_DATA")
    # a proxy that answers nothing: whatever the mirror does not hold fails
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    environment = {**os.environ, **trapped(tmp_path), **nowhere, "ALIGNSEC_MIRROR": str(data_dir)}
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--quiet", "all", "--configfile", str(ROOT / "config" / "published.yaml")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (tmp_path / "trapped").exists()
    study = of_study("published")
    for path in (study.summary, study.explorer, study.provenance, study.identities, study.names):
        assert (tmp_path / path).stat().st_size
    targets = pd.read_parquet(tmp_path / study.robustness)["target"]
    assert set(targets) <= set(pd.read_csv(tmp_path / study.correlations.with_suffix(".csv"))["target"])
