"""Accuracy of one model under corruptions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.reasons import Excluded, memory_excludes
from alignsec.ground.tables import SCHEMAS, empty, read, write
from alignsec.study.records import write_status
from alignsec.zoo.running import prepare

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from alignsec.zoo.pixel_model import PixelModel


def evaluate(
    model: "PixelModel",
    manifest: "pd.DataFrame",
    images: "np.ndarray",
    names: Sequence[str],
    severities: Sequence[int],
    seed: int,
    folder: Path | None = None,
    device: str = "cpu",
    batch_size: int = 256,
) -> "pd.DataFrame":
    """Top-1 and top-5 correctness per image, corruption and severity (table of kind ``corruptions``, no `model`).

    `images`: (N, C, H, W) float32 in [0, 1] of the manifest, corrupted on the fly unless `folder` is given.
    """
    import numpy as np
    import pandas as pd
    import torch
    from tqdm import tqdm

    from alignsec.images.corrupt import corrupt, imagenet_c, pixels_of

    labels = torch.as_tensor(manifest["label"].to_numpy())
    parts = []
    todo = [(name, severity) for name in names for severity in severities]
    for name, severity in tqdm(todo, desc="corruption", unit="set", disable=None):
        if folder is None:
            pixels = corrupt(images, name, severity, seed)
        else:
            pixels = pixels_of(imagenet_c(manifest, folder, name, severity), model.height_width)
        with torch.no_grad():
            logits = torch.cat(
                [
                    model(torch.from_numpy(np.ascontiguousarray(pixels[i : i + batch_size])).to(device)).cpu()
                    for i in range(0, len(pixels), batch_size)
                ]
            )
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


def corruptions(
    name: str,
    source: str,
    spec: str,
    weights: Path | None,
    preflight: Path,
    shards: Sequence[Path],
    out: Path,
    status: Path,
    *,
    names: Sequence[str],
    severities: Sequence[int],
    folder: Path | None = None,
    cache: Path | None = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Accuracy of one model under corruptions: a table of kind ``corruptions`` at `out`."""
    import torch

    from alignsec.ground import devices
    from alignsec.images import corrupt as made
    from alignsec.images import shards as images
    from alignsec.robustness import corruptions as robustness_corruptions

    if folder is None:
        made.check_names(names)
    manifest = images.gather(read(s, "images") for s in shards)
    torch.set_num_threads(threads)
    table = empty("corruptions")
    excluded: Excluded | None = None
    with devices.acquire() as device:
        place = devices.torch_name(device)
        try:
            model, pixels, _, _ = prepare(source, spec, weights, preflight, manifest, cache)
            with memory_excludes():
                table = robustness_corruptions.evaluate(
                    model.to(place),
                    manifest,
                    pixels,
                    names,
                    severities,
                    seed,
                    folder,
                    place,
                ).assign(model=name)[list(SCHEMAS["corruptions"])]
        except Excluded as error:
            excluded = error
    write(table, out, "corruptions")
    write_status(status, name, "corruptions", excluded, images=images.checksum(manifest))
