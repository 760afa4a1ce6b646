"""One GPU for each job."""

import os
from pathlib import Path

import pytest

from alignsec.ground import devices


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
