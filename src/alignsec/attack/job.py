"""One attack job: a model on a shard of images, in a process of its own, as the model is third-party code.

A model that cannot be run, or ends the process, leaves an empty table and a status with the reason; an error of ours
is raised.
"""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.reasons import Excluded, memory_excludes
from alignsec.ground.tables import SCHEMAS, empty, read, write
from alignsec.study import epsilon as eps
from alignsec.study.records import write_status
from alignsec.zoo.running import prepare

if TYPE_CHECKING:
    pass


def attack(
    name: str,
    source: str,
    spec: str,
    weights: Path | None,
    preflight: Path,
    shard: Path,
    out: Path,
    status: Path,
    *,
    epsilons: Sequence[str],
    norm: str = "Linf",
    version: str = "standard",
    attacks: Sequence[str] = (),
    ladder: bool = True,
    top5: bool = False,
    screen_precision: str = "float32",
    batch_size: int | None = None,
    ledger: Path | None = None,
    keep: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Attack one model on one shard: a table of kind ``attack`` at `out`, what happened at `status`.

    A stochastic model is attacked with version rand. `ledger` keeps what is settled, so that a killed job goes
    on; the ledger of another job at its place (retrained weights, another seed) is set aside as ``<ledger>.old``.
    """
    import torch

    from alignsec.attack import evaluate_robustness
    from alignsec.attack.checks import ModelError
    from alignsec.attack.ledger import OtherJob
    from alignsec.ground import devices
    from alignsec.images import shards as images

    manifest = read(shard, "images")
    torch.set_num_threads(threads)
    table = empty("attack")
    excluded: Excluded | None = None
    told: dict[str, Any] = {}
    # before CUDA is initialised, so that the job sees its own device only
    with devices.acquire() as device:
        place = devices.torch_name(device)
        try:
            model, pixels, labels, report = prepare(source, spec, weights, preflight, manifest, cache)
            if not report["deterministic"]:
                version, attacks, top5 = "rand", (), False
            run = functools.partial(
                evaluate_robustness,
                model,
                pixels,
                labels,
                [eps.parse(e) for e in epsilons],
                norm=norm,
                version=version,
                attacks=attacks or None,
                ladder=ladder,
                top5=top5,
                screen_precision=screen_precision,
                batch_size=batch_size,
                device=place,
                seed=seed,
                ledger=ledger,
                keep=keep,
                progress=True,
            )
            try:
                with memory_excludes():
                    try:
                        found = run()
                    except OtherJob as other:
                        assert ledger is not None
                        print(f"{other}: it is set aside as {ledger.name}.old", file=sys.stderr)
                        ledger.replace(ledger.with_name(f"{ledger.name}.old"))
                        found = run()
            except ModelError as error:
                raise Excluded(f"{error.kind}: {error}") from error
            told = {k: found.attrs[k] for k in ("cost", "warnings", "spread") if k in found.attrs}
            if "top5" not in found:
                found["top5"] = None
            found["image"] = manifest["image"].to_numpy()[found["image"]]
            table = found.assign(model=name)[list(SCHEMAS["attack"])]
        except Excluded as error:
            excluded = error
    write(table, out, "attack")
    write_status(status, name, "attack", excluded, images=images.checksum(manifest), **{"cost": {}, **told})
