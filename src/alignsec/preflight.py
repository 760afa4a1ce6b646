"""Can this model be attacked, and if not why: answered on a CPU before any GPU time is spent."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.zoo.base import Excluded

if TYPE_CHECKING:
    from torch import nn

IMAGENET_SOURCES = ("brainscore", "torchvision")
REPEATS = 5
STOCHASTIC = 1e-4  # the reference's own check for randomised models


def weights_hash(model: "nn.Module") -> str:
    """SHA-256 over the names, dtypes, shapes and bytes of the state dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def preflight(
    name: str, source: str, spec: str, weights: Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """Load the model and try it on random images.

    Returns
    -------
    dict with `model, source, status` (``ok`` or ``excluded``), `reason, transient, mean, std` (per channel, [0, 1]
    pixel units), `input_size, classes, label_offset, deterministic, parameters, weights_sha256`.
    """
    report: dict[str, Any] = {
        "model": name,
        "source": source,
        "spec": spec,
        "status": "excluded",
        "reason": "",
        "transient": False,
        **dict.fromkeys(
            (
                "mean",
                "std",
                "input_size",
                "classes",
                "label_offset",
                "deterministic",
                "parameters",
                "weights_sha256",
            )
        ),
    }
    try:
        _examine(report, source, spec, weights, seed)
        report["status"] = "ok"
    except Excluded as excluded:
        report |= {"reason": excluded.reason, "transient": excluded.transient}
    return report


def _examine(report: dict[str, Any], source: str, spec: str, weights: Path | None, seed: int) -> None:
    import torch

    from alignsec import zoo

    model = zoo.load(source, spec, weights)
    size = model.input_size
    height, width = (size, size) if isinstance(size, int) else size
    report |= {
        "mean": [round(float(v), 6) for v in model.mean.flatten()],
        "std": [round(float(v), 6) for v in model.std.flatten()],
        "input_size": [height, width],
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_sha256": weights_hash(model),
    }
    torch.manual_seed(seed)
    x = torch.rand(2, model.mean.numel(), height, width)
    try:
        with torch.no_grad():
            outputs = [model(x) for _ in range(REPEATS)]
        logits = outputs[0]
        if logits.ndim != 2 or len(logits) != 2 or not torch.isfinite(logits).all():
            raise Excluded(f"no classifier: logits of shape {tuple(logits.shape)}, or not finite")
        classes = logits.shape[1]
        if source in IMAGENET_SOURCES and classes not in (1000, 1001):
            raise Excluded(f"head of {classes}")
        if source in IMAGENET_SOURCES and classes == 1001:
            # which end the background class is at is to be measured on labelled images
            raise Excluded("head of 1001: the place of its background class is not measured in this version")
        report |= {
            "classes": classes,
            "label_offset": 0,
            "deterministic": bool(max((o - logits).abs().max() for o in outputs) <= STOCHASTIC),
        }
        if not report["deterministic"]:
            raise Excluded("stochastic: AutoAttack's version rand is not available in this version")
        x.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(model(x), logits.argmin(1))
        (gradient,) = torch.autograd.grad(loss, x)
        if not gradient.abs().sum() > 0:
            raise Excluded("zero gradients")
    except torch.OutOfMemoryError as error:
        raise Excluded("out of memory", transient=True) from error
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        kind = "autograd error" if x.requires_grad else "no classifier"
        raise Excluded(f"{kind}: {str(error).splitlines()[0][:200]}") from error
