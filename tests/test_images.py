"""Image order and shards, checksums, corruptions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignsec import corruptions, images
from alignsec.errors import AlignsecError


def test_a_larger_count_keeps_the_smaller_set_and_shards_tile_it() -> None:
    whole = images.shard("digits", None, 0, 20, 3)
    parts = images.gather([images.shard("digits", None, 0, 8, 3), images.shard("digits", None, 8, 20, 3)])
    pd.testing.assert_frame_equal(whole, parts)
    assert whole["image"].is_unique
    assert list(images.shard("digits", None, 0, 20, 4)["image"]) != list(whole["image"])
    with pytest.raises(AlignsecError, match=r"images\.count: 798 .* has 797"):
        images.shard("digits", None, 0, 798, 0)


def test_pixels_are_checked_against_the_manifest() -> None:
    frame = images.shard("digits", None, 0, 4, 0)
    pixels, labels = images.load(frame)
    assert pixels.shape == (4, 1, 8, 8)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert labels.tolist() == frame["label"].tolist()
    frame.loc[1, "sha256"] = "0" * 64
    with pytest.raises(AlignsecError, match="not the one of the manifest"):
        images.load(frame)


def test_npz_and_its_errors(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=x, labels=np.arange(5))
    pixels, labels = images.load(images.shard("npz", str(tmp_path / "a.npz"), 0, 5, 0))
    np.testing.assert_array_equal(pixels, (x / np.float32(255))[labels])
    np.savez(tmp_path / "b.npz", images=x)
    with pytest.raises(AlignsecError, match="`labels`"):
        images.size("npz", str(tmp_path / "b.npz"))


def test_real_photographs_get_imagenet_labels(data_dir: Path) -> None:
    folder = data_dir / "imagenet_sample"
    frame = images.shard("folders", str(folder), 0, images.size("folders", str(folder)), 0)
    assert len(frame) == 37
    labels = {Path(p).parent.name: label for p, label in zip(frame["path"], frame["label"], strict=True)}
    # ILSVRC2012 class indices (sorted synsets): bullfrog 30 and trifle 927, not the rank among 37 folders
    assert labels["n01641577"] if "n01641577" in labels else labels["n07613480"] == 927
    seen = images.load(frame.head(2), lambda paths: np.zeros((len(paths), 3, 2, 2), np.float32))[0]
    assert seen.shape == (2, 3, 2, 2)


def test_corruptions_are_seeded_per_image_and_grow_with_severity() -> None:
    pixels, _ = images.load(images.shard("digits", None, 0, 16, 0))
    for name in corruptions.ON_THE_FLY:
        mild, strong = (corruptions.corrupt(pixels, name, s, 0) for s in (1, 5))
        alone = corruptions.corrupt(pixels[5:6], name, 1, 0)
        np.testing.assert_array_equal(alone[0], mild[5])
        assert 0 < np.abs(mild - pixels).mean() < np.abs(strong - pixels).mean()
        assert mild.min() >= 0
        assert mild.max() <= 1
    with pytest.raises(AlignsecError, match="gaussian_noise"):
        corruptions.corrupt(pixels, "gausian_noise", 1, 0)
