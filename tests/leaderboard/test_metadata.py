"""What plugins say of their models, read as data; a sheet proposed from it."""

from pathlib import Path

import pandas as pd
import pytest

from alignsec.leaderboard import metadata, proposed
from alignsec.study import covariates, sheet


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of a package with one plugin of each sort."""
    files = {
        "good": "models:\n  a:\n    model:\n      architecture: {family: vision_transformer}\n"
        "      parameter_count: 25600000\n      input_resolution: {height: 224}\n"
        "    legacy: {total_parameter_count: 25557032}\n"
        "    data: {training_datasets: [{name: ImageNet}, {identifier: ecoset}]}\n"
        "    lineage: {base_models: [{name: ResNet-50}]}\n"
        "    assertions:\n    - {path: /model/architecture, status: verified}\n",
        "old": "models:\n  b: {architecture: DCNN, total_parameter_count: 5, training_dataset: null}\n",
        "broken": "models: [",
        "code": "models: !!python/object/apply:os.system ['touch ran']\n",
        "list": "- models\n",
        "large": "models: {}\n" + "# x\n" * 300_000,
        "odd": "models:\n  o: [1, 2]\n",
    }
    for plugin, text in files.items():
        (tmp_path / "models" / plugin).mkdir(parents=True)
        (tmp_path / "models" / plugin / "metadata.yaml").write_text(text)
    (tmp_path / "models" / "silent").mkdir()
    return tmp_path


def registered(*pairs: tuple[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["model", "plugin"])


def test_a_statement_carries_its_key_and_status_and_exact_counts_win(package: Path) -> None:
    table, unreadable = metadata.read(registered(("a", "good"), ("b", "old")), str(package))
    assert unreadable == []
    found = table.set_index(["model", "property"])
    assert found.loc[("a", "parameters"), "value"] == "25557032"
    assert found.loc[("a", "parameters"), "key"] == "legacy.total_parameter_count"
    assert found.loc[("a", "architecture"), "status"] == "verified"
    assert found.loc[("a", "input_size"), "status"] == ""
    assert found.loc[("a", "data"), "value"] == "ImageNet; ecoset"
    assert found.loc[("a", "lineage"), "value"] == "ResNet-50"
    assert list(table.loc[table["model"] == "b", "property"]) == ["architecture", "parameters"]


def test_files_that_are_no_metadata_are_named_and_stop_nothing(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plugins = ["broken", "code", "list", "large", "odd", "silent"]
    rows = [(p, p) for p in plugins]
    table, unreadable = metadata.read(
        registered(*rows, ("o", "odd"), ("x", None), ("a", "good")), str(package)
    )
    assert set(table["model"]) == {"a"}
    assert [Path(text.split(":")[0]).parent.name for text in unreadable] == [
        "broken",
        "code",
        "list",
        "large",
    ]
    assert not (tmp_path / "ran").exists()


def test_the_installed_package_speaks_of_most_loadable_models(data_dir: Path) -> None:
    models = pd.read_csv(data_dir / "brainscore" / "model_families.csv")
    names = models.rename(columns={"registry_name": "model", "plugin_dir": "plugin"})
    table, unreadable = metadata.read(names)
    assert unreadable == []
    told = table.groupby("property")["model"].nunique()
    assert told["architecture"] >= 193 and told["parameters"] >= 191
    assert told["lineage"] == 68 and told["data"] == 66 and told["supervision"] == 67


def test_a_proposed_sheet_says_where_each_cell_comes_from(package: Path, tmp_path: Path) -> None:
    merged = pd.DataFrame({"model": ["a", "resnet:x", "r"], "plugin": ["good", "p", "p"], "family": "f"})
    said, _ = metadata.read(merged, str(package))
    reviewed = pd.DataFrame(
        [["r", "reviewed", "CLIP", "LAION-2B", "transformer", "unknown", "224", "name: clip"]],
        columns=covariates.COLUMNS,
    )
    sheet.write(proposed.propose_sheet(merged, reviewed, said), tmp_path / "m.tsv")
    back = sheet.read(tmp_path / "m.tsv").set_index("model")
    assert back.loc["r", ["family", "training", "evidence"]].tolist() == [
        "reviewed",
        "CLIP",
        "reviewed; name: clip",
    ]
    assert back.loc["a", ["architecture", "parameters", "training"]].tolist() == [
        "vision_transformer",
        "25557032",
        "unknown",
    ]
    evidence = back.loc["a", "evidence"].split("; ")
    assert evidence[0] == "family: name"
    assert "architecture: metadata model.architecture.family (verified)" in evidence
    assert "lineage: ResNet-50 metadata lineage.base_models" in evidence
    assert back.loc["resnet:x", ["family", "evidence"]].tolist() == ["resnet", "family: name"]
