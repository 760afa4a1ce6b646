"""From any model's module and preprocessing to a pixel model that can be attacked, or the reason why not."""

import json
import os
import pickle
import random
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from alignsec import zoo
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded
from alignsec.images import shards
from alignsec.images.pixels import as_files
from alignsec.images.pixels import load as load_pixels
from alignsec.zoo import chance, normalisation, preflight
from alignsec.zoo.examine import examine
from alignsec.zoo.loading import contained
from alignsec.zoo.pixel_model import PixelModel
from alignsec.zoo.wrap import wrap

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
OFFLINE = preflight.Limits(offline=True, retries=0)


def transform(mean: Sequence[float], std: Sequence[float], *, crop: bool = False) -> normalisation.Preprocess:
    def preprocess(paths: Sequence[Path]) -> np.ndarray:
        out = []
        for path in paths:
            image = Image.open(path).convert("RGB")
            if crop:
                side = min(image.size)
                left, top = (image.width - side) // 2, (image.height - side) // 2
                image = image.crop((left, top, left + side, top + side))
            pixels = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR), dtype=np.float32) / 255
            out.append(((pixels - mean) / std).transpose(2, 0, 1))
        return np.stack(out).astype(np.float32)

    return preprocess


@pytest.mark.parametrize(("mean", "std"), [IMAGENET, CLIP, HALF], ids=["imagenet", "clip", "half"])
def test_normalisation_is_measured(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    measured = normalisation.measure(transform(mean, std))
    assert measured.mean == pytest.approx(mean, abs=1e-6)
    assert measured.std == pytest.approx(std, abs=1e-6)
    assert (measured.size, measured.frame_axis, measured.eight_bit) == ((32, 32), None, True)


def test_geometry_is_of_the_resize_and_crop_only() -> None:
    squash = {normalisation.measure(transform(*n)).geometry for n in (IMAGENET, CLIP, HALF)}
    crop = {normalisation.measure(transform(*n, crop=True)).geometry for n in (IMAGENET, HALF)}
    assert (len(squash), len(crop)) == (1, 1)
    assert squash != crop


def _changed(change: Callable[[np.ndarray], np.ndarray]) -> normalisation.Preprocess:
    return lambda paths: change(transform(*IMAGENET)(paths))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x**2, "off an affine map"),
        (lambda x: x[:, ::-1], "off an affine map"),  # blue first
        (lambda x: x - x.mean((2, 3), keepdims=True), "black and white look the same"),
        (lambda x: -x, "inverts"),
        (
            lambda x: np.where(np.abs(x - x.mean((2, 3), keepdims=True)) > 0.5, 1.5 * x, x),
            "a ramp and its negative",
        ),
        (lambda x: x * np.nan, "not finite"),
        (lambda x: x[:, :2], "has shape"),
        (lambda x: np.stack([x] * 8, axis=2), "clips"),
    ],
)
def test_what_is_no_affine_map_of_pixels_is_excluded(
    change: Callable[[np.ndarray], np.ndarray], reason: str
) -> None:
    with pytest.raises(Excluded, match=reason):
        normalisation.measure(_changed(change))


def test_pixels_of_real_photographs_come_back_normalised(data_dir: Path) -> None:
    paths = sorted((data_dir / "imagenet_sample").rglob("*.JPEG"))[:6]
    for crop in (False, True):
        own = transform(*IMAGENET, crop=crop)
        model = wrap(nn.Identity(), own)
        assert model.round_trip is not None and model.preprocess is not None
        assert model.round_trip(paths) < 1e-6
        pixels = torch.from_numpy(model.preprocess(paths))
        assert torch.equal((pixels * 255).round() / 255, pixels)
        np.testing.assert_allclose(model.normalise(pixels).numpy(), own(paths), atol=2e-6)


# ---- outputs -----------------------------------------------------------------------------------------------


