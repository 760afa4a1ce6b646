"""The registry read from source, the exact merge, families, the sheet's check."""

from pathlib import Path

import pandas as pd
import pytest
import typer.testing

from alignsec import cli
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import nearest
from alignsec.leaderboard import export, merge, proposed, registry
from alignsec.study import sheet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed() -> pd.DataFrame:
    table, unresolved = registry.read("installed")
    assert len(unresolved) == 0
    return table


def test_installed_registry(installed: pd.DataFrame) -> None:
    assert len(installed) == 741
    assert installed["plugin"].nunique() == 606
    assert set(installed["package_version"]) == {"2.4.2"}


def test_real_merge_is_exact_and_near_matches_are_not_used(data_dir: Path, installed: pd.DataFrame) -> None:
    parsed = export.parse(data_dir / "brainscore" / "leaderboard_2025-05-07.csv")
    merged = merge.merge(parsed.scores, parsed.benchmarks, installed)
    assert len(merged) == 233
    assert set(merged["model"]) == set(parsed.scores["model"]) & set(installed["model"])
    alone = sorted(set(parsed.scores["model"]) - set(merged["model"]))
    near = [c for c, similarity in nearest(alone, list(installed["model"])) if similarity == 1]
    assert len(near) == 5 and "CORnet-S" in near
    # 455 rows came in
    assert len(parsed.dropped) == 12


def test_a_study_that_attacks_nothing_joins_on_the_leaderboard(
    data_dir: Path, installed: pd.DataFrame
) -> None:
    parsed = export.parse(data_dir / "brainscore" / "leaderboard_2025-05-07.csv")
    merged = merge.merge(parsed.scores, parsed.benchmarks, installed, everything=True)
    assert len(merged) == 443
    assert merged["plugin"].notna().sum() == 233
    reviewed = pd.read_csv(data_dir / "brainscore" / "model_families.csv")
    guessed = reviewed["registry_name"].map(proposed.propose_family)
    assert (guessed == reviewed["family"]).mean() >= 0.99


def test_registrations_that_are_not_literal_are_listed_not_lost(tmp_path: Path) -> None:
    for plugin, text in {
        "good": "model_registry['a'] = lambda: 1\nmodel_registry.update({'b': 1})\n",
        "dynamic": "for n in names:\n    model_registry[n] = make(n)\n",
        "broken": "def (:\n",
        "again": "model_registry['a'] = 2\n",
    }.items():
        (tmp_path / "models" / plugin).mkdir(parents=True)
        (tmp_path / "models" / plugin / "__init__.py").write_text(text)
    found, unresolved = registry.read(str(tmp_path))
    assert sorted(found["model"]) == ["a", "b"]
    assert set(unresolved["plugin"]) == {"dynamic", "broken", "good"}
    assert unresolved.set_index("plugin").loc["dynamic", "line"] == 2
    with pytest.raises(AlignsecError, match=r"leaderboard\.registry"):
        registry.read(str(tmp_path / "nowhere"))


def test_the_committed_table_is_what_the_installed_package_registers(
    tmp_path: Path, installed: pd.DataFrame
) -> None:
    committed = ROOT / "config" / "published" / "registry.csv"
    table, unresolved = registry.read(str(committed))
    pd.testing.assert_frame_equal(table, installed)
    assert unresolved.empty
    verb = typer.testing.CliRunner().invoke(
        cli.app, ["leaderboard", "registry", "installed", "--out", str(tmp_path / "r.csv")]
    )
    assert verb.exit_code == 0, verb.output
    assert (tmp_path / "r.csv").read_bytes() == committed.read_bytes()


def test_a_table_of_registered_models_is_read_to_the_letter(tmp_path: Path) -> None:
    names = ["=1+1", "@x", " lead", "a,b", "é"]
    table = pd.DataFrame({"model": names, "plugin": "p", "package_version": "1.10"})
    tables.write_csv(table, tmp_path / "r.csv")
    pd.testing.assert_frame_equal(registry.read(str(tmp_path / "r.csv"))[0], table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,plugin\na,b\n", r"r\.csv:1: .*package_version.*the columns are model, plugin"),
        ("model,plugin,package_version\na,b,1\na,c,1\n", r"r\.csv:3: 'a' stands there twice"),
        ("model,plugin,package_version\na,,1\n", r"r\.csv:2: column 'plugin' is empty"),
        ("<html>", "a web page"),
    ],
)
def test_another_table_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(AlignsecError, match=message):
        registry.read(str(tmp_path / "r.csv"))


def test_without_the_package_the_extra_and_the_table_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AlignsecError, match=r"alignsec\[attack\].*config/published/registry\.csv"):
        registry.read("installed")


def test_sheet_rows_unknown_to_the_merge_name_the_closest() -> None:
    rows = pd.DataFrame(
        [["resnet5O", "brainscore", "", "f", ""], ["mine", "factory", "a:b", "f", ""]], columns=sheet.COLUMNS
    )
    with pytest.raises(AlignsecError, match=r"'resnet5O' \(closest: 'resnet50'\)"):
        merge.check_sheet(rows, ["resnet50", "alexnet"])
    merge.check_sheet(rows.tail(1), [])


def test_proposed_sheet_can_be_read(tmp_path: Path) -> None:
    merged = pd.DataFrame({"model": [" a/b", "resnet:x"], "plugin": "p", "family": "f"})
    sheet.write(proposed.propose_sheet(merged), tmp_path / "m.tsv")
    back = sheet.read(tmp_path / "m.tsv").set_index("model")
    assert back.loc["resnet:x", "family"] == "resnet"
    assert back.loc[" a/b", "source"] == "brainscore"
