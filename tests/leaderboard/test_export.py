"""Every published export, damaged files, the benchmark tree."""

import hashlib
import http.server
import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import export
from alignsec.leaderboard.tree import known_tree

GOOD = "model_name,average_vision,neural_vision,A1,A2,behavior_vision,B1\n" + "".join(
    ",".join([f"m{i}", *(f"{share * i:.4f}" for share in (0.35 / 2, 0.1, 0.05, 0.15, 0.25, 0.25))]) + "\n"
    for i in range(1, 4)
)


def parse(tmp_path: Path, text: str | bytes, name: str = "l.csv") -> export.Parsed:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return export.parse(path)


def test_real_leaderboard(data_dir: Path) -> None:
    parsed = export.parse(data_dir / "brainscore" / "leaderboard_2025-05-07.csv")
    tree = parsed.benchmarks
    assert parsed.scores["model"].nunique() == 443
    assert len(tree) == 130
    assert tree.loc[tree["is_leaf"], "category"].value_counts().to_dict() == {
        "neural": 38,
        "behavior": 43,
        "engineering": 25,
    }
    assert parsed.variant == "CSV by benchmark id with layers, model_id, rank"
    assert parsed.warnings == []
    assert {d.split(":")[0] for d in parsed.duplicates} >= {"'resnet50'", "'alexnet'"}
    parents = dict(zip(tree["benchmark"], tree["parent"], strict=True))
    assert parents["V1"] == "neural_vision"
    assert parents["neural_vision"] == "average_vision"
    assert parents["engineering_vision"] is None
    assert parents["MajajHong2015.IT-pls"] == "IT"
    # names differing by a leading space are different submissions
    assert sum(m.startswith(" ") for m in parsed.scores["model"].unique()) == 3
    assert set(parsed.scores["status"]) == {"scored", "failed", "missing"}
    known = known_tree()
    assert {b: p for b, p in parents.items() if p} == {b: p for b, p in known.items() if p}


def test_duplicates_keep_the_row_with_most_leaves_then_the_highest_id(tmp_path: Path) -> None:
    text = (
        "model_name,model_id,neural_vision,A1,A2\n"
        "a,1,.15,.1,.2\na,9,.1,.2,X\nb,3,.2,.2,.2\nb,7,.4,.4,.4\nc,5,.3,.1,.5\n"
    )
    parsed = parse(tmp_path, text)
    wide = parsed.scores.pivot(index="model", columns="benchmark", values="score")
    assert wide.loc["a", "A1"] == 0.1
    assert wide.loc["b", "A1"] == 0.4
    assert parsed.duplicates == ["'a': lines 2, 3; kept line 2", "'b': lines 4, 5; kept line 5"]


def test_cells_and_small_tree(tmp_path: Path) -> None:
    parsed = parse(tmp_path, GOOD.replace("0.1500\n", "X\n"))
    tree = parsed.benchmarks.set_index("benchmark")
    assert tree["parent"].to_dict() == {
        "average_vision": None,
        "neural_vision": "average_vision",
        "A1": "neural_vision",
        "A2": "neural_vision",
        "behavior_vision": "average_vision",
        "B1": "behavior_vision",
    }
    assert tree.loc["A2", "category"] == "neural"
    assert tree["is_leaf"].to_dict()["B1"]
    assert not tree["is_leaf"].to_dict()["average_vision"]


def test_status_of_failed_and_missing(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "model_name,neural_vision,A1,A2\na,.1,X,\nb,.2,.1,.3\n")
    cells = parsed.scores.set_index(["model", "benchmark"])
    assert cells.loc[("a", "A1"), "status"] == "failed"
    assert cells.loc[("a", "A2"), "status"] == "missing"
    assert np.isnan(cells.loc[("a", "A1"), "score"])


