"""Names of a robustness table that mean models of the leaderboard: said, and never guessed."""

from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.robustness import aliases
from alignsec.robustness.own import of_study

BOARD = ["resnet_50", "alexnet", "vgg_16"]


def table(tmp_path: Path, *models: str) -> Path:
    path = tmp_path / "own.csv"
    path.write_text("model,target,value,n\n" + "".join(f"{m},clean_top1,0.5,100\n" for m in models))
    return path


def said(tmp_path: Path, text: str) -> Path:
    (tmp_path / "names.tsv").write_text(text)
    return tmp_path / "names.tsv"


def test_a_name_is_taken_for_what_the_file_says_and_others_are_excluded_with_the_closest(
    tmp_path: Path,
) -> None:
    path = said(tmp_path, "name\tleaderboard\tnote\nrn50\tresnet_50\tits paper's table 2\n")
    own, excluded = of_study(table(tmp_path, "rn50", "AlexNet", "alexnet"), BOARD, path)
    assert list(own.table["model"]) == ["resnet_50", "AlexNet", "alexnet"]
    assert excluded.to_dict("records") == [
        {"model": "AlexNet", "step": "join", "reason": "not on the leaderboard (closest: 'alexnet')"}
    ]


def test_a_table_that_meets_nothing_stops_the_study(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"none of the 1 models .*'ResNet-50' \(closest: 'resnet_50'\)"):
        of_study(table(tmp_path, "ResNet-50"), BOARD)


def test_models_of_the_sheet_are_the_studys_own(tmp_path: Path) -> None:
    sheet = pd.DataFrame({"model": ["ours"]})
    _, excluded = of_study(table(tmp_path, "ours"), BOARD, sheet=sheet)
    assert excluded.empty


def test_two_names_of_one_model_are_refused(tmp_path: Path) -> None:
    path = said(tmp_path, "name,leaderboard\nrn50,resnet_50\n")
    with pytest.raises(AlignsecError, match=r"the names 'resnet_50', 'rn50' .* all mean 'resnet_50'"):
        of_study(table(tmp_path, "rn50", "resnet_50"), BOARD, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,leaderboard\nrn50,ResNet50\n", r"names\.tsv:2: 'ResNet50' is no name of the leaderboard"),
        ("name,leaderboard\na,alexnet\na,vgg_16\n", r"names\.tsv:3: 'a' is already said to be 'alexnet'"),
        ("name,leaderboard\n,alexnet\n", r"names\.tsv:2: column 'name' is empty"),
        ("alias,of\na,alexnet\n", "expected are columns `name` and `leaderboard`; the columns are alias, of"),
    ],
)
def test_a_file_of_names_that_is_wrong_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        aliases.read(said(tmp_path, text), BOARD)


def test_without_a_leaderboard_names_are_left_alone(tmp_path: Path) -> None:
    own, excluded = of_study(table(tmp_path, "anything"))
    assert list(own.table["model"]) == ["anything"] and excluded.empty
