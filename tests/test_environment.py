"""Configuration page, lock, conda environments and container say the same; the command line answers."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
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


@pytest.mark.parametrize("name", ["config", "leaderboard", "paper", "realnets"])
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
        ({"study": "x"}, r"zoo\.sheet is null"),
        ({"study": "x", "zoo": {"sheet": "a"}, "attack": {"epsilons": ["3/2"]}}, "above 0.5"),
        (
            {"study": "x", "zoo": {"sheet": "a"}, "report": {"heatmap": {"colormap": "vlga"}}},
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


def test_conda_environments_hold_the_extras_of_their_rules() -> None:
    """Analysis: what the package itself needs; models: less figures and Snakemake, and what attacks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^\w.-]", r)[0].lower().replace("_", "-") for r in requirements}

    def held(name: str) -> set[str]:
        entries = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
        return names(next(e["pip"] for e in entries if isinstance(e, dict)))

    base, extras = names(project["dependencies"]), project["optional-dependencies"]
    assert held("analysis") == base
    drawn = {"matplotlib", "plotly", "seaborn", "snakemake"}
    assert held("models") == base - drawn | names(extras["attack"]) | names(extras["timm"])
    assert not base & names([r for requirements in extras.values() for r in requirements])


def test_the_workflow_asks_for_the_snakemake_that_is_locked() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (pin,) = [d.removeprefix("snakemake==") for d in dependencies if d.startswith("snakemake==")]
    (asked,) = re.findall(r'^min_version\("(.*)"\)$', (ROOT / "Snakefile").read_text(), re.M)
    assert asked == pin == locked()["snakemake"]


def test_nothing_is_said_of_a_pool_where_there_is_none(tmp_path: Path) -> None:
    """Snakemake imports HTCondor's bindings on every command; `make setup` keeps only them quiet."""
    pytest.importorskip("snakemake_executor_plugin_htcondor")
    place = ROOT / "envs" / "quiet.pth"
    for recipe in ("Makefile", "container/install.sh"):
        assert re.search(r'^\s*cp \S*quiet\.pth"? \S.*purelib', (ROOT / recipe).read_text(), re.M), recipe

    def said(text: str, *folders: Path) -> str:
        for folder in folders:
            text = f"import site; site.addsitedir({str(folder)!r}); {text}"
        environment = {k: v for k, v in os.environ.items() if k != "CONDOR_CONFIG"} | {"HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-S", "-c", text], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    # as the bindings do on a machine that is no part of a pool, and any other warning
    bindings = find_spec("htcondor2")
    assert bindings is not None and bindings.origin is not None
    source = Path(bindings.origin).read_text(encoding="utf-8")
    (message,) = re.findall(r'message = "(.*CONDOR_CONFIG.*)"', source)
    for text in (message, "another one"):
        assert text in said(f"import warnings; warnings.warn({text!r})", tmp_path)
    shutil.copy(place, tmp_path)
    assert said(f"import warnings; warnings.warn({message!r})", tmp_path) == ""
    assert "another one" in said("import warnings; warnings.warn('another one')", tmp_path)


def test_the_package_carries_the_data_that_the_library_reads() -> None:
    from importlib import resources

    inside = resources.files("alignsec")
    assert (inside / "study" / "config.schema.yaml").is_file()
    # the wheel takes what lies in the package, so nothing outside it may be read
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["src/alignsec", "src/snakemake_logger_plugin_alignsec"]


def test_input_errors_are_messages_without_traceback(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("<html>")
    line = [sys.executable, "-m", "alignsec", "leaderboard", "parse", str(bad)]
    line += ["--out-scores", str(tmp_path / "s"), "--out-benchmarks", str(tmp_path / "b")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {bad}:1: a web page")
    assert "Traceback" not in done.stderr