class Head(nn.Module):
    """Channel means through a fixed linear map, packed as asked."""

    def __init__(self, classes: int = 5, pack: Callable[[torch.Tensor], object] = lambda z: z) -> None:
        super().__init__()
        self.linear = nn.Linear(3, classes, bias=False)
        self.pack = pack
        with torch.no_grad():
            self.linear.weight.copy_(torch.linspace(-1, 1, 3 * classes).view(classes, 3))

    def forward(self, x: torch.Tensor, **kwargs: object) -> object:
        return self.pack(self.linear(x.mean((-2, -1)).view(len(x), -1)[:, :3]))


@pytest.mark.parametrize(
    "pack",
    [
        lambda z: z,
        lambda z: z.squeeze(),  # drops the batch axis of a single image
        lambda z: z[:, :, None, None],
        lambda z: z[None],
        lambda z: {"out": z},
        lambda z: (z, None),
        lambda z: OrderedDict(loss=torch.zeros(()), logits=z),
        lambda z: z.half(),
        lambda z: z.bfloat16(),
    ],
)
def test_outputs_become_logits_of_two_axes(pack: Callable[[torch.Tensor], object]) -> None:
    for n in (1, 4):
        x = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(n))
        expected = Head()(x)
        found = PixelModel(Head(pack=pack), (0.0,) * 3, (1.0,) * 3, input_size=6)(x)
        assert found.shape == (n, 5)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)


def test_a_half_precision_module_is_attacked_in_single() -> None:
    module = Head().half()
    model = PixelModel(module, (0.0,) * 3, (1.0,) * 3, input_size=6)
    model.adapt()
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.parameters())
    assert model(torch.rand(2, 3, 6, 6)).dtype == torch.float32


def test_arguments_and_a_time_axis_are_passed_on() -> None:
    class Omnivore(nn.Module):
        def forward(self, x: torch.Tensor, input_type: str = "video") -> torch.Tensor:
            assert x.ndim == 5 and input_type == "image"
            return x.mean((2, 3, 4))

    own = transform(*HALF)
    model = wrap(Omnivore(), lambda paths: [x[:, None] for x in own(paths)], {"input_type": "image"})
    assert model.frame_axis == 2
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model(x), ((x - 0.5) / 0.5).mean((2, 3)))


