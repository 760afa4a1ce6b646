"""Ledgers that hold more, less or other things than what is asked now: what a review tried."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from alignsec.attack import evaluate_robustness
from alignsec.attack import ledger as book
from alignsec.attack import work as working
from alignsec.ground.errors import AlignsecError
from tests.attack.test_engine import linear

CHEAP: dict[str, Any] = {"version": "custom", "attacks": ["apgd-ce"], "device": "cpu"}


def test_top5_of_images_that_are_not_asked_about_again(tmp_path: Path) -> None:
    model, x, y, _ = linear()
    options = {**CHEAP, "epsilons": [0.05, 0.1], "top5": True, "ledger": tmp_path / "a.ledger"}
    whole = evaluate_robustness(model, x, y, **options)
    fewer = evaluate_robustness(model, x[:3], y[:3], **options)
    kept = whole[whole["image"] < 3].reset_index(drop=True)
    assert list(fewer["top5"]) == list(kept["top5"])


class Noisy(nn.Module):
    """Logits that move a little between calls."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.model(x)
        return out + 1e-3 * torch.randn_like(out)


def test_a_plan_of_images_that_are_not_asked_about_comes_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, y, _ = linear()
    options: dict[str, Any] = {
        "epsilons": [0.05], "version": "rand", "batch_size": 2, "device": "cpu", "ledger": tmp_path / "a",
    }  # fmt: skip
    note = working.Work.note

    def killed(self: Any, record: Any) -> None:
        note(self, record)
        if record["kind"] == "plan":
            raise KeyboardInterrupt

    noisy = Noisy(model).eval()
    monkeypatch.setattr(working.Work, "note", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate_robustness(noisy, x[:6], y[:6], **options)
    monkeypatch.setattr(working.Work, "note", note)
    assert len(evaluate_robustness(noisy, x[2:6], y[2:6], **options)) == 4
    # two copies of such a ledger, of which each knows logits of its own draws
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes())
    assert book.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c") == len(book.read(tmp_path / "a"))


def test_two_ledgers_of_a_stochastic_model_that_began_apart_are_merged(tmp_path: Path) -> None:
    model, x, y, _ = linear()
    noisy = Noisy(model).eval()
    for name in ("a", "b"):
        evaluate_robustness(
            noisy, x[:2], y[:2], epsilons=[0.05], version="rand", device="cpu", ledger=tmp_path / name
        )
    both = [len(book.read(tmp_path / name)) for name in ("a", "b")]
    assert book.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c") == sum(both)


class Narrow(nn.Module):
    """Takes so many rows at once and no more."""

    def __init__(self, model: nn.Module, limit: int) -> None:
        super().__init__()
        self.model, self.limit = model, limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.limit:
            raise MemoryError(f"no room for {len(x)}")
        return self.model(x)


def test_memory_that_only_the_timing_of_batches_lacks_stops_nothing() -> None:
    model, x, y, _ = linear()
    few = slice(0, 20)
    options = {**CHEAP, "epsilons": [0.05, 0.1], "attacks": ["apgd-t"]}
    narrow = evaluate_robustness(Narrow(model, 20).eval(), x[few], y[few], **options)
    wide = evaluate_robustness(model, x[few], y[few], **options)
    assert list(narrow["robust"]) == list(wide["robust"])


def test_nothing_that_lies_where_a_merge_goes_is_lost(tmp_path: Path) -> None:
    model, x, y, _ = linear()
    a, b = tmp_path / "a", tmp_path / "b"
    for path, part in ((a, slice(0, 4)), (b, slice(0, 8))):
        evaluate_robustness(model, x[part], y[part], **CHEAP, epsilons=[0.05], ledger=path)
    with pytest.raises(AlignsecError, match="no such ledger"):
        book.merge([a, tmp_path / "mistyped"], a)
    raw = bytearray(b.read_bytes())
    raw[5] ^= 1
    b.write_bytes(raw)
    assert book.merge([a, b], b) == len(book.read(a))
    assert (tmp_path / "b.damaged").read_bytes() == bytes(raw)
    # what is there and was not named takes part, or is refused
    other = tmp_path / "other"
    evaluate_robustness(model, x[:4], y[:4], **{**CHEAP, "seed": 1}, epsilons=[0.05], ledger=other)
    before = other.read_bytes()
    with pytest.raises(book.OtherJob):
        book.merge([a], other)
    assert other.read_bytes() == before


def test_a_verdict_that_rests_on_a_little_nearer_adversarial_has_it_kept(tmp_path: Path) -> None:
    model, x, y, exact = linear()
    image = int(np.argsort(exact)[len(exact) // 2])
    options = {**CHEAP, "ledger": tmp_path / "a.ledger"}
    part = slice(image, image + 1)
    wide = float(exact[image]) * 2
    first = evaluate_robustness(model, x[part], y[part], epsilons=[wide], keep=tmp_path / "k.npz", **options)
    far = float(first["distance"].iloc[0])
    between = (float(exact[image]) + far) / 2
    both = [between, wide]
    evaluate_robustness(model, x[part], y[part], epsilons=both, **options)
    last = evaluate_robustness(model, x[part], y[part], epsilons=both, keep=tmp_path / "k.npz", **options)
    kept = np.load(tmp_path / "k.npz")
    near = min([*kept["distance"], *kept["exact_distance"]])
    broken = last.loc[~last["robust"], "epsilon"]
    assert near <= broken.min() + 1e-6
