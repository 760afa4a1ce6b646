"""A model of one's own, from a notebook: preflight, and attacks on folders, data sets and arrays."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import alignsec
from alignsec.attack import evaluate_robustness
from alignsec.zoo.sources.factory import centre_crop

QUICK = {"version": "custom", "attacks": ["apgd-ce"], "device": "cpu"}


class Small(nn.Module):
    """Logits of three classes: how red, green and blue an image is."""

    input_size = (8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 8 * x.mean(dim=(2, 3))


@pytest.fixture
def model() -> nn.Module:
    return Small().eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three class folders of two pictures, each of its own colour, one strong and one pale."""
    for k, name in enumerate(("a red one", "b green", "c blue")):
        for strength in (200, 132):
            pixels = np.full((12, 10, 3), 128, dtype=np.uint8)
            pixels[..., k] = strength
            place = tmp_path / "images" / name / f"{strength}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place)
    return tmp_path / "images"


def test_a_folder_is_attacked_as_the_model_sees_it(model: nn.Module, folder: Path) -> None:
    table = alignsec.evaluate(model, folder, "4/255", **QUICK)
    assert len(table) == 6 and table["correct"].all()
    pale = table["image"].str.contains("132")
    assert not table.loc[pale, "robust"].any() and table.loc[~pale, "robust"].all()
    # margin (132 - 128)/255 falls at 2/255 on each side
    np.testing.assert_allclose(table.loc[pale, "distance"], 2 / 255, rtol=0.02)
    files = sorted(folder.rglob("*.png"))
    pixels = torch.from_numpy(centre_crop((8, 8))(files))
    direct = evaluate_robustness(model, pixels, torch.tensor([0, 0, 1, 1, 2, 2]), ["4/255"], **QUICK)
    assert sorted(direct["robust"]) == sorted(table["robust"])


def test_a_data_set_and_its_arrays_give_the_same(model: nn.Module) -> None:
    pixels = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = model(pixels).argmax(1)
    data = torch.utils.data.TensorDataset(pixels, labels)
    one = alignsec.evaluate(model, data, [0.001, 0.01], **QUICK)
    other = alignsec.evaluate(model, pixels.numpy(), [0.001, 0.01], labels=labels.numpy(), **QUICK)
    pd.testing.assert_frame_equal(one, other)
    assert len(alignsec.evaluate(model, data, 0.001, n=2, **QUICK)) == 2


def test_wrong_use_says_what_is_right(model: nn.Module, folder: Path, tmp_path: Path) -> None:
    pixels, labels = torch.rand(2, 3, 8, 8), torch.tensor([0, 1])
    with pytest.raises(alignsec.AlignsecError, match="pixels need labels"):
        alignsec.evaluate(model, pixels, 0.1)
    with pytest.raises(alignsec.AlignsecError, match="leave labels out"):
        alignsec.evaluate(model, folder, 0.1, labels=labels)
    with pytest.raises(alignsec.AlignsecError, match="ToTensor"):
        alignsec.evaluate(model, Pictures(), 0.1)
    with pytest.raises(alignsec.AlignsecError, match="did you mean 'norm'"):
        alignsec.evaluate(model, pixels, 0.1, labels=labels, nrm="L2")
    with pytest.raises(alignsec.AlignsecError, match="255"):
        alignsec.evaluate(model, 255 * pixels, 0.1, labels=labels)
    with pytest.raises(alignsec.AlignsecError):
        alignsec.evaluate(model, tmp_path / "nowhere", 0.1)


class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A data set without a transform."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (8, 8)), 0


def test_a_check_prints_itself(model: nn.Module, folder: Path) -> None:
    found = alignsec.check(model, folder)
    assert found and found.reason is None
    assert found.report["clean_top1"] == 1.0 and found.report["classes"] == 3
    assert str(found).startswith("it can be attacked") and "clean_top1" in repr(found)


def test_a_model_that_cannot_be_attacked_says_why(model: nn.Module) -> None:
    class Broken(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no such layer")

    found = alignsec.check(Broken().eval())
    assert not found
    assert found.reason is not None and "no such layer" in found.reason
    assert str(found).startswith("it cannot be attacked: ")
    assert found.report["parameters"] == 0  # what was found out before stays


def test_check_and_evaluate_agree(model: nn.Module, folder: Path) -> None:
    training = Small().train()
    assert "training mode" in str(alignsec.check(training))
    with pytest.raises(alignsec.AlignsecError, match="training mode"):
        alignsec.evaluate(training, torch.rand(2, 3, 8, 8), 0.1, labels=torch.tensor([0, 1]))

    class Several(Small):
        """Features beside the logits; `num_classes` says which is which."""

        num_classes = 3

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
            return x.flatten(1), super().forward(x)

    several = Several().eval()
    assert alignsec.check(several)
    table = alignsec.evaluate(several, folder, "4/255", **QUICK)
    assert table["correct"].all()
    pixels = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = model(pixels).argmax(1)
    assert alignsec.evaluate(several, pixels, 0.001, labels=labels, **QUICK)["correct"].all()


def test_labels_and_loaders_that_are_none_are_told(model: nn.Module) -> None:
    pixels = torch.rand(2, 3, 8, 8)
    hot = torch.utils.data.TensorDataset(pixels, torch.eye(3)[:2])
    with pytest.raises(alignsec.AlignsecError, match="labels must be 2 integers"):
        alignsec.evaluate(model, hot, 0.1)
    loader = torch.utils.data.DataLoader(hot)
    with pytest.raises(alignsec.AlignsecError, match=r"loader\.dataset"):
        alignsec.evaluate(model, loader, 0.1)
