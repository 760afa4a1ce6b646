"""Images as people have them: links, names, archives, labels, and what is refused where it enters."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.images import archives, corrupt, packing, shards, sources
from alignsec.images.pixels import as_files, load
from alignsec.report import summary


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources.files_of.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(path: Path, grey: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), (grey, 40, 80)).save(path)
    return path


def labels(source: str, path: Path) -> dict[str, int]:
    sources.files_of.cache_clear()
    frame = shards.cut(source, str(path), 0, shards.size(source, str(path)), 0)
    return dict(sorted(zip(frame["image"], frame["label"], strict=True)))


def refused(source: str, path: Path, match: str) -> None:
    sources.files_of.cache_clear()
    sources.arrays.cache_clear()
    with pytest.raises(AlignsecError, match=match):
        shards.cut(source, str(path), 0, 1, 0)


def test_links_to_class_folders_and_files_are_followed(tmp_path: Path) -> None:
    picture(tmp_path / "disk" / "a.png")
    file = picture(tmp_path / "other" / "b.png")
    links = tmp_path / "links"
    (links / "n01443537").mkdir(parents=True)
    (links / "n01440764").symlink_to(tmp_path / "disk")
    (links / "n01443537" / "c.png").symlink_to(file)
    assert labels("folders", links) == {"n01440764/a.png": 0, "n01443537/c.png": 1}
    loop = links / "n01443537" / "up"
    loop.symlink_to(links)
    refused("folders", links, r"n01443537/up: a link to a folder that it lies in")
    loop.unlink()
    file.unlink()
    refused("folders", links, r"n01443537/c\.png: a link to nothing .*b\.png")


def test_names_of_hugging_faces_copy_are_checked_by_number_and_synset(tmp_path: Path) -> None:
    stem = "ILSVRC2012_val_00000293"
    good = picture(tmp_path / "val" / f"{stem}_n01440764.JPEG")
    assert labels("imagenet-val", good.parent) == {good.name: 0}
    good.rename(good.with_name(f"{stem}_n01443537.JPEG"))
    refused("imagenet-val", good.parent, r"of an image of n01440764, its name says n01443537")


def test_class_folders_that_are_no_synsets(tmp_path: Path) -> None:
    numbers, words = tmp_path / "numbers", tmp_path / "words"
    for i, (number, word) in enumerate((("7", "zebra"), ("012", "ape"), ("999", "cat"))):
        picture(numbers / number / "1.png", i)
        picture(words / word / "1.png", i)
    assert labels("folders", numbers) == {"7/1.png": 7, "012/1.png": 12, "999/1.png": 999}
    assert labels("folders", words) == {"ape/1.png": 0, "cat/1.png": 1, "zebra/1.png": 2}
    (note,) = shards.cut("folders", str(words), 0, 1, 0).attrs["warnings"]
    assert "sorted order (ape 0, cat 1, zebra 2)" in note
    (words / "classes.txt").write_text("zebra\nape\ndog\ncat\n")
    assert labels("folders", words) == {"zebra/1.png": 0, "ape/1.png": 1, "cat/1.png": 3}
    (words / "classes.txt").write_text("zebra\nape\n")
    refused("folders", words, r"cat/1\.png: not in a folder that stands in .*classes\.txt")
    (words / "classes.txt").write_text("zebra\nzebra\n")
    refused("folders", words, r"classes\.txt: line 2 has 'zebra' again")
    picture(numbers / "07" / "1.png")
    refused("folders", numbers, "two folders of one number")
    picture(tmp_path / "mixed" / "n01440764" / "1.png")
    picture(tmp_path / "mixed" / "fish" / "1.png")
    refused("folders", tmp_path / "mixed", r"fish/1\.png: not in a folder named by one of ImageNet's synsets")
    picture(tmp_path / "flat" / "1.png")
    refused("folders", tmp_path / "flat", r"1\.png: in no class folder")


def test_a_gzipped_archive_reads_as_the_plain_one(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "in" / f"{i}" / "x.png", i)
    frames = []
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as tar:  # type: ignore[call-overload]
            tar.add(tmp_path / "in", "in")
        frames.append(shards.cut("folders", str(tmp_path / name), 0, 3, 0))
    pd.testing.assert_frame_equal(frames[0].drop(columns="path"), frames[1].drop(columns="path"))
    with as_files(frames[1]) as paths:
        assert {np.asarray(Image.open(p))[0, 0, 0] for p in paths} == {0, 1, 2}
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(whole[: len(whole) // 2])
    refused("folders", tmp_path / "b.tar.gz", r"b\.tar\.gz: damaged or cut short")
    assert len(list((tmp_path / "cache" / "alignsec").iterdir())) == 1  # nothing of the damaged one


def parquet(path: Path, given: list[int | None]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for i in range(len(given)):
        buffer = io.BytesIO()
        Image.new("RGB", (5, 5), (i, 0, 0)).save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": f"{i}.png"})
    pq.write_table(pa.table({"image": rows, "label": given}), path, row_group_size=2)
    return path


def test_parquet_gives_bytes_and_labels_across_row_groups_and_can_be_packed(tmp_path: Path) -> None:
    path = parquet(tmp_path / "test.parquet", [4, 3, 2, 1, 0])
    frame = shards.cut("parquet", str(path), 0, 5, 0)
    with as_files(frame) as paths:
        assert [4 - np.asarray(Image.open(p))[0, 0, 0] for p in paths] == frame["label"].tolist()
        assert {p.suffix for p in paths} == {".png"}
    packing.pack("parquet", str(path), 5, 3, tmp_path / "packs")
    packed = shards.cut("packs", str(tmp_path / "packs"), 0, 5, 0)
    assert shards.checksum(packed) == shards.checksum(frame)
    refused("parquet", parquet(tmp_path / "bad.parquet", [0, -1]), r"bad\.parquet: label -1 of row 1")
    refused("parquet", parquet(tmp_path / "none.parquet", [0, None]), "label None of row 1")
    path.write_bytes(b"PAR1 junk")
    refused("parquet", path, r"test\.parquet: expected Parquet with columns")


def test_arrays_that_are_of_no_use_are_refused_by_index(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((6, 3, 4, 5), dtype=np.float32), np.arange(6)

    def check(match: str, images: np.ndarray = x, given: np.ndarray = y) -> None:
        np.savez(tmp_path / "a.npz", images=images, labels=given)
        refused("npz", tmp_path / "a.npz", r"a\.npz: " + match)

    check("label -1 of image 2 is out of range", given=np.where(y == 2, -1, y))
    check("label 100000 of image 5 is out of range", given=np.where(y == 5, 100_000, y))
    check(r"labels \(6, 6\): one whole number .*argmax", given=np.eye(6, dtype=int))
    check("images .* do not go together", given=y / 1)
    nan, out = x.copy(), x.copy()
    nan[3, 0, 0, 0], out[4, 0, 0, 0] = np.nan, 1.5
    check("image 3 has pixels that are NaN", nan)
    check(r"image 4 has pixels outside \[0, 1\]", out)
    check(r"images .* look like .N, H, W, C.", x.transpose(0, 2, 3, 1))
    check("images of int64: expected uint8", (x * 255).astype(int))
    check("images .* do not go together", x[:0], y[:0])
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    refused("npz", tmp_path / "b.npz", r"b\.npz: expected an \.npz")


def test_only_raster_formats_are_opened_and_16_bits_are_not_cut_to_8(tmp_path: Path) -> None:
    import cv2

    path = picture(tmp_path / "cat" / "a.jpg")
    with Image.open(path) as image:
        image.save(path, "EPS")
    refused("folders", tmp_path, r"a\.jpg: no image: replace or remove it")
    cv2.imwrite(str(path.with_suffix(".png")), np.full((4, 4, 3), 40_000, np.uint16))
    path.unlink()
    refused("folders", tmp_path, r"a\.png: mode RGB \(above 8 bits")


def test_a_file_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "cat" / "a.png").rename(tmp_path / "cat" / os.fsdecode(b"caf\xe9.png"))
    refused("folders", tmp_path, r"cat/caf\\xe9\.png' is not UTF-8")


def test_the_same_bytes_under_two_labels_are_told_and_stop_nothing(tmp_path: Path) -> None:
    for name, grey in (("ape/1", 5), ("cat/2", 5), ("cat/3", 5), ("cat/4", 9)):
        picture(tmp_path / f"{name}.png", grey)
    frame = shards.cut("folders", str(tmp_path), 0, 4, 0)
    assert len(frame) == 4
    told = "1 image under more than one label, byte for byte: ape/1.png (0), cat/2.png (1), cat/3.png (1)"
    assert told in frame.attrs["warnings"]
    assert shards.contradictions(frame[frame["label"] == 1]) == []
    tables.write(frame, tmp_path / "manifest.parquet", "images")
    (said,) = summary._images(tmp_path / "manifest.parquet")
    assert told in said


def test_corrupted_files_are_found_by_class_folder_and_name(tmp_path: Path) -> None:
    for i, name in enumerate(("axolotl", "centipede", "garter_snake")):
        picture(tmp_path / "val" / name / "0001.png", i)
        picture(tmp_path / "c" / "fog" / "1" / name / "0001.JPEG", i)
        picture(tmp_path / "c" / "snow" / "1" / f"n0144076{i}" / "0001.JPEG", i)
        picture(tmp_path / "c" / "frost" / "1" / name / "0001.JPEG", i)
    frame = shards.cut("folders", str(tmp_path / "val"), 0, 3, 0)
    found = corrupt.imagenet_c(frame, tmp_path / "c", "fog", 1)
    assert [p.parent.name for p in found] == [Path(i).parent.name for i in frame["image"]]
    with pytest.raises(AlignsecError, match=r"is not there \(3 missing\)"):
        corrupt.imagenet_c(frame, tmp_path / "c", "snow", 1)
    picture(tmp_path / "c" / "frost" / "1" / "part" / "axolotl" / "0001.JPEG")
    with pytest.raises(AlignsecError, match="2 files for image axolotl/0001"):
        corrupt.imagenet_c(frame, tmp_path / "c", "frost", 1)
    stem = "ILSVRC2012_val_00000293"
    picture(tmp_path / "flat" / f"{stem}_n01440764.JPEG")
    inside = picture(tmp_path / "c" / "rain" / "1" / "n01440764" / f"{stem}.JPEG")
    flat = shards.cut("imagenet-val", str(tmp_path / "flat"), 0, 1, 0)
    assert corrupt.imagenet_c(flat, tmp_path / "c", "rain", 1) == [inside]
    inside.rename(picture(tmp_path / "c" / "hail" / "1" / "n01443537" / f"{stem}.JPEG"))
    with pytest.raises(AlignsecError, match="in the folder of label 1, its image has 0"):
        corrupt.imagenet_c(flat, tmp_path / "c", "hail", 1)
    with pytest.raises(AlignsecError, match="would stand for 2 images"):
        corrupt.imagenet_c(pd.concat([frame, frame]), tmp_path / "c", "fog", 1)


def test_pixels_of_brought_arrays_are_what_was_given(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((3, 1, 4, 4)).astype(np.float16)
    np.savez(tmp_path / "half.npz", images=x, labels=np.arange(3))
    pixels, given = load(shards.cut("npz", str(tmp_path / "half.npz"), 0, 3, 0))
    np.testing.assert_array_equal(pixels, x[given].astype(np.float32))


# ---- what a kill leaves, and what is refused before anything runs ------------------------------------------


def test_unfinished_copies_of_killed_processes_are_removed_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed while it uncompresses, and one that is still at it."""
    import subprocess
    import sys

    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    wait = (
        "import sys, time\nfrom alignsec.images import archives\n"
        "archives.shutil.disk_usage = lambda place: print('at it', flush=True) or time.sleep(600)\n"
        "archives.members(sys.argv[1])"
    )
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(__file__, "b/c.jpeg")
    line = [sys.executable, "-c", wait, str(archive)]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE) for _ in range(2)]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == b"at it\n"
    try:
        assert len(list(cache.rglob("*.part"))) == 2
        running[0].kill()
        running[0].wait()
        assert list(archives.members(str(archive))) == ["b/c.jpeg"]
        assert len(list(cache.rglob("*.part"))) == 1
        (copy,) = cache.rglob("*.tar")
        assert copy.stat().st_size > 0
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_corruptions_of_photographs_are_refused_of_small_arrays_before_anything_runs(tmp_path: Path) -> None:
    for name, side in (("small", 32), ("large", 64)):
        np.savez(tmp_path / f"{name}.npz", images=np.zeros((2, 3, side, side), np.uint8), labels=np.arange(2))
    small = r"frost is for images of 64 pixels and more, these have {0} × {0}: take of gaussian_noise"
    with pytest.raises(AlignsecError, match=small.format(32)):
        corrupt.check_source("npz", str(tmp_path / "small.npz"), ["contrast", "frost"])
    with pytest.raises(AlignsecError, match=small.format(8)):
        corrupt.check_source("digits", None, ["frost"])
    with pytest.raises(AlignsecError, match="'frosty' is not one of"):
        corrupt.check_source("folders", str(tmp_path), ["frosty"])
    corrupt.check_source("npz", str(tmp_path / "large.npz"), ["frost"])
    corrupt.check_source("npz", str(tmp_path / "small.npz"), ["contrast", "occlusion"])
    corrupt.check_source("npz", str(tmp_path / "none.npz"), ["frost"])  # whoever reads it will say so
    corrupt.check_source("folders", str(tmp_path), ["frost"])  # of a size that is every model's own