def test_zip_export(tmp_path: Path) -> None:
    table = (
        "# Brain-Score leaderboard\n# exported 2026-02-01\n"
        '"Rank","Model","Model ID","Filtered Score","average_vision_v0","neural_vision_v0",'
        '"engineering_vision","V1","Coggan2024_fMRI.V1-rdm","Lab2027.V1-new","Quux2027"\n'
        '"1","resnet","12","0.40","0.40","0.40","0.10","0.30","0.20","0.40","0.11"\n'
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("export/leaderboard.csv", table)
        archive.writestr("export/plugin-info.csv", "a,b\n")
    parsed = parse(tmp_path, buffer.getvalue(), "l.zip")
    tree = parsed.benchmarks.set_index("benchmark")
    assert parsed.variant.startswith("ZIP")
    assert list(tree.index[:6]) == [
        "average_vision", "neural_vision", "V1", "tong.Coggan2024_fMRI.V1-rdm", "Lab2027.V1-new",
        "engineering_vision",
    ]  # fmt: skip
    assert tree.loc["neural_vision", "parent"] == "average_vision"
    assert tree.loc["neural_vision", "n_scored"] == tree.loc["V1", "n_scored"] == 1
    assert tree.loc["tong.Coggan2024_fMRI.V1-rdm", "parent"] == "V1"
    assert tree.loc["Lab2027.V1-new", "category"] == "neural"
    assert "Quux2027" in parsed.warnings[0]
    whole = buffer.getvalue()
    with pytest.raises(AlignsecError, match="truncated or damaged ZIP"):
        parse(tmp_path, whole[: len(whole) // 2], "cut.zip")
    with pytest.raises(AlignsecError, match=r"no leaderboard\.csv"):
        empty = io.BytesIO()
        with zipfile.ZipFile(empty, "w") as archive:
            archive.writestr("x.csv", "a")
        parse(tmp_path, empty.getvalue(), "other.zip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("just some words\nand more\n", ":1: one column only"),
        ("<!DOCTYPE html><html>", "HTML"),
        (b"\x00\x01\x02", "binary"),
        (b"model_name,A1\na\x81,1\n", ":2: not UTF-8 text .* save it as UTF-8"),
        ("No models submitted yet.", "no models"),
        (GOOD.replace("model_name", "naam"), "'model_name'"),
        (GOOD.replace("A2", "A1", 1), r":1: column 'A1' occurs twice in the header \(columns \[4, 5\]\)"),
        (GOOD.replace("0.1000", "nan%", 1), r":\d: column '\w+': 'nan%' is no score"),
        (GOOD.replace("0.1000", "inf", 1), "'inf' is no score"),
        (GOOD + "m9,1\n", ":5: 2 cells where the header has 7"),
        (GOOD + '"m9,1\n', ":5: not a CSV file"),
        (GOOD.replace("m2,", ",", 1), ":3: column 'model_name' is empty"),
        (GOOD.split("\n")[0] + "\n", "a header and no row"),
    ],
)
def test_damaged_files_say_where(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(AlignsecError, match=message) as caught:
        parse(tmp_path, text)
    assert "l.csv" in str(caught.value)


def test_a_score_outside_the_published_range_is_warned_about(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "model_name,neural_vision,A1\na,.1,7\nb,.2,.3\n")
    assert parsed.warnings[0].endswith(":2: column 'A1': 7 is outside the published range")


def test_fetch_checks_the_hash_of_files_and_downloads(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "l.csv").write_text(GOOD)
    right = hashlib.sha256(GOOD.encode()).hexdigest()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *a: object) -> None:
            super().__init__(*a, directory=str(tmp_path / "site"))  # type: ignore[arg-type]

        def log_message(self, *a: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/l.csv"
    try:
        for source in (str(tmp_path / "site" / "l.csv"), url):
            out = tmp_path / "out.csv"
            assert export.fetch(source, out, right) == right
            assert out.read_text() == GOOD
            out.unlink()
            with pytest.raises(AlignsecError, match=r"leaderboard\.sha256"):
                export.fetch(source, out, "0" * 64)
            assert not out.exists()
        with pytest.raises(AlignsecError, match="no such file"):
            export.fetch(str(tmp_path / "nowhere.csv"), tmp_path / "o", None)
    finally:
        server.shutdown()
    assert {p.name for p in tmp_path.iterdir()} == {"site"}
