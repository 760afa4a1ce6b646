"""Models that load, run and look fine, and whose verdicts would mean something else than they seem to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
import torch
from torch import nn

from alignsec import zoo
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded
from alignsec.images import shards
from alignsec.robustness.doubts import below, of_reports
from alignsec.robustness.summarise import COLUMNS, doubts, share_row
from alignsec.study.records import MEASURED, OK, Report, Status
from alignsec.zoo.chance import short_of
from alignsec.zoo.examine import examine
from alignsec.zoo.pixel_model import PixelModel
from tests.attack.test_realnets import PUBLISHED
from tests.zoo.test_zoo import Head

WHEEL = '''
import importlib.util
from pathlib import Path

import pyautoattack
import torch
from torch import nn


class Seen(nn.Module):
    """The CIFAR-10 ResNet-18 of the wheel behind a change of its input."""

    input_size = (32, 32)

    def __init__(self, change):
        super().__init__()
        folder = Path(pyautoattack.__file__).parent / "examples"
        spec = importlib.util.spec_from_file_location("resnet", folder / "resnet.py")
        resnet = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(resnet)
        self.network, self.change = resnet.ResNet18(), change
        self.network.load_state_dict(torch.load(folder / "model_test.pt", "cpu", weights_only=True))

    def forward(self, x):
        return self.network(self.change(x))


MEAN, STD = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262)))


def right():
    return Seen(lambda x: x)


def normalised():
    return Seen(lambda x: (x - MEAN) / STD)


def swapped():
    return Seen(lambda x: x.flip(1))
'''


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    tables.write(shards.cut("digits", None, 0, 64, 0), tmp_path / "digits.parquet", "images")
    return tmp_path / "digits.parquet"


def examined(
    module: nn.Module, monkeypatch: pytest.MonkeyPatch, images: Path | None = None, **more: Any
) -> dict[str, Any]:
    """What preflight measures of a factory's module."""
    monkeypatch.setattr("tests.misbehaving.good", lambda: module)
    return examine("factory", "tests.misbehaving:good", None, images, seed=0, threads=1, **more)


class Grey(nn.Module):
    """Digits to ten logits, `change`d."""

    channels, input_size = 1, (8, 8)

    def __init__(self, change: Callable[[torch.Tensor, torch.Tensor], Any] = lambda x, z: z) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.change = nn.Linear(64, 10), change

    def forward(self, x: torch.Tensor) -> Any:
        return self.change(x.flatten(1), self.linear(x.flatten(1)))


# ---- logits that depend on the company of an image ---------------------------------------------------------


def normalised_over_the_batch(tracked: bool) -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, track_running_stats=tracked)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    net.channels, net.input_size = 1, (8, 8)  # type: ignore[assignment]
    return net


def test_logits_that_depend_on_the_batch_are_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = examined(normalised_over_the_batch(tracked=True), monkeypatch)
    assert (fine["flags"], fine["batch_difference"] < 1e-6) == ([], True)
    odd = examined(normalised_over_the_batch(tracked=False), monkeypatch)
    assert odd["flags"] == ["batch dependent"]
    assert odd["batch_difference"] > 0.01
    centred = examined(Grey(lambda x, z: z - z.mean(0, keepdim=True) + 0 * x[:, :1]), monkeypatch)
    assert centred["flags"] == ["batch dependent"]
    # noise is another flag: its logits differ in any company
    noisy = examined(Grey(lambda x, z: z + torch.randn_like(z)), monkeypatch)
    assert noisy["flags"] == ["stochastic"]


# ---- several outputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pack",
    [
        lambda x, z: (x, z),
        lambda x, z: (z, x),
        lambda x, z: {"features": x, "pred": z},
        lambda x, z: [x[:, :, None, None], (torch.zeros(()), z)],
        lambda x, z: (x.squeeze(), z.squeeze()),
    ],
)
def test_of_several_outputs_the_one_of_the_studys_classes_is_taken_and_said(
    pack: Callable[[torch.Tensor, torch.Tensor], Any], monkeypatch: pytest.MonkeyPatch, digits: Path
) -> None:
    report = examined(Grey(pack), monkeypatch, digits)
    assert (report["classes"], "several outputs" in report["flags"]) == (10, True)
    assert "(2, 10)" in report["output"] and " of 2, of shapes " in report["output"]
    # without labelled images the module may say how many classes it has
    declared = Grey(pack)
    declared.num_classes = 10  # type: ignore[assignment]
    assert examined(declared, monkeypatch)["classes"] == 10
    with pytest.raises(Excluded, match=r"no classifier: several outputs .*\(2, 10\).*: .*num_classes"):
        examined(Grey(pack), monkeypatch)


