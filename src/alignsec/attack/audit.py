"""Verdicts drawn at random and judged again by stock `pyautoattack`: how often does it say otherwise?

The ladder, the screen and the units are left out: the reference runs as published, once per epsilon, on the
same kind of device. Its draws are by batch row and so not the study's; an image near the edge may fall to one
and stand to the other.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.reasons import Excluded, memory_excludes
from alignsec.ground.schemas import SCHEMAS
from alignsec.ground.tables import empty, read, read_csv, write, write_csv
from alignsec.study.layout import Models
from alignsec.study.records import write_status
from alignsec.study.request import Attack, AttackRequest, Version
from alignsec.zoo import running

if TYPE_CHECKING:
    import pandas as pd

SHARE = 0.02  # where the configuration names none
BATCH = 128


@dataclass(frozen=True, kw_only=True)
class AuditJob(running.Job):
    """An audit of one model; `out` is a table of kind ``audit``.

    Parameters
    ----------
    request : what its attacks were asked
    shards, verdicts : tables of kinds ``images`` and ``attack``, in the same order
    share : of the verdicts on images classified rightly, at least one of them
    """

    request: AttackRequest
    shards: Sequence[Path]
    verdicts: Sequence[Path]
    share: float = SHARE

    def plain(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return super().plain() | {"request": [self.request.to_json(), self.request.manner()]}


def run(job: AuditJob, memory: int | None = None) -> None:
    """Audit in a process of its own, of so many resident bytes (None: 85 % of the machine's)."""
    running.supervised(_in_child, job, "audit", memory)


def _in_child(request: list[str], **plain: Any) -> None:
    audit(AuditJob(request=AttackRequest.from_json(*request), **running.row_of(plain)))


def draw(verdicts: "pd.DataFrame", share: float, seed: int) -> "pd.DataFrame":
    """A random share of one model's verdicts, of images that it classifies rightly; at least one if any.

    Examples
    --------
    >>> import pandas as pd
    >>> given = {"model": "m", "image": list("abcd"), "epsilon": 0.1, "correct": [True, True, True, False]}
    >>> len(draw(pd.DataFrame(given), 0.5, seed=0)), len(draw(pd.DataFrame(given), 0.01, seed=0))
    (2, 1)
    """
    import numpy as np

    asked = verdicts[verdicts["correct"]].sort_values(["image", "epsilon"], ignore_index=True)
    if asked.empty:
        return asked
    rng = np.random.default_rng([seed, zlib.crc32(str(asked["model"].iloc[0]).encode())])
    chosen = rng.choice(len(asked), int(np.ceil(share * len(asked))), replace=False)
    return asked.iloc[np.sort(chosen)]


def audit(job: AuditJob) -> None:
    """Audit one model, here; as `alignsec.attack.job.attack`, with a table of kind ``audit``."""
    import pandas as pd
    import torch

    from alignsec.attack.blame import excludes
    from alignsec.ground import devices
    from alignsec.images import shards as images

    chosen = draw(pd.concat([read(v, "attack") for v in job.verdicts]), job.share, job.request.seed)
    manifest = images.gather(read(s, "images") for s in job.shards)
    manifest = manifest[manifest["image"].isin(chosen["image"])].reset_index(drop=True)
    torch.set_num_threads(job.threads)
    table = empty("audit")
    excluded: Excluded | None = None
    try:
        if len(chosen):
            with devices.acquire(what=job.model.name) as device, memory_excludes(), excludes():
                ready = running.prepare(job.model, manifest)
                again = _judged(job.request, ready, manifest, chosen, devices.torch_name(device))
            table = chosen.assign(reference=again)[list(SCHEMAS["audit"])]
    except Excluded as error:
        if error.kind == "device fault":
            raise
        excluded = error
    write(table, job.out, "audit")
    write_status(job.status, job.model.name, "audit", excluded, images=images.checksum(manifest))


def _judged(
    request: AttackRequest,
    ready: running.Prepared,
    manifest: "pd.DataFrame",
    chosen: "pd.DataFrame",
    place: str,
) -> list[bool]:
    """Whether each chosen verdict's image stands, as the reference says."""
    import numpy as np
    import torch

    model = running.moved(ready.model, place).eval()
    position = {image: i for i, image in enumerate(manifest["image"])}
    x, y = torch.from_numpy(ready.pixels).float(), torch.from_numpy(np.asarray(ready.labels)).long()
    stands = np.zeros(len(chosen), dtype=bool)
    if not ready.report["deterministic"]:
        request = request.for_stochastic()
    for epsilon in sorted(set(chosen["epsilon"])):
        rows = np.flatnonzero(chosen["epsilon"].to_numpy() == epsilon)
        at = [position[image] for image in chosen["image"].iloc[rows]]
        stands[rows] = reference(model, x[at].to(place), y[at].to(place), epsilon, request, place)
    return [bool(s) for s in stands]


def reference(model: Any, x: Any, y: Any, epsilon: float, request: AttackRequest, device: str) -> list[bool]:
    """Which images x (N, C, H, W) in [0, 1] of labels y (N,) stand to stock AutoAttack at one epsilon.

    Of fewer than ten classes it is asked for the target classes that there are, and of fewer than four not
    for the attacks that rank the fourth: what it tells its users to do.
    """
    import torch
    from pyautoattack import AutoAttack

    from alignsec.attack.blame import logits_of
    from alignsec.attack.judge import RANKED, TARGETS
    from alignsec.attack.precision import arithmetic, exact
    from alignsec.attack.verdicts import REPEATS

    with torch.no_grad():
        classes = logits_of(model, x[:1]).shape[1]
    given: dict[str, Any] = {"version": request.version.value}
    run = [Attack(a).value for a in request.run if classes >= RANKED.get(a, 2)]
    if request.version is Version.CUSTOM:
        given["attacks"] = run
    judge = AutoAttack(model, norm=request.norm.value, eps=epsilon, seed=request.seed, device=device, **given)
    judge.attacks_to_run = run  # at the settings of the version, which a custom one would not have
    judge.apgd_targeted.n_target_classes = judge.fab.n_target_classes = min(TARGETS, classes - 1)
    size = request.batch_size or BATCH
    with arithmetic(request.precision):
        found, _ = judge.run_standard_evaluation(x, y, batch_size=size)
    repeats = REPEATS if request.stochastic else 1
    with torch.no_grad(), exact():
        right = sum(
            torch.cat([logits_of(model, part).argmax(1) for part in found.split(size)]) == y
            for _ in range(repeats)
        )
    return [2 * int(r) > repeats for r in right]


def gather(models: Sequence[str], folder: Path, out: Path) -> None:
    """The audits of the models below `folder` as one CSV."""
    import pandas as pd

    found = [read(Models(folder).audit(model), "audit") for model in models]
    write_csv(pd.concat(found, ignore_index=True) if found else empty("audit"), out)


def sentences(path: Path) -> list[str]:
    """What a gathered audit says, with Wilson's 95 % interval; nothing where there is no audit."""
    if not path.is_file():
        return []
    from scipy.stats import binomtest

    table = read_csv(path)
    if table.empty:
        return ["The audit found no verdict to judge again."]
    differs = table["robust"] != table["reference"]
    count, n = int(differs.sum()), len(table)
    low, high = binomtest(count, n).proportion_ci(method="wilson")
    models, standing = table["model"].nunique(), int(table["robust"].sum())
    fell = int((differs & table["robust"]).sum())
    return [
        f"Stock pyautoattack judged {n} of the verdicts again, drawn at random from {models} "
        f"model{'' if models == 1 else 's'}: {count} differ{'s' if count == 1 else ''} ({count / n:.1%}, "
        f"95 % interval {low:.1%} to {high:.1%}, as if they were independent); it broke {fell} of {standing} "
        f"that stood, and did not break {count - fell} of {n - standing} that were broken."
    ]
