"""Random draws that belong to an image, not to its place in a batch.

The reference draws by batch row, so its verdicts depend on how images are grouped. Here an image's draws come
from the seed, the bytes of the clean image and the number of the call, on the CPU, so they are the same on
every device, in every batch and shard.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from alignsec.study.epsilon import Norm


def digests(images: Tensor) -> list[bytes]:
    """SHA-256 of each image's float32 bytes; `images` (N, C, H, W)."""
    return [hashlib.sha256(image.tobytes()).digest() for image in images.detach().cpu().float().numpy()]


def generator(digest: bytes, seed: int, call: str) -> np.random.Generator:
    """The generator of one image's draws in one call of an attack."""
    key = hashlib.sha256(f"{seed}/{call}/".encode() + digest).digest()
    return np.random.default_rng(int.from_bytes(key[:16], "big"))


def start_points(
    clean: Tensor, marks: Sequence[bytes], seed: int, call: str, epsilon: float, norm: str
) -> Tensor:
    """APGD's random start, (N, C, H, W): distributed as the reference's, drawn per image.

    Linf: uniform in [-1, 1] scaled to the largest entry; L2: normal scaled to its length (arXiv 2003.01690).
    """
    draw = np.empty(clean.shape, dtype=np.float32)
    for row, mark in zip(draw, marks, strict=True):
        rng = generator(mark, seed, call)
        t = rng.uniform(-1, 1, row.shape) if norm == Norm.LINF else rng.standard_normal(row.shape)
        row[...] = t / (np.abs(t).max() if norm == Norm.LINF else np.linalg.norm(t))
    return clean + epsilon * torch.from_numpy(draw).to(clean.device)


class SquareDraws:
    """The two draw functions of the reference's Square attack, free of the batch.

    Square starts from random stripes, drawn here per image, and then moves one window at a time, the same for
    all images of a batch. The windows and their signs come from a stream of their own that every batch starts
    anew, so an image meets the same windows in any company.
    """

    def __init__(self, marks: Sequence[bytes], seed: int, device: torch.device | str) -> None:
        self.marks, self.seed, self.device = marks, seed, device
        self.stream = torch.Generator().manual_seed(seed)

    def choice(self, shape: Sequence[int]) -> Tensor:
        """Signs, -1 or 1; a leading axis of images with no stripes (L2's windows) shares one draw."""
        if len(shape) == 4 and shape[-1] > 1:
            signs = np.stack(
                [
                    np.sign(generator(mark, self.seed, "square").uniform(-1, 1, tuple(shape[1:])))
                    for mark in self.marks
                ]
            )
            return torch.from_numpy(signs.astype(np.float32)).to(self.device)
        shared = [1, *shape[1:]] if len(shape) == 4 else list(shape)
        return torch.sign(2 * torch.rand(shared, generator=self.stream) - 1).to(self.device)

    def integer(self, low: int = 0, high: int = 1, shape: Sequence[int] = (1,)) -> Tensor:
        """Integers in low .. high-1."""
        return (low + (high - low) * torch.rand(list(shape), generator=self.stream)).long().to(self.device)
