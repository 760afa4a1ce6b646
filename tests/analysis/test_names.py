"""Every name has one fate, and the counts add up to what came in."""

import pandas as pd

from alignsec.analysis import names
from alignsec.analysis.names import Came, reconcile

BOARD = ["resnet-50", "alexnet", "vgg_16", "ViT-B/16", "lonely"]


def fates(table: pd.DataFrame, where: str) -> dict[str, str]:
    part = table[table["where"] == where]
    return dict(zip(part["name"], part["fate"], strict=True))


def test_an_own_table_joins_on_the_leaderboard_and_its_misspelled_names_are_listed_with_the_closest() -> None:
    came = Came(
        BOARD,
        registry=["resnet-50", "unscored"],
        robustness=["resnet-50", "AlexNet", "vgg16", "mine"],
        duplicates=[("alexnet", "line 7: fewer scores than line 3")],
        aliases={"vgg16": "vgg_16"},
    )
    table = reconcile(came, used=["resnet-50", "vgg_16"], excluded={})
    assert fates(table, "robustness") == {
        "resnet-50": "used", "AlexNet": "unmatched", "vgg16": "used", "mine": "unmatched"
    }  # fmt: skip
    near = table[(table["where"] == "robustness") & (table["name"] == "AlexNet")].iloc[0]
    assert (near["closest"], near["similarity"], near["why"]) == ("alexnet", 1.0, "not on the leaderboard")
    assert table.set_index("name").loc["vgg16", "why"] == "as vgg_16, by the alias file"
    assert fates(table, "registry") == {"resnet-50": "used", "unscored": "unmatched"}
    board = table[table["where"] == "leaderboard"]
    assert list(board["fate"]) == ["used", "unmatched", "used", "unmatched", "unmatched", "duplicate"]


def test_counts_add_up_to_what_came_in_wherever_it_came_in() -> None:
    came = Came(
        BOARD,
        registry=["resnet-50", "alexnet", "x"],
        sheet=["resnet-50", "alexnet", "own net"],
        duplicates=[("lonely", "line 9")] * 2,
    )
    table = names.counts(reconcile(came, used=["resnet-50", "own net"], excluded={"alexnet": "video model"}))
    assert dict(table["total"]) == {"leaderboard": len(BOARD) + 2, "registry": 3, "sheet": 3}
    assert (table[list(names.FATES)].sum(axis=1) == table["total"]).all()
    assert table.loc["sheet"].to_dict() == {
        "used": 2, "excluded": 1, "unmatched": 0, "duplicate": 0, "total": 3
    }  # fmt: skip
    assert table.loc["leaderboard", "unmatched"] == 3


def test_a_model_without_leaderboard_entry_is_used_and_says_so() -> None:
    table = reconcile(Came(BOARD, sheet=["own net"]), used=["own net"], excluded={})
    row = table[table["where"] == "sheet"].iloc[0]
    assert (row["fate"], row["why"]) == ("used", "without alignment scores: not on the leaderboard")


def test_more_than_half_unmatched_is_told_first_and_half_is_not() -> None:
    def of(robustness: list[str]) -> list[str]:
        return names.mostly_unmatched(
            reconcile(Came(BOARD, robustness=robustness), ["alexnet", "lonely"], {})
        )

    assert of(["alexnet", "a", "b"]) == ["robustness"]
    assert of(["alexnet", "lonely", "a", "b"]) == []


def test_nothing_is_matched_by_similarity() -> None:
    table = reconcile(Came(["ResNet-50"], robustness=["resnet50"]), used=["ResNet-50"], excluded={})
    assert fates(table, "robustness") == {"resnet50": "unmatched"}
