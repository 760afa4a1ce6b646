"""One GPU for each running job of this machine, by lock files, and what becomes of a job whose GPU fails.

Snakemake counts GPUs (``resources: gpu=1``) but does not say which one a job may use. A lock is of the device
itself, by its UUID, so that jobs which were told of it in other words, by an index or by a scheduler, share
it. It is the operating system's and ends with its process: a killed job gives its device back.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from alignsec.ground.child import note
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import encode
from alignsec.ground.reasons import Excluded, device_fault, told

if TYPE_CHECKING:
    from filelock import BaseFileLock

# -1 is a usual way to say none, 10000 is HTCondor's, NoDevFiles is that of older versions of SLURM
NONE = ("", "-1", "10000", "NoDevFiles")
ON_CPU = "set CUDA_VISIBLE_DEVICES to nothing to run on the CPU on purpose"
PATIENCE = 60.0  # seconds that nvidia-smi may take
# of the locks, for all of this user's processes; not TMPDIR: schedulers give each job one of its own
PLACE = Path("/tmp") / f"alignsec-gpu-{os.getuid()}"
SHUNNED = 3600.0  # seconds that jobs leave a device alone on which one failed, while there are others


class Device(NamedTuple):
    """A device: `name` is the same for all processes of this machine, `visible` what CUDA calls it here."""

    name: str
    visible: str


class _Gpu(NamedTuple):
    uuid: str
    slices: list[str]

    def usable(self) -> list[str]:
        """The UUIDs that a process can be given: of a GPU that is cut into MIG slices, theirs."""
        return self.slices or [self.uuid]


def visible() -> list[Device]:
    """The devices that this process may use.

    Those that a preset ``CUDA_VISIBLE_DEVICES`` names (empty: none), else all that ``nvidia-smi -L`` lists;
    by UUID, MIG slices in place of their GPU. An index counts as nvidia-smi does. Without ``nvidia-smi``: by
    the host and the scheduler's own index (``SLURM_STEP_GPUS``, ``SLURM_JOB_GPUS``), else as preset.

    Raises
    ------
    AlignsecError
        The driver is out of order, or does not list what the preset names.
    """
    preset = os.environ.get("CUDA_VISIBLE_DEVICES")
    words = None if preset is None else [w.strip() for w in preset.split(",") if w.strip() not in NONE]
    if words == []:
        return []
    if not shutil.which("nvidia-smi"):
        return _of_scheduler(words)
    gpus = _listed()
    every = [u for g in gpus for u in g.usable()]
    chosen = every if words is None else [u for w in words for u in _of(w, gpus)]
    return [Device(u, u) for u in dict.fromkeys(chosen)]


def _of_scheduler(words: Sequence[str] | None) -> list[Device]:
    host = socket.gethostname()
    given = os.environ.get("SLURM_STEP_GPUS") or os.environ.get("SLURM_JOB_GPUS") or ""
    own = [w.strip() for w in given.split(",") if w.strip()]
    words = [str(i) for i in range(len(own))] if words is None else words
    # a job that sees its own devices only counts them from 0, in the order of the scheduler's indices
    names = own if len(own) == len(words) else words
    return [Device(f"{host}-gpu{n}" if w.isdigit() else w, w) for n, w in zip(names, words, strict=True)]


def _listed() -> list[_Gpu]:
    """What the driver has."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            errors="replace",
        )
        said, failed = f"{done.stdout}\n{done.stderr}".strip(), done.returncode != 0
        lines = done.stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired) as error:
        said, failed, lines = str(error), True, []
    gpus: list[_Gpu] = []
    for line in lines:
        if match := re.search(r"\(UUID: ([^)]+)\)", line):
            if line.lstrip().startswith("MIG") and gpus:
                gpus[-1].slices.append(match[1])
            else:
                gpus.append(_Gpu(match[1], []))
    if failed and not gpus:
        raise AlignsecError(
            f"nvidia-smi is installed and fails, so that no GPU can be used: {said or 'it says nothing'}: "
            f"mend the driver (after an update: restart the machine), or {ON_CPU}"
        )
    if failed:
        last = said.splitlines()[-1]
        print(f"warning: nvidia-smi lists {len(gpus)} GPUs and fails: {last}", file=sys.stderr)
    return gpus