def test_outputs_that_cannot_be_told_apart_are_excluded_with_their_shapes(
    monkeypatch: pytest.MonkeyPatch, digits: Path
) -> None:
    heads = Grey(lambda x, z: [z, 0.1 * z])
    with pytest.raises(Excluded, match=r"several outputs may be the logits, of shapes \(2, 10\), \(2, 10\)"):
        examined(heads, monkeypatch, digits)


def test_one_tensor_among_feature_maps_and_named_logits_need_no_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps = Grey(lambda x, z: (x.view(-1, 1, 8, 8), z))
    assert examined(maps, monkeypatch)["output"] == "number 2 of 2, of shapes (2, 1, 8, 8), (2, 10)"
    named = examined(Grey(lambda x, z: {"features": x, "logits": z}), monkeypatch)
    assert (named["classes"], named["output"], named["flags"]) == (10, None, [])


def test_a_model_of_imagenet_is_known_by_its_thousand_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = Head(1000, lambda z: (z[:, :64], z))
    model = PixelModel(module, (0.0,) * 3, (1.0,) * 3, input_size=8)
    monkeypatch.setattr("alignsec.zoo.sources.torchvision.load", lambda spec, weights=None: model)
    report = examine("torchvision", "Any_Weights.V1", None, None, seed=0, threads=1)
    assert (report["classes"], report["flags"]) == (1000, ["several outputs"])


# ---- accuracy against what is published --------------------------------------------------------------------


