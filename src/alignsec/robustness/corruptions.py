"""Accuracy of one model under corruptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.reasons import Excluded, memory_excludes
from alignsec.ground.schemas import SCHEMAS
from alignsec.ground.tables import empty, read, write
from alignsec.study.records import write_status
from alignsec.zoo import running

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from alignsec.zoo.pixel_model import PixelModel


def evaluate(
    model: "PixelModel",
    manifest: "pd.DataFrame",
    images: "npt.NDArray[Any]",
    names: Sequence[str],
    severities: Sequence[int],
    seed: int,
    folder: Path | None = None,
    device: str = "cpu",
    batch_size: int = 256,
) -> "pd.DataFrame":
    """Correctness per image, corruption and severity (table of kind ``corruptions``, no `model`).

    `images`: (N, C, H, W) float32 in [0, 1] of the manifest, corrupted on the fly unless `folder` is given.

    Raises
    ------
    ModelError
        The model fails, or what it returns is no (N, K) logits.
    """
    import numpy as np
    import pandas as pd
    import torch
    from tqdm import tqdm

    from alignsec.attack.blame import logits_of
    from alignsec.images.corrupt import corrupt, imagenet_c, pixels_of

    labels = torch.as_tensor(manifest["label"].to_numpy())
    parts = []
    classes = None
    todo = [(name, severity) for name in names for severity in severities]
    for name, severity in tqdm(todo, desc="corruption", unit="set", disable=None):
        if folder is None:
            pixels = corrupt(images, name, severity, seed)
        else:
            pixels = pixels_of(imagenet_c(manifest, folder, name, severity), model.height_width)
        answers = []
        for i in range(0, len(pixels), batch_size):
            x = torch.from_numpy(np.ascontiguousarray(pixels[i : i + batch_size])).to(device)
            with torch.no_grad():
                answers.append(logits_of(model, x, classes).cpu())
            classes = answers[-1].shape[1]
        logits = torch.cat(answers)
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
        parts.append(
            pd.DataFrame(
                {
                    "image": manifest["image"],
                    "corruption": name,
                    "severity": severity,
                    "correct": (best[:, 0] == labels).numpy(),
                    "top5": (best == labels[:, None]).any(1).numpy(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, kw_only=True)
class CorruptionsJob(running.Job):
    """One model under corruptions.

    Parameters
    ----------
    shards : tables of kind ``images``
    names, severities : every corruption at every severity
    folder : in ImageNet-C's layout; None: corrupted on the fly
    """

    shards: Sequence[Path]
    names: Sequence[str]
    severities: Sequence[int]
    folder: Path | None = None
    seed: int = 0


def run(job: CorruptionsJob, memory: int | None = None) -> None:
    """Measure in a process of its own, of so many resident bytes (None: 85 % of the machine's)."""
    running.supervised(_in_child, job, "corruptions", memory)


def _in_child(**plain: Any) -> None:
    corruptions(CorruptionsJob(**running.row_of(plain)))


def corruptions(job: CorruptionsJob) -> None:
    """Accuracy of one model under corruptions, here.

    The table, of kind ``corruptions``, is written to `job.out`, how it ended to `job.status`; as
    `alignsec.attack.job.attack`, nothing where the device fails.
    """
    import torch

    from alignsec.attack.blame import excludes
    from alignsec.ground import devices
    from alignsec.images import corrupt as made
    from alignsec.images import shards as images

    if job.folder is None:
        made.check_names(job.names)
    manifest = images.gather(read(s, "images") for s in job.shards)
    torch.set_num_threads(job.threads)
    table = empty("corruptions")
    excluded: Excluded | None = None
    try:
        with devices.acquire(what=job.model.name) as device, memory_excludes(), excludes():
            place = devices.torch_name(device)
            ready = running.prepare(job.model, manifest, job.cache)
            model = running.moved(ready.model, place)
            found = evaluate(
                model, manifest, ready.pixels, job.names, job.severities, job.seed, job.folder, place
            )
        table = found.assign(model=job.model.name)[list(SCHEMAS["corruptions"])]
    except Excluded as error:
        if error.kind == "device fault":
            raise
        excluded = error
    write(table, job.out, "corruptions")
    write_status(job.status, job.model.name, "corruptions", excluded, images=images.checksum(manifest))