class Spiking(nn.Module):
    """Integrates its input over calls until it is reset; `bad_reset` draws new weights instead."""

    def __init__(self, bad_reset: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.potential: torch.Tensor | float = 0.0
        self.bad_reset = bad_reset

    def reset(self) -> None:
        if self.bad_reset:
            nn.init.normal_(self.linear.weight)
        self.potential = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.potential = 0.5 * self.potential + self.linear(x.mean((2, 3)))
        return self.potential


def test_state_is_reset_before_every_forward_and_weights_are_left_alone() -> None:
    x = torch.rand(1, 3, 6, 6)
    model = PixelModel(Spiking(), (0.0,) * 3, (1.0,) * 3, input_size=6)
    model.adapt()
    assert len(model.resets) == 1
    assert torch.equal(model(x), model(x))
    # a batch of another size follows without a trace of the last
    assert model(torch.rand(3, 3, 6, 6)).shape == (3, 5)
    harmful = Spiking(bad_reset=True)
    before = harmful.linear.weight.clone()
    model = PixelModel(harmful, (0.0,) * 3, (1.0,) * 3, input_size=6)
    model.adapt()
    assert model.resets == []
    assert torch.equal(harmful.linear.weight, before)


def test_a_failing_forward_is_the_models_reason() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("no such thing\nmore")

    with pytest.raises(Excluded, match=r"forward error: ValueError: no such thing$"):
        PixelModel(Broken(), input_size=6)(torch.rand(1, 1, 6, 6))


# ---- heads of 1001, label order, chance --------------------------------------------------------------------


def _one_hot(labels: np.ndarray, classes: int, shift: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[(labels + shift) % classes]


def test_the_place_of_a_background_class_is_measured() -> None:
    labels = np.random.default_rng(0).integers(0, 1000, 40)
    assert chance.background_offset(_one_hot(labels, 1001, 1), labels) == 1
    assert chance.background_offset(_one_hot(labels, 1001, 0), labels) == 0
    noise = np.random.default_rng(1).normal(size=(40, 1001)).astype(np.float32)
    with pytest.raises(Excluded, match="head of 1001: the place of its background class cannot be told"):
        chance.background_offset(noise, labels)
    # a tenth right is far above chance of one in a thousand
    mostly_wrong = np.where(np.arange(40)[:, None] < 6, _one_hot(labels, 1001, 1), noise - 10)
    assert chance.background_offset(mostly_wrong, labels) == 1


def test_chance_and_another_order_of_the_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 5)
    assert chance.above_chance(labels, labels, 1000)
    assert not chance.above_chance(rng.integers(0, 1000, 100), labels, 1000)
    assert not chance.above_chance(np.full(100, 7), labels, 1000)  # five right, for class 7 is among them
    assert not chance.above_chance(rng.integers(0, 10, 32), rng.integers(0, 10, 32), 10)
    permuted = rng.permutation(1000)[labels]
    assert chance.fits_another_order(permuted, labels, 1000)
    assert chance.fits_another_order((labels + 1) % 1000, labels, 1000)
    assert not chance.fits_another_order(np.full(100, 7), labels, 1000)
    assert not chance.fits_another_order(rng.integers(0, 1000, 100), labels, 1000)


class Reads(nn.Module):
    """Takes the label from a grey image's level and answers with it, `shift` classes later."""

    def __init__(self, classes: int, shift: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.arange(classes).float() - shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -((x.mean((1, 2, 3))[:, None] * 255 * 4 - self.places) ** 2)


@pytest.fixture
def levels(tmp_path: Path) -> Path:
    """A table of grey images whose level times four is their label."""
    labels = np.arange(8, 248, 8)
    arrays = np.broadcast_to((labels // 4).astype(np.uint8)[:, None, None, None], (len(labels), 3, 8, 8))
    np.savez(tmp_path / "levels.npz", images=arrays, labels=labels)
    frame = shards.cut("npz", str(tmp_path / "levels.npz"), 0, len(labels), 0)
    tables.write(frame, tmp_path / "levels.parquet", "images")
    return tmp_path / "levels.parquet"


@pytest.mark.parametrize(
    ("classes", "shift", "offset", "accuracy", "flags"),
    [(1001, 1, 1, 1.0, []), (1000, 0, 0, 1.0, []), (1000, 1, 0, 0.0, ["at chance", "label order suspect"])],
)
def test_planted_shifts_are_found_on_labelled_images(
    levels: Path, monkeypatch: pytest.MonkeyPatch, classes: int, shift: int, offset: int, accuracy: float,
    flags: list[str],
) -> None:  # fmt: skip
    def make(spec: str, weights: Path | None = None) -> PixelModel:
        return PixelModel(Reads(classes, shift), (0.0,) * 3, (1.0,) * 3, input_size=8)

    monkeypatch.setattr("alignsec.zoo.sources.torchvision.load", make)
    report = examine("torchvision", "Any_Weights.V1", None, levels, seed=0, threads=1)
    assert (report["label_offset"], report["clean_top1"]) == (offset, accuracy)
    assert report["flags"] == flags
    if classes == 1001:
        with pytest.raises(Excluded, match=r"head of 1001: .* labelled images"):
            examine("torchvision", "Any_Weights.V1", None, None, seed=0, threads=1)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Head(77), "head of 77$"),
        (Head(1000, lambda z: z * float("nan")), "no classifier: the logits are not finite"),
        (Head(1000, lambda z: z.argmax(1)), "no classifier: an output of shape"),
        (Head(1000, lambda z: z.detach()), "autograd error"),
        (Head(1000, lambda z: z * 0), "zero gradients"),
        (Head(1000, lambda z: "text"), "no classifier: the output is a str"),
    ],
)
def test_what_cannot_be_attacked_has_its_reason(
    module: nn.Module, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PixelModel(module, (0.0,) * 3, (1.0,) * 3, input_size=8)
    monkeypatch.setattr("alignsec.zoo.sources.torchvision.load", lambda spec, weights=None: model)
    with pytest.raises(Excluded, match=reason):
        examine("torchvision", "Any_Weights.V1", None, None, seed=0, threads=1)


def test_stochastic_models_and_probabilities_are_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = PixelModel(Head(1000, lambda z: z + torch.randn_like(z)), (0.0,) * 3, (1.0,) * 3, input_size=8)
    monkeypatch.setattr("alignsec.zoo.sources.torchvision.load", lambda spec, weights=None: noisy)
    report = examine("torchvision", "Any_Weights.V1", None, None, seed=0, threads=1)
    assert (report["deterministic"], report["flags"]) == (False, ["stochastic"])
    soft = PixelModel(Head(1000, lambda z: z.softmax(1)), (0.0,) * 3, (1.0,) * 3, input_size=8)
    monkeypatch.setattr("alignsec.zoo.sources.torchvision.load", lambda spec, weights=None: soft)
    assert examine("torchvision", "Any_Weights.V1", None, None, seed=0, threads=1)["flags"] == [
        "probabilities"
    ]


# ---- loading -----------------------------------------------------------------------------------------------


def test_global_changes_are_undone_and_named(tmp_path: Path) -> None:
    before = (
        torch.get_default_dtype(), Path.cwd(), ssl._create_default_https_context, socket.getdefaulttimeout(),
        random.getstate(), torch.random.get_rng_state(), dict(os.environ), torch.is_grad_enabled(),
    )  # fmt: skip
    with contained() as trace:
        torch.set_default_dtype(torch.float64)
        os.chdir(tmp_path)
        ssl._create_default_https_context = ssl._create_unverified_context
        socket.setdefaulttimeout(1)
        random.seed(1)
        torch.manual_seed(1)
        os.environ["CHANGED"] = "1"
        torch.set_grad_enabled(False)
    after = (
        torch.get_default_dtype(), Path.cwd(), ssl._create_default_https_context, socket.getdefaulttimeout(),
        random.getstate(), torch.random.get_rng_state(), dict(os.environ), torch.is_grad_enabled(),
    )  # fmt: skip
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    assert {"default dtype", "working folder", "ssl._create_default_https_context", "environment"} <= set(
        trace.changed
    )


def test_a_copy_that_a_plugin_forks_goes_no_further() -> None:
    with contained():
        copy = os.fork()
    if not copy:
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0


def _raise(error: BaseException) -> None:
    raise error


def _chained() -> None:
    try:
        import no_such_module_here  # noqa: F401
    except ImportError as error:
        raise RuntimeError("please install it") from error


@pytest.mark.parametrize(
    ("act", "reason", "transient"),
    [
        (lambda: __import__("no_such_module_here.part"), "missing package: no_such_module_here$", False),
        (_chained, "missing package: no_such_module_here$", False),
        (lambda: __import__("alignsec.no_such_part"), "import error: ModuleNotFoundError", False),
        (lambda: _raise(SystemExit(3)), r"import error: it called sys\.exit\(3\)", False),
        (lambda: _raise(MemoryError()), "out of memory", True),
        (lambda: _raise(KeyError("x")), "import error: KeyError", False),
        (lambda: _raise(FileNotFoundError(2, "No such file", "w.pth")), "weights unavailable", True),
        (
            lambda: _raise(RuntimeError("Error(s) in loading state_dict for X")),
            "weights of another network",
            False,
        ),
        (lambda: _raise(EOFError("Ran out of input")), "weights damaged", False),
    ],
)
def test_every_error_of_a_plugin_has_a_reason(
    act: Callable[[], object], reason: str, transient: bool
) -> None:
    with pytest.raises(Excluded, match=reason) as caught, contained():
        act()
    assert caught.value.transient is transient


def test_offline_refuses_other_machines_at_once_and_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import urllib.request

    monkeypatch.setenv("ALIGNSEC_OFFLINE", "1")
    with (
        pytest.raises(
            Excluded, match=r"weights unavailable: no connection to weights\.example\.org"
        ) as caught,
        contained(),
    ):
        urllib.request.urlopen("http://weights.example.org/w.pth")
    assert caught.value.transient
    with contained() as trace:
        found = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
        with pytest.raises(OSError, match="offline"):
            socket.create_connection(("192.0.2.1", 80), timeout=5)
    assert "https_proxy=http://127.0.0.1:9" in found
    assert trace.unreached == ["192.0.2.1"]
    # this machine is no other
    with socket.create_server(("127.0.0.1", 0)) as server, contained():
        socket.create_connection(server.getsockname(), timeout=5).close()


def test_weights_with_code_in_them_are_refused_in_a_childs_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "touched",)

    with (tmp_path / "w.pth").open("wb") as handle:
        pickle.dump({"a": Evil()}, handle)
    from alignsec.ground.isolation import ENVIRONMENT

    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(Excluded, match="unsafe weights"), contained():
        torch.load(tmp_path / "w.pth", weights_only=False)  # as plugins and torch.hub do
    assert not (tmp_path / "touched").exists()


def test_a_name_that_a_library_does_not_know_is_excluded_with_the_closest() -> None:
    wrong = r"not in registry: torchvision has no weights .*: closest are ResNet50_Weights\.IMAGENET1K_V1, "
    for spec in ("ResNet50_Weights.IMAGENET1K_V9", "ResNet5O_Weights.IMAGENET1K_V1"):
        with pytest.raises(Excluded, match=wrong) as caught:
            zoo.load("torchvision", spec)
        assert not caught.value.transient
    pytest.importorskip("timm")
    with pytest.raises(
        Excluded, match="not in registry: timm has no pretrained model 'resnet5O': closest are res"
    ):
        zoo.load("timm", "resnet5O")


def test_a_spec_of_another_form_is_an_error_of_the_sheet() -> None:
    with pytest.raises(AlignsecError, match=r"factory spec 'no colon': write package\.module:function"):
        zoo.load("factory", "no colon")
    with pytest.raises(AlignsecError, match=r"torchvision spec 'resnet18': write a weights enum"):
        zoo.load("torchvision", "resnet18")


# ---- the real registry, with random weights ----------------------------------------------------------------

REAL = {
    "shufflenet_v2_x1_0": ("shufflenet_v2_x1_0", IMAGENET),
    "efficientnet_b0": ("efficientnet_b0", IMAGENET),
    "densenet-121": ("densenet121", IMAGENET),
    "resnet50_tutorial": ("resnet50", IMAGENET),
    "resnet_50_v2": ("resnet50", HALF),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.planted import torchvision

    folder = tmp_path_factory.mktemp("weights")
    torchvision(folder, *dict.fromkeys(builder for builder, _ in REAL.values()))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_registered_models_are_attacked_with_the_epsilon_asked(
    name: str, planted: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded by Brain-Score's own code; the perturbation is measured where the model takes its input."""
    from pyautoattack.autopgd_base import APGDAttack

    monkeypatch.setenv("TORCH_HOME", str(planted / "torch"))
    monkeypatch.setenv("ALIGNSEC_OFFLINE", "1")
    model = zoo.load("brainscore", name)
    mean, std = REAL[name][1]
    assert model.mean.flatten().tolist() == pytest.approx(mean, abs=1e-6)
    assert model.std.flatten().tolist() == pytest.approx(std, abs=1e-6)
    assert model.trace is not None and len(model.trace.weight_files) == 1
    sample = str(data_dir / "imagenet_sample")
    frame = shards.cut("folders", sample, 0, 2, 0)
    pixels, _ = load_pixels(frame, model.preprocess)
    with as_files(frame) as files:
        assert model.round_trip is not None and model.round_trip(files) < 1e-6

    seen: list[torch.Tensor] = []
    model.module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    x = torch.from_numpy(pixels)
    with torch.no_grad():
        labels = model(x).argmax(1)
    for epsilon in (1 / 255, 4 / 255):
        attack = APGDAttack(model, n_iter=3, norm="Linf", eps=epsilon, seed=0, device="cpu")
        attack.init_hyperparam(x)
        adversarial = attack.perturb(x, labels, best_loss=True)
        seen.clear()
        with torch.no_grad():
            model(x), model(adversarial)
        moved = (
            ((seen[1].double() - seen[0].double()) * torch.tensor(std).view(1, 3, 1, 1)).abs().amax().item()
        )
        assert moved == pytest.approx(epsilon, abs=1e-6)


@pytest.mark.slow
def test_preflight_of_a_registered_model_and_of_weights_that_hold_code(
    planted: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = shards.cut("folders", str(data_dir / "imagenet_sample"), 0, 3, 0)
    tables.write(frame, tmp_path / "sample.parquet", "images")
    monkeypatch.setenv("TORCH_HOME", str(planted / "torch"))
    name = "shufflenet_v2_x1_0"
    sample = tmp_path / "sample.parquet"
    report = preflight.preflight(name, "brainscore", name, images=sample, limits=OFFLINE)
    assert (report["status"], report["reason"], report["reached"]) == ("ok", "", "gradient")
    assert report["mean"] == [0.485, 0.456, 0.406]
    assert report["std"] == [0.229, 0.224, 0.225]
    assert (report["input_size"], report["classes"], report["label_offset"]) == ([224, 224], 1000, 0)
    assert report["deterministic"] is True
    assert report["clean_n"] == 3
    assert report["round_trip"] < 1e-6
    assert list(report["weight_files"]) == ["shufflenetv2_x1-5666bf0f80.pth"]
    assert len(report["weights_sha256"]) == 64

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    place = tmp_path / "evil" / "hub" / "checkpoints"
    place.mkdir(parents=True)
    with (place / "shufflenetv2_x1-5666bf0f80.pth").open("wb") as handle:
        pickle.dump({"a": Evil()}, handle)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "evil"))
    report = preflight.preflight(name, "brainscore", name, images=sample, limits=OFFLINE)
    assert (report["status"], report["kind"]) == ("excluded", "unsafe weights")
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_a_timm_model_from_the_hubs_cache(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    from tests.planted import timm as plant

    plant(planted, "mobilenetv3_small_050.lamb_in1k")
    environment = {"HF_HOME": str(planted / "huggingface")}
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    name = "mobilenetv3_small_050.lamb_in1k"
    report = preflight.preflight("mine", "timm", name, limits=OFFLINE)
    assert (report["status"], report["reason"]) == ("ok", "")
    config = timm.get_pretrained_cfg(name)
    assert report["mean"] == pytest.approx(config.mean, abs=1e-6)
    assert report["std"] == pytest.approx(config.std, abs=1e-6)
    report = preflight.preflight("mine", "timm", "resnet18.a1_in1k", limits=OFFLINE)
    assert (report["kind"], report["transient"]) == ("weights unavailable", True)


# ---- preflight as a whole ----------------------------------------------------------------------------------


def test_a_name_that_nobody_registered_is_told_without_running_anything() -> None:
    report = preflight.preflight("../../etc/x:y=z", "brainscore", "../../etc/x:y=z")
    assert (report["status"], report["kind"], report["seconds"]) == ("excluded", "not in registry", 0.0)
    assert {
        "model",
        "source",
        "status",
        "reason",
        "mean",
        "std",
        "input_size",
        "classes",
        "label_offset",
    } <= set(report)
    assert {"deterministic", "parameters", "weights_sha256"} <= set(report)


def test_a_missing_package_is_named_without_running_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alignsec.leaderboard import plugins, registry
    from alignsec.zoo import requirements

    plugin = tmp_path / "models" / "mine"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(
        "from brainscore_vision import model_registry\nfrom .model import get\nmodel_registry['mine'] = "
        "lambda: get()\n"
    )
    (plugin / "model.py").write_text(
        "import no_such_one\nimport json\nimport sys\nsys.path.append('.')\nfrom beside import x\n"
        "try:\n    import no_such_optional\nexcept ImportError:\n    pass\n"
        "def get():\n    import no_such_late\n"
    )
    (plugin / "beside.py").write_text("x = 1\n")
    (plugin / "requirements.txt").write_text("no-such-one @ git+https://example.org/one\ntorch\n# comment\n")
    assert plugins.missing_imports(plugin) == ["no_such_one"]
    assert plugins.wanted(plugin) == {
        "no_such_one": "no-such-one @ git+https://example.org/one",
        "no_such_late": "no_such_late",
    }
    monkeypatch.setattr(registry, "plugin_of", lambda name, source="installed": "mine")
    monkeypatch.setattr(registry, "plugin_folder", lambda name, source="installed": plugin)
    report = preflight.preflight("mine", "brainscore", "mine")
    assert report["reason"] == "missing package: no_such_one"
    monkeypatch.setattr(requirements, "plugin_of", lambda name: "mine" if name == "mine" else None)
    monkeypatch.setattr(requirements, "plugin_folder", lambda name: plugin)
    rows = pd.DataFrame({"model": ["mine", "other"], "source": "brainscore", "spec": ["mine", "other"]})
    assert requirements.listing(rows).splitlines() == [
        "no-such-one @ git+https://example.org/one  # mine",
        "no_such_late  # mine",
        "# not in the registry: other",
    ]


def test_a_sweep_leaves_reports_that_are_there(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        [
            ["a/b", "brainscore", "no such", "f", ""],
            ["kept", "brainscore", "", "f", ""],
            ["d", "demo", "", "f", ""],
        ],
        columns=["model", "source", "spec", "family", "note"],
    )
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "preflight.json").write_text("{}")
    done = dict(preflight.sweep(rows, tmp_path))
    assert list(done) == ["a/b"]
    assert json.loads((tmp_path / "a_2fb" / "preflight.json").read_text())["kind"] == "not in registry"
    assert (tmp_path / "kept" / "preflight.json").read_text() == "{}"


def test_twelve_of_the_paper_studys_models_are_accounted_for_offline(tmp_path: Path) -> None:
    """A sample of the sheet, nothing planted: each ends with a status and a reason of the list."""
    from alignsec.ground.reasons import KINDS
    from alignsec.study import sheet
    from alignsec.zoo import account

    rows = sheet.read(Path(__file__).parents[2] / "config" / "paper" / "models.tsv")
    assert len(rows) == 233
    chosen = rows.sample(12, random_state=0)
    limits = preflight.Limits(offline=True, retries=0, timeout=600)
    reports = dict(preflight.sweep(chosen, tmp_path, jobs=2, limits=limits))
    assert set(reports) == set(chosen["model"])
    for model, report in reports.items():
        assert report["status"] == "ok" or report["kind"] in KINDS, model
        assert report["kind"] not in ("timeout", "killed"), model
    counted = account.counts(account.table(chosen, reports, {}))
    assert counted.loc[counted["status"] != "flagged", "models"].sum() == 12


DOC = Path(__file__).parents[2] / "docs" / "zoo.md"


@pytest.mark.slow
def test_the_documented_cifar_model_and_its_row(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module and the sheet in docs/zoo.md, as they stand there."""
    import re

    from alignsec.study import sheet

    blocks = re.findall(r"```(\w*)\n(.*?)```", DOC.read_text(encoding="utf-8"), re.S)
    (code,) = [body for kind, body in blocks if kind == "python"]
    (table,) = [body for _, body in blocks if body.startswith("model\t")]
    (tmp_path / "ourlab.py").write_text(code)
    (tmp_path / "models.tsv").write_text(table)
    rows = sheet.read(tmp_path / "models.tsv").set_index("source")
    assert list(rows.index) == ["brainscore", "torchvision", "timm", "factory"]
    frame = shards.cut("npz", str(data_dir / "cifar10" / "test_head_256.npz"), 0, 64, 0)
    tables.write(frame, tmp_path / "sample.parquet", "images")
    monkeypatch.syspath_prepend(tmp_path)
    report = preflight.preflight(
        rows.loc["factory", "model"],
        "factory",
        rows.loc["factory", "spec"],
        images=tmp_path / "sample.parquet",
    )
    assert (report["status"], report["reason"], report["flags"]) == ("ok", "", [])
    assert report["clean_top1"] > 0.9
    assert (report["input_size"], report["classes"]) == ([32, 32], 10)
