"""ImageNet-C's corruptions of photographs: the published constants, and one seed per image."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alignsec.ground import isolation
from alignsec.ground.errors import AlignsecError
from alignsec.images import corrupt, photographs
from tests import children

library = pytest.importorskip("imagecorruptions", reason="imagecorruptions-imaug is not installed")
pytest.importorskip("imagecorruptions.corruptions")

# Hendrycks and Dietterich's make_imagenet_c.py, severities 1 to 5
PUBLISHED = {
    "gaussian_noise": [0.08, 0.12, 0.18, 0.26, 0.38],
    "shot_noise": [60, 25, 12, 5, 3],
    "impulse_noise": [0.03, 0.06, 0.09, 0.17, 0.27],
    "speckle_noise": [0.15, 0.2, 0.35, 0.45, 0.6],
    "gaussian_blur": [1, 2, 3, 4, 6],
    "glass_blur": [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
    "defocus_blur": [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
    "motion_blur": [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],
    "zoom_blur": [(1, 1.11, 0.01), (1, 1.16, 0.01), (1, 1.21, 0.02), (1, 1.26, 0.02), (1, 1.31, 0.03)],
    "fog": [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)],
    "frost": [(1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)],
    "snow": [
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ],
    "spatter": [
        (0.65, 0.3, 4, 0.69, 0.6, 0),
        (0.65, 0.3, 3, 0.68, 0.6, 0),
        (0.65, 0.3, 2, 0.68, 0.5, 0),
        (0.65, 0.3, 1, 0.65, 1.5, 1),
        (0.67, 0.4, 1, 0.65, 1.5, 1),
    ],
    "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
    "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
    "saturate": [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)],
    "jpeg_compression": [25, 18, 15, 10, 7],
    "pixelate": [0.6, 0.5, 0.4, 0.3, 0.25],
    "elastic_transform": [
        (244 * 2, 244 * 0.7, 244 * 0.1),
        (244 * 2, 244 * 0.08, 244 * 0.2),
        (244 * 0.05, 244 * 0.01, 244 * 0.02),
        (244 * 0.07, 244 * 0.01, 244 * 0.02),
        (244 * 0.12, 244 * 0.01, 244 * 0.02),
    ],
}


def constants(name: str) -> list[object]:
    """The list that the library's function takes its constants of, evaluated from its source."""
    for node in ast.walk(ast.parse(inspect.getsource(library.corruption_dict[name]))):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.List):
            if "severity" not in ast.unparse(node.slice):
                continue
        elif not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "c"):
            continue
        lists = [n for n in ast.walk(node) if isinstance(n, ast.List) and len(n.elts) == 5]
        if lists:
            code = ast.unparse(lists[0]).replace("np.arange", "")
            return list(eval(code))  # numbers of a pinned package
    raise AssertionError(f"no constants found in {name}")


def test_the_constants_are_those_published() -> None:
    assert set(PUBLISHED) == set(photographs.NAMES) == set(library.corruption_dict)
    found = {name: constants(name) for name in photographs.NAMES}
    assert found["elastic_transform"] != PUBLISHED["elastic_transform"]  # why it is made here
    found["elastic_transform"] = list(photographs.ELASTIC)
    for name, published in PUBLISHED.items():
        assert found[name] == published, name


@pytest.fixture(scope="module")
def pair(data_dir: Path) -> np.ndarray:
    files = sorted((data_dir / "imagenet_sample").rglob("*.JPEG"))[:2]
    rows = [np.asarray(Image.open(f).convert("RGB").resize((96, 80))).transpose(2, 0, 1) for f in files]
    return np.stack(rows).astype(np.float32) / 255


@pytest.mark.parametrize("name", photographs.NAMES)
def test_bytes_do_not_depend_on_the_batch_or_on_what_was_drawn_before(name: str, pair: np.ndarray) -> None:
    for severity in (1, 5):
        both = corrupt.corrupt(pair, name, severity, 0)
        np.random.seed(3)  # noqa: NPY002 -- what the library draws from
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        np.testing.assert_array_equal(corrupt.corrupt(pair[1:], name, severity, 0)[0], both[1])
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
        assert both.shape == pair.shape and 0 <= both.min() < both.max() <= 1
        assert np.abs(both - pair).mean() > 0.002


def test_bytes_are_those_of_another_process(pair: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pair)
    here = children.corrupted_hashes(str(tmp_path / "x.npy"))
    there = isolation.call(
        children.corrupted_hashes, {"path": str(tmp_path / "x.npy")}, environment=children.same_path()
    )
    assert there.excluded is None and there.value == here
    assert len(set(here)) == len(here)


def test_grey_photographs_stay_grey_and_small_images_are_told_what_they_can_have(pair: np.ndarray) -> None:
    assert corrupt.corrupt(pair[:, :1], "fog", 1, 0).shape == (2, 1, 80, 96)
    with pytest.raises(AlignsecError, match="fog is for images of 64 pixels and more, these have 8 × 8"):
        corrupt.corrupt(pair[..., :8, :8], "fog", 1, 0)


def test_a_mild_blur_leaves_a_genuine_network_most_of_its_accuracy(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from alignsec import zoo
    from alignsec.images import shards
    from alignsec.images.pixels import load

    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra realnets")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "config" / "realnets"))
    model = zoo.load("factory", "lite:lite0")
    x, y = load(shards.cut("folders", str(data_dir / "imagenet_sample"), 0, 12, 0), model.preprocess)

    def right(pixels: np.ndarray) -> int:
        with torch.no_grad():
            return int((model(torch.from_numpy(pixels)).argmax(1).numpy() == y).sum())

    assert right(corrupt.corrupt(x, "gaussian_blur", 1, 0)) >= 0.7 * right(x) > 5
