"""Nothing that a model's own code does stops a study: it ends as that model's reason."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

from alignsec.attack import job
from alignsec.ground import tables
from alignsec.ground.hashes import file_hash
from alignsec.images import shards as images
from alignsec.study import sheet
from alignsec.study.layout import Models
from alignsec.study.records import Report, read_report, read_status, write_json
from alignsec.study.request import AttackRequest
from alignsec.zoo import preflight
from alignsec.zoo.running import ModelRow
from tests import hostile


def reports(factories: Sequence[str], sample: Path, folder: Path) -> dict[str, Report]:
    """What the real preflight says of each, by the files that it leaves."""
    rows = [[f, "factory", f"tests.hostile:{f}", "f", ""] for f in factories]
    limits = preflight.Limits(timeout=300, retries=0)
    given = pd.DataFrame(rows, columns=sheet.COLUMNS)
    dict(preflight.sweep(given, folder, jobs=2, images=sample, limits=limits))
    return {f: read_report(Models(folder).preflight(f)) for f in factories}


@pytest.fixture(scope="module")
def on_arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    folder = tmp_path_factory.mktemp("arrays")
    tables.write(images.cut("digits", None, 0, 16, 0), folder / "sample.parquet", "images")
    return reports(list(hostile.REASONS), folder / "sample.parquet", folder / "models")


@pytest.fixture(scope="module")
def on_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    folder = tmp_path_factory.mktemp("files")
    rows = []
    for i in range(3):
        path = folder / f"{i}.png"
        Image.fromarray(np.full((8, 8, 3), 40 * i, dtype=np.uint8)).save(path)
        rows.append({"image": path.name, "path": str(path), "label": i, "sha256": file_hash(path)})
    tables.write(pd.DataFrame(rows), folder / "sample.parquet", "images")
    return reports(list(hostile.FILES), folder / "sample.parquet", folder / "models")


def check(report: Report, reason: str) -> None:
    import re

    assert report["status"] == ("excluded" if reason else "ok"), report["reason"]
    assert re.match(reason, report["reason"]) and (reason or not report["reason"]), report["reason"]
    json.dumps(report, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("factory", hostile.REASONS)
def test_a_hostile_module_has_its_reason(factory: str, on_arrays: dict[str, Report]) -> None:
    check(on_arrays[factory], hostile.REASONS[factory])


@pytest.mark.parametrize("factory", hostile.FILES)
def test_a_hostile_preprocessing_has_its_reason(factory: str, on_files: dict[str, Report]) -> None:
    check(on_files[factory], hostile.FILES[factory])


def test_a_daemon_of_a_model_does_not_outlive_its_preflight(on_arrays: dict[str, Report]) -> None:
    pid: Any = dict(on_arrays["leaves_a_daemon"])["daemon"]
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


@pytest.mark.parametrize("factory", ["closes_its_descriptors", "forks", "leaves_a_daemon", "floods"])
def test_an_attack_goes_through_whatever_its_model_does_to_its_process(
    factory: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the supervised child of an attack job, which loads the model anew."""
    spec = f"tests.hostile:{factory}"
    tables.write(images.cut("digits", None, 0, 3, 0), tmp_path / "images.parquet", "images")
    limits = preflight.Limits(side_effects="allow")
    report = preflight.preflight(factory, "factory", spec, limits=limits)
    write_json(tmp_path / "preflight.json", report)
    capfd.readouterr()
    job.run(
        job.AttackJob(
            model=ModelRow(factory, "factory", spec, None, tmp_path / "preflight.json"),
            out=tmp_path / "out.parquet",
            status=tmp_path / "status.json",
            shard=tmp_path / "images.parquet",
            request=AttackRequest(epsilons=(0.1,), version="custom", attacks=("apgd-ce",)),
        )
    )
    status = read_status(tmp_path / "status.json")
    assert (status["status"], status["reason"]) == ("ok", "")
    assert len(tables.read(tmp_path / "out.parquet", "attack")) == 3
    assert len(capfd.readouterr().err) < 3 << 20


def test_an_error_of_ours_is_no_reason_of_a_models(tmp_path: Path) -> None:
    """The sample is gone: no model is to blame, so the run stops and says so."""
    rows = pd.DataFrame([["m", "factory", "tests.misbehaving:good", "f", ""]], columns=sheet.COLUMNS)
    (tmp_path / "sample.parquet").write_text("no table")
    with pytest.raises(Exception, match="not a readable Parquet file"):
        dict(preflight.sweep(rows, tmp_path, images=tmp_path / "sample.parquet"))
    assert not list(tmp_path.rglob("preflight.json"))
