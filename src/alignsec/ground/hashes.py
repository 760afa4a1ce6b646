"""SHA-256 of files and of weights."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def weights_hash(model: "nn.Module") -> str:
    """SHA-256 over the names, dtypes, shapes and bytes of the tensors of the state dict."""
    import torch

    digest = hashlib.sha256()
    tensors = {k: v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
    for name, tensor in sorted(tensors.items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {str(array.dtype).removeprefix('torch.')} {tuple(array.shape)}\n".encode())
        # as bytes, since NumPy has no bfloat16
        raw: Any = array.reshape(-1).view(torch.uint8).numpy()
        digest.update(memoryview(raw))
    return digest.hexdigest()
