"""What a reviewer can check: verdicts judged again by the reference, kept adversarials by a forward pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from alignsec.attack import audit, estimate, job, verify
from alignsec.ground import tables
from alignsec.ground.reasons import Excluded
from alignsec.study.layout import adversarials_of
from alignsec.study.records import read_status
from alignsec.study.request import AttackRequest
from alignsec.zoo.running import ModelRow
from tests.attack.test_faults import row, shard

REQUEST: dict[str, Any] = {
    "epsilons": ["0.01", "0.03", "0.2"], "version": "custom", "attacks": ["apgd-ce", "apgd-t"],
    "batch_size": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> job.AttackJob:
    """A trained network on eight digits, attacked, and its adversarials kept."""
    folder = tmp_path_factory.mktemp("audited")
    return attack(folder, "trained")


def attack(folder: Path, spec: str, **report: Any) -> job.AttackJob:
    found = row(folder, spec, **report)
    model = ModelRow(found.name, "factory", f"tests.attack.test_audit:{spec}", None, found.preflight)
    made = job.AttackJob(
        model=model, out=folder / "out.parquet", status=folder / "status.json", shard=shard(folder),
        request=AttackRequest.of(REQUEST | {"keep": True}),
    )  # fmt: skip
    job.attack(made)
    assert read_status(made.status)["status"] == "ok"
    return made


def trained() -> Any:
    from benchmarks import models

    network = models.digits(1)[0]
    network.input_size, network.channels = (8, 8), 1
    return network


def audited(made: job.AttackJob, out: Path, share: float) -> pd.DataFrame:
    audit.audit(
        audit.AuditJob(
            model=made.model, out=out, status=out.with_suffix(".json"), request=made.request,
            shards=[made.shard], verdicts=[made.out], share=share,
        )
    )  # fmt: skip
    return tables.read(out, "audit")


def test_the_reference_agrees_and_a_false_verdict_shows(attacked: job.AttackJob, tmp_path: Path) -> None:
    verdicts = tables.read(attacked.out, "attack")
    right = verdicts[verdicts["correct"]]
    assert 0 < right["robust"].mean() < 1
    found = audited(attacked, tmp_path / "all.parquet", 1)
    assert len(found) == len(right)
    assert (found["robust"] == found["reference"]).mean() > 0.9
    # a verdict is said the other way round in the smallest ball, and in the largest
    false = right.groupby("image")["epsilon"].transform("min") == right["epsilon"]
    false |= right["epsilon"] == 0.2
    changed = verdicts.assign(robust=verdicts["robust"] ^ false.reindex(verdicts.index, fill_value=False))
    tables.write(changed, tmp_path / "false.parquet", "attack")
    lying = job.AttackJob(**vars(attacked) | {"out": tmp_path / "false.parquet"})
    shown = audited(lying, tmp_path / "shown.parquet", 1)
    differs = shown["robust"] != shown["reference"]
    assert (differs == shown["epsilon"].isin([0.01, 0.2])).mean() > 0.9


def test_the_draw_is_the_seeds_and_the_models(attacked: job.AttackJob) -> None:
    verdicts = tables.read(attacked.out, "attack")
    verdicts = pd.concat([verdicts.assign(image=verdicts["image"] + str(i)) for i in range(20)])
    n = int(np.ceil(0.1 * verdicts["correct"].sum()))
    first = audit.draw(verdicts, 0.1, 0)
    assert len(first) == n and first["correct"].all() and not first.duplicated(["image", "epsilon"]).any()
    pd.testing.assert_frame_equal(first, audit.draw(verdicts.sample(frac=1, random_state=1), 0.1, 0))
    for other in (audit.draw(verdicts, 0.1, 1), audit.draw(verdicts.assign(model="x"), 0.1, 0)):
        assert set(zip(other["image"], other["epsilon"], strict=True)) != set(
            zip(first["image"], first["epsilon"], strict=True)
        )
    assert audit.draw(verdicts[~verdicts["correct"]], 0.1, 0).empty


def test_an_audit_is_told_with_its_interval(tmp_path: Path) -> None:
    assert audit.sentences(tmp_path / "audit.csv") == []
    robust = [True] * 30 + [False] * 20
    reference = [False] * 2 + [True] * 28 + [True] + [False] * 19
    table = pd.DataFrame({"model": ["a", "b"] * 25, "image": [f"{i}" for i in range(50)], "epsilon": 0.1,
                          "robust": robust, "reference": reference})  # fmt: skip
    tables.write_csv(table, tmp_path / "audit.csv")
    (said,) = audit.sentences(tmp_path / "audit.csv")
    low, high = proportion_confint(3, 50, method="wilson")
    assert "judged 50 of the verdicts again, drawn at random from 2 models: 3 differ (6.0%" in said
    assert f"{low:.1%} to {high:.1%}" in said
    assert "it broke 2 of 30 that stood, and did not break 1 of 20 that were broken" in said


def test_a_model_that_fails_in_its_audit_is_told(attacked: job.AttackJob, tmp_path: Path) -> None:
    model = attacked.model
    raising = ModelRow(model.name, "factory", "tests.attack.faulty:Raises", None, model.preflight)
    asked = job.AttackJob(**vars(attacked) | {"model": raising})
    assert audited(asked, tmp_path / "audit.parquet", 1).empty
    assert read_status(tmp_path / "audit.json")["reason"].startswith("forward error: ")


def tampered(made: job.AttackJob, folder: Path, change: Any) -> verify.Check:
    """What `check` says once `change` was made to the kept arrays."""
    with np.load(adversarials_of(made.out)) as arrays:
        kept = {k: arrays[k].copy() for k in arrays.files}
    change(kept)
    out = folder / "out.parquet"
    out.write_bytes(made.out.read_bytes())
    np.savez_compressed(adversarials_of(out), **kept)
    return verify.Check("m", "0000", *verify.check(made.model, made.shard, out, "Linf"))


def test_kept_adversarials_prove_every_verdict_and_a_changed_one_does_not(
    attacked: job.AttackJob, tmp_path: Path
) -> None:
    verdicts = tables.read(attacked.out, "attack")
    broken = verdicts[verdicts["correct"] & ~verdicts["robust"]]

    def gone(kept: dict[str, Any]) -> None:
        kept["image"], kept["delta"] = kept["image"][1:], kept["delta"][1:]

    def none(kept: dict[str, Any]) -> None:
        kept["delta"][0] = 0

    def further(kept: dict[str, Any]) -> None:
        kept["delta"][0] = np.sign(kept["delta"][0].astype(np.float32)) * 0.25

    def beyond(kept: dict[str, Any]) -> None:
        kept["delta"] = kept["delta"].astype(np.float32)
        kept["delta"][0] += np.where(kept["delta"][0] < 0, -2, 2).astype(np.float32)

    whole = tampered(attacked, tmp_path, lambda kept: None)
    assert whole.holds and whole.kept == broken["image"].nunique() > 2
    assert "every verdict" in verify.line(whole)
    assert tampered(attacked, tmp_path, gone).absent >= 1
    assert tampered(attacked, tmp_path, none).right == 1
    assert tampered(attacked, tmp_path, further).outside >= 1
    assert tampered(attacked, tmp_path, beyond).illegal == 1
    for change in (gone, none, further, beyond):
        assert not tampered(attacked, tmp_path, change).holds


def test_the_disk_that_keep_takes_is_told_beforehand() -> None:
    def report(status: str, top1: float | None) -> Any:
        return {"status": status, "mean": [0.5] * 3, "input_size": [224, 224], "clean_top1": top1}

    reports = {"a": report("ok", 0.5), "b": report("ok", None), "c": report("excluded", None)}
    said = estimate.kept(reports, estimate.Extent(1000, 256))
    size = 2 * 3 * 224 * 224 * 1000 * 1.5 / 1e9
    assert f"up to {size:.3g} GB" in said and f"{size * 4 / 3:.3g} GB of ledgers" in said


def test_a_device_that_fails_in_an_audit_is_no_result(
    attacked: job.AttackJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(audit, "reference", fail)
    with pytest.raises(Excluded, match=r"^device fault: "):
        audited(attacked, tmp_path / "audit.parquet", 1)
    assert not (tmp_path / "audit.json").exists()
