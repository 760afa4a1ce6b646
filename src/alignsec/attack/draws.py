"""Random draws that belong to an image, not to its place in a batch.

The reference draws by batch row, so its verdicts depend on how images are grouped. Here an image's draws come
from the seed, the bytes of the clean image and the number of the call, on the CPU, so they are the same on
every device, in every batch and shard.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignsec.study.epsilon import Norm

Values = npt.NDArray[np.float32]


def digests(images: Tensor) -> list[bytes]:
    """SHA-256 of each image's float32 bytes; `images` (N, C, H, W)."""
    return [hashlib.sha256(image.tobytes()).digest() for image in images.detach().cpu().float().numpy()]


def generator(digest: bytes, seed: int, call: str) -> np.random.Generator:
    """The generator of one image's draws in one call of an attack."""
    key = hashlib.sha256(f"{seed}/{call}/".encode() + digest).digest()
    return np.random.default_rng(int.from_bytes(key[:16], "big"))


def start_points(
    clean: Tensor, marks: Sequence[bytes], seed: int, calls: Sequence[str], radii: Tensor, norm: str
) -> Tensor:
    """APGD's random start, (N, C, H, W): distributed as the reference's, drawn per image and call.

    Linf: uniform in [-1, 1] scaled to the largest entry; L2: normal scaled to its length (arXiv 2003.01690).
    """
    draw = np.empty(clean.shape, dtype=np.float32)
    for row, mark, call in zip(draw, marks, calls, strict=True):
        rng = generator(mark, seed, call)
        t = rng.uniform(-1, 1, row.shape) if norm == Norm.LINF else rng.standard_normal(row.shape)
        row[...] = t / (np.abs(t).max() if norm == Norm.LINF else np.linalg.norm(t))
    return clean + radii.view(-1, 1, 1, 1) * torch.from_numpy(draw).to(clean.device)


def stripes(marks: Sequence[bytes], seed: int, shape: Sequence[int]) -> Tensor:
    """Signs of Square's start in the Linf ball, (N, C, 1, W), float32, of images of `shape` (C, H, W)."""
    drawn = [generator(m, seed, "square").uniform(-1, 1, (shape[0], 1, shape[2])) for m in marks]
    return torch.from_numpy(np.sign(np.stack(drawn)).astype(np.float32))


class Shared:
    """Draws of Square that all images of a batch share, in the order in which its authors' code draws them.

    Every batch starts the two streams anew, so an image meets the same windows in any company.
    """

    def __init__(self, seed: int) -> None:
        self.values = torch.Generator().manual_seed(seed)
        self.turns = torch.Generator().manual_seed(seed)

    def uniform(self, *shape: int) -> Values:
        """Of windows and their signs, in [0, 1)."""
        drawn: Values = torch.rand(shape, generator=self.values).numpy()
        return drawn

    def turned(self, count: int) -> Iterator[bool]:
        """Whether a window of the L2 attack is transposed."""
        return iter((torch.rand(count, generator=self.turns).numpy() > 0.5).tolist())
