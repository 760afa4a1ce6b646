"""How far a study is: jobs by state, images settled, hours used against the estimate, when it may end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alignsec.attack.estimate import read as read_estimate
from alignsec.attack.ledger import read as read_ledger
from alignsec.study import epsilon, layout, sheet
from alignsec.study.layout import Layout, Models, bounds, shard_names
from alignsec.study.records import read_status


class Shard(NamedTuple):
    """One attack job: images settled at every epsilon, of all of them, seconds used, whether it has ended."""

    settled: int
    images: int
    seconds: float
    ended: bool


def read_shard(
    models: Models, model: str, shard: str, images: int, epsilons: Sequence[float], norm: str
) -> Shard:
    """State of a shard from its status file, or from the ledger of a job under way.

    An image is settled when it is misclassified clean, or at every epsilon either an adversarial is known or
    the judge has failed there or at a larger one.
    """
    import numpy as np

    from alignsec.attack.known import Known

    status, ledger = models.attack_status(model, shard), models.ledger(model, shard)
    if status.is_file() and status.stat().st_size:
        cost = read_status(status).get("cost") or {}
        return Shard(images, images, sum((cost.get("seconds") or {}).values()), True)
    if not ledger.is_file():
        return Shard(0, images, 0.0, False)
    records, numbers, seconds = read_ledger(ledger), dict[str, int](), 0.0
    for record in records:
        for image in record.get("images", ()):
            numbers.setdefault(image, len(numbers))
    known, correct = Known(len(numbers), norm), np.ones(len(numbers), dtype=bool)
    for record in records:
        seconds += float(record.get("seconds") or 0)
        if record.get("kind") not in ("done", "failed"):
            continue
        record["images"] = [numbers[image] for image in record["images"]]
        if record["unit"] == "clean":
            correct[record["images"]] = record["correct"]
        else:
            known.apply(record)
    settled = np.all([known.broken(e) | (known.failed >= e) for e in epsilons], axis=0) | ~correct
    # a ledger may hold images of which this study no longer asks
    return Shard(min(int(settled.sum()), images), images, seconds, False)


def collect(
    names: Sequence[str],
    models: Models,
    shards: Sequence[tuple[str, int]],
    epsilons: Sequence[float],
    norm: str,
) -> dict[str, list[Shard]]:
    """Model -> its shards, in order. `shards`: names and numbers of images."""
    return {m: [read_shard(models, m, name, n, epsilons, norm) for name, n in shards] for m in names}


def of_study(folder: Path, config: Mapping[str, Any]) -> str:
    """How far the study of a resolved configuration is in the working directory `folder`, for a person.

    Raises
    ------
    AlignsecError
        The sheet cannot be read.
    """
    import importlib.util
    import shutil

    from alignsec.cluster import controller

    files = Layout(folder / layout.of_study(config["study"]).root)
    if config["robustness"]["source"] != "attack":
        done = f"findings in {files.summary}" if files.summary.is_file() else "no findings yet"
        source = config["robustness"]["source"]
        return f"models:  none is attacked, robustness comes from {source}\nstudy:   {done}\n"
    count, per = config["images"]["count"], config["attack"]["images_per_shard"]
    shards = [(s, stop - start) for s in shard_names(count, per) for start, stop in [bounds(s, count, per)]]
    names = list(sheet.read(folder / config["zoo"]["sheet"])["model"])
    jobs: list[dict[str, Any]] = []
    if shutil.which("condor_q") and importlib.util.find_spec("htcondor2"):
        jobs = controller.queue(folder.resolve())
    epsilons = [epsilon.parse(e) for e in config["attack"]["epsilons"]]
    found = collect(names, files.models, shards, epsilons, config["attack"]["norm"])
    return text(found, jobs, estimated_hours(files.estimate))


def estimated_hours(table: Path) -> tuple[float, float] | None:
    """Least and most hours in all, from ``zoo/estimate.csv``; None where there is none."""
    if not table.is_file():
        return None
    rows = read_estimate(table)
    return sum(float(r["hours_low"]) for r in rows), sum(float(r["hours_high"]) for r in rows)


def text(
    found: dict[str, list[Shard]],
    jobs: Sequence[dict[str, Any]],
    estimate: tuple[float, float] | None,
) -> str:
    """The state as a person reads it.

    Parameters
    ----------
    jobs : this folder's jobs in the queue (`controller.queue`); empty on a machine without HTCondor
    estimate : hours in all, least and most
    """
    from alignsec.cluster.controller import STATES, describe

    every = [s for shards in found.values() for s in shards]
    ended = sum(s.ended for s in every)
    settled, images = sum(s.settled for s in every), sum(s.images for s in every)
    hours = sum(s.seconds for s in every) / 3600
    complete = sum(all(s.ended for s in shards) for shards in found.values())
    lines = [
        f"models:  {complete} of {len(found)} attacked",
        f"shards:  {ended} of {len(every)}",
        f"images:  {settled} of {images} settled ({100 * settled / max(images, 1):.1f} %)",
        f"hours:   {hours:.2f} of attack so far"
        + (f"; {estimate[0]:.1f} to {estimate[1]:.1f} were estimated in all" if estimate else ""),
    ]
    if jobs:
        states = Counter(STATES.get(j["JobStatus"], str(j["JobStatus"])) for j in jobs)
        rules = Counter(str(j.get("JobBatchName", "")).rpartition("-")[0] for j in jobs)
        lines.append("queue:   " + ", ".join(f"{n} {state}" for state, n in states.most_common()))
        lines.append("         " + ", ".join(f"{n} {rule}" for rule, n in rules.most_common()))
    under_way = sum(not s.ended and s.seconds > 0 for s in every)
    if under_way and 0 < settled < images:
        left = hours / settled * (images - settled) / under_way
        lines.append(
            f"left:    about {left:.1f} h with {under_way} at a time, at the pace of the images so far"
        )
    lines += [f"held:    {line}" for line in describe([j for j in jobs if j["JobStatus"] == 5])]
    return "\n".join(lines) + "\n"
