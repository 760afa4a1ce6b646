"""Accuracy of one model under corruptions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from alignsec.zoo.base import PixelModel


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

    from alignsec.images.corrupt import corrupt
    from alignsec.images.corrupt import imagenet_c
    from alignsec.images.corrupt import pixels_of

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
