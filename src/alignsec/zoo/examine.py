"""The part of preflight that runs the model: forward and backward passes, and a sample of labelled images.

Whatever code of the model's own raises here is its reason (`alignsec.ground.reasons.theirs`).
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.ground.child import note
from alignsec.ground.hashes import weights_hash
from alignsec.ground.reasons import Excluded, theirs
from alignsec.zoo.chance import above_chance, background_offset, fits_another_order, short_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from torch import Tensor

    from alignsec.zoo.loading import Trace
    from alignsec.zoo.pixel_model import PixelModel

    Pixels = npt.NDArray[np.float32]

REPEATS = 5
STOCHASTIC = 1e-4  # the reference's own check for randomised models
DIM = 0.25  # of the pixels of an image's company in a batch, so that its statistics differ from the image's
ROUND_TRIP = 1e-4  # of a pixel's range, normalised pixels against the model's own preprocessing
OUTSIDE = 1e-3  # of [0, 1]: further than rounding goes
BATCH = 8


def examine(
    source: str,
    spec: str,
    weights: Path | None,
    images: Path | None,
    seed: int,
    threads: int,
    expected: float | None = None,
) -> dict[str, Any]:
    """Load a model and try it; what of `alignsec.study.records.Report` that measures. For `isolation.call`.

    `expected` is the clean top-1 accuracy that the sheet knows of it; None: what its source publishes.

    Raises
    ------
    Excluded
        As `alignsec.zoo.load`, or what the model fails in.
    """
    import torch

    from alignsec import zoo
    from alignsec.ground import tables

    torch.set_num_threads(threads)
    note(reached="started")
    model = zoo.load(source, spec, weights)
    if expected is not None:
        model.expected = expected, "the sheet"
    report: dict[str, Any] = {}
    of_model(model, source, None if images is None else tables.read(images, "images"), seed, report)
    return report


def of_model(
    model: "PixelModel", source: str, manifest: "pd.DataFrame | None", seed: int, report: dict[str, Any]
) -> None:
    """Try a model that is loaded; what is found out is put into `report` as it is, whatever comes after.

    Parameters
    ----------
    manifest : table of kind ``images``: a sample to measure clean accuracy on; None: none

    Raises
    ------
    Excluded
        What the model fails in.
    """
    from alignsec.zoo.loading import Trace
    from alignsec.zoo.sources import is_imagenet

    report |= _describe(model, model.trace or Trace())
    if model.expected is not None:
        report["expected_top1"], report["expected_from"] = model.expected
    note(**report)
    if manifest is not None and not model.widths:
        model.widths = (int(manifest["label"].max()) + 1,)
    report |= _try(model, source, seed)
    note(**report)
    if manifest is not None:
        report |= _accuracy(model, manifest, source, report)
    elif report["classes"] == 1001 and is_imagenet(source):
        raise Excluded(
            "head of 1001: the place of its background class is measured on labelled images: give some"
        )


def _describe(model: "PixelModel", trace: "Trace") -> dict[str, Any]:
    with theirs("module error"):
        parameters = sum(p.numel() for p in model.module.parameters())
        digest = weights_hash(model.module)
    return {
        "mean": [round(float(v), 6) for v in model.mean.flatten()],
        "std": [round(float(v), 6) for v in model.std.flatten()],
        "input_size": list(model.height_width),
        "parameters": parameters,
        "weights_sha256": digest,
        "weight_files": trace.weight_files,
        "geometry": model.geometry,
        "changed": trace.changed,
        "flags": [],
    }


def _try(model: "PixelModel", source: str, seed: int) -> dict[str, Any]:
    """Forward and backward passes on two random images."""
    import torch

    from alignsec.zoo.sources import is_imagenet

    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(2, model.mean.numel(), *model.height_width, generator=generator)
    flags = []
    with theirs("forward error"), torch.no_grad():
        logits = model(x)
        _check_logits(logits, len(x), is_imagenet(source))
        note(reached="forward", classes=logits.shape[1])
        start = time.perf_counter()
        others = [model(x) for _ in range(REPEATS - 1)]
        forward = (time.perf_counter() - start) / len(others) / len(x)
        single = model(x[:1])
        if single.shape != logits[:1].shape:
            raise Excluded(f"no classifier: logits of shape {tuple(single.shape)} for one image")
        for other in others:
            _check_logits(other, len(x), is_imagenet(source), classes=logits.shape[1])
        if max(float((o - logits).abs().max()) for o in others) > STOCHASTIC:
            flags.append("stochastic")
        company = float((model(torch.cat([x[:1], DIM * x[1:]]))[:1] - single).abs().max())
        company /= max(1.0, float(single.abs().max()))
        if "stochastic" not in flags and company > STOCHASTIC:
            flags.append("batch dependent")
        if model.picked is not None:
            flags.append("several outputs")
        if bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-3).all()):
            flags.append("probabilities")
    gradient, seconds = _gradient(model, x)
    if not bool(torch.isfinite(gradient).all()):
        raise Excluded("zero gradients: the gradient is not finite")
    if float((gradient.flatten(1).abs().amax(1) > 0).float().mean()) < 1:
        raise Excluded("zero gradients")
    return {
        "classes": logits.shape[1],
        "label_offset": 0,
        "deterministic": "stochastic" not in flags,
        "flags": flags,
        "batch_difference": float(f"{company:.3g}"),
        "output": model.picked,
        "forward_seconds": round(forward, 5),
        "gradient_seconds": round(seconds, 5),
    }


def _gradient(model: "PixelModel", x: "Tensor") -> "tuple[Tensor, float]":
    """The gradient of a loss with respect to pixels `x`, and the seconds that it takes for an image."""
    import torch

    x.requires_grad_(True)
    start = time.perf_counter()
    with theirs("autograd error"):
        try:
            out = model(x)
        except Excluded as error:
            # the same pass went well without a gradient
            raise Excluded(f"autograd error: {error.reason}") from error
        # towards the least likely class: the loss is large, so a gradient of zero is none by saturation
        loss = torch.nn.functional.cross_entropy(out, out.detach().argmin(1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
    note(reached="gradient")
    return gradient, (time.perf_counter() - start) / len(x)


def _check_logits(logits: "Tensor", n: int, imagenet: bool, classes: int | None = None) -> None:
    import torch

    if logits.ndim != 2 or len(logits) != n or not logits.is_floating_point():
        raise Excluded(f"no classifier: an output of shape {tuple(logits.shape)}, {logits.dtype}")
    if not bool(torch.isfinite(logits).all()):
        raise Excluded("no classifier: the logits are not finite")
    if imagenet and logits.shape[1] not in (1000, 1001):
        raise Excluded(f"head of {logits.shape[1]}")
    if logits.shape[1] < 2:
        raise Excluded("head of 1")
    if classes not in (None, logits.shape[1]):
        raise Excluded(f"no classifier: {classes} logits, and {logits.shape[1]} of the same images again")


def _accuracy(
    model: "PixelModel", manifest: "pd.DataFrame", source: str, report: dict[str, Any]
) -> dict[str, Any]:
    """Clean accuracy on the sample, the place of a background class, and what looks wrong."""
    from alignsec.images.pixels import load as load_pixels
    from alignsec.zoo.sources import is_imagenet

    found: dict[str, Any] = {"flags": list(report["flags"])}
    pixels, labels = load_pixels(manifest, model.preprocess)
    check_fit(model, pixels)
    found |= _round_trip(model, manifest)
    logits = _logits(model, pixels, report["classes"])
    imagenet = is_imagenet(source)
    if imagenet and report["classes"] == 1001:
        found["label_offset"] = offset = background_offset(logits, labels)
        logits = logits[:, offset : offset + 1000]
    classes = 1000 if imagenet else report["classes"]
    if int(labels.max()) >= classes:
        raise Excluded(f"head of {classes}: the images' labels go up to {int(labels.max())}")
    predicted = logits.argmax(1)
    found |= {"clean_top1": round(float((predicted == labels).mean()), 4), "clean_n": len(labels)}
    if not above_chance(predicted, labels, classes):
        found["flags"].append("at chance")
        if fits_another_order(predicted, labels, classes):
            found["flags"].append("label order suspect")
    hits = int((predicted == labels).sum())
    if report.get("expected_top1") is not None and short_of(hits, len(labels), report["expected_top1"]):
        found["flags"].append("below expected")
    return found


def _round_trip(model: "PixelModel", manifest: "pd.DataFrame") -> dict[str, float]:
    """`round_trip` on the first images that are files; nothing where there are none."""
    from alignsec.images import sources
    from alignsec.images.pixels import as_files

    if model.round_trip is None or sources.is_array(manifest):
        return {}
    with as_files(manifest.head(BATCH)) as files:
        with theirs("non-affine preprocessing"):
            error = model.round_trip(files)
        if error > ROUND_TRIP:
            raise Excluded(f"non-affine preprocessing: {error:.2g} off on the first {len(files)} images")
    return {"round_trip": error}


def _logits(model: "PixelModel", pixels: "Pixels", classes: int) -> "npt.NDArray[np.float32]":
    """Finite logits (N, K) of pixels (N, C, H, W), a batch at a time."""
    import numpy as np
    import torch

    parts = []
    with theirs("forward error"), torch.no_grad():
        for start in range(0, len(pixels), BATCH):
            batch = torch.from_numpy(pixels[start : start + BATCH])
            # detached: a module may put gradients on again
            parts.append(model(batch).detach().numpy())
            if parts[-1].shape != (len(batch), classes):
                raise Excluded(f"no classifier: an output of shape {parts[-1].shape} for {len(batch)} images")
    logits: npt.NDArray[np.float32] = np.concatenate(parts)
    if bad := int((~np.isfinite(logits).all(1)).sum()):
        raise Excluded(f"no classifier: the logits of {bad} of {len(logits)} images are not finite")
    return logits


def check_fit(model: "PixelModel", pixels: "Pixels") -> None:
    """Raise `Excluded` for pixels (N, C, H, W) of another shape than the model's input, or outside [0, 1]."""
    channels, height, width = expected = (model.mean.numel(), *model.height_width)
    if pixels.shape[1:] != expected:
        has = f"{pixels.shape[1]} channels of {pixels.shape[2]} × {pixels.shape[3]}"
        raise Excluded(
            f"images do not fit: they have {has}, the model takes {channels} of {height} × {width}"
        )
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -OUTSIDE and high <= 1 + OUTSIDE):
        raise Excluded(f"images do not fit: pixels from {low:.3g} to {high:.3g}, expected are 0 to 1")
