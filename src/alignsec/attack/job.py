"""One attack job: a model on a shard of images, in a process of its own, as the model is third-party code.

A model that cannot be run, fails on the way, or ends the process, leaves an empty table and a status with the
reason; an error of ours is raised.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignsec.ground.reasons import Excluded, memory_excludes
from alignsec.ground.schemas import SCHEMAS
from alignsec.ground.tables import empty, read, write
from alignsec.study.layout import adversarials_of
from alignsec.study.records import write_status
from alignsec.study.request import AttackRequest
from alignsec.zoo import running


@dataclass(frozen=True, kw_only=True)
class AttackJob(running.Job):
    """An attack of one model on one shard.

    Parameters
    ----------
    request : what is asked; adversarials that are kept lie beside the table
        (`alignsec.study.layout.adversarials_of`)
    shard : table of kind ``images``
    ledger : keeps what is settled, so that a killed job goes on; that of another job at its place (retrained
        weights, another seed) is set aside as ``<ledger>.old``
    """

    request: AttackRequest
    shard: Path
    ledger: Path | None = None

    def plain(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return super().plain() | {"request": [self.request.to_json(), self.request.manner()]}


def run(job: AttackJob, memory: int | None = None) -> None:
    """Attack in a process of its own, of so many resident bytes (None: 85 % of the machine's)."""
    running.supervised(_in_child, job, "attack", memory)


def _in_child(request: list[str], **plain: Any) -> None:
    attack(AttackJob(request=AttackRequest.from_json(*request), **running.row_of(plain)))


def attack(job: AttackJob) -> None:
    """Attack one model on one shard, here.

    The table, of kind ``attack``, is written to `job.out`, how it ended to `job.status`.
    A stochastic model is attacked with version rand.

    Raises
    ------
    Excluded
        "device fault": nothing is written, as another attempt may go on from the ledger.
    """
    import torch

    from alignsec.attack.blame import excludes
    from alignsec.ground import devices
    from alignsec.images import shards as images

    manifest = read(job.shard, "images")
    torch.set_num_threads(job.threads)
    table = empty("attack")
    excluded: Excluded | None = None
    told: dict[str, Any] = {}
    try:
        # before CUDA is initialised, so that the job sees its own device only
        with devices.acquire(what=job.model.name) as device, memory_excludes(), excludes():
            ready = running.prepare(job.model, manifest, job.cache)
            found = _evaluated(job, ready, devices.torch_name(device))
        told = {k: found.attrs[k] for k in ("cost", "warnings", "spread") if k in found.attrs}
        if "top5" not in found:
            found["top5"] = None
        found["image"] = manifest["image"].to_numpy()[found["image"]]
        table = found.assign(model=job.model.name)[list(SCHEMAS["attack"])]
    except Excluded as error:
        if error.kind == "device fault":
            raise
        excluded = error
    write(table, job.out, "attack")
    checksum = images.checksum(manifest)
    write_status(job.status, job.model.name, "attack", excluded, images=checksum, **{"cost": {}, **told})


def _evaluated(job: AttackJob, ready: running.Prepared, device: str) -> Any:
    from alignsec.attack.evaluate import evaluate
    from alignsec.attack.ledger import OtherJob

    request = job.request if ready.report["deterministic"] else job.request.for_stochastic()
    keep = adversarials_of(job.out) if request.keep else None

    def once() -> Any:
        return evaluate(
            ready.model, ready.pixels, ready.labels, request,
            ledger=job.ledger, keep=keep, device=device, progress=True,
        )  # fmt: skip

    try:
        return once()
    except OtherJob as other:
        if job.ledger is None:
            raise
        print(f"{other}: it is set aside as {job.ledger.name}.old", file=sys.stderr)
        job.ledger.replace(job.ledger.with_name(f"{job.ledger.name}.old"))
        return once()
