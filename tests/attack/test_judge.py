"""The judge's own count of passes, against passes counted, and what the estimate makes of it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from alignsec.attack import estimate, evaluate_robustness
from alignsec.attack.counting import Counted, Passes
from alignsec.attack.draws import digests
from alignsec.attack.judge import Judge, Rows
from alignsec.study.request import Attack, AttackRequest
from benchmarks.attack import failure


class Wall(nn.Module):
    """Logits that no perturbation moves, and that have a gradient."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(self.classes, 0, -1, dtype=torch.float32)
        return steps + 1e-9 * x.flatten(1).sum(1, keepdim=True) * steps


@pytest.mark.parametrize(("classes", "version"), [(10, "standard"), (3, "standard"), (4, "rand")])
def test_every_unit_costs_what_the_judge_says(classes: int, version: str) -> None:
    every = [AttackRequest(version="custom", attacks=list(Attack)), AttackRequest(version="rand")]
    x = torch.full((2, 1, 4, 4), 0.5)
    y = torch.zeros(2, dtype=torch.long)
    counted = Counted(Wall(classes)).eval()
    judge = Judge(counted, every[version == "rand"], "cpu", classes)
    kinds = {u.partition(":")[0]: u for u in judge.units}
    for unit in kinds.values():
        before = counted.passes
        name, _, rank = unit.partition(":")
        ranks = torch.full_like(y, int(rank)) if rank else None
        judge.attack(name, Rows(x, y, digests(x), torch.full((2,), 0.01), ranks))
        spent = counted.passes
        found = Passes(spent.forward - before.forward, spent.gradient - before.gradient)
        assert found == 2 * judge.cost(unit), unit
        assert judge.passes(unit) == judge.cost(unit).equivalents
    wanted = set(Attack) - ({Attack.APGD_T} if classes == 3 else set())
    assert set(kinds) == ({"apgd-ce", "apgd-dlr"} if version == "rand" else wanted)


def test_what_a_failed_autoattack_costs() -> None:
    judge = Judge(Wall(10), AttackRequest(), "cpu", 10)
    # without the reference's extra looks at the clean image
    assert failure(10, (1, 8, 8)) == pytest.approx(sum(judge.passes(u) for u in judge.units), rel=0.005)


CUSTOM = {"version": "custom", "attacks": ("apgd-ce", "square")}
ASKED: dict[str, dict[str, Any]] = {
    "ladder": CUSTOM,
    "no ladder": CUSTOM | {"ladder": False},
    "top5": {"version": "custom", "attacks": ("apgd-ce",), "top5": True},
    "top5, no ladder": {"version": "custom", "attacks": ("fab-t",), "top5": True, "ladder": False},
    "fab": {"version": "custom", "attacks": ("fab",), "screen_precision": "bfloat16"},
    "keep": {"version": "custom", "attacks": ("fab-t",)},
    "L2": {"version": "custom", "attacks": ("apgd-t",), "norm": "L2"},
}


@pytest.mark.parametrize("name", list(ASKED))
def test_the_bounds_hold_what_was_counted(digits, name: str, tmp_path) -> None:
    model, x, y = digits
    x, y = x[:5], y[:5].clone()
    y[4] = (y[4] + 1) % 10  # a misclassified image
    epsilons = (1.0, 2.0, 3.0) if name == "L2" else (0.05, 0.1, 0.2)
    keep = tmp_path / "kept.npz" if name == "keep" else None
    table = evaluate_robustness(model, x, y, epsilons, keep=keep, **ASKED[name])
    request = AttackRequest(epsilons=epsilons, keep=keep is not None, **ASKED[name])
    least, most, wrong = estimate.bounds(request, 10)
    right = int(table["correct"].sum()) // 3
    cost = table.attrs["cost"]
    forward, gradient = cost["forward_images"], cost["forward_backward_images"]
    spent = Passes(forward, gradient).equivalents
    assert right * least.equivalents <= spent
    assert spent <= right * most.equivalents + (5 - right) * wrong.equivalents
    assert gradient <= right * most.gradient + (5 - right) * wrong.gradient
    assert forward <= right * most.forward + (5 - right) * wrong.forward


@pytest.mark.parametrize("ladder", [True, False])
def test_the_upper_bound_is_nearly_met_by_images_that_stand(digits, ladder: bool) -> None:
    model, x, y = digits
    right = model(x).argmax(1) == y
    x, y = x[right][:3], y[right][:3]
    options: dict[str, Any] = {"version": "custom", "attacks": ("square",), "ladder": ladder}
    table = evaluate_robustness(model, x, y, [1e-4, 2e-4, 3e-4], **options)
    assert table["robust"].all()
    cost = table.attrs["cost"]
    most = estimate.bounds(AttackRequest(epsilons=(1e-4, 2e-4, 3e-4), **options), 10).most
    # with the ladder the bound leaves room for the first attack in every other ball, which is Square here
    balls = 1 if ladder else 3
    assert cost["forward_images"] >= 3 * balls * 5000
    assert 3 * most.forward == pytest.approx(cost["forward_images"] * (1 if not ladder else 3), rel=0.02)


