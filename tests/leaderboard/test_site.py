"""Brain-Score's own JSON: tree, errors and versions as it tells them. The samples are made here."""

import copy
import json
import math
from typing import Any

import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import site


def entry(number: int, name: str, parent: int | None, **more: Any) -> dict[str, Any]:
    return {"id": number, "type_id": name, "label": name, "parent_id": parent, "is_leaf": False,
            "is_engineering": False, "versions": [1], **more}  # fmt: skip


def score(value: float | None, version: int = 1, error: str | None = None) -> dict[str, Any]:
    return {"version": version, "value": value, "error": error, "timestamp": f"2026-01-0{version}"}


ANSWER: dict[str, Any] = {
    "domain": "vision",
    "datetime_range": {"min": "2019-01-01", "max": "2026-10-30"},
    "benchmarks": [
        entry(9, "engineering_vision", None, is_engineering=True),
        entry(10, "Top1", 9, is_leaf=True, is_engineering=True),
        entry(1, "average_vision", None),
        entry(2, "neural_vision", 1),
        entry(3, "V1", 2),
        entry(4, "Lab.V1-pls", 3, is_leaf=True),
        entry(5, "behavior_vision", 1),
        entry(6, "I1", 5, is_leaf=True),
    ],
    "models": [
        {"id": 7, "name": "net", "rank": 1,
         "scores": {"Lab.V1-pls": [score(0.3), score(0.4, 2)], "I1": [score(None, error="OOM")]}},
        {"id": 8, "name": " net", "rank": 2, "scores": {"I1": [score(0.5)], "Top1": [score(0.7)]}},
        {"id": 3, "name": "net", "rank": 3, "scores": {"I1": [score(0.1)]}},
    ],
}  # fmt: skip


def changed(**more: Any) -> str:
    return json.dumps(copy.deepcopy(ANSWER) | more)


def test_tree_categories_and_leaves_are_what_the_site_tells() -> None:
    table = site.parse(json.dumps(ANSWER), "a.json").benchmarks.set_index("benchmark")
    order = "engineering_vision Top1 average_vision neural_vision V1 Lab.V1-pls behavior_vision I1"
    assert list(table.index) == order.split()
    assert table.loc["Lab.V1-pls"].to_dict() == {
        "parent": "V1", "category": "neural", "depth": 3, "is_leaf": True, "n_scored": 1
    }  # fmt: skip
    assert set(table.index[table["is_leaf"]]) == {"Top1", "Lab.V1-pls", "I1"}
    assert dict(table["category"].dropna()) == {
        "engineering_vision": "engineering", "Top1": "engineering", "neural_vision": "neural", "V1": "neural",
        "Lab.V1-pls": "neural", "behavior_vision": "behavior", "I1": "behavior",
    }  # fmt: skip


def test_the_latest_version_counts_and_an_error_is_a_failure() -> None:
    found = site.parse(json.dumps(ANSWER), "a.json")
    cells = {(r.model, r.benchmark): (r.score, r.status) for r in found.scores.itertuples()}
    assert cells["net", "Lab.V1-pls"] == (0.4, "scored")
    assert cells["net", "I1"][1] == "failed"
    assert math.isnan(cells["net", "I1"][0])
    assert cells[" net", "Lab.V1-pls"][1] == "missing"
    assert found.as_of == "2026-10-30"


def test_of_one_name_the_row_with_most_scored_leaves_is_kept_and_the_other_is_told() -> None:
    found = site.parse(json.dumps(ANSWER), "a.json")
    assert list(found.scores["model"].unique()) == ["net", " net"]
    assert found.dropped == [("net", "id 3: id 7 is kept, with as many leaf scores or more")]


def test_the_canonical_file_does_not_depend_on_the_order_in_which_the_site_answers() -> None:
    shuffled = copy.deepcopy(ANSWER)
    shuffled["models"].reverse()
    raw = json.dumps(dict(reversed(shuffled.items()))).encode()
    assert site.canonical(raw, "a") == site.canonical(json.dumps(ANSWER).encode(), "a")
    assert site.parse(site.canonical(raw, "a"), "a").scores["score"].sum() == pytest.approx(0.4 + 0.5 + 0.7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"a": 1}', "expected are lists `benchmarks` and `models`"),
        (changed(domain="language"), "the domain 'language', not of vision"),
        (changed(models=[]), "has no model"),
        (changed(models=[{"id": 1}]), r"models\[0\] has no name"),
        (changed(models=[{"name": "a", "scores": {"I1": [score(math.inf)]}}]), "'a', 'I1': inf is no score"),
        (
            changed(benchmarks=[entry(1, "a", 2), entry(2, "b", 1)]),
            "'a' and 'a' are each other's ancestors: no tree",
        ),
    ],
)
def test_what_is_no_vision_leaderboard_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        site.parse(text, "a.json")


def test_scores_of_unknown_benchmarks_are_left_out_and_told() -> None:
    models = [{"name": "a", "scores": {"gone": [score(1.0)]}}]
    found = site.parse(changed(models=models), "a.json")
    assert found.warnings == ["a.json: scores of 'gone', which is no benchmark of the file, are left out"]
