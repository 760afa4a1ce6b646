"""Brain-Score's own JSON: tree, errors and versions as it tells them. The samples are made here."""

import copy
import hashlib
import http.server
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from alignsec.cli import app
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import export, site
from alignsec.study import layout


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


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers with the sample, its models in another order each time."""

    asked = 0

    def do_GET(self) -> None:
        Answers.asked += 1
        body = copy.deepcopy(ANSWER)
        body["models"] = body["models"][Answers.asked % 3 :] + body["models"][: Answers.asked % 3]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *a: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/vision/compare/data/"
    server.shutdown()
    server.server_close()


def test_the_site_is_asked_and_its_answer_pinned(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALIGNSEC_MIRROR", raising=False)
    first = site.fetch(tmp_path / "a.json", None, address)
    assert first == hashlib.sha256((tmp_path / "a.json").read_bytes()).hexdigest()
    assert site.fetch(tmp_path / "b.json", first, address) == first  # in another order, the same bytes
    with pytest.raises(
        AlignsecError, match=rf"brain-score\.org as of 2026-10-30 has SHA-256 {first}, not 0000"
    ):
        site.fetch(tmp_path / "c.json", "0" * 64, address)
    assert not (tmp_path / "c.json").exists()
    asked = Answers.asked
    (tmp_path / "mirror").mkdir()
    (tmp_path / "a.json").rename(tmp_path / "mirror" / "any name")
    monkeypatch.setenv("ALIGNSEC_MIRROR", str(tmp_path / "mirror"))
    assert site.fetch(tmp_path / "d.json", first, address) == first
    assert Answers.asked == asked


def test_the_verbs_fetch_the_site_and_parse_what_they_wrote(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.fetch, "__defaults__", (address,))
    out = layout.of_study("x").leaderboard("brain-score.org")
    assert out.name == "leaderboard.json"
    run, file = CliRunner(), tmp_path / out.name
    done = run.invoke(app, ["leaderboard", "fetch", "brain-score.org", "--out", str(file)])
    assert done.exit_code == 0, done.output
    assert "unchecked" in done.output and done.output.strip().endswith("as of 2026-10-30")
    outputs = ["--out-scores", str(tmp_path / "s.parquet"), "--out-benchmarks", str(tmp_path / "b.parquet")]
    done = run.invoke(app, ["leaderboard", "parse", str(file), *outputs])
    assert done.exit_code == 0, done.output
    assert "brain-score.org, as of 2026-10-30" in done.output and "duplicate: 'net': id 3" in done.output
    assert len(tables.read(tmp_path / "s.parquet", "scores")) == 16
    assert len(tables.read(tmp_path / "b.parquet", "benchmarks")) == 8
    assert export.parse(file).dropped == [("net", "id 3: id 7 is kept, with as many leaf scores or more")]


def test_a_category_is_given_to_what_the_site_leaves_without(tmp_path: Path) -> None:
    more = [*ANSWER["benchmarks"], entry(11, "temporal", None), entry(12, "T1", 11, is_leaf=True)]
    (tmp_path / "a.json").write_text(changed(benchmarks=more))
    table = export.parse(tmp_path / "a.json", {"temporal": "behavior"}).benchmarks.set_index("benchmark")
    assert table.loc[["temporal", "T1"], "category"].tolist() == ["behavior"] * 2
