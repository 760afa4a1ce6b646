"""One GPU for each running job of this machine, by lock files.

Snakemake counts GPUs (``resources: gpu=1``) but does not say which one a job may use. A lock of the operating
system ends with its process, so a killed job gives its device back.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import encode


def visible() -> list[str]:
    """Ids of the devices this process may use.

    A preset ``CUDA_VISIBLE_DEVICES`` is honoured as written (ids may be ``GPU-...`` strings; empty means
    none); otherwise what ``nvidia-smi -L`` lists, by UUID.
    """
    preset = os.environ.get("CUDA_VISIBLE_DEVICES")
    if preset is not None:
        # -1 is a usual way to say none, 10000 is HTCondor's
        return [d.strip() for d in preset.split(",") if d.strip() not in ("", "-1", "10000")]
    if not shutil.which("nvidia-smi"):
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [line.split("UUID: ")[1].rstrip(")") for line in listing.stdout.splitlines() if "UUID: " in line]


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
            f"CUDA_VISIBLE_DEVICES gives this job {device}, but torch {torch.__version__} sees no GPU: is "
            "there a driver, and is it new enough for this torch? (Set CUDA_VISIBLE_DEVICES to nothing to "
            "run on the CPU.)"
        )
    return "cuda"


@contextlib.contextmanager
def acquire(folder: Path | None = None, wait: float = 0.5) -> Iterator[str | None]:
    """Hold one device for the duration; None where there is no device.

    Sets ``CUDA_VISIBLE_DEVICES`` to it, so call this before CUDA is initialised. Waits while all are taken.
    """
    from filelock import FileLock, Timeout

    devices = visible()
    if not devices:
        yield None
        return
    folder = folder or Path(tempfile.gettempdir()) / f"alignsec-gpu-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    while True:
        for device in devices:
            lock = FileLock(folder / f"{encode(device)}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = device
            try:
                yield device
            finally:
                if before is None:
                    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
                else:
                    os.environ["CUDA_VISIBLE_DEVICES"] = before
                lock.release()
            return
        time.sleep(wait)