def test_wrong_normalisation_and_swapped_channels_fall_short_of_the_expected_accuracy(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 256 images of CIFAR-10; the wheel's network has 94.5 % of all 10,000."""
    (tmp_path / "seen_cifar.py").write_text(WHEEL)
    monkeypatch.syspath_prepend(tmp_path)
    frame = shards.cut("npz", str(data_dir / "cifar10" / "test_head_256.npz"), 0, 256, 0)
    tables.write(frame, tmp_path / "sample.parquet", "images")
    flags = {}
    for name in ("right", "normalised", "swapped"):
        spec = f"seen_cifar:{name}"
        report = examine("factory", spec, None, tmp_path / "sample.parquet", 0, 1, expected=0.945)
        flags[name] = report["flags"]
        assert (report["expected_top1"], report["expected_from"]) == (0.945, "the sheet")
    assert flags["right"] == []
    assert "below expected" in flags["normalised"]
    assert flags["swapped"] == ["below expected"]


def test_37_photographs_cannot_tell_swapped_channels_from_chance(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EfficientNet-Lite loses three or four photographs by the exchange, and chance would take as many."""
    import sys

    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra realnets")
    from alignsec.images.pixels import load as load_pixels

    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "config" / "realnets"), *sys.path])
    model = zoo.load("factory", "lite:lite0")
    frame = shards.cut("folders", str(data_dir / "imagenet_sample"), 0, 37, 0)
    x = torch.from_numpy(load_pixels(frame, model.preprocess)[0])
    y = torch.tensor(frame["label"])
    with torch.no_grad():
        right, swapped, dark = (int((model(z).argmax(1) == y).sum()) for z in (x, x.flip(1), 255 * x))
    assert right > swapped > dark
    assert not short_of(right, 37, PUBLISHED["lite0"])
    assert short_of(dark, 37, PUBLISHED["lite0"])
    assert not short_of(swapped, 37, PUBLISHED["lite0"])
    # the same loss of accuracy on more photographs is seen
    assert short_of(round(swapped / 37 * 4000), 4000, PUBLISHED["lite0"])


def test_torchvision_publishes_the_accuracy_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.planted import torchvision

    torchvision(tmp_path, "squeezenet1_1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    given = zoo.load("torchvision", "torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1")
    assert given.expected == (0.58178, "torchvision for SqueezeNet1_1_Weights.IMAGENET1K_V1")
    # a file of one's own is not what that accuracy is of
    (file,) = (tmp_path / "torch").rglob("*.pth")
    state = {k: v + 1 for k, v in torch.load(file, weights_only=True).items()}
    torch.save(state, tmp_path / "own.pth")
    own = zoo.load("torchvision", "SqueezeNet1_1_Weights.DEFAULT", tmp_path / "own.pth")
    assert own.expected is None
    assert torch.equal(own.module.state_dict()["features.0.bias"], state["features.0.bias"])


# ---- in the table of doubts --------------------------------------------------------------------------------


def reported(model: str, **more: Any) -> Report:
    return cast(Report, {"model": model, "flags": [], **dict.fromkeys(MEASURED)} | more)


def test_flags_and_shortfalls_reach_the_table_of_doubts() -> None:
    reports = {
        "b": reported("b", flags=["batch dependent", "stochastic"], batch_difference=0.25),
        "a": reported("a", flags=["several outputs"], classes=10),
    }
    found = of_reports(reports)
    assert [d[:3] for d in found] == [("a", "several_outputs", 10.0), ("b", "batch_dependent", 0.25)]
    table = pd.DataFrame(
        [share_row(m, "clean_top1", h, 256) for m, h in (("a", 219), ("b", 241))], columns=COLUMNS
    )
    known = [(m, 0.945, "the sheet") for m in ("a", "b", "gone")]
    ((model, warning, value, meaning),) = below(table, known)
    assert (model, warning, value) == ("a", "below_expected", pytest.approx(0.945 - 219 / 256))
    assert meaning.startswith("clean accuracy is 0.855 of 256 images, and 0.945 by the sheet: ")


def test_logits_that_are_not_finite_within_the_ball_are_added_up_over_shards() -> None:
    statuses: list[Status] = [
        {"model": "m", "step": "attack", "status": OK, "reason": "", "warnings": {"not_finite": n}}
        for n in (2, 3)
    ]
    (row,) = doubts(statuses).itertuples()
    assert (row.model, row.warning, row.value) == ("m", "not_finite", 5)
    assert "not finite" in row.meaning


# ---- weights -----------------------------------------------------------------------------------------------


def hub(folder: Path, owner_and_name: str, architecture: str, bias: float) -> None:
    """A model of the Hugging Face hub in its cache: `config.json` and weights."""
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    place = folder / "hub" / f"models--{owner_and_name.replace('/', '--')}"
    snapshot = place / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    state = timm.create_model(architecture, pretrained=False).state_dict()
    state["classifier.bias"] = torch.full((1000,), bias)
    save_file({k: v.contiguous().clone() for k, v in state.items()}, snapshot / "model.safetensors")
    config = {
        "architecture": architecture, "num_classes": 1000, "num_features": 1024,
        "pretrained_cfg": {
            "input_size": [3, 224, 224], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.9,
            "interpolation": "bicubic", "num_classes": 1000, "classifier": "classifier",
            "first_conv": "conv_stem",
        },
    }  # fmt: skip
    (snapshot / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("prefix", ["hf_hub", "hf-hub"])
def test_a_model_of_the_hub_and_a_file_of_weights_reach_timm(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    architecture = "mobilenetv3_small_050"
    hub(tmp_path, "ourlab/small", architecture, bias=3.0)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("ALIGNSEC_OFFLINE", "1")
    given = zoo.load("timm", f"{prefix}:ourlab/small")
    assert given.mean.flatten().tolist() == pytest.approx([0.5] * 3)
    assert given.module.classifier.bias.unique().tolist() == [3.0]
    (file,) = (tmp_path / "hub").rglob("*.safetensors")
    own = zoo.load("timm", f"{architecture}.lamb_in1k", file)
    assert own.module.classifier.bias.unique().tolist() == [3.0]
    assert own.trace is not None and list(own.trace.weight_files) == ["model.safetensors"]


def test_weights_are_refused_where_they_would_be_ignored(tmp_path: Path) -> None:
    with pytest.raises(
        AlignsecError, match=r"w\.pt: a factory model brings its own weights: leave --weights out"
    ):
        zoo.load("factory", "tests.misbehaving:good", tmp_path / "w.pt")


def test_quantised_weights_are_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    for prefix in ("", "torchvision.models.quantization."):
        with pytest.raises(
            Excluded, match=r"quantised weights: ResNet18_Quan.* take one of ResNet18_Weights"
        ):
            zoo.load("torchvision", f"{prefix}ResNet18_QuantizedWeights.DEFAULT")
    whole = Grey().eval()
    quantised = torch.ao.quantization.quantize_dynamic(whole, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(Excluded, match="quantised weights: Linear in it: take the weights in float32"):
        examined(quantised, monkeypatch)
