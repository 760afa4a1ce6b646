"""Verdicts that cannot be trusted are refused, or say so."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from alignsec.attack import evaluate_robustness
from alignsec.attack import screen as cheap
from alignsec.attack.draws import digests
from alignsec.attack.judge import Judge, Rows
from alignsec.attack.known import tolerance
from alignsec.ground.errors import AlignsecError
from alignsec.robustness.summarise import doubts
from alignsec.study.request import Attack, AttackRequest


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alignsec.attack.square.QUERIES", 400)


class Mean(nn.Module):
    """Says `label` while the mean pixel is below `edge`, the next class above.

    From `odd` to `until` the logits are `value`.
    """

    def __init__(self, classes: int = 5, label: int = 0, **other: float) -> None:
        super().__init__()
        self.classes, self.label = classes, label
        self.edge, self.odd, self.until = (other.get(k, 9.0) for k in ("edge", "odd", "until"))
        self.value = other.get("value", torch.nan)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        logits = torch.stack([-(4.0 + k) + 0 * mean for k in range(self.classes)], 1)
        logits[:, self.label] = self.edge - mean
        logits[:, (self.label + 1) % self.classes] = mean - self.edge
        strange = ((mean > self.odd) & (mean < self.until))[:, None]
        return torch.where(strange, self.value, logits)


def grey(n: int = 4) -> Tensor:
    return torch.full((n, 1, 5, 5), 0.49) + 0.0001 * torch.arange(n)[:, None, None, None]


def labels(label: int = 0, n: int = 4) -> Tensor:
    return torch.full((n,), label)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("label", [0, 2])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("attack", [a.value for a in Attack])
def test_logits_that_are_not_finite_are_no_adversarial_and_are_counted(
    attack: str, norm: str, label: int, value: float
) -> None:
    model = Mean(label=label, edge=0.6, odd=0.5, value=value).eval()
    epsilon = 0.02 if norm == "Linf" else 0.1  # the edge is out of reach, the strange region is not
    found = evaluate_robustness(
        model, grey(), labels(label), epsilon, version="custom", attacks=[attack], norm=norm
    )
    assert found["robust"].all() and found["distance"].isna().all()
    # Square goes where it happens to
    assert found.attrs["warnings"]["not_finite"] == 4 or attack == "square"
    assert found.attrs["warnings"]["not_finite"] > 0


def test_gradients_that_are_not_finite_are_counted_as_well() -> None:
    class Overflows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits = Mean(edge=0.6)(x)
            strange = x.flatten(1).mean(1, keepdim=True) > 0.5
            return torch.where(strange, logits * torch.inf, logits)  # whose other branch has a slope of nan

    found = evaluate_robustness(
        Overflows().eval(), grey(), labels(), 0.001, version="custom", attacks=["apgd-ce"]
    )
    assert found["robust"].all() and found.attrs["warnings"]["not_finite"] == 4


@pytest.mark.parametrize("attack", [a.value for a in Attack])
def test_an_adversarial_beyond_or_before_a_region_that_is_not_finite_is_found(attack: str) -> None:
    beyond = Mean(edge=0.55, odd=0.6).eval()
    asked = AttackRequest(version="custom", attacks=(Attack(attack),))
    ranks = torch.full((4,), 2) if attack.endswith("-t") else None
    rows = Rows(grey(), labels(), digests(grey()), torch.full((4,), 0.3), ranks)
    answer = Judge(beyond, asked, "cpu", 5).attack(attack, rows)
    logits = beyond(answer.candidates)
    assert torch.isfinite(logits).all() and (logits.argmax(1) == 1).all()


def test_a_screen_passes_by_what_is_not_finite() -> None:
    model = Mean(edge=0.55, odd=0.6).eval()
    candidates, found = cheap.screen(model, grey(), labels(), 0.3, "Linf", cheap.Ascent())
    assert torch.isfinite(candidates).all() and (model(candidates)[found].argmax(1) == 1).all()
    points = torch.full((1, 1, 5, 5), 0.58)
    near = cheap.tighten(Mean(edge=0.55, odd=0.5, until=0.54).eval(), grey(1), labels(n=1), points)
    assert torch.isfinite(near).all() and 0.55 < float(near.mean()) <= 0.58


@pytest.mark.parametrize(("attack", "classes"), [("apgd-t", 3), ("apgd-t", 2), ("apgd-dlr", 2)])
def test_a_judge_with_no_attack_left_is_an_error_that_says_why(attack: str, classes: int) -> None:
    model = Mean(classes, edge=0.6).eval()
    wanted = rf"model of {classes} classes: {attack} ranks \d logits; add .*\(apgd-ce, fab, fab-t, square\)"
    with pytest.raises(AlignsecError, match=wanted):
        evaluate_robustness(model, grey(), labels(), [0.01], version="custom", attacks=[attack])


@pytest.mark.parametrize(("classes", "left_out"), [(2, 1), (3, 1), (4, 0)])
def test_a_version_that_few_classes_weaken_says_so(classes: int, left_out: int) -> None:
    judge = Judge(Mean(classes).eval(), AttackRequest(), "cpu", classes)
    assert len(judge.left_out) == left_out
    told = evaluate_robustness(Mean(classes, edge=0.495).eval(), grey(1), labels(n=1), [0.05])
    assert told.attrs["warnings"].get("attacks_left_out", 0) == left_out


def test_outputs_that_move_under_standard_are_told_and_dropout_is_not_switched_off() -> None:
    model = nn.Sequential(Mean(edge=0.6), nn.Dropout(0.3)).eval()
    quick: dict[str, Any] = {"version": "custom", "attacks": ["apgd-ce"]}
    still = evaluate_robustness(model, grey(), labels(), [0.01], **quick)
    assert still.attrs["warnings"] == {}
    model[1].train()
    moving = evaluate_robustness(model, grey(), labels(), [0.01], **quick)
    assert moving.attrs["warnings"]["moving_outputs"] > 0.1
    assert model[1].training and not model.training
    rand = evaluate_robustness(model, grey(1), labels(n=1), [0.01], version="rand")
    assert "moving_outputs" not in rand.attrs["warnings"]


@pytest.mark.parametrize("epsilons", ["1/255", 1 / 255, ["1/255"], [1 / 255], ("1/255",)])
def test_one_epsilon_needs_no_list(epsilons: Any) -> None:
    model = Mean(edge=0.495).eval()
    table = evaluate_robustness(model, grey(1), labels(n=1), epsilons, version="custom", attacks=["apgd-ce"])
    assert table["epsilon"].tolist() == [1 / 255]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("epsilon", [1e-7, 1e-5, 1e-4, 1 / 255, 0.5])
def test_the_tolerance_is_a_hundredth_of_the_ball_at_most(norm: str, epsilon: float) -> None:
    assert 0 < tolerance(epsilon, norm) <= 0.01 * epsilon


def test_each_warning_has_a_meaning_and_counts_are_added_up() -> None:
    told = {"not_finite": 2, "attacks_left_out": 1, "moving_outputs": 0.25}
    status: Any = {"model": "m", "warnings": told}
    found = doubts([status, status]).set_index("warning")
    assert found["value"].to_dict() == {"not_finite": 4, "attacks_left_out": 1, "moving_outputs": 0.25}
    assert found["meaning"].str.len().min() > 20