def test_a_stochastic_model_is_bounded_as_well() -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = Wall(4)(x)
            return logits + 0.01 * torch.randn_like(logits)

    x, y = torch.full((2, 1, 2, 2), 0.5), torch.zeros(2, dtype=torch.long)
    table = evaluate_robustness(Noisy().eval(), x, y, [0.1, 0.2], version="rand")
    least, most, _ = estimate.bounds(AttackRequest(epsilons=("0.1", "0.2"), version="rand"), 4)
    cost = table.attrs["cost"]
    assert table["robust"].all()
    assert 2 * least.gradient <= cost["forward_backward_images"] <= 2 * most.gradient
    assert 2 * least.forward <= cost["forward_images"] <= 2 * most.forward
    assert least.gradient == 101 * 20


def test_options_change_the_upper_bound_as_they_change_the_work() -> None:
    three = ("0.1", "0.2", "0.3")

    def most(**options: Any) -> float:
        return estimate.bounds(AttackRequest(epsilons=three, **options), 1000).most.equivalents

    one = estimate.bounds(AttackRequest(epsilons=("0.3",), ladder=False), 1000).most.equivalents
    assert most(ladder=False) == pytest.approx(3 * one, rel=1e-3)
    assert one < most() < 1.3 * one
    assert most(top5=True) - most() == 3 * 304
    square = most(version="custom", attacks=("square",), ladder=False)
    assert square == 1 + 3 * (5001 + 1)


def report(**more: Any) -> dict[str, Any]:
    given = {"status": "ok", "forward_seconds": 0.01, "gradient_seconds": 0.03, "clean_top1": 1.0}
    return {**given, "deterministic": True, "parameters": 5, "classes": 10, **more}


def test_the_cost_of_a_study_by_hand() -> None:
    reports: Any = {
        "all right": report(),
        "half": report(clean_top1=0.5),
        "all wrong": report(clean_top1=0.0),
        "unknown": report(clean_top1=None),
        "noisy": report(deterministic=False),
        "unmeasured": report(forward_seconds=None, gradient_seconds=None),
        "out": report(status="excluded"),
    }
    rows = pd.DataFrame({"model": list(reports)})
    speed = estimate.Speed(10.0, 3.0, "a device")  # 0.001 s a forward pass, 0.01 s a gradient
    asked = AttackRequest(epsilons=("0.1", "0.2"), version="custom", attacks=("square",), ladder=False)
    found = estimate.table(rows, reports, speed, asked, estimate.Extent(3600, 1800, limit=5.0))
    found = found.set_index("model")
    # the largest first, the unknown one last
    assert list(found.index) == ["noisy", "all right", "unknown", "half", "all wrong", "unmeasured"]
    assert found.loc["all right", ["steps_low", "steps_high"]].tolist() == [1 + 2 * 1, 1 + 2 * 5002]
    # one clean pass; in each ball at least one, at most 5,001 and a check
    assert found.loc["all right", "hours_low"] == pytest.approx(0.003)
    assert found.loc["all right", "hours_high"] == pytest.approx(10.005)
    assert found.loc["unknown", "hours_high"] == pytest.approx(10.005)
    assert found.loc["half", "hours_high"] == pytest.approx(5.003)
    assert found.loc["all right", "job_hours_high"] == pytest.approx(5.0025)
    assert found.loc["all right", "images_per_shard"] == int(5 * 3600 / 10.005)
    assert "set attack.images_per_shard to 1799" in found.loc["all right", "note"]
    assert found.loc["half", "note"] == "" and found.loc["half", "images_per_shard"] == 1800
    assert found.loc["all wrong", ["hours_low", "hours_high"]].tolist() == pytest.approx([0.001, 0.001])
    assert np.isnan(found.loc["unmeasured", "hours_high"])
    # version rand: APGD-CE and APGD-DLR of 101 steps of 20 gradients in both balls
    assert found.loc["noisy", "hours_high"] == pytest.approx(2 * 2 * 101 * 20 * 0.01, rel=0.01)
    said = estimate.text(found.reset_index(), speed, 7)
    assert "6 of 7 models can be attacked; 5 of them have a measured speed" in said
    assert "    10.0 h at most: all right\n" in said
    assert "a device (10 times" in said and "`high`" in said and "What attacking" not in said
