"""Epsilon strings, the model sheet, devices, tables."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground import devices
from alignsec.ground import locks
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.robustness import summarise as robustness
from alignsec.study import epsilon
from alignsec.study import sheet


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["0"], "not above zero"),
        (["-1/255"], "not above zero"),
        (["3/2"], "above 0.5"),
        (["1/255", "2/510"], "the same as"),
        (["abc"], "not a number"),
        (["1/0"], "not a number"),
    ],
)
def test_epsilons_refused(texts: list[str], message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        epsilon.check(texts)


def test_epsilons_warned_and_parsed() -> None:
    assert '"0.25/255"' in epsilon.check(["0.25"])[0]
    assert epsilon.check(["0.001", "0.5/255", "1/255"][::2]) == []
    assert epsilon.parse("1/255") == 1 / 255
    assert epsilon.parse("0.5/255") == 0.5 / 255


def test_sheet_round_trip_keeps_names_to_the_letter(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [[" a/b c", "demo", "arch=x", "f", ""], ["b", "brainscore", "", "g", "n"]], columns=sheet.COLUMNS
    )
    sheet.write(frame, tmp_path / "m.tsv")
    pd.testing.assert_frame_equal(sheet.read(tmp_path / "m.tsv"), frame)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("model\tsource\n", "header"),
        ("\t".join(sheet.COLUMNS) + "\n", "no model"),
        ("\t".join(sheet.COLUMNS) + "\na\tdemo\na\tdemo\n", "m.tsv:3: model 'a' is already on line 2"),
        ("\t".join(sheet.COLUMNS) + "\na\tnowhere\n", "m.tsv:2: source 'nowhere'"),
        ("\t".join(sheet.COLUMNS) + "\n \tdemo\n", "no name"),
    ],
)
def test_sheet_errors(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "m.tsv").write_text(body)
    with pytest.raises(AlignsecError, match=message):
        sheet.read(tmp_path / "m.tsv")


def test_devices_are_given_once_and_ids_may_be_strings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a0223334,GPU-b1223334")
    with devices.acquire(tmp_path) as first:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == first == "GPU-a0223334"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a0223334,GPU-b1223334")
        with devices.acquire(tmp_path) as second:
            assert second == "GPU-b1223334"
    with devices.acquire(tmp_path) as again:
        assert again == "GPU-a0223334"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with devices.acquire(tmp_path) as none:
        assert none is None


def test_tables_refuse_what_the_schema_forbids_and_leave_nothing_half_done(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"model": ["a", "a"], "benchmark": ["x", "x"], "score": [1.0, 2.0], "status": ["scored"] * 2}
    )
    with pytest.raises(AlignsecError, match="schema"):
        tables.write(frame, tmp_path / "t.parquet", "scores")
    with pytest.raises(AlignsecError, match="schema"):
        tables.write(frame.drop(columns="status"), tmp_path / "t.parquet", "scores")
    assert list(tmp_path.iterdir()) == []
    tables.write(frame.head(1), tmp_path / "t.parquet", "scores")
    assert tables.read(tmp_path / "t.parquet", "scores")["score"].tolist() == [1.0]
    (tmp_path / "t.parquet").write_bytes(b"junk")
    with pytest.raises(AlignsecError, match="not a readable Parquet"):
        tables.read(tmp_path / "t.parquet", "scores")


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    tables.write_text(path, "old")
    with pytest.raises(RuntimeError), tables.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_dead_runs_lock_is_removed_and_a_live_runs_lock_kept(tmp_path: Path) -> None:
    assert locks.unlock(tmp_path) is False
    (tmp_path / "Snakefile").write_text("rule all:\n    output: 'x'\n    shell: 'echo > x; sleep 60'\n")
    held = tmp_path / ".snakemake" / "locks"
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1"], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        waited = time.monotonic() + 60
        while not (tmp_path / "x").exists() and time.monotonic() < waited:
            time.sleep(0.1)
        with pytest.raises(AlignsecError, match=f"alive here .process .*{run.pid}"):
            locks.unlock(tmp_path)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert any(held.iterdir())
    assert locks.unlock(tmp_path) is True
    assert not held.exists()


@pytest.mark.parametrize(
    ("command", "is_one"),
    [
        ("/venv/bin/python /venv/bin/snakemake --cores 2", True),
        ("python3 -m snakemake", True),
        ("snakemake", True),
        ("vim snakemake.log", False),
        ("tail -f snakemake", False),
        ("", False),
    ],
)
def test_what_counts_as_a_run(command: str, is_one: bool) -> None:
    assert locks.is_snakemake(command.split()) is is_one


def test_median_distance_by_hand() -> None:
    rows = [
        {"model": "m", "image": str(i), "label": 0, "epsilon": e, "correct": i > 0, "correct_top5": True,
         "robust": d > e and i > 0, "top5": None, "stage": "", "distance": d if d < 9 else None}
        for e in (0.1, 0.2)
        for i, d in enumerate([0.05, 0.08, 0.15, 9.0, 0.3])
    ]  # fmt: skip
    status = [{"model": "m", "step": "attack", "status": "ok", "reason": "", "warnings": {"not_monotone": 2}}]
    table, _ = robustness.summarise([pd.DataFrame(rows)], status, [], ["0.1", "0.2"], "Linf")
    # misclassified 0, then .08, .15, and two censored at .2
    assert table.set_index("target").loc["median_distance", ["value", "low", "high"]].tolist() == [
        0.15,
        0,
        0.2,
    ]
    told = robustness.doubts(status * 2)
    assert told[["model", "warning", "value"]].to_numpy().tolist() == [["m", "not_monotone", 4]]
