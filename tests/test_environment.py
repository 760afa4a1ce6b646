"""Configuration page, lock, conda environments and container say the same; the command line answers."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from alignsec.ground.errors import AlignsecError
from alignsec.study import config

ROOT = Path(__file__).resolve().parents[1]


def locked() -> dict[str, str]:
    pins = re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.M)
    return {name.replace("_", "-"): version for name, version in pins}


def test_configuration_page_is_generated() -> None:
    assert (ROOT / "config" / "README.md").read_text(encoding="utf-8") == config.markdown()


@pytest.mark.parametrize("name", ["config", "leaderboard", "paper"])
def test_shipped_configurations_are_valid(name: str) -> None:
    resolved = config.resolve(yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()))
    assert config.warnings(resolved) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"study": "x", "atack": {}}, "did you mean attack?"),
        ({"study": "x", "attack": {"epsilon": ["1/255"]}}, "did you mean attack.epsilons?"),
        ({"study": "x", "images": {"count": 0}}, r"images\.count"),
        ({"study": "../x"}, "study"),
        ({"study": "x"}, r"models\.sheet is null"),
        ({"study": "x", "models": {"sheet": "a"}, "attack": {"epsilons": ["3/2"]}}, "above 0.5"),
        (
            {"study": "x", "models": {"sheet": "a"}, "figures": {"heatmap": {"colormap": "vlga"}}},
            "colormap.*vlag",
        ),
    ],
)
def test_wrong_configurations_name_the_key(given: dict[str, object], message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        config.resolve(given)


def test_lock_has_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert text.count("--hash=sha256:") > len(locked()) > 100


def test_conda_environments_and_container_have_the_locked_versions() -> None:
    pins = locked()
    checked = 0
    for path in sorted((ROOT / "envs").glob("*.yaml")):
        entries = yaml.safe_load(path.read_text())["dependencies"]
        pip = next(e["pip"] for e in entries if isinstance(e, dict))
        for entry in pip:
            name, version = entry.split("==")
            assert pins[name.lower().replace("_", "-")] == version, f"{path.name}: {entry}"
            checked += 1
        assert "python=3.11" in entries
    assert checked >= 20
    install = (ROOT / "container" / "install.sh").read_text()
    assert re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1] in install  # type: ignore[index]


def test_the_package_carries_the_data_that_the_library_reads() -> None:
    from importlib import resources

    inside = resources.files("alignsec")
    assert (inside / "study" / "config.schema.yaml").is_file()
    # the wheel takes what lies in the package, so nothing outside it may be read
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["src/alignsec"]


def test_input_errors_are_messages_without_traceback(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("<html>")
    done = subprocess.run(
        [sys.executable, "-m", "alignsec", "leaderboard", "parse", str(bad), "--out-scores", str(tmp_path / "s"),
         "--out-benchmarks", str(tmp_path / "b")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {bad}:1: a web page")
    assert "Traceback" not in done.stderr
