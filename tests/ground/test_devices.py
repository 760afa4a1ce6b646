"""One GPU for each job, by what it is and not by what it is called."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alignsec.ground import devices
from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded


def smi(folder: Path, patch: pytest.MonkeyPatch, listing: str, code: int = 0, stderr: str = "") -> None:
    """A driver that lists this, on the search path before any real one."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "said").write_text(f"{listing}\n" if listing else "")
    (folder / "bin" / "erred").write_text(stderr)
    script = folder / "bin" / "nvidia-smi"
    here = script.parent
    script.write_text(
        f'#!/bin/sh\n[ "$1" = -L ] || exit 99\ncat "{here}/said"\ncat "{here}/erred" >&2\nexit {code}\n'
    )
    script.chmod(0o755)
    patch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


EIGHT = "\n".join(f"GPU {i}: NVIDIA A100-SXM4-40GB (UUID: GPU-{i}aaa-{i})" for i in range(8))
MIG = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-0aaa-0)
  MIG 3g.20gb     Device  0: (UUID: MIG-one)
  MIG 3g.20gb     Device  1: (UUID: MIG-two)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-1aaa-1)"""
CUT = "GPU 0: NVIDIA A100 (UUID: GPU-0aaa-0)\n  MIG 1g.5gb Device 0: (UUID: MIG-GPU-0aaa-0/7/0)"
FAILED = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
HOST = devices.socket.gethostname()
ALL = [f"GPU-{i}aaa-{i}" for i in range(8)]
# what nvidia-smi lists (None: there is none), the preset, SLURM's own indices -> names of the devices, in
# their order, or what is said
CASES: list[tuple[str | None, str | None, str | None, list[str] | str]] = [
    (EIGHT, None, None, ALL),
    (EIGHT, "3", None, ["GPU-3aaa-3"]),
    (EIGHT, "3, 0", None, ["GPU-3aaa-3", "GPU-0aaa-0"]),
    (EIGHT, "GPU-5aaa-5,GPU-0", None, ["GPU-5aaa-5", "GPU-0aaa-0"]),
    (EIGHT, "0,GPU-0aaa-0", None, ["GPU-0aaa-0"]),
    (EIGHT, "", None, []),
    (EIGHT, "-1", None, []),
    (EIGHT, "10000", None, []),
    (EIGHT, "NoDevFiles", None, []),
    (EIGHT, "8", None, "CUDA_VISIBLE_DEVICES names 8, which is none of the devices"),
    (EIGHT, "GPU-", None, "CUDA_VISIBLE_DEVICES names GPU-, which is 8 of the devices"),
    (EIGHT, "GPU-zzz", None, "names GPU-zzz, which is none of the devices"),
    (MIG, None, None, ["MIG-one", "MIG-two", "GPU-1aaa-1"]),
    (MIG, "0", None, ["MIG-one", "MIG-two"]),
    (MIG, "1", None, ["GPU-1aaa-1"]),
    (MIG, "GPU-0aaa-0", None, ["MIG-one", "MIG-two"]),
    (MIG, "MIG-two", None, ["MIG-two"]),
    (CUT, None, None, ["MIG-GPU-0aaa-0/7/0"]),
    # under SLURM with constrained devices: the job's own are all that is listed, and count from 0
    (EIGHT.splitlines()[6].replace("GPU 6", "GPU 0"), "0", "6", ["GPU-6aaa-6"]),
    (None, "0", "6", [f"{HOST}-gpu6"]),
    (None, "0,1", "6,7", [f"{HOST}-gpu6", f"{HOST}-gpu7"]),
    (None, None, "2", [f"{HOST}-gpu2"]),
    (None, "0", None, [f"{HOST}-gpu0"]),
    (None, "GPU-abc", None, ["GPU-abc"]),
    (None, "", "6", []),
    (None, None, None, []),
    ("", None, None, []),
]  # fmt: skip


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("listing", "preset", "slurm", "expected"), CASES)
def test_a_device_is_known_by_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: str | None, preset: str | None,
    slurm: str | None, expected: list[str] | str,
) -> None:  # fmt: skip
    if listing is None:
        monkeypatch.setattr(devices.shutil, "which", lambda _: None)
    else:
        smi(tmp_path, monkeypatch, listing)
    if preset is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", preset)
    if slurm is not None:
        monkeypatch.setenv("SLURM_JOB_GPUS", slurm)
    if isinstance(expected, str):
        with pytest.raises(AlignsecError, match=expected):
            devices.visible()
        return
    found = devices.visible()
    assert [d.name for d in found] == expected
    if listing is not None:
        assert [d.visible for d in found] == expected
    elif preset:
        assert [d.visible for d in found] == preset.split(",")


@pytest.mark.parametrize(("said", "erred"), [(FAILED, ""), ("", "Driver/library version mismatch"), ("", "")])
def test_a_broken_driver_is_an_error_and_no_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, erred: str
) -> None:
    smi(tmp_path, monkeypatch, said, 9, erred)
    text = r"nvidia-smi .* fails.*mend the driver.*on purpose"
    for preset in (None, "0"):
        if preset is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", preset)
        with pytest.raises(AlignsecError, match=f"(?s){text}") as told, devices.acquire(tmp_path):
            pass
        assert (said or erred or "it says nothing") in str(told.value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with devices.acquire(tmp_path) as none:
        assert none is None


def test_a_driver_that_does_not_answer_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, EIGHT)
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(devices, "PATIENCE", 0.3)
    with pytest.raises(AlignsecError, match=r"nvidia-smi .* fails.*timed out"):
        devices.visible()


def test_of_a_driver_that_has_lost_a_gpu_the_others_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = "Unable to determine the device handle for GPU 0000:41:00.0: GPU is lost."
    smi(tmp_path, monkeypatch, EIGHT, 15, lost)
    assert [d.name for d in devices.visible()] == ALL
    assert lost in capsys.readouterr().err


JOB = """
import sys, time
from pathlib import Path
from alignsec.ground import devices
with devices.acquire(Path(sys.argv[1]), wait=0.05, what=sys.argv[2]) as device:
    Path(sys.argv[1], "held." + sys.argv[2]).write_text(device)
    while Path(sys.argv[1]).exists() and not Path(sys.argv[1], "end").exists():
        time.sleep(0.05)
