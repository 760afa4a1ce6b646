"""Image order and shards, checksums, corrupt."""

import hashlib
import io
import os
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded
from alignsec.images import corrupt, shards, sources
from alignsec.images.pixels import as_files
from alignsec.images.pixels import load as load_pixels
from alignsec.robustness import corruptions
from tests import children


def test_a_larger_count_keeps_the_smaller_set_and_shards_tile_it() -> None:
    whole = shards.cut("digits", None, 0, 20, 3)
    parts = shards.gather([shards.cut("digits", None, 0, 8, 3), shards.cut("digits", None, 8, 20, 3)])
    pd.testing.assert_frame_equal(whole, parts)
    assert whole["image"].is_unique
    assert list(shards.cut("digits", None, 0, 20, 4)["image"]) != list(whole["image"])
    with pytest.raises(AlignsecError, match=r"images\.count: 798 .* has 797"):
        shards.cut("digits", None, 0, 798, 0)


def test_pixels_are_checked_against_the_manifest() -> None:
    frame = shards.cut("digits", None, 0, 4, 0)
    pixels, labels = load_pixels(frame)
    assert pixels.shape == (4, 1, 8, 8)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert labels.tolist() == frame["label"].tolist()
    frame.loc[1, "sha256"] = "0" * 64
    with pytest.raises(AlignsecError, match="not the one of the manifest"):
        load_pixels(frame)


def test_npz_and_its_errors(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=x, labels=np.arange(5))
    pixels, labels = load_pixels(shards.cut("npz", str(tmp_path / "a.npz"), 0, 5, 0))
    np.testing.assert_array_equal(pixels, (x / np.float32(255))[labels])
    np.savez(tmp_path / "b.npz", images=x)
    with pytest.raises(AlignsecError, match="`labels`"):
        shards.size("npz", str(tmp_path / "b.npz"))


def test_real_photographs_get_imagenet_labels(data_dir: Path) -> None:
    """Label = place of the synset among all thousand in order, for each of the 37 files (one per class)."""
    folder = data_dir / "imagenet_sample"
    frame = shards.cut("folders", str(folder), 0, shards.size("folders", str(folder)), 0)
    synsets = sorted(sources.imagenet().synsets)
    assert len(synsets) == 1000
    assert len(frame) == 37
    for path, label in zip(frame["path"], frame["label"], strict=True):
        assert label == synsets.index(Path(path).parent.name), path
    # as torchvision's class list has them: 30 is the bullfrog, 927 the trifle
    assert sources.imagenet().synsets["n01641577"] == 30
    assert sources.imagenet().synsets["n07613480"] == 927
    seen = load_pixels(frame.head(2), lambda paths: np.zeros((len(paths), 3, 2, 2), np.float32))[0]
    assert seen.shape == (2, 3, 2, 2)


