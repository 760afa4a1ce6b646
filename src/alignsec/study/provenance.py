"""What produced a study: inputs' and tables' hashes, versions, seed, configuration, cost of the attacks."""

import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from alignsec.ground.hashes import file_hash
from alignsec.study.layout import Layout
from alignsec.study.records import read_status

PACKAGES = [
    "alignsec",
    "brainscore_vision",
    "matplotlib",
    "numpy",
    "pandas",
    "plotly",
    "pyarrow",
    "pyautoattack",
    "scikit-learn",
    "scipy",
    "seaborn",
    "snakemake",
    "torch",
    "torchvision",
]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _commit() -> str | None:
    """The checkout's commit, with "+changes" where files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    head = git("rev-parse", "HEAD")
    if head is None:
        return None
    return head + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def describe(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The provenance of the study in `folder`, as JSON data."""
    study = Layout(folder)
    total: dict[str, float] = {}
    devices, attacks = set(), set()
    for path in study.models.attack_statuses():
        cost = read_status(path).get("cost", {})
        total["forward_images"] = total.get("forward_images", 0) + cost.get("forward_images", 0)
        passes = cost.get("forward_backward_images", 0)
        total["forward_backward_images"] = total.get("forward_backward_images", 0) + passes
        for stage, seconds in cost.get("seconds", {}).items():
            total[f"seconds {stage}"] = round(total.get(f"seconds {stage}", 0) + seconds, 1)
        if cost:
            devices.add(cost["device"])
            attacks.add(cost["attack"])
    hashed = [
        p
        for place, pattern in (
            (study.scores, "*"),
            (study.registry, "*"),
            (study.manifest, "*.parquet"),
            (study.robustness, "*"),
            (study.total, "*"),
            (study.correlations, f"{study.correlations.stem}.*"),
            (study.selections, study.selections.name),
        )
        for p in sorted(place.parent.glob(pattern))
        if p.is_file() and not p.name.startswith(".")
    ]
    plan = config["analysis"]["plan"]
    return {
        "study": config["study"],
        "config": dict(config),
        "seed": config["seed"],
        "commit": _commit(),
        "versions": _versions(),
        "machine": platform.platform(),
        "attack": sorted(attacks),
        "devices": sorted(devices),
        "cost": total,
        "plan": None if plan is None else {"file": plan, "sha256": file_hash(Path(plan))},
        "sha256": {p.relative_to(folder).as_posix(): file_hash(p) for p in hashed},
    }
