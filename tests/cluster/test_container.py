"""The image's recipe: its script runs in a clean environment, its files agree with the lock."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DEFINITION = (ROOT / "container" / "alignsec.def").read_text()


def test_both_recipes_have_one_base_and_one_version() -> None:
    (base,) = set(re.findall(r"^F(?:ROM|rom:) (\S+)$", DOCKERFILE + DEFINITION, re.M | re.I))
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-base-ubuntu24\.04", base)
    cuda = re.search(r"cuda:(\d+)\.", base)
    torch = re.search(r"^nvidia-cudnn-cu(\d+)==", (ROOT / "requirements.lock").read_text(), re.M)
    assert cuda and torch and cuda[1] == torch[1]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'image.version="{version}"' in DOCKERFILE and f"image.version {version}" in DEFINITION


def test_the_image_is_unprivileged_and_made_by_the_scripts_only() -> None:
    runs = re.findall(r"^RUN (.*(?:\\\n.*)*)", DOCKERFILE, re.M)
    assert [r.split()[0] for r in runs] == ["apt-get", "bash", "useradd", "bash"]
    assert runs[-1] == "bash /opt/source/smoke.sh" and DOCKERFILE.index("USER alignsec") < DOCKERFILE.index(
        runs[-1]
    )
    copied = [w for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M) for w in line.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text().split()
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in ignored or f"!{path.split('/')[0]}" in ignored, path
    assert "--require-hashes" in (ROOT / "container" / "install.sh").read_text()


def test_what_the_image_runs_works_in_a_clean_environment(tmp_path: Path) -> None:
    """From the files that are copied into the image, and no other."""
    source = tmp_path / "source"
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M):
        *paths, into = line.split()
        for path in paths:
            target = tmp_path / "source" / Path(into).relative_to("/opt/source")
            if (ROOT / path).is_dir():
                shutil.copytree(ROOT / path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, target)
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | {
        "UV_KEEP_CACHE": "1"
    }
    place = tmp_path / "venv"
    for words in (
        ["bash", str(source / "install.sh"), str(source), str(place)],
        ["bash", str(source / "smoke.sh")],
    ):
        path = os.pathsep.join([str(place / "bin"), clean["PATH"]])
        done = subprocess.run(words, env=clean | {"PATH": path}, capture_output=True, text=True, check=False)
        if "no space" in done.stderr.lower():
            pytest.fail("the disk is full")
        assert done.returncode == 0, done.stdout + done.stderr
    assert "smoke test passed" in done.stdout
    assert not (place / "lib" / "python3.11" / "site-packages" / "alignsec" / "__editable__").exists()
