"""A table's file says of what kind it is."""

from pathlib import Path

import pandas as pd

from alignsec.ground import tables


def test_a_file_says_of_what_kind_it_was_written(tmp_path: Path) -> None:
    frame = pd.DataFrame({"model": ["a"], "benchmark": ["x"], "score": [1.0], "status": ["scored"]})
    tables.write(frame, tmp_path / "ours.parquet", "scores")
    frame.to_parquet(tmp_path / "theirs.parquet")
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    names = ("ours", "theirs", "junk", "none")
    assert [tables.kind_of(tmp_path / f"{n}.parquet") for n in names] == ["scores", None, None, None]
