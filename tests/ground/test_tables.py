"""Tables are written whole or not at all, and hold their schema."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError


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


def test_a_file_says_of_what_kind_it_was_written(tmp_path: Path) -> None:
    frame = pd.DataFrame({"model": ["a"], "benchmark": ["x"], "score": [1.0], "status": ["scored"]})
    tables.write(frame, tmp_path / "ours.parquet", "scores")
    frame.to_parquet(tmp_path / "theirs.parquet")
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    names = ("ours", "theirs", "junk", "none")
    assert [tables.kind_of(tmp_path / f"{n}.parquet") for n in names] == ["scores", None, None, None]


HOSTILE = [
    "=1+1", "'=1+1", "''-x", "'-5", "-5", "+.5e3", "-.5", "-inf", "nan", "+x", "@a", "\tt", "\rc", "a\rb",
    "\n=1", "'", "''",
    "'@", "-1_0", "NA", "null", "None", "007", "1e5", "True", 'q"u,o;te', "é\N{GRINNING FACE}", " =1", "-",
    "--", "a\r\nb", '=cmd|"/c calc"!A0', "-5-5", "+1,5",
]  # fmt: skip


def test_a_csv_is_read_back_as_it_was_whatever_its_names(tmp_path: Path) -> None:
    n = len(HOSTILE)
    frame = pd.DataFrame(
        {"model": HOSTILE, "=x": HOSTILE[::-1], "value": np.linspace(-1, 1, n) ** 3, "n": range(-n, 0)}
    )
    frame["odd"] = [-np.inf, np.inf, np.nan, *[-1e-300] * (n - 3)]
    frame["flag"] = True
    tables.write_csv(frame, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(tables.read_csv(tmp_path / "t.csv"), frame, check_exact=True)
    again = tmp_path / "again.csv"
    tables.write_csv(tables.read_csv(tmp_path / "t.csv"), again)
    assert again.read_bytes() == (tmp_path / "t.csv").read_bytes()


def test_a_spreadsheet_computes_no_cell_of_ours_and_numbers_stay(tmp_path: Path) -> None:
    frame = pd.DataFrame({"@column": HOSTILE, "value": -0.25, "odd": -np.inf, "n": -3})
    tables.write_csv(frame, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as handle:
        header, *rows = csv.reader(handle)
    assert header == ["'@column", "value", "odd", "n"]
    assert all(row[1:] == ["-0.25", "-inf", "-3"] for row in rows)
    for (cell, *_), name in zip(rows, HOSTILE, strict=True):
        assert cell in (name, f"'{name}")
        if cell[:1] in "=+-@\t\r\n":
            float(cell)
        assert cell.endswith(name)
    assert {"-5", "+.5e3", "-.5", "-inf"} <= {row[0] for row in rows}


def test_a_plain_csv_is_written_as_pandas_writes_it_and_an_empty_one_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"model": ["a", None], "value": [-0.1, np.nan], "note": ["x, y", ""]})
    tables.write_csv(frame, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == 'model,value,note\na,-0.1,"x, y"\n,,\n'
    tables.write_csv(frame.head(0), tmp_path / "e.csv")
    found = tables.read_csv(tmp_path / "e.csv")
    assert list(found.columns) == ["model", "value", "note"] and found.empty
