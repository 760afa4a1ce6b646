"""Are the tables of two checkouts the same? Every value, column and row, in order, and the attacks' passes.

    python benchmarks/same_tables.py OLD NEW                   # runs the demo and a leaderboard study in both
    python benchmarks/same_tables.py OLD NEW --results A B     # compares two folders of results, runs nothing
    python benchmarks/same_tables.py OLD NEW --study leaderboard --leaderboard leaderboard.csv

OLD and NEW are checkouts; both run in this environment, each with its own `src/` first on the path. The
leaderboard study needs a published leaderboard (`--leaderboard`, or in the folder `ALIGNSEC_DATA`); its
robustness table is made up from a seed. Costs, times and versions are not compared; what was changed on
purpose stands in `DELIBERATE`. One line per table; exit status 1 if anything differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TARGETS = ("clean_top1", "robust_top1@0.5/255", "robust_top1@1/255")
IMAGES = 1000
SUFFIXES = {".parquet", ".csv", ".tsv"}  # of tables; those of logs say how long jobs took
PASSES = ("forward_images", "forward_backward_images")
# the leaderboard study in the keys of today, and in those before the stages had one word each
TODAY = """study: leaderboard
leaderboard: {{source: {leaderboard}, registry: installed}}
robustness: {{source: {robustness}}}
"""
BEFORE = """study: leaderboard
scores: {{source: {leaderboard}}}
registry: {{source: installed}}
robustness: {{source: {robustness}}}
"""


@dataclass(frozen=True)
class Change:
    """Cells of the old tables that are meant to be others in the new ones."""

    tables: str  # pattern of their paths below the study's folder
    column: str
    old: str
    new: str
    why: str


DELIBERATE = (
    Change(
        "registry/*.parquet", "plugin", "alignsec.zoo.demo", "alignsec.demo",
        "the demo's networks have a package of their own",
    ),
)  # fmt: skip
# files that came or went, and rows and columns that are meant to be more than they were
CAME_OR_WENT = {
    "scores/dropped.csv": "rows of the leaderboard that another stands for, which were in the log only",
    "registry/names.csv": "every name of every place with its fate",
    "registry/unmatched.csv": "names.csv has its rows, and more",
}
MORE_MODELS = {
    "registry/merged.parquet": "a study that attacks nothing joins on the leaderboard, not on the registry",
    "analysis/total_scores.parquet": "the same",
}
OF_ALL_MODELS = {"tables/aggregates.csv": "missing*"}  # over the models of total_scores, so over more of them
# columns that say how long something took, by table
COSTS = {"zoo/estimate.csv": "*hours*", "zoo/models.csv": "*seconds*"}


# ---- the studies -------------------------------------------------------------------------------------------


def robustness(models: list[str], seed: int = 0) -> pd.DataFrame:
    """A made-up table of clean and robust accuracies: counts of images, from one latent ability per model."""
    rng = np.random.default_rng(seed)
    ability = rng.normal(size=len(models))
    rows = []
    for target, level, slope in zip(TARGETS, (1.0, 0.0, -1.0), (0.4, 0.8, 0.8), strict=True):
        share = 1 / (1 + np.exp(-(level + slope * ability + 0.3 * rng.normal(size=len(models)))))
        rows.append(
            pd.DataFrame({"model": models, "target": target, "value": rng.binomial(IMAGES, share) / IMAGES})
        )
    table = pd.concat(rows, ignore_index=True)
    clean = table["value"].iloc[: len(models)].to_numpy()
    table["value"] = np.minimum(table["value"], np.tile(clean, len(TARGETS)))
    return table.assign(n=IMAGES)


def run(checkout: Path, study: str, folder: Path, leaderboard: Path, count: int) -> Path:
    """Run a study of a checkout in `folder`; where its results lie."""
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(checkout / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["snakemake", "-s", str(checkout / "Snakefile"), "--cores", "2", "--quiet"]
    if study == "demo":
        # the demo's own paths are relative to its checkout in older versions
        command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml")]
        config = yaml.safe_load((checkout / "config" / "config.yaml").read_text())
        section = "zoo" if _has_stages(checkout) else "models"
        config[section]["sheet"] = str(checkout / config[section]["sheet"])
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    else:
        from alignsec.leaderboard import registry

        models = sorted(registry.read("installed")[0]["model"])
        listed = set(pd.read_csv(leaderboard, dtype=str)["model_name"])
        both = [m for m in models if m in listed]
        chosen = sorted(np.random.default_rng(0).choice(both, min(count, len(both)), replace=False).tolist())
        robustness(chosen).to_csv(folder / "robustness.csv", index=False)
        template = TODAY if _has_stages(checkout) else BEFORE
        text = template.format(leaderboard=json.dumps(str(leaderboard)), robustness="robustness.csv")
        (folder / "study.yaml").write_text(text)
        command += ["--directory", str(folder), "--configfile", str(folder / "study.yaml")]
    print(f"running the {study} study of {checkout}", flush=True)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return folder / "results" / study


def _has_stages(checkout: Path) -> bool:
    return (checkout / "src" / "alignsec" / "study").is_dir()


# ---- the comparison ----------------------------------------------------------------------------------------


def compare(old: Path, new: Path) -> Iterator[tuple[str, str]]:
    """Per table below the folders of a study: its path, and how it differs ("" where it does not)."""
    tables = [
        {
            p.relative_to(f).as_posix(): p
            for p in f.rglob("*")
            if p.suffix in SUFFIXES and f / "logs" not in p.parents and not p.name.startswith(".")
        }
        for f in (old, new)
    ]
    for name in sorted(tables[0].keys() | tables[1].keys()):
        if name in CAME_OR_WENT:
            continue
        if name not in tables[0] or name not in tables[1]:
            yield name, f"only in the {'old' if name in tables[0] else 'new'} results"
        else:
            yield name, difference(name, *(_read(t[name]) for t in tables))
    statuses = [
        {p.relative_to(f).as_posix(): p for p in f.glob("models/*/attack/*.status.json")} for f in (old, new)
    ]
    for name in sorted(statuses[0].keys() | statuses[1].keys()):
        costs = [_passes(s[name]) if name in s else None for s in statuses]
        yield name, "" if costs[0] == costs[1] else f"{costs[0]} passes, now {costs[1]}"


def difference(name: str, old: pd.DataFrame, new: pd.DataFrame) -> str:
    """How two tables of one name differ, beyond `DELIBERATE` and costs; "" where they do not."""
    cost = COSTS.get(name, OF_ALL_MODELS.get(name))
    if name in MORE_MODELS:
        new = new[new["model"].isin(old["model"])].reset_index(drop=True)
    old, new = (f[[c for c in f if cost is None or not fnmatch(str(c), cost)]] for f in (old, new))
    for change in DELIBERATE:
        if fnmatch(name, change.tables) and change.column in old:
            old = old.assign(**{change.column: old[change.column].replace(change.old, change.new)})
    if list(old) != list(new):
        return f"columns {list(old)}, now {list(new)}"
    if len(old) != len(new):
        return f"{len(old)} rows, now {len(new)}"
    kinds = [c for c in old if old[c].dtype != new[c].dtype]
    if kinds:
        return f"column {kinds[0]!r}: {old[kinds[0]].dtype}, now {new[kinds[0]].dtype}"
    said = []
    for column in old:
        a, b = old[column], new[column]
        other = ~((a == b).fillna(False).astype(bool) | (a.isna() & b.isna()))
        if other.any():
            i = int(np.flatnonzero(other)[0])
            said.append(
                f"column {column!r}: {other.sum()} of {len(a)} rows, first {i}: {a[i]!r}, now {b[i]!r}"
            )
    return "; ".join(said)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t" if path.suffix == ".tsv" else ",")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def _passes(status: Path) -> dict[str, Any]:
    cost = json.loads(status.read_text(encoding="utf-8")).get("cost", {})
    return {key: cost.get(key) for key in PASSES}


def main() -> None:
    data = Path(os.environ.get("ALIGNSEC_DATA", "")) / "brainscore" / "leaderboard_2025-05-07.csv"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--results", nargs=2, type=Path, metavar=("A", "B"), help="folders of one study")
    parser.add_argument("--study", choices=("demo", "leaderboard"), action="append")
    parser.add_argument("--leaderboard", type=Path, default=data)
    parser.add_argument("--models", type=int, default=150, help="of the made-up robustness table")
    given = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        for study in ["results"] if given.results else given.study or ["leaderboard", "demo"]:
            folders = given.results or [
                run(c.resolve(), study, Path(name) / side / study, given.leaderboard.resolve(), given.models)
                for side, c in (("old", given.old), ("new", given.new))
            ]
            for table, found in compare(*folders):
                print(f"{'differs' if found else 'same   '} {table}{': ' if found else ''}{found}")
                differing += bool(found)
    for c in DELIBERATE:
        print(f"meant to differ: {c.column} of {c.tables}: {c.old}, now {c.new} ({c.why})")
    for file, why in (CAME_OR_WENT | MORE_MODELS).items():
        print(f"meant to differ: {file} ({why})")
    print(f"{differing} differ" if differing else "all the same")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
