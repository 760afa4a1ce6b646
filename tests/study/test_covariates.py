"""The bundled table of covariates against the real models, what is refused, and that the sheet wins."""

import re
from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import export, registry
from alignsec.study import covariates, sheet
from tests.conftest import ROOT

BUNDLED = ROOT / "config" / "covariates.tsv"
ROW = ["m", "f", "standard", "ImageNet-1k", "convolutional", "25", "224", "name"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return covariates.read(BUNDLED).set_index("model")


@pytest.fixture(scope="module")
def loadable(data_dir: Path) -> set[str]:
    """Models that are on the leaderboard and in the registry."""
    listed = export.parse(data_dir / "brainscore" / "leaderboard_2025-05-07.csv").scores["model"]
    return set(listed) & set(registry.read()[0]["model"])


def written(folder: Path, *rows: list[str], header: list[str] | None = None) -> Path:
    path = folder / "covariates.tsv"
    lines = [header or covariates.COLUMNS, *rows]
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_every_loadable_model_has_a_row_with_its_plugin_and_every_row_is_of_the_leaderboard(
    table: pd.DataFrame, data_dir: Path, loadable: set[str]
) -> None:
    assert loadable <= set(table.index)
    listed = export.parse(data_dir / "brainscore" / "leaderboard_2025-05-07.csv").scores["model"]
    assert set(table.index) <= set(listed)
    plugins = registry.read()[0].set_index("model")["plugin"]
    for model in loadable:
        assert table.loc[model, "evidence"].startswith(f"plugin {plugins[model]}; "), model


def test_models_that_published_tables_join_are_covered(table: pd.DataFrame, data_dir: Path) -> None:
    names = pd.read_csv(data_dir / "published" / "name_map.csv")["leaderboard_model"]
    assert set(names) <= set(table.index)


def test_every_plugin_whose_source_asks_for_adversarial_weights_is_adversarial(
    table: pd.DataFrame, loadable: set[str]
) -> None:
    # AdvProp, the attacker that the robustness library saves beside a network, VOneNet's and a file's names
    marks = ("advprop=", "attacker", '"resnet50_at"', "='resnet50_at'", "_adv_finetuned")
    found = set()
    models = registry.read()[0]
    for model, plugin in zip(models["model"], models["plugin"], strict=True):
        if model in loadable:
            text = (registry.plugin_folder(plugin) / "model.py").read_text(encoding="utf-8", errors="replace")
            found |= {model} if any(mark in text for mark in marks) else set()
    adversarial = table.index[table["training"] == "adversarial"]
    assert found == set(adversarial) & loadable


def test_networks_of_the_same_weights_were_trained_alike(table: pd.DataFrame) -> None:
    same = table.loc[["imagenet_l2_3_0", "resnet-50-robust", "resnet50_robust_l2_eps3"]]
    assert len(same[["training", "data", "architecture", "parameters", "input_size"]].drop_duplicates()) == 1


def test_what_a_plugin_loads_untrained_counts_as_untrained(table: pd.DataFrame) -> None:
    seeds = table.index[table.index.str.match(r"alexnet_training_seed_\d+$")]
    assert len(seeds) == 10
    assert set(table.loc[seeds, "training"]) == {"untrained"}


def test_the_page_counts_what_the_table_has(table: pd.DataFrame, loadable: set[str]) -> None:
    page = (ROOT / "docs" / "covariates.md").read_text(encoding="utf-8")
    said = {name: int(count) for name, count in re.findall(r"^\| ([a-zA-Z -]+) \| (\d+) \|", page, re.M)}
    assert said == table.loc[sorted(loadable), "training"].value_counts().to_dict()
    assert set(table["training"]) <= set(covariates.TRAININGS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [[*ROW[:2], "clip", *ROW[3:]]],
            "covariates.tsv:2: training 'clip' is none of standard, adversarial",
        ),
        ([[*ROW[:5], "25.6M", *ROW[6:]]], "covariates.tsv:2: parameters '25.6M' is no count"),
        ([[*ROW[:6], "-1", ROW[7]]], "covariates.tsv:2: input_size '-1' is no count"),
        ([ROW, ROW], "covariates.tsv:3: model 'm' is already on line 2"),
        ([[" ", *ROW[1:]]], "covariates.tsv:2: the model has no name"),
        ([[*ROW[:7], "unknown"]], "training 'standard' of 'm' has no evidence"),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(rows: list[list[str]], message: str, tmp_path: Path) -> None:
    with pytest.raises(AlignsecError) as caught:
        covariates.read(written(tmp_path, *rows))
    assert message in str(caught.value)


def test_another_header_or_no_file_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"the header must be model, family, training"):
        covariates.read(written(tmp_path, ["m", "standard"], header=["model", "training"]))
    with pytest.raises(AlignsecError, match=r"set analysis\.covariates"):
        covariates.read(tmp_path / "absent.tsv")


def test_a_cell_of_the_sheet_wins_and_the_evidence_says_so(tmp_path: Path) -> None:
    table = covariates.read(written(tmp_path, ROW, ["n", "f", "CLIP", "WIT-400M", "", "", "", "name: clip"]))
    path = tmp_path / "models.tsv"
    path.write_text(
        "model\tsource\tspec\tfamily\tnote\ttraining\tparameters\tevidence\n"
        "m\tbrainscore\t\tmine\t\tadversarial\t\tpaper\n"
        "n\tbrainscore\t\tmine\t\t\t7\t\n"
        "o\tbrainscore\t\tother\t\t\t\t\n"
    )
    merged = pd.DataFrame({"model": ["elsewhere", "m"], "family": "f"})
    found = covariates.of_study(merged, table, sheet.read(path)).set_index("model")
    assert list(found.index) == ["m", "n", "o"]
    assert list(found["family"]) == ["mine", "mine", "other"]
    assert list(found["training"]) == ["adversarial", "CLIP", "unknown"]
    assert list(found["data"]) == ["ImageNet-1k", "WIT-400M", "unknown"]
    assert found["parameters"].tolist() == [25, 7, pd.NA]
    assert list(found["evidence"]) == [
        "sheet: training; paper; name",
        "sheet: parameters; name: clip",
        "unknown",
    ]


def test_numbers_come_back_as_numbers_and_unknown_ones_as_null(tmp_path: Path) -> None:
    table = covariates.read(written(tmp_path, ROW))
    merged = pd.DataFrame({"model": ["m", "nobody"], "family": "f"})
    tables.write_csv(covariates.of_study(merged, table), tmp_path / "found.csv")
    back = tables.read_csv(tmp_path / "found.csv")
    assert list(back.columns) == covariates.COLUMNS
    assert back["parameters"].tolist()[0] == 25 and back["parameters"].isna().tolist() == [False, True]
    assert list(back["training"]) == ["standard", "unknown"]


def test_a_wrong_covariate_in_the_sheet_is_a_fault_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "models.tsv"
    path.write_text("model\tsource\tspec\tfamily\tnote\ttraining\nm\tbrainscore\t\tf\t\trobust\n")
    with pytest.raises(AlignsecError, match=r"models\.tsv:2: training 'robust' is none of standard"):
        sheet.read(path)