def picture(path: Path, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize(size).convert(mode).save(path)
    return path


VAL = {"ILSVRC2012_val_00000293": 0, "ILSVRC2012_val_00002138": 0, "ILSVRC2012_val_00000003": 230}


@pytest.mark.parametrize("layout", ["flat", "folders", "tar"])
def test_validation_files_are_labelled_by_name(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "val"
    for i, name in enumerate(VAL):
        picture(folder / (f"class{i}" if layout == "folders" else "") / f"{name}.JPEG", size=(40 + i, 30))
    source = folder
    if layout == "tar":
        source = tmp_path / "val.tar"
        with tarfile.open(source, "w") as tar:
            tar.add(folder, "val")
    frame = shards.cut("imagenet-val", str(source), 0, 3, 0)
    assert {Path(n).stem: v for n, v in zip(frame["image"], frame["label"], strict=True)} == VAL
    assert "3 of 3 files are not the published JPEGs" in frame.attrs["warnings"][0]
    with as_files(frame) as paths:
        sizes = {Image.open(p).size for p in paths}
    assert sizes == {(40, 30), (41, 30), (42, 30)}
    picture(folder / "mine.JPEG")
    sources.files_of.cache_clear()
    with pytest.raises(AlignsecError, match=r"mine\.JPEG: not an ImageNet validation file"):
        shards.size("imagenet-val", str(folder))


def test_a_validation_file_under_anothers_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other, _ = VAL
    path = picture(tmp_path / "val" / f"{first}.JPEG")
    table = sources.imagenet()
    digest = hashlib.sha1(path.read_bytes()).hexdigest()
    published = table._replace(sha1={**table.sha1, first: digest})
    monkeypatch.setattr(shards, "imagenet", lambda: published)
    shards._stems.cache_clear()
    assert shards.cut("imagenet-val", str(tmp_path / "val"), 0, 1, 0).attrs["warnings"] == []
    monkeypatch.setattr(shards, "imagenet", lambda: table._replace(sha1={**table.sha1, other: digest}))
    shards._stems.cache_clear()
    with pytest.raises(AlignsecError, match=f"this is {other} under another name"):
        shards.cut("imagenet-val", str(tmp_path / "val"), 0, 1, 0)
    shards._stems.cache_clear()


def test_archives_that_reach_out_are_refused(tmp_path: Path) -> None:
    def archive(name: str, member: tarfile.TarInfo, data: bytes = b"") -> str:
        with tarfile.open(tmp_path / name, "w") as tar:
            tar.addfile(member, io.BytesIO(data))
        return str(tmp_path / name)

    outside = tarfile.TarInfo("n01440764/../../evil.JPEG")
    outside.size = 4
    with pytest.raises(AlignsecError, match=r"member 'n01440764/\.\./\.\./evil\.JPEG' lies outside: refused"):
        shards.size("folders", archive("a.tar", outside, b"evil"))
    link = tarfile.TarInfo("n01440764/a.JPEG")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(AlignsecError, match="link or a device: refused"):
        shards.size("folders", archive("b.tar", link))
    with pytest.raises(AlignsecError, match="lies outside"):
        shards.size("folders", archive("c.tar", tarfile.TarInfo("/n01440764/a.JPEG")))
    (tmp_path / "d.tar").write_bytes(b"junk" * 500)
    with pytest.raises(AlignsecError, match="no tar archive, plain or gzipped"):
        shards.size("folders", str(tmp_path / "d.tar"))
    assert not (tmp_path.parent / "evil.JPEG").exists()


def _png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (head, body, b"IEND")
    )


def test_images_that_no_model_can_take_are_named(tmp_path: Path) -> None:
    place = tmp_path / "n01440764"
    path = picture(place / "a.JPEG", size=(200, 200))
    whole = path.read_bytes()
    for raw, reason in (
        (whole[: len(whole) // 2], "damaged or cut short"),
        (b"no image", "no image: replace or remove"),
        (_png_header(50_000, 50_000), "refused"),
        (_png_header(12_000, 12_000), "12000 × 12000 pixels are more than 100,000,000: refused"),
    ):
        path.write_bytes(raw)
        with pytest.raises(AlignsecError, match=rf"a\.JPEG: .*{reason}"):
            shards.cut("folders", str(tmp_path), 0, 1, 0)
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(place / "a.png")
    path.unlink()
    sources.files_of.cache_clear()
    with pytest.raises(AlignsecError, match=r"mode I;16 .*convert it to 8-bit RGB"):
        shards.cut("folders", str(tmp_path), 0, 1, 0)


def test_grey_cmyk_and_transparent_images_reach_a_model_as_rgb(tmp_path: Path) -> None:
    picture(tmp_path / "n01440764" / "grey.JPEG", "L")
    picture(tmp_path / "n01440764" / "four.JPEG", "CMYK")
    picture(tmp_path / "n01440764" / "clear.png", "RGBA")
    picture(tmp_path / "n01440764" / "plain.png", "RGB")
    frame = shards.cut("folders", str(tmp_path), 0, 4, 0)
    with as_files(frame) as paths:
        opened = [Image.open(p) for p in paths]
        assert {i.mode for i in opened} == {"RGB"}
        grey = paths[list(frame["image"]).index("n01440764/grey.JPEG")]
        expected = np.asarray(Image.open(tmp_path / "n01440764" / "grey.JPEG"))
        np.testing.assert_array_equal(np.asarray(Image.open(grey))[..., 0], expected)
        plain = paths[list(frame["image"]).index("n01440764/plain.png")]
        assert plain == tmp_path / "n01440764" / "plain.png"


def test_samples_are_nested_and_stratified_when_asked() -> None:
    labels = np.repeat(np.arange(10), 50)
    for stratified in (False, True):
        whole = shards.order(labels, 3, stratified)
        assert sorted(whole.tolist()) == list(range(500))
        np.testing.assert_array_equal(whole, shards.order(labels, 3, stratified))
    assert set(np.bincount(labels[whole[:30]])) == {3}
    assert set(np.bincount(labels[shards.order(labels, 3)[:30]])) != {3}
    uneven = np.array([0] * 9 + [1])
    assert 9 in shards.order(uneven, 0, True)[:2]


def test_pixels_of_a_geometry_are_kept_and_shared(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "in" / "n01440764" / f"{i}.png", size=(20 + i, 16))
    frame = shards.cut("folders", str(tmp_path / "in"), 0, 3, 0)
    calls = []

    def preprocess(paths: list[Path]) -> np.ndarray:
        calls.append(len(paths))
        rows = [np.asarray(Image.open(p).resize((8, 8))).transpose(2, 0, 1) for p in paths]
        return (np.stack(rows).astype(np.float64) / 255).astype(np.float32)

    first, labels = load_pixels(frame, preprocess, tmp_path / "cache")
    second, _ = load_pixels(frame, preprocess, tmp_path / "cache")
    assert calls == [3]
    np.testing.assert_array_equal(first, second)
    assert labels.tolist() == [0, 0, 0]
    (kept,) = (tmp_path / "cache").glob("*.npy")
    assert np.load(kept).dtype == np.uint8
    load_pixels(frame.head(2), preprocess, tmp_path / "cache")  # other images, other file
    assert calls == [3, 2]
    floats, _ = load_pixels(frame, lambda p: preprocess(p) * np.float32(0.999), tmp_path / "other")
    again, _ = load_pixels(frame, preprocess, tmp_path / "other")
    np.testing.assert_array_equal(floats, again)
    with pytest.raises(Excluded, match="images do not fit: its preprocessing fails"):
        load_pixels(frame, lambda p: 1 / 0)  # type: ignore[arg-type,return-value]


def test_imagenet_c_files_are_matched_and_not_resized_twice(tmp_path: Path) -> None:
    from alignsec.zoo.pixel_model import PixelModel

    for name in ("a", "b"):
        picture(tmp_path / "val" / "n01440764" / f"{name}.JPEG", size=(60, 50))
        picture(tmp_path / "c" / "fog" / "2" / "n01440764" / f"{name}.JPEG", size=(16, 16))
    frame = shards.cut("folders", str(tmp_path / "val"), 0, 2, 0)
    paths = corrupt.imagenet_c(frame, tmp_path / "c", "fog", 2)
    assert [p.stem for p in paths] == [Path(i).stem for i in frame["image"]]
    as_it_is = corrupt.pixels_of(paths, (16, 16))
    np.testing.assert_array_equal(
        as_it_is[0], np.asarray(Image.open(paths[0])).transpose(2, 0, 1) / np.float32(255)
    )
    assert corrupt.pixels_of(paths, (24, 20)).shape == (2, 3, 24, 20)
    with pytest.raises(AlignsecError, match=r"fog/3: no such folder"):
        corrupt.imagenet_c(frame, tmp_path / "c", "fog", 3)
    picture(tmp_path / "c" / "snow" / "2" / "n01443537" / "a.JPEG")
    picture(tmp_path / "c" / "snow" / "2" / "n01440764" / "b.JPEG")
    with pytest.raises(AlignsecError, match=r"a\.JPEG is not there"):
        corrupt.imagenet_c(frame, tmp_path / "c", "snow", 2)

    class Bright(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.mean((1, 2, 3)) + i for i in range(7, 0, -1)], 1)

    model = PixelModel(Bright(), (0.0,) * 3, (1.0,) * 3, input_size=16)
    table = corruptions.evaluate(
        model, frame, np.zeros((2, 3, 16, 16), np.float32), ["fog"], [2], 0, tmp_path / "c"
    )
    assert table["correct"].tolist() == [True, True]  # label 0 has the largest logit
    assert len(table) == 2


def test_corruptions_are_seeded_per_image_and_grow_with_severity() -> None:
    pixels, _ = load_pixels(shards.cut("digits", None, 0, 16, 0))
    for name in corrupt.ON_THE_FLY:
        mild, strong = (corrupt.corrupt(pixels, name, s, 0) for s in (1, 5))
        alone = corrupt.corrupt(pixels[5:6], name, 1, 0)
        np.testing.assert_array_equal(alone[0], mild[5])
        assert 0 < np.abs(mild - pixels).mean() < np.abs(strong - pixels).mean()
        assert mild.min() >= 0
        assert mild.max() <= 1
    with pytest.raises(AlignsecError, match="gaussian_noise"):
        corrupt.corrupt(pixels, "gausian_noise", 1, 0)


@pytest.mark.parametrize("source", ["folders", "npz", "packs", "tar"])
def test_relative_paths_hold_in_a_process_that_stands_elsewhere(
    source: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration names images from the run's folder; models run in processes of their own."""
    from alignsec.ground import isolation, tables
    from alignsec.images import packing

    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(data_dir)
    path, kind = (
        {"folders": "data/imagenet_sample", "npz": "data/cifar10/test_head_256.npz"}.get(source),
        source,
    )
    if source == "packs":
        packing.pack("digits", None, 3, 3, tmp_path / "packed")
        path = "packed"
    elif source == "tar":
        path, kind = "some.tar", "folders"
        with tarfile.open(path, "w") as tar:
            tar.add(data_dir / "imagenet_sample", "all")
    tables.write(shards.cut(kind, path, 0, 3, 0), tmp_path / "t.parquet", "images")
    given = {"table": str(tmp_path / "t.parquet")}
    found = isolation.call(children.pixel_sum, given, environment={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert found.excluded is None and found.value > 0
