"""A device that fails costs no model its place: the next attempt goes on, the last names device and host."""

import os
import re
import socket
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from alignsec.attack import evaluate_robustness, job
from alignsec.attack.blame import ModelError
from alignsec.ground import devices, tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded, device_fault, may_be_memory, out_of_memory
from alignsec.robustness import corruptions
from alignsec.study.records import read_status
from tests.attack import broken_device, faulty
from tests.attack.test_faults import images, row, shard
from tests.ground.test_devices import smi

MORE = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below "
    "might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
)
# as torch 2.11 words them
FAULTS = {
    "ecc": "CUDA error: uncorrectable ECC error encountered" + MORE,
    "illegal access": "CUDA error: an illegal memory access was encountered" + MORE,
    "launch": "CUDA error: unspecified launch failure" + MORE,
    "timeout": "CUDA error: the launch timed out and was terminated" + MORE,
    "busy": "CUDA error: CUDA-capable device(s) is/are busy or unavailable" + MORE,
    "no kernel": "CUDA error: no kernel image is available for execution on the device" + MORE,
    "unknown": "CUDA unknown error - this may be due to an incorrectly set up environment",
    "init": "CUDA driver initialization failed, you might not have a CUDA gpu.",
    "driver": "CUDA driver error: unknown error",
    "lost": 'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/pytorch/c10/cuda/CUDACachingAllocator.cpp":1131',
    "cublas": "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb)`",
    "cudnn": "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "frontend": "cuDNN Frontend error: [cudnn_frontend] Error: No execution plans support the graph.",
    "cufft": "cuFFT error: CUFFT_EXEC_FAILED",
}
INNER = [
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    "CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasSgemm( handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuFFT error: CUFFT_INTERNAL_ERROR",
]
NO_ROOM = [
    "CUDA error: out of memory" + MORE,
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuFFT error: CUFFT_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
]
MODELS_OWN = [
    "CUDA error: device-side assert triggered" + MORE,
    "CUDA error: invalid configuration argument" + MORE,
    "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm( handle)`",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
    "No CUDA GPUs are available",  # of a model that asks for one in preflight, which has none
    "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)",
]
QUICK: dict[str, Any] = {"version": "custom", "attacks": ["apgd-ce"], "batch_size": 4}
VERDICTS = ["image", "epsilon", "correct", "robust", "stage"]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it stands what the device does next; two GPUs, on which jobs compute on the CPU."""
    monkeypatch.setenv(broken_device.PLAN, str(tmp_path / "device.json"))
    monkeypatch.setenv("ALIGNSEC_SIMULATED_GPUS", "1")
    smi(tmp_path, monkeypatch, f"GPU 0: T4 (UUID: GPU-a{os.getpid()})\nGPU 1: T4 (UUID: GPU-b{os.getpid()})")
    monkeypatch.setattr(devices, "PLACE", tmp_path / "locks")
    return tmp_path / "device.json"


def asked(folder: Path, **more: Any) -> job.AttackJob:
    made: dict[str, Any] = {
        "model": row(folder, "OnDevice"), "out": folder / "out.parquet", "status": folder / "status.json",
        "shard": shard(folder), "ledger": folder / "a.ledger",
        "request": job.AttackRequest.of({"epsilons": ["0.1"], **QUICK}),
    }  # fmt: skip
    model = made["model"]
    spec = "tests.attack.broken_device:OnDevice"
    made["model"] = type(model)(model.name, model.source, spec, None, model.preflight)
    return job.AttackJob(**made | more)


def undisturbed(folder: Path, plan: Path) -> pd.DataFrame:
    broken_device.plan(plan, "", 0)
    (folder / "sound").mkdir()
    job.attack(asked(folder / "sound"))
    return tables.read(folder / "sound" / "out.parquet", "attack")[VERDICTS]


def test_texts_are_told_apart() -> None:
    for text in (*FAULTS.values(), *INNER):
        assert device_fault(RuntimeError(text)) and not out_of_memory(RuntimeError(text)), text
        assert may_be_memory(RuntimeError(text)) == (text in INNER), text
    for text in NO_ROOM:
        assert out_of_memory(RuntimeError(text)) and not device_fault(RuntimeError(text)), text
    for text in MODELS_OWN:
        assert not device_fault(RuntimeError(text)) and not out_of_memory(RuntimeError(text)), text
    assert not device_fault(ValueError(FAULTS["ecc"]))  # torch raises none of these


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *((n, "forward") for n in (*FAULTS, "AcceleratorError", "wrapped")),
        ("ecc", "backward"),
        ("cudnn", "backward"),
    ],
)
def test_the_next_attempt_finishes_on_another_device(
    tmp_path: Path, plan: Path, name: str, where: str
) -> None:
    text = FAULTS.get(name, FAULTS["ecc"])
    broken_device.plan(plan, text, 1, where, name if name not in FAULTS else "RuntimeError")
    with pytest.raises(Excluded, match=r"^device fault: ") as told:
        job.attack(asked(tmp_path))
    said = "KeyError" if name == "wrapped" else text.splitlines()[0]
    assert said in told.value.reason and told.value.transient
    assert f"(device GPU-a{os.getpid()}, host {socket.gethostname()})" in told.value.reason
    assert not (tmp_path / "status.json").exists() and not (tmp_path / "out.parquet").exists()
    settled = len((tmp_path / "a.ledger").read_bytes().splitlines())
    assert settled > 2
    held = []
    with pytest.MonkeyPatch.context() as watched:
        names = devices.torch_name
        watched.setattr(devices, "torch_name", lambda device: held.append(device) or names(device))
        job.attack(asked(tmp_path))
    assert held == [f"GPU-b{os.getpid()}"]
    status = read_status(tmp_path / "status.json")
    assert status["status"] == "ok" and status["cost"]["resumed_passes"] > 0
    found = tables.read(tmp_path / "out.parquet", "attack")[VERDICTS]
    pd.testing.assert_frame_equal(found, undisturbed(tmp_path, plan))


@pytest.mark.parametrize("error", ["RuntimeError", "abort"])
def test_of_the_last_attempt_the_exclusion_is_transient_and_names_device_and_host(
    tmp_path: Path, plan: Path, error: str
) -> None:
    broken_device.plan(plan, FAULTS["ecc"], 2, error=error)
    with pytest.raises(AlignsecError, match=r"device fault: .*ECC.*1 left"):
        job.run(asked(tmp_path, attempts_left=1))
    assert not (tmp_path / "status.json").exists()
    job.run(asked(tmp_path))
    status = read_status(tmp_path / "status.json")
    assert status["status"] == "excluded" and status["transient"] is True
    where = rf"\(device GPU-[ab]{os.getpid()}, host {re.escape(socket.gethostname())}\)$"
    assert re.search(f"^device fault: .*uncorrectable ECC error encountered.* {where}", status["reason"])
    assert tables.read(tmp_path / "out.parquet", "attack").empty
    job.attack(asked(tmp_path))  # as after `alignsec zoo retry`: the device does no harm any more
    assert read_status(tmp_path / "status.json")["status"] == "ok"


@pytest.mark.parametrize("text", MODELS_OWN)
def test_what_a_model_asks_wrongly_stays_its_own(tmp_path: Path, plan: Path, text: str) -> None:
    broken_device.plan(plan, text, 9)
    job.attack(asked(tmp_path))
    status = read_status(tmp_path / "status.json")
    assert status["reason"].startswith("forward error: ") and status["transient"] is False


@pytest.mark.parametrize("text", [*NO_ROOM, *INNER])
def test_what_lacks_memory_halves_the_batch(tmp_path: Path, plan: Path, text: str) -> None:
    broken_device.plan(plan, text, 1)
    job.attack(asked(tmp_path))
    cost = read_status(tmp_path / "status.json")["cost"]
    assert cost["out_of_memory"] == 1 and cost["batch_size"] < QUICK["batch_size"]
    found = tables.read(tmp_path / "out.parquet", "attack")[VERDICTS]
    pd.testing.assert_frame_equal(found, undisturbed(tmp_path, plan))


@pytest.mark.parametrize("text", INNER)
def test_an_inner_error_is_excused_once(tmp_path: Path, plan: Path, text: str) -> None:
    broken_device.plan(plan, text, 2)
    with pytest.raises(Excluded, match=r"^device fault: "):
        job.attack(asked(tmp_path))


def test_corruptions_are_run_again_as_well(tmp_path: Path, plan: Path) -> None:
    broken_device.plan(plan, FAULTS["launch"], 1, after=8)
    wanted = corruptions.CorruptionsJob(
        model=asked(tmp_path).model, out=tmp_path / "out.parquet", status=tmp_path / "status.json",
        shards=[shard(tmp_path)], names=["contrast", "brightness"], severities=[*range(1, 6)],
    )  # fmt: skip
    with pytest.raises(Excluded, match=r"^device fault: .*unspecified launch failure"):
        corruptions.corruptions(wanted)
    corruptions.corruptions(wanted)
    assert read_status(wanted.status)["status"] == "ok"


def test_in_a_notebook_the_fault_is_raised_as_it_is(plan: Path) -> None:
    x, y = images()
    broken_device.plan(plan, FAULTS["ecc"], 1)
    with pytest.raises(RuntimeError, match="uncorrectable ECC"):
        evaluate_robustness(broken_device.OnDevice().eval(), x, y, [0.1], device="cpu", **QUICK)
    with pytest.raises(ModelError):
        evaluate_robustness(faulty.Raises().eval(), x, y, [0.1], device="cpu", **QUICK)
