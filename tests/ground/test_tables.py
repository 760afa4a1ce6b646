"""Tables are written whole or not at all, and hold their schema."""

from pathlib import Path

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
