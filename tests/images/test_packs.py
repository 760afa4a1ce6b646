"""Packs hold the source's images in its order, and are refused where they are not what their index says."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignsec.cluster import job
from alignsec.ground.errors import AlignsecError
from alignsec.images import packing, packs, shards
from alignsec.images.pixels import as_files
from alignsec.images.pixels import load as load_pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("packs")
    packing.pack("digits", None, 10, 4, place, seed=3)
    return place


def test_packed_images_are_the_sources(folder: Path) -> None:
    index = packs.read_index(folder)
    assert [s["images"] for s in index["shards"]] == [4, 4, 2] and shards.size("packs", str(folder)) == 10
    for start, stop in ((0, 4), (2, 9), (8, 10)):
        plain = shards.cut("digits", None, start, stop, 3)
        packed = shards.cut("packs", str(folder), start, stop, 3)
        pd.testing.assert_frame_equal(plain.drop(columns="path"), packed.drop(columns="path"))
        assert shards.checksum(plain) == shards.checksum(packed)
        for a, b in zip(load_pixels(plain), load_pixels(packed), strict=True):
            assert np.array_equal(a, b) and a.dtype == b.dtype


def test_packed_files_are_the_sources_bytes(data_dir: Path, tmp_path: Path) -> None:
    sample = str(data_dir / "imagenet_sample")
    packing.pack("folders", sample, 6, 3, tmp_path, stratified=True)
    plain = shards.cut("folders", sample, 0, 6, 0, stratified=True)
    packed = shards.cut("packs", str(tmp_path), 0, 6, 0, stratified=True)
    assert shards.checksum(plain) == shards.checksum(packed)
    with as_files(packed) as given, as_files(plain) as files:
        assert [a.read_bytes() for a in given] == [b.read_bytes() for b in files]


def test_packing_again_changes_nothing_and_mends_what_is_missing(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    times = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.tar")}
    (folder / "0001.tar").unlink()
    packing.pack("digits", None, 10, 4, folder, seed=3)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert {n for n, t in times.items() if (folder / n).stat().st_mtime_ns != t} == {"0001.tar"}


def test_archives_that_were_sent_stand_for_those_that_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    index_only, scratch = tmp_path / "index", tmp_path / "scratch"
    shutil.copytree(folder, index_only, ignore=shutil.ignore_patterns("*.tar"))
    scratch.mkdir()
    shutil.copy(folder / "0000.tar", scratch)
    rows = shards.cut("packs", str(index_only), 0, 4, 3)
    with pytest.raises(AlignsecError, match="cannot be read"):
        load_pixels(rows)
    monkeypatch.setenv("ALIGNSEC_STAGED", str(scratch))
    assert len(load_pixels(rows)[0]) == 4


def test_what_is_wrong_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        AlignsecError, match="packed with seed 3, the study has 0: pack again or set seed to 3"
    ):
        shards.cut("packs", str(folder), 0, 4, 0)
    with pytest.raises(AlignsecError, match="no folder of packs"):
        shards.cut("packs", str(tmp_path), 0, 4, 0)
    with pytest.raises(AlignsecError, match="11 images asked for, but packs has 10"):
        shards.cut("packs", str(folder), 8, 11, 3)
    monkeypatch.chdir(folder)
    entry = packs.covering(folder, 0, 4)[0]
    ad = {"AlignsecStaged": f"0000.tar={entry['sha256']}"}
    assert job.damaged(ad) is None
    wrong = job.damaged({"AlignsecStaged": f"0001.tar={entry['sha256']}"})
    assert wrong and wrong.startswith("0001.tar: its SHA-256 is") and "copy it there again" in wrong
    assert "it did not come" in str(job.damaged({"AlignsecStaged": "none.tar=0"}))


def test_the_index_is_of_a_known_format(tmp_path: Path) -> None:
    (tmp_path / packs.INDEX).write_text(json.dumps({"format": 99}))
    with pytest.raises(AlignsecError, match="format 99, expected 1"):
        packs.size(tmp_path)


def test_an_index_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    index = tmp_path / packs.INDEX
    for count in (5, 70):
        index.with_suffix(".new").write_text(
            json.dumps(
                {"format": packs.FORMAT, "per_shard": 100, "shards": [{"name": "0000.tar", "images": count}]}
            )
        )
        index.with_suffix(".new").replace(index)
        assert packs.size(tmp_path) == count
