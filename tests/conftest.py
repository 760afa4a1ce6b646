"""Real data, where the machine has it."""

import os

# before torch is imported: threads that wait for each other cost more than they bring on small networks
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """A folder with a published leaderboard, CIFAR-10 images and ImageNet photographs."""
    folder = Path(os.environ.get("ALIGNSEC_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set ALIGNSEC_DATA")
    return folder