def _of(word: str, gpus: Sequence[_Gpu]) -> list[str]:
    """UUIDs of what a preset names by index or, as CUDA takes it, by the beginning of a UUID."""
    if word.isdigit():
        named = [g.usable() for g in gpus[int(word) :][:1]]
    else:
        named = [g.usable() for g in gpus if g.uuid.startswith(word)]
        named += [[s] for g in gpus for s in g.slices if s.startswith(word)]
    if len(named) != 1:
        raise AlignsecError(
            f"CUDA_VISIBLE_DEVICES names {word}, which is {len(named) or 'none'} of the devices that "
            f"nvidia-smi lists ({', '.join(u for g in gpus for u in g.usable()) or 'none'}): correct it, or "
            f"{ON_CPU}"
        )
    return named[0]


def torch_name(device: str | None) -> str:
    """``cuda`` for a job that holds `device`, else ``cpu``.

    Raises
    ------
    AlignsecError
        A device is held, but torch cannot use it: days on a CPU are not what was asked for.
    """
    import torch

    if device is None or "ALIGNSEC_SIMULATED_GPUS" in os.environ:
        return "cpu"
    if not torch.cuda.is_available():
        raise AlignsecError(
            f"this job holds the GPU {device} of {socket.gethostname()}, but torch {torch.__version__} sees "
            f"none: is there a driver, and is it new enough for this torch? Else {ON_CPU}"
        )
    return "cuda"


@contextlib.contextmanager
def acquire(folder: Path | None = None, wait: float = 0.5, what: str = "a job") -> Iterator[str | None]:
    """Hold one device for the duration; its name, or None where there is no device.

    Sets ``CUDA_VISIBLE_DEVICES`` to it, so call this before CUDA is initialised. Waits while all are taken,
    and says so. A device on which a job failed within the hour is taken only where there is no other.

    Parameters
    ----------
    folder : of the locks; None: one of this user's, for all processes of this machine
    wait : seconds between two looks
    what : holds it, for those who wait

    Raises
    ------
    Excluded
        "device fault", with device and host: the device failed inside.
    AlignsecError
        As `visible`.
    """
    devices = visible()
    if not devices:
        with _faults("cpu", None):
            yield None
        return
    folder = folder or PLACE
    folder.mkdir(parents=True, exist_ok=True)
    device, lock = _first_free(devices, folder, wait)
    holder, mark = (folder / f"{encode(device.name)}.{s}" for s in ("holder", "fault"))
    stands = os.environ.get("ALIGNSEC_FOLDER", str(Path.cwd()))
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        holder.write_text(f"{what}, process {os.getpid()} of {stands}, since {time.strftime('%F %T')}")
        os.environ["CUDA_VISIBLE_DEVICES"] = device.visible
        note(device=device.name)
        with _faults(device.name, mark):
            yield device.name
        mark.unlink(missing_ok=True)
    finally:
        if before is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
        holder.unlink(missing_ok=True)
        lock.release()


def _first_free(devices: Sequence[Device], folder: Path, wait: float) -> "tuple[Device, BaseFileLock]":
    from filelock import FileLock, Timeout

    said = False
    while True:
        for device in _sound(devices, folder):
            lock = FileLock(folder / f"{encode(device.name)}.lock")
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                return device, lock
        if not said:
            print(f"waiting for a GPU: {_holders(devices, folder)}", file=sys.stderr, flush=True)
            said = True
        time.sleep(wait)


def _sound(devices: Sequence[Device], folder: Path) -> list[Device]:
    """Devices without a recent fault; where all had one, all, that of the oldest fault first."""
    ago = {}
    for device in devices:
        mark = folder / f"{encode(device.name)}.fault"
        with contextlib.suppress(OSError):
            ago[device] = time.time() - mark.stat().st_mtime
    sound = [d for d in devices if ago.get(d, SHUNNED) >= SHUNNED]
    return sound or sorted(devices, key=lambda d: -ago.get(d, SHUNNED))


def _holders(devices: Sequence[Device], folder: Path) -> str:
    told = []
    for device in devices:
        who = "free, but a job failed on it"
        if (path := folder / f"{encode(device.name)}.holder").is_file():
            with contextlib.suppress(OSError):
                who = f"held by {path.read_text()}"
        told.append(f"{device.name} is {who}")
    return "; ".join(told)


@contextlib.contextmanager
def _faults(name: str, mark: Path | None) -> Iterator[None]:
    """A fault of the device inside is an exclusion that names it, and leaves a mark."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, Excluded):
            if error.kind != "device fault":
                raise
            text = error.reason.partition(": ")[2]
        elif device_fault(error):
            text = told(error)
        else:
            raise
        if mark is not None:
            mark.write_text(text)
        reason = f"device fault: {text} (device {name}, host {socket.gethostname()})"
        note(device_fault=reason)  # what is left of the process may crash on its way out
        raise Excluded(reason) from error
