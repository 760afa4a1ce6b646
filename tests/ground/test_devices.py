"""One GPU for each job, by what it is and not by what it is called."""

import os
from pathlib import Path

import pytest

from alignsec.ground import devices


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


def test_devices_are_given_once_and_ids_may_be_strings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a0223334,GPU-b1223334")
    with devices.acquire(tmp_path) as first:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == first == "GPU-a0223334"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a0223334,GPU-b1223334")
        with devices.acquire(tmp_path) as second:
            assert second == "GPU-b1223334"
    with devices.acquire(tmp_path) as again:
        assert again == "GPU-a0223334"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with devices.acquire(tmp_path) as none:
        assert none is None
