"""What every model source delivers: one module from [0, 1] pixels to logits, or the reason why not."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from alignsec.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np


class Excluded(Exception):
    """A model that cannot be evaluated: a fact about the model, which the study records and goes on.

    Parameters
    ----------
    reason : why, for ``excluded.csv``
    transient : whether another attempt may succeed (weights unreachable, out of memory, a timeout)
    """

    def __init__(self, reason: str, transient: bool = False) -> None:
        super().__init__(reason, transient)  # all arguments, so that it survives pickling
        self.reason, self.transient = reason, transient

    def __str__(self) -> str:
        return self.reason


class PixelModel(nn.Module):
    """A classifier with its preprocessing inside: (N, C, H, W) float pixels in [0, 1] -> (N, K) logits.

    An attack perturbs what goes in here, so its epsilon is one of pixels whatever the normalisation.

    Parameters
    ----------
    module : takes normalised images
    mean, std : per channel, or one value for all channels, in units of [0, 1] pixels
    input_size : side, or (height, width), of the images that the model expects
    label_offset : number of leading logits to drop (1 for a head with a background class)
    unwrap : look for the logits in an output object (``.logits``, ``["logits"]``, first of a tuple or list);
        otherwise the module's output is passed on as it is

    Attributes
    ----------
    provenance : what was loaded, for the study's records; filled by the source
    preprocess : image files to pixels (N, C, H, W) in [0, 1], by the model's own resize and crop; None where the
        model takes arrays only

    Raises
    ------
    AlignsecError
        A std that is not positive, mean and std of different lengths, or a negative label offset.
    """

    mean: Tensor
    std: Tensor
    preprocess: "Callable[[Sequence[Path]], np.ndarray] | None" = None

    def __init__(
        self,
        module: nn.Module,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        input_size: int | tuple[int, int] = 224,
        label_offset: int = 0,
        unwrap: bool = True,
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean or not all(s > 0 for s in std):
            raise AlignsecError(
                f"mean {tuple(mean)} and std {tuple(std)}: give one of each per channel, std > 0"
            )
        if label_offset < 0:
            raise AlignsecError(f"label_offset {label_offset} is negative: it counts logits to drop")
        self.module = module
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.input_size, self.label_offset, self.unwrap = input_size, label_offset, unwrap
        self.provenance: dict[str, str] = {}

    def normalise(self, x: Tensor) -> Tensor:
        """Pixels in [0, 1] to what the module was trained on; same shape."""
        return (x - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of pixels (N, C, H, W) in [0, 1]; `Excluded` if the output holds no logits."""
        output = self.module(self.normalise(x))
        if self.unwrap:
            output = _logits(output)
        # a slice of everything would still cost autograd a copy per step
        return output[:, self.label_offset :] if self.label_offset else output


def _logits(output: Any) -> Tensor:
    while not isinstance(output, Tensor):
        # before tuple and mapping: a Hugging Face output is both, and its first entry may be the loss
        if isinstance(getattr(output, "logits", None), Tensor):
            output = output.logits
        elif isinstance(output, Mapping) and "logits" in output:
            output = output["logits"]
        elif isinstance(output, tuple | list) and output:
            output = output[0]
        else:
            raise Excluded(f"no classifier: the output is a {type(output).__name__} without logits")
    return output