"""


def job(folder: Path, name: str, preset: str | None) -> "subprocess.Popen[str]":
    environment = os.environ | ({} if preset is None else {"CUDA_VISIBLE_DEVICES": preset})
    return subprocess.Popen(
        [sys.executable, "-c", JOB, str(folder), name], env=environment, stderr=subprocess.PIPE, text=True
    )


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_studies_share_eight_gpus_whatever_they_call_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(tmp_path, monkeypatch, EIGHT)

    def holding(count: int) -> None:
        until(lambda: len(list(tmp_path.glob("held.*"))) == count)

    # one study is given two of them by index and one by UUID, for which a job is too many; the other has all
    presets = ["0,1", "0,1", "GPU-7aaa-7", "GPU-7aaa-7", *[None] * 5]
    running = [job(tmp_path, f"study-{i}", p) for i, p in enumerate(presets[:4])]
    holding(3)
    running += [job(tmp_path, f"study-{i}", p) for i, p in enumerate(presets[4:], 4)]
    holding(8)
    held = [p.read_text() for p in tmp_path.glob("held.*")]
    assert sorted(held) == ALL
    (late,) = [i for i in range(9) if not (tmp_path / f"held.study-{i}").exists()]
    assert late in (2, 3)  # each of the others has a choice
    (tmp_path / "end").touch()
    said = [process.communicate(timeout=60)[1] for process in running]
    assert all(process.returncode == 0 for process in running)
    other = running[5 - late].pid
    assert (
        f"waiting for a GPU: GPU-7aaa-7 is held by study-{5 - late}, process {other} of {Path.cwd()}"
        in said[late]
    )
    assert not any(said[i] for i in range(9) if i != late)
    assert not list(tmp_path.glob("*.holder"))


def test_a_job_that_is_killed_gives_its_device_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, EIGHT.splitlines()[0])
    first = job(tmp_path, "first", None)
    until(lambda: (tmp_path / "held.first").exists())
    first.kill()
    first.communicate()
    with devices.acquire(tmp_path) as device:
        assert device == "GPU-0aaa-0" == os.environ["CUDA_VISIBLE_DEVICES"]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_device_that_failed_is_left_alone_while_there_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(tmp_path, monkeypatch, "\n".join(EIGHT.splitlines()[:2]))

    def fail() -> str:
        with (
            pytest.raises(Excluded, match=r"ECC .*\(device GPU-.*, host ") as told,
            devices.acquire(tmp_path),
        ):
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
        return told.value.reason

    def held() -> str | None:
        with devices.acquire(tmp_path) as device:
            return device

    assert "GPU-0aaa-0" in fail()
    assert held() == held() == "GPU-1aaa-1"
    assert "GPU-1aaa-1" in fail()
    assert held() == "GPU-0aaa-0"  # where all failed, the one that has rested longest; and it did well
    assert held() == "GPU-0aaa-0"
    assert "GPU-0aaa-0" in fail()
    for mark in tmp_path.glob("*.fault"):
        os.utime(mark, (time.time() - devices.SHUNNED - 1,) * 2)
    assert held() == "GPU-0aaa-0"


def test_an_error_of_the_code_leaves_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, EIGHT)
    for error in (ValueError("a bug"), Excluded("forward error: x")):
        with pytest.raises(type(error)), devices.acquire(tmp_path):
            raise error
    assert not list(tmp_path.glob("*.fault"))
