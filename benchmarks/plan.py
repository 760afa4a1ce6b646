"""Time and memory of planning a large study: ``snakemake -n`` of 1,000 models x 20 shards.

python benchmarks/plan.py [MODELS] [SHARDS] [further arguments of Snakemake]
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUDY = """study: large
leaderboard: {{source: leaderboard.csv}}
zoo: {{sheet: models.tsv, images: 0}}
images: {{source: digits, count: {images}}}
attack: {{epsilons: ["1/255"], images_per_shard: {per}}}
robustness: {{corruptions: {{names: []}}}}
"""


def main(models: int = 1000, shards: int = 20, *more: str) -> None:
    """Print seconds, MB and the number of jobs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [f"model {i:04d}\ttorchvision\tresnet18\tfamily{i % 40}\t" for i in range(models)]
        (folder / "models.tsv").write_text("\n".join(["model\tsource\tspec\tfamily\tnote", *rows]) + "\n")
        scores = [f"model {i:04d},.{i % 9}1,.2" for i in range(models)]
        (folder / "leaderboard.csv").write_text("\n".join(["model_name,neural_vision,A1", *scores]) + "\n")
        per = 640 // shards
        (folder / "study.yaml").write_text(STUDY.format(images=per * shards, per=per))
        start = time.monotonic()
        done = subprocess.run(
            ["snakemake", "-s", str(ROOT / "Snakefile"), "--directory", name, "--configfile",
             str(folder / "study.yaml"), "--cores", "2", "-n", "--quiet", "rules", *more],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        took = time.monotonic() - start
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        jobs = re.search(r"^total\s+(\d+)", done.stdout + done.stderr, re.M)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f"{models} models x {shards} shards, {jobs[1] if jobs else '?'} jobs: {took:.0f} s, {peak:.0f} MB"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
