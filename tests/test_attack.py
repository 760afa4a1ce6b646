"""The engine on models whose answer is known, and against the reference on the same images."""

import numpy as np
import pytest
import torch
from pyautoattack import AutoAttack
from sklearn.datasets import load_digits
from torch import nn

from alignsec.attack import evaluate_robustness
from alignsec.errors import AlignsecError


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    data = load_digits()
    x = torch.tensor(data.images[:, None] / 16.0, dtype=torch.float32)
    y = torch.tensor(data.target)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(6):
        for batch in torch.randperm(1000).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()
    return model.eval().requires_grad_(False), x[1000:1012], y[1000:1012]


def linear(classes: int = 4, seed: int = 0) -> tuple[nn.Module, torch.Tensor, torch.Tensor, np.ndarray]:
    """A linear classifier on images away from 0 and 1, with the exact L-infinity distance of each image."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(16, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, 16, generator=generator))
        layer.bias.zero_()
    x = 0.4 + 0.2 * torch.rand(12, 1, 4, 4, generator=generator)
    model = nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)
    logits = model(x)
    y = logits.argmax(1)
    gap = logits.gather(1, y[:, None]) - logits
    size = (layer.weight[y][:, None] - layer.weight[None]).abs().sum(2)
    ratio = (gap / size.clamp_min(1e-12)).scatter(1, y[:, None], torch.inf)
    return model, x, y, ratio.amin(1).numpy()


def test_linear_model_every_verdict_and_distance_is_exact() -> None:
    model, x, y, exact = linear()
    assert exact.max() < 0.35  # the ball stays inside [0, 1]
    ordered = np.sort(exact)
    epsilons = [float(np.sqrt(ordered[i] * ordered[i + 1])) for i in (2, 5, 8)]
    table = evaluate_robustness(model, x, y, epsilons, seed=0)
    for epsilon, rows in table.groupby("epsilon"):
        assert (rows["robust"].to_numpy() == (exact > epsilon)).all()
    broken = table[~table["robust"]]
    assert (broken["distance"].to_numpy() >= exact[broken["image"]] * 0.999).all()


def test_ladder_agrees_with_the_reference_and_costs_less(digits) -> None:
    model, x, y = digits
    epsilons = [0.03, 0.08, 0.13]
    ours = evaluate_robustness(model, x, y, epsilons, seed=0)
    for epsilon in epsilons:
        judge = AutoAttack(model, norm="Linf", eps=epsilon, seed=0, version="standard", device="cpu")
        adversarial, _ = judge.run_standard_evaluation(x, y, batch_size=256)
        reference = (model(adversarial).argmax(1) == y).numpy()
        mine = ours.loc[ours["epsilon"] == epsilon, "robust"].to_numpy()
        # the ladder may only differ by an adversarial of its own, which the engine has verified
        assert not (mine & ~reference).any()
        extra = ours[(ours["epsilon"] == epsilon).to_numpy()][reference & ~mine]
        assert (extra["distance"] <= epsilon + 1e-6).all()
    alone = evaluate_robustness(model, x, y, epsilons, seed=0, ladder=False)
    cost = [
        t.attrs["cost"]["forward_images"] + 3 * t.attrs["cost"]["forward_backward_images"]
        for t in (ours, alone)
    ]
    assert cost[0] < 0.7 * cost[1]


def test_verdicts_are_monotone_and_stages_are_named(digits) -> None:
    model, x, y = digits
    table = evaluate_robustness(model, x, y, [0.02, 0.1, 0.2], seed=1)
    wide = table.pivot(index="image", columns="epsilon", values="robust").to_numpy().astype(int)
    assert (np.diff(wide, axis=1) <= 0).all()
    known = {
        "misclassified",
        "screen",
        "apgd-ce",
        "apgd-t",
        "fab-t",
        "square",
        "smaller-epsilon",
        "larger-epsilon",
    }
    assert set(table["stage"]) <= known
    assert (table.loc[~table["correct"], "stage"] == "misclassified").all()
    assert not table.loc[~table["correct"], "robust"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilons": [0.0]}, "epsilon 0"),
        ({"epsilons": [-0.1]}, "not a positive"),
        ({"epsilons": [0.1, 0.1]}, "twice"),
        ({"epsilons": [8.0]}, "above 0.5"),
        ({"epsilons": []}, "no epsilon"),
        ({"norm": "L1"}, "norm"),
        ({"version": "fast"}, "version"),
        ({"images": torch.full((12, 1, 4, 4), 2.0)}, r"\[0, 1\]"),
        ({"images": torch.zeros(12, 16)}, r"\(N, C, H, W\)"),
        ({"labels": torch.full((12,), 9)}, "classes"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, "12 integers"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).train()}, "training mode"),
        ({"model": nn.Flatten(0).eval()}, "logits"),
        ({"batch_size": 0}, "batch_size"),
        ({"top5": True}, "not available"),
    ],
)
def test_refusals_each_with_its_message(change: dict, message: str) -> None:
    model, x, y, _ = linear()
    arguments = {"model": model, "images": x, "labels": y, "epsilons": [0.1], **change}
    with pytest.raises(AlignsecError, match=message):
        evaluate_robustness(**arguments)


def test_nan_logits_are_refused() -> None:
    class Nan(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 3), torch.nan)

    with pytest.raises(AlignsecError, match="not finite"):
        evaluate_robustness(Nan().eval(), torch.zeros(2, 1, 2, 2), torch.zeros(2, dtype=torch.long), [0.1])
