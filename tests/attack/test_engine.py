"""The engine on models whose answer is known, and against the reference on the same images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyautoattack import AutoAttack
from torch import nn

from alignsec.attack import ModelError, batches, evaluate_robustness
from alignsec.attack import screen as cheap
from alignsec.attack.counting import Counted
from alignsec.ground.errors import AlignsecError
from alignsec.zoo import PixelModel
from benchmarks import models

QUICK = {"version": "custom", "attacks": ["apgd-ce", "fab-t"]}
COLUMNS = ["image", "label", "epsilon", "correct", "robust", "stage"]


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
    np.testing.assert_allclose(broken["distance"], exact[broken["image"]], rtol=0.01)


def test_l2_distance_of_a_linear_model_is_exact() -> None:
    model, x, y, _ = linear()
    weight = model[1].weight.detach()
    logits = model(x)
    gap = logits.gather(1, y[:, None]) - logits
    length = (weight[y][:, None] - weight[None]).norm(dim=2)
    exact = (gap / length.clamp_min(1e-12)).scatter(1, y[:, None], torch.inf).amin(1).numpy()
    epsilon = float(np.median(exact))
    table = evaluate_robustness(
        model, x, y, [epsilon], norm="L2", version="custom", attacks=["apgd-ce", "fab-t"]
    )
    assert (table["robust"].to_numpy() == (exact > epsilon)).all()
    broken = table[~table["robust"]]
    np.testing.assert_allclose(broken["distance"], exact[broken["image"]], rtol=0.01)


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
        ({"epsilons": [0.0]}, "not above zero"),
        ({"epsilons": [-0.1]}, "not above zero"),
        ({"epsilons": [0.1, 0.1]}, "the same as"),
        ({"epsilons": [8.0]}, "above 0.5"),
        ({"epsilons": []}, "no epsilon"),
        ({"epsilons": [float("nan")]}, "not a number"),
        ({"top_5": True}, "no option 'top_5': did you mean 'top5'"),
        ({"norm": "L1"}, "norm"),
        ({"version": "fast"}, "version"),
        ({"images": torch.full((12, 1, 4, 4), 2.0)}, r"\[0, 1\]"),
        ({"images": torch.zeros(12, 16)}, r"\(N, C, H, W\)"),
        ({"labels": torch.full((12,), 9)}, "classes"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, "12 integers"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).train()}, "training mode"),
        ({"model": nn.Flatten(0).eval()}, "logits"),
        ({"batch_size": 0}, "batch_size"),
        ({"top5": True, "version": "rand"}, "top5"),
        ({"screen_precision": "float16"}, "screen_precision"),
        ({"version": "custom"}, "needs a list of attacks"),
        ({"version": "custom", "attacks": ["pgd"]}, "not one of"),
        ({"attacks": ["square"]}, "version custom"),
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


def passes(table: pd.DataFrame) -> int:
    cost = table.attrs["cost"]
    return cost["forward_images"] + 3 * cost["forward_backward_images"]


def test_cost_grows_with_images_and_not_with_epsilons(digits) -> None:
    model, x, y = digits
    cost = {
        k: passes(evaluate_robustness(model, x[:4], y[:4], list(np.linspace(0.04, 0.2, k)))) for k in (3, 10)
    }
    assert cost[10] <= 1.35 * cost[3]


def test_verdicts_do_not_depend_on_batches_shards_or_order(digits) -> None:
    model, x, y = digits
    x, y, epsilons = x[:5], y[:5], [0.1, 0.2]
    whole = evaluate_robustness(model, x, y, epsilons, batch_size=32)
    for size in (1, 3):
        again = evaluate_robustness(model, x, y, epsilons, batch_size=size)
        pd.testing.assert_frame_equal(again[COLUMNS], whole[COLUMNS])
    halves = [evaluate_robustness(model, x[part], y[part], epsilons) for part in (slice(0, 2), slice(2, 5))]
    halves[1]["image"] += 2
    joined = pd.concat(halves).sort_values(["epsilon", "image"], ignore_index=True)
    pd.testing.assert_frame_equal(joined[COLUMNS], whole[COLUMNS])
    order = torch.randperm(5, generator=torch.Generator().manual_seed(3))
    mixed = evaluate_robustness(model, x[order], y[order], epsilons)
    mixed["image"] = order.numpy()[mixed["image"]]
    mixed = mixed.sort_values(["epsilon", "image"], ignore_index=True)
    pd.testing.assert_frame_equal(mixed[COLUMNS], whole[COLUMNS])


@pytest.mark.slow
def test_verdicts_of_many_images_at_batch_sizes_1_7_32_and_in_shards_of_8() -> None:
    model, x, y = models.digits(32)
    whole = evaluate_robustness(model, x, y, [0.1, 0.2], batch_size=32)
    for size in (1, 7):
        again = evaluate_robustness(model, x, y, [0.1, 0.2], batch_size=size)
        pd.testing.assert_frame_equal(again[COLUMNS], whole[COLUMNS])
    shards = [evaluate_robustness(model, x[i : i + 8], y[i : i + 8], [0.1, 0.2]) for i in range(0, 32, 8)]
    for number, shard in enumerate(shards):
        shard["image"] += 8 * number
    joined = pd.concat(shards).sort_values(["epsilon", "image"], ignore_index=True)
    pd.testing.assert_frame_equal(joined[COLUMNS], whole[COLUMNS])


class Narrow(nn.Module):
    """Runs out of memory on more than `limit` images."""

    def __init__(self, model: nn.Module, limit: int) -> None:
        super().__init__()
        self.model, self.limit = model, limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.limit:
            raise torch.OutOfMemoryError(f"{len(x)} images do not fit")
        return self.model(x)


class Allocator(Narrow):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.limit:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return self.model(x)


def test_out_of_memory_halves_the_batch_and_loses_nothing() -> None:
    model, x, y, exact = linear()
    epsilon = float(np.median(exact))
    wide = evaluate_robustness(model, x, y, [epsilon], **QUICK)
    narrow = evaluate_robustness(Narrow(model, 5).eval(), x, y, [epsilon], **QUICK)
    pd.testing.assert_frame_equal(narrow[COLUMNS], wide[COLUMNS])
    assert narrow.attrs["cost"]["batch_size"] <= 5
    assert narrow.attrs["cost"]["out_of_memory"] > 0
    # inside a pixel model too, and as a CPU's allocator says it
    packed = PixelModel(Allocator(model, 5)).eval()
    packed_table = evaluate_robustness(packed, x, y, [epsilon], **QUICK)
    pd.testing.assert_frame_equal(packed_table[COLUMNS], wide[COLUMNS])
    with pytest.raises(torch.OutOfMemoryError):
        evaluate_robustness(Narrow(model, 0).eval(), x, y, [epsilon], **QUICK)


def test_the_largest_batch_is_found_by_doubling() -> None:
    tried = []

    def fits(limit: int) -> Callable[[int], None]:
        def attempt(size: int) -> None:
            tried.append(size)
            if size > limit:
                raise torch.OutOfMemoryError

        return attempt

    assert batches.largest(fits(100), 1024) == 64
    assert tried == [1, 2, 4, 8, 16, 32, 64, 128]
    assert batches.largest(fits(5000), 96) == 96
    with pytest.raises(torch.OutOfMemoryError):
        batches.largest(fits(0), 8)


@given(st.integers(1, 300), st.integers(1, 64))
def test_even_batches_hold_everything_and_have_no_tiny_tail(n: int, size: int) -> None:
    made = list(batches.even(n, size))
    assert [i for b in made for i in b] == list(range(n))
    lengths = [len(b) for b in made]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


def test_top5_is_the_same_with_and_without_the_ladder(digits) -> None:
    model, x, y = digits
    y = y.clone()
    y[0] = (y[0] + 1) % 10  # top-5 is asked of misclassified images as well
    asked = {"top5": True, "version": "custom", "attacks": ["apgd-ce"]}
    ours = evaluate_robustness(model, x, y, [0.1, 0.25], **asked)
    alone = evaluate_robustness(model, x, y, [0.1, 0.25], ladder=False, **asked)
    np.testing.assert_array_equal(ours["top5"], alone["top5"])
    assert not ours["correct"].iloc[0]
    assert ours["top5"].sum() not in (0, len(ours))  # the test would show nothing otherwise
    plain = evaluate_robustness(model, x, y, [0.1, 0.25], version="custom", attacks=["apgd-ce"])
    assert "top5" not in plain
    assert passes(ours) > passes(plain)


def test_kept_adversarials_are_adversarial(digits, tmp_path: Path) -> None:
    model, x, y = digits
    table = evaluate_robustness(model, x, y, [0.05, 0.2], keep=tmp_path / "kept.npz", **QUICK)
    # FAB's finds outside the largest ball are known as well
    broken = table[table["distance"].notna()].drop_duplicates("image")
    assert set(broken["image"]) >= set(table.loc[table["correct"] & ~table["robust"], "image"])
    kept = np.load(tmp_path / "kept.npz")
    images = np.concatenate([kept["image"], kept["exact_image"]])
    assert set(images) == set(broken["image"])
    assert len(kept["image"]) > len(kept["exact_image"])
    known = broken.set_index("image")["distance"]
    for prefix in ("", "exact_"):
        for i, delta, d in zip(
            kept[f"{prefix}image"], kept[f"{prefix}delta"], kept[f"{prefix}distance"], strict=True
        ):
            adversarial = (x[i] + torch.tensor(delta.astype(np.float32))).clamp(0, 1)
            assert int(model(adversarial[None]).argmax()) != int(y[i])
            assert float((adversarial - x[i]).abs().max()) <= d + 1e-6
            assert d == known[i]


def test_screen_in_bfloat16_gives_the_same_verdicts(digits) -> None:
    model, x, y = digits
    exact = evaluate_robustness(model, x, y, [0.1, 0.2], **QUICK)
    reduced = evaluate_robustness(model, x, y, [0.1, 0.2], screen_precision="bfloat16", **QUICK)
    np.testing.assert_array_equal(reduced["robust"], exact["robust"])


def test_what_a_screen_finds_depends_on_no_company(digits) -> None:
    model, x, y = digits
    one, found = cheap.screen(model, x, y, 0.15, "Linf", cheap.Ascent(slots=12, repack=1))
    few, few_found = cheap.screen(model, x, y, 0.15, "Linf", cheap.Ascent(slots=3, repack=4))
    assert (found == few_found).all()
    assert 0 < int(found.sum()) < len(x)
    torch.testing.assert_close(one[found], few[found], atol=1e-5, rtol=0)


class Noisy(nn.Module):
    """Adds noise to the logits on every call."""

    def __init__(self, model: nn.Module, strength: float) -> None:
        super().__init__()
        self.model, self.strength = model, strength

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.model(x)
        return logits + self.strength * torch.randn_like(logits)


def test_stochastic_models_are_judged_by_the_majority_of_evaluations() -> None:
    model, x, y, exact = linear()
    noisy = Noisy(model, 0.02).eval()
    epsilons = [float(np.quantile(exact, q)) * f for q, f in ((0.25, 0.9), (0.75, 1.1))]
    table = evaluate_robustness(noisy, x[:6], y[:6], epsilons, version="rand")
    clear = np.array([abs(exact[i] - e) > 0.15 * e for e in epsilons for i in range(6)])
    truth = np.array([exact[i] > e for e in epsilons for i in range(6)])
    np.testing.assert_array_equal(table["robust"].to_numpy()[clear], truth[clear])
    assert clear.sum() > 6
    assert set(table.attrs["spread"]) == {repr(e) for e in sorted(epsilons)}


def test_warnings_are_data() -> None:
    model, x, y, exact = linear()
    quiet = evaluate_robustness(model, x, y, [float(np.median(exact))], **QUICK)
    assert quiet.attrs["warnings"] == {}
    soft = nn.Sequential(model, nn.Softmax(1)).eval()
    told = evaluate_robustness(soft, x, y, [float(np.median(exact))], **QUICK)
    assert told.attrs["warnings"]["softmax_output"] is True

    class Steps(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return model((images * 50).round() / 50)

    flat = evaluate_robustness(
        Steps().eval(),
        x,
        model((x * 50).round() / 50).argmax(1),
        [0.2],
        version="custom",
        attacks=["apgd-ce", "square"],
    )
    assert flat.attrs["warnings"]["zero_gradients"] == 1
    assert flat.attrs["warnings"]["square_after_white_box"] > 0


def test_a_pass_counts_once_forward_and_thrice_with_its_gradient() -> None:
    model, x, _, _ = linear()
    counted = Counted(model).eval()
    counted(x)
    with torch.no_grad():
        counted(x)
    assert (counted.forward_images, counted.backward_images) == (24, 0)
    wanted = x.clone().requires_grad_(True)
    torch.autograd.grad(counted(wanted).sum(), wanted)
    assert (counted.forward_images, counted.backward_images, counted.equivalents) == (24, 12, 60)


def test_one_image_and_two_classes() -> None:
    model, x, y, exact = linear(classes=2)
    table = evaluate_robustness(model, x[:1], y[:1], [float(exact[0]) * 0.9, float(exact[0]) * 1.1])
    assert table["robust"].tolist() == [True, False]


def test_parameters_keep_their_gradient_setting() -> None:
    model, x, y, exact = linear()
    model.requires_grad_(True)
    evaluate_robustness(model, x, y, [float(exact.min()) / 2], version="custom", attacks=["fab-t"])
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), share=st.lists(st.floats(0.1, 0.9), min_size=2, max_size=4, unique=True))
def test_properties_on_linear_models(seed: int, share: list[float]) -> None:
    model, x, y, exact = linear(seed=seed)
    epsilons = sorted({float(np.quantile(exact, s)) for s in share})
    # margins away from every epsilon, and every ball inside [0, 1]
    keep = (np.abs(exact[:, None] / np.array(epsilons) - 1) > 0.02).all(1) & (exact < 0.35)
    epsilons = [e for e in epsilons if e < 0.35]
    if keep.sum() < 2 or not epsilons:
        return
    x, y, exact = x[keep], y[keep], exact[keep]
    table = evaluate_robustness(model, x, y, epsilons, **QUICK)
    wide = table.pivot(index="image", columns="epsilon", values="robust")
    assert (np.diff(wide.to_numpy().astype(int), axis=1) <= 0).all()
    for epsilon in epsilons:
        assert (wide[epsilon].to_numpy() == (exact > epsilon)).all()
    broken = table[~table["robust"]]
    assert (broken["distance"] <= broken["epsilon"] + 1e-6).all()
    order = np.random.default_rng(seed).permutation(len(x))
    mixed = evaluate_robustness(model, x[order], y[order], epsilons, **QUICK)
    mixed["image"] = order[mixed["image"]]
    mixed = mixed.sort_values(["epsilon", "image"], ignore_index=True)
    pd.testing.assert_frame_equal(mixed[COLUMNS], table[COLUMNS])


def test_errors_of_the_model_are_told_from_ours() -> None:
    model, x, y, exact = linear()

    class Frail(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = model(images)
            if images.requires_grad:
                logits = logits.detach()
            return logits

    with pytest.raises(ModelError, match="probe: ") as told:
        evaluate_robustness(Frail().eval(), x, y, [float(np.median(exact))], **QUICK)
    assert told.value.kind == "autograd error"

    class Overflow(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return model(images) / (images[:, 0, 0, :1] != x[5, 0, 0, 0])

    with pytest.raises(ModelError, match="logits of image 5 are not finite"):
        evaluate_robustness(Overflow().eval(), x, y, [0.1], **QUICK)
