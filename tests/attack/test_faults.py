"""Whose fault an exception is: a model's is its exclusion, wherever it comes; ours is a traceback."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from alignsec.attack import ModelError, evaluate_robustness, job, units
from alignsec.attack.blame import of_model, own_code
from alignsec.ground import tables
from alignsec.ground.reasons import KINDS, Excluded, kind_of
from alignsec.images import shards
from alignsec.robustness import corruptions
from alignsec.study.records import read_status, write_json
from alignsec.study.request import AttackRequest
from alignsec.zoo.running import ModelRow, Prepared
from tests.attack import faulty

FAULTS = [
    (faulty.Raises, "forward error: .*OddError: line one"),
    (faulty.Exits, "forward error: .*SystemExit"),
    (faulty.Keys, "forward error: .*KeyError"),
    (faulty.RaisesBackward, "autograd error: .*OddError: no way back"),
    (faulty.Detaches, "autograd error: .*does not require grad"),
    (faulty.Infers, "autograd error: .*inference_mode"),
    (faulty.Shrinks, r"no classifier: .*\(1, 10\) for 4 images"),
    (faulty.Widens, "no classifier: .*11 logits, 10 before"),
    (faulty.Counts, "no classifier: .*int64"),
    (faulty.ThreeClasses, "head of 3: .*labels run from"),
    (faulty.NoState, "module error: .*no state"),
    (faulty.NotMoved, "module error: .*stays where it is"),
]
ASKED: dict[str, Any] = {
    "version": "custom",
    "attacks": ["square", "fab-t"],
    "ladder": False,
    "batch_size": 4,
}


def images(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = faulty.Digits()(x).argmax(1)
    y[0] = 7
    return x, y


@pytest.mark.parametrize(("model", "reason"), FAULTS, ids=[m.__name__ for m, _ in FAULTS])
def test_what_a_model_raises_is_told_as_its_own(model: type[nn.Module], reason: str) -> None:
    x, y = images()
    with pytest.raises(ModelError) as told:
        evaluate_robustness(model().eval(), x, y, [0.1], device="cpu", **ASKED)
    text = f"{told.value.kind}: {told.value}"
    assert kind_of(text) in KINDS
    assert re.match(reason, text), text


def test_an_error_of_ours_passes_through_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = images()

    def wrong(*_: Any) -> Any:
        return torch.zeros(2, 3) @ torch.zeros(2, 3)

    # shapes that do not fit raise the type of error that a model's own shapes do
    monkeypatch.setattr(units.cheap, "size", wrong)
    with pytest.raises(RuntimeError, match="cannot be multiplied") as told:
        evaluate_robustness(faulty.Digits().eval(), x, y, [0.1], device="cpu", **ASKED)
    assert not isinstance(told.value, ModelError)


def test_what_the_reference_trips_over_is_the_models_answer() -> None:
    def raised(module: str) -> Exception:
        space: dict[str, Any] = {"__name__": module}
        exec("def fail(x):\n    return x.nothing", space)
        with pytest.raises(AttributeError) as told:
            space["fail"](0)
        return told.value

    found = of_model(raised("pyautoattack.square"), "square")
    assert found is not None and found.kind == "no classifier" and "square: the reference" in str(found)
    assert of_model(raised("alignsec.attack.units"), "square") is None
    assert of_model(raised("pandas.core"), "square") is None


def test_a_lack_of_memory_passes_and_so_does_what_says_whose_fault_it_is() -> None:
    for error in (MemoryError(), torch.OutOfMemoryError("no room"), Excluded("timeout")):
        with pytest.raises(type(error)), own_code("forward error", "here"):
            raise error


def row(folder: Path, spec: str, **report: Any) -> ModelRow:
    found = {"status": "ok", "reason": "", "transient": False, "classes": 10, "label_offset": 0}
    write_json(folder / "preflight.json", {**found, "deterministic": True, **report})
    return ModelRow("the model", "factory", f"tests.attack.faulty:{spec}", None, folder / "preflight.json")


def shard(folder: Path) -> Path:
    tables.write(shards.cut("digits", None, 0, 8, seed=0), folder / "0000.parquet", "images")
    return folder / "0000.parquet"


def attack_job(folder: Path, spec: str) -> job.AttackJob:
    return job.AttackJob(
        model=row(folder, spec), out=folder / "out.parquet", status=folder / "status.json",
        shard=shard(folder), ledger=folder / "a.ledger",
        request=AttackRequest.of({"epsilons": ["0.1"], **ASKED, "keep": True}),
    )  # fmt: skip


@pytest.mark.parametrize("spec", ["Raises", "RaisesBackward", "NoState", "ThreeClasses"])
def test_a_job_ends_with_the_reason_and_an_empty_table(tmp_path: Path, spec: str) -> None:
    asked = attack_job(tmp_path, spec)
    job.attack(asked)
    status = read_status(asked.status)
    assert status["status"] == "excluded" and kind_of(status["reason"]) in KINDS
    assert tables.read(asked.out, "attack").empty


def test_a_scripted_module_is_attacked_in_a_process_of_its_own(tmp_path: Path) -> None:
    asked = attack_job(tmp_path, "script")
    job.run(asked)
    assert read_status(asked.status)["status"] == "ok"
    table = tables.read(asked.out, "attack")
    assert len(table) == 8 and set(table["epsilon"]) == {0.1}
    assert (tmp_path / "out.adversarials.npz").is_file()


def test_a_bug_of_ours_stops_the_job_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Prepared:
        raise RuntimeError("a bug")

    monkeypatch.setattr(job.running, "prepare", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        job.attack(attack_job(tmp_path, "Digits"))
    assert not (tmp_path / "status.json").exists()


@pytest.mark.parametrize(("spec", "kind"), [("Raises", "forward error"), ("Widens", "no classifier")])
def test_corruptions_end_with_the_reason_as_well(tmp_path: Path, spec: str, kind: str) -> None:
    asked = corruptions.CorruptionsJob(
        model=row(tmp_path, spec), out=tmp_path / "out.parquet", status=tmp_path / "status.json",
        shards=[shard(tmp_path)], names=["contrast", "brightness"], severities=[1, 2, 3],
    )  # fmt: skip
    corruptions.run(asked)
    assert kind_of(read_status(asked.status)["reason"]) == kind
    assert tables.read(asked.out, "corruptions").empty
    good = corruptions.CorruptionsJob(
        model=row(tmp_path, "Digits"), out=tmp_path / "good.parquet", status=tmp_path / "good.json",
        shards=[shard(tmp_path)], names=["contrast"], severities=[1],
    )  # fmt: skip
    corruptions.corruptions(good)
    assert len(tables.read(good.out, "corruptions")) == 8
