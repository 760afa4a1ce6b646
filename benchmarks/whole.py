"""What a whole analysis costs: the leaderboard's 233 models, 106 leaves and eight targets, verb by verb.

    python -m benchmarks.whole SHARED [--out FOLDER] [--targets TARGET ...]

SHARED is the folder of the tests' data (`ALIGNSEC_DATA`). Robustness is that of `tests.planted_study`.
Snakemake runs the study on two cores; a program named `alignsec` before the real one on the PATH writes down
what each call of a verb took. Prints Markdown, the costliest verb first.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
CORES = 2
_METER = """#!{python}
import json, os, subprocess, sys, time
begun = time.perf_counter()
child = subprocess.Popen([{python!r}, "-m", "alignsec", *sys.argv[1:]])
_, status, used = os.wait4(child.pid, 0)
verb = [word for word in sys.argv[1:4] if word.isidentifier()]
line = {{"verb": " ".join(verb), "wall": time.perf_counter() - begun,
        "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}}
with open({ledger!r}, "a") as handle:
    handle.write(json.dumps(line) + "\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def prepare(folder: Path, shared: Path) -> Path:
    """Robustness table, sheet and configuration of the study; the configuration."""
    from tests import planted_study

    _, merged = planted_study.leaderboard(shared)
    measured = planted_study.robustness_table(merged)
    measured.to_csv(folder / "robustness.csv", index=False)
    sheet = merged[["model", "family"]].assign(source="brainscore", spec="", note="")
    sheet[["model", "source", "spec", "family", "note"]].to_csv(folder / "models.tsv", sep="\t", index=False)
    given = {
        "study": "whole",
        "leaderboard": {
            "source": str(shared / "brainscore" / "leaderboard_2025-05-07.csv"),
            "registry": "config/published/registry.csv",
        },
        "zoo": {"sheet": "models.tsv"},
        "robustness": {"source": "robustness.csv"},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(given))
    return path


def run(folder: Path, configuration: Path, targets: list[str]) -> tuple[float, float]:
    """Run the study; wall and CPU seconds of all of it, Snakemake's own too."""
    meter = folder / "bin" / "alignsec"
    meter.parent.mkdir(exist_ok=True)
    meter.write_text(_METER.format(python=sys.executable, ledger=str(folder / "verbs.jsonl")))
    meter.chmod(0o755)
    path = os.pathsep.join([str(meter.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    line = [sys.executable, "-m", "snakemake", *targets, "-s", str(ROOT / "Snakefile"), "-d", str(folder)]
    line += ["--cores", str(CORES), "--quiet", "all", "--configfile", str(configuration)]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    subprocess.run(line, env=environment, check=True, stdout=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu


def table(folder: Path) -> pd.DataFrame:
    """A row per verb, the costliest first."""
    lines = [json.loads(line) for line in (folder / "verbs.jsonl").read_text().splitlines()]
    return pd.DataFrame(lines).sort_values("cpu", ascending=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument("--out", type=Path, help="folder that is kept; else a temporary one")
    parser.add_argument("--targets", nargs="*", default=[], help="of Snakemake; none: all")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(given.out or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        wall, cpu = run(folder, prepare(folder, given.shared.resolve()), given.targets)
        found = table(folder)
    print("| verb | CPU s | wall s | MB |\n|---|---:|---:|---:|")
    for _, row in found.iterrows():
        print(f"| {row['verb']} | {row['cpu']:.1f} | {row['wall']:.1f} | {row['memory']:.0f} |")
    print(f"| all verbs | {found['cpu'].sum():.1f} | | |")
    print(f"| with Snakemake, {CORES} cores | {cpu:.1f} | {wall:.1f} | |")


if __name__ == "__main__":
    main()
