"""Random weights where hub libraries look for downloaded ones, so that the real loading runs without a
network.

`torch.hub` checks a file's hash only as it downloads it; `huggingface_hub` takes what its cache holds. Run as
``python tests/planted.py FOLDER NAME...`` with torchvision builders (``resnet50``) or timm names
(``timm:xception``).
"""

import sys
from pathlib import Path

import torch


def torchvision(folder: Path, *builders: str) -> None:
    """Random state dicts of these architectures under the names of all their published weights."""
    from torchvision import models

    place = folder / "torch" / "hub" / "checkpoints"
    place.mkdir(parents=True, exist_ok=True)
    for builder in builders:
        for weights in models.get_model_weights(builder):
            path = place / weights.url.rpartition("/")[2]
            if path.exists():
                continue
            torch.manual_seed(len(list(place.iterdir())))
            network = models.get_model(builder, num_classes=len(weights.meta["categories"] or range(1000)))
            torch.save(network.state_dict(), path)


def timm(folder: Path, *names: str) -> None:
    """Random weights of timm models as a snapshot in a Hugging Face cache."""
    import timm as library
    from safetensors.torch import save_file

    for name in names:
        config = library.get_pretrained_cfg(name)
        hub = config.hf_hub_id or f"timm/{name}"
        place = folder / "huggingface" / "hub" / f"models--{hub.replace('/', '--')}"
        if place.exists():
            continue
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("0" * 40)
        snapshot = place / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        torch.manual_seed(0)
        state = library.create_model(name, pretrained=False).state_dict()
        save_file({k: v.contiguous().clone() for k, v in state.items()}, snapshot / "model.safetensors")


if __name__ == "__main__":
    for given in sys.argv[2:]:
        if given.startswith("timm:"):
            timm(Path(sys.argv[1]), given.removeprefix("timm:"))
        else:
            torchvision(Path(sys.argv[1]), given)
        print(given, flush=True)
