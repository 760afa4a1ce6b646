"""Jobs on a GPU in a study: one whose GPU fails is run again, and stops no other."""

import json
import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from alignsec.ground import tables
from alignsec.study import layout
from alignsec.study.layout import Layout
from alignsec.study.records import read_status
from tests.attack import broken_device
from tests.attack.test_broken_device import FAULTS
from tests.ground.test_devices import smi
from tests.zoo.test_retry import CONFIG, NAME, ROOT, planned, run, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
GPUS = [f"GPU-{c}{os.getpid()}" for c in "cd"]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A sound model, one whose device fails, one that preflight excludes; two GPUs."""
    sheet = "model\tsource\tspec\tfamily\tnote\nfine\tdemo\tarch=mlp\tf\t\n"
    sheet += "fails\tfactory\ttests.attack.broken_device:OnDevice\tg\t\n"
    sheet += "out\tfactory\tno_such_package:model\th\t\n"
    (tmp_path / "models.tsv").write_text(sheet)
    (tmp_path / "board.csv").write_text(
        "model_name,neural_vision,A1,A2\nfine,.1,.1,.1\nfails,.3,.2,.4\nout,.3,.4,.2\nother,.2,.2,.2\n"
    )
    changed = CONFIG | {"images": {"source": "digits", "count": 4}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(changed))
    smi(tmp_path, monkeypatch, "\n".join(f"GPU {i}: T4 (UUID: {u})" for i, u in enumerate(GPUS)))
    monkeypatch.setenv("ALIGNSEC_SIMULATED_GPUS", "1")
    monkeypatch.setenv(broken_device.PLAN, str(tmp_path / "device.json"))
    broken_device.plan(tmp_path / "device.json", FAULTS["ecc"], 99)
    return Layout(tmp_path / layout.of_study(NAME).root)


ASKED = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, ResourceSettings

with SnakemakeApi() as api:
    study = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=[Path("study.yaml")]),
        snakefile=Path(sys.argv[1]), workdir=Path.cwd(),
    )
    study.dag(DAGSettings(targets={"robustness"})).summary()
    jobs = [j for j in study._workflow.dag.jobs if j.rule.name == "attack"]
    print("ASKED", json.dumps({j.wildcards.model: str(j.resources.get("gpu")) for j in jobs}))
"""


def gpus_asked(folder: Path) -> dict[str, str]:
    """Model to the GPUs that its attack asks Snakemake for, as it schedules it now."""
    said = run(folder, sys.executable, "-c", ASKED, str(ROOT / "Snakefile"))
    found: dict[str, str] = json.loads(said.split("ASKED ")[1].splitlines()[0])
    return found


def test_a_model_whose_gpu_fails_is_run_again_and_stops_no_other(study: Layout, tmp_path: Path) -> None:
    assert gpus_asked(tmp_path) == dict.fromkeys(["fine", "fails", "out"], "<TBD>")
    said = snakemake(tmp_path, "--resources", "gpu=2", "--nocolor", "robustness")
    assert gpus_asked(tmp_path) == {"fine": "1", "fails": "1", "out": "None"}
    assert json.loads((tmp_path / "device.json").read_text())["times"] == 96  # three attempts
    assert len(re.findall(r"device fault: .* left\)", said)) == 2
    status = read_status(study.models.attack_status("fails", "0000"))
    assert status["transient"] is True and re.search(rf"\(device ({'|'.join(GPUS)}), host ", status["reason"])
    assert read_status(study.models.attack_status("fine", "0000"))["status"] == "ok"
    assert set(tables.read(study.robustness, "robustness")["model"]) == {"fine"}
    excluded = pd.read_csv(study.excluded).set_index("model")["reason"]
    assert excluded["fails"].startswith("device fault: ") and excluded["out"].startswith("missing package")
    told = run(tmp_path, "alignsec", "zoo", "retry", "--configfile", "study.yaml")
    assert "again: fails (device fault: " in told
    broken_device.plan(tmp_path / "device.json", "", 0)
    jobs = planned(tmp_path, "robustness")
    assert (jobs["attack"], jobs["robustness"]) == (1, 1) and "preflight" not in jobs
    snakemake(tmp_path, "--resources", "gpu=2", "--nocolor", "robustness")
    assert read_status(study.models.attack_status("fails", "0000"))["cost"]["resumed_passes"] > 0
    assert planned(tmp_path, "robustness") == {}
