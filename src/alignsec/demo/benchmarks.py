"""The demo's leaderboard: small benchmarks of three kinds, each measured on the trained networks.

They borrow the form of Brain-Score's benchmarks, not their data: no brain and no person was recorded.

Of two the answer is known before anything is computed (README, "The demo"): `Planted2026.gradient-on-ink`
goes with robustness because both follow from training, `Absent2026.untrained-rdm` knows of no training.
"""

import csv
import io
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded
from alignsec.study.catalogue import SOURCES
from alignsec.study.layout import Models

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from alignsec.zoo.pixel_model import PixelModel

    Floats = npt.NDArray[np.floating[Any]]
    Ints = npt.NDArray[np.integer[Any]]
    Bools = npt.NDArray[np.bool_]

CATEGORIES: dict[str, tuple[str, ...]] = {
    "neural": (
        "Gabor2026.early-rdm",
        "Gabor2026.late-rdm",
        "Complex2026.early-rdm",
        "Complex2026.late-rdm",
        "Complex2026.early-ridge",
        "Absent2026.untrained-rdm",
    ),
    "behavior": (
        "Observer2026.noise-error_consistency",
        "Observer2026.blur-error_consistency",
        "Observer2026.contrast-error_consistency",
        "Observer2026.confusion",
        "Observer2026.confidence",
        "Planted2026.gradient-on-ink",
    ),
    "engineering": (
        "Digits2026-top1",
        "Digits2026.noise-top1",
        "Digits2026.blur-top1",
        "Digits2026.contrast-top1",
        "Digits2026.occlusion-top1",
    ),
}
_CONDITIONS = {
    "noise": ("gaussian_noise", 5),
    "blur": ("gaussian_blur", 5),
    "contrast": ("contrast", 3),
    "occlusion": ("occlusion", 4),
}
_PROBES = 200  # images of the representational benchmarks
_SEED = 7


@lru_cache(maxsize=1)
def gabor_responses() -> tuple["Floats", "Floats"]:
    """Responses of a Gabor bank to the probe images, (N, F): simple cells, complex cells (energy).

    Four orientations, two wavelengths, every pixel a position, as in V1 models (Daugman 1985).
    """
    import numpy as np
    from scipy.signal import fftconvolve

    from alignsec.ground.digits import digits

    images = digits()[2][:_PROBES, 0]
    grid = np.arange(-3, 4)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    simple, energy = [], []
    for wavelength in (3.0, 5.0):
        for angle in np.arange(4) * np.pi / 4:
            along = x * np.cos(angle) + y * np.sin(angle)
            envelope = np.exp(-(x**2 + y**2) / (2 * (wavelength / 2) ** 2))
            pair = []
            for phase in (0, np.pi / 2):
                kernel = envelope * np.cos(2 * np.pi * along / wavelength + phase)
                kernel -= kernel.mean()
                pair.append(
                    fftconvolve(images, kernel[None], mode="same", axes=(1, 2)).reshape(len(images), -1)
                )
            simple.append(np.maximum(pair[0], 0))
            energy.append(np.sqrt(pair[0] ** 2 + pair[1] ** 2))
    return np.concatenate(simple, 1), np.concatenate(energy, 1)


def rdm(features: "Floats") -> "Floats":
    """Upper triangle of the dissimilarity matrix, 1 - Pearson correlation between images (N, F)."""
    import numpy as np

    rows = features.reshape(len(features), -1)
    upper: Floats = np.subtract(1.0, np.corrcoef(rows))[np.triu_indices(len(rows), 1)]
    return upper


@lru_cache(maxsize=1)
def observer() -> dict[str, "Floats"]:
    """Class evidence (N, 10) of a reference observer on the test images under each condition.

    A template matcher: the correlation with each class's mean training digit, through blurred pixels. By
    distance it would be near chance at low contrast, and there would be no errors to be consistent with.
    """
    import numpy as np
    from scipy.ndimage import gaussian_filter

    from alignsec.ground.digits import digits

    train_x, train_y, test_x, _ = digits()

    def seen(x: "Floats") -> "Floats":
        return unit(gaussian_filter(x[:, 0], (0, 0.7, 0.7)).reshape(len(x), -1))

    def unit(rows: "Floats") -> "Floats":
        centred = rows - rows.mean(1, keepdims=True)
        scaled: Floats = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-12)
        return scaled

    templates = unit(np.stack([seen(train_x)[train_y == k].mean(0) for k in range(10)]))
    return {name: seen(x) @ templates.T for name, x in {"clean": test_x, **_corrupted()}.items()}


@lru_cache(maxsize=1)
def _corrupted() -> dict[str, "Floats"]:
    from alignsec.ground.digits import digits
    from alignsec.images.corrupt import corrupt

    return {c: corrupt(digits()[2], name, severity, _SEED) for c, (name, severity) in _CONDITIONS.items()}


def error_consistency(correct: "Bools", reference: "Bools") -> float:
    """Cohen's kappa of two observers' trial-by-trial correctness, bool (N,).

    Geirhos et al. 2020 (arXiv 2006.16736), eq. 3. NaN where chance agreement is complete (both always right,
    or both always wrong).
    """
    observed = float((correct == reference).mean())
    a, b = float(correct.mean()), float(reference.mean())
    expected = a * b + (1 - a) * (1 - b)
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def gradient_on_ink(model: "PixelModel", x: "Floats", y: "Ints") -> float:
    """Share of the margin's gradient that falls on the digit's strokes, the median over images.

    The margin is the true class's logit less the largest other one; the share is the absolute gradient
    weighted by ink, sum |g| x / sum |g|. Gradients of adversarially trained networks lie on the object
    (Tsipras et al. 2019, arXiv 1805.12152; Etmann et al. 2019, arXiv 1905.04172); nothing is attacked here.

    Parameters
    ----------
    x : (N, C, H, W) float32 in [0, 1]
    y : (N,) int64
    """
    from torch.nn import functional

    images, labels = torch.from_numpy(x).requires_grad_(True), torch.from_numpy(y)
    logits = model(images)
    true = functional.one_hot(labels, logits.shape[1]).bool()
    margin = logits[true] - logits.masked_fill(true, -torch.inf).amax(1)
    (gradient,) = torch.autograd.grad(margin.sum(), images)
    mass = gradient.abs().flatten(1)
    share = (mass * images.detach().flatten(1)).sum(1) / mass.sum(1)
    return float(share.median())


def measure(model: "PixelModel", untrained: "PixelModel") -> dict[str, float]:
    """Every benchmark of `CATEGORIES`, measured on one trained network, and on it before its training."""
    import numpy as np
    from scipy.stats import spearmanr
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict

    from alignsec.ground.digits import digits

    _, _, test_x, test_y = digits()
    early, late = _features(model, test_x[:_PROBES])
    simple, energy = gabor_responses()
    found: dict[str, float] = {}
    for lab, reference in (("Gabor2026", simple), ("Complex2026", energy)):
        target = rdm(reference)
        for stage, features in (("early", early), ("late", late)):
            found[f"{lab}.{stage}-rdm"] = float(spearmanr(rdm(features), target).statistic)
    before = _features(untrained, test_x[:_PROBES])[1]
    found["Absent2026.untrained-rdm"] = float(spearmanr(rdm(before), rdm(simple)).statistic)
    # a fixed random projection keeps the regression small; it is the same for every network of this width
    wide = early.reshape(len(early), -1)
    projection = np.random.default_rng(_SEED).normal(size=(wide.shape[1], 48)) / wide.shape[1] ** 0.5
    cells = energy[:, np.random.default_rng(_SEED).choice(energy.shape[1], 40, replace=False)]
    predicted = cross_val_predict(
        RidgeCV(np.logspace(-3, 3, 7)),
        wide @ projection,
        cells,
        cv=KFold(5, shuffle=True, random_state=_SEED),
    )
    found["Complex2026.early-ridge"] = float(
        np.median([np.corrcoef(predicted[:, i], cells[:, i])[0, 1] for i in range(cells.shape[1])])
    )

    seen = observer()
    logits = {name: _logits(model, x) for name, x in {"clean": test_x, **_corrupted()}.items()}
    for name in ("noise", "blur", "contrast"):
        correct = logits[name].argmax(1) == test_y
        reference = seen[name].argmax(1) == test_y
        found[f"Observer2026.{name}-error_consistency"] = error_consistency(correct, reference)
    found["Observer2026.confusion"] = _confusion_likeness(logits["noise"], seen["noise"], test_y)
    found["Planted2026.gradient-on-ink"] = gradient_on_ink(model, test_x[:_PROBES], test_y[:_PROBES])
    rows = np.arange(len(test_y))
    found["Observer2026.confidence"] = float(
        spearmanr(_margin(logits["clean"], test_y, rows), _margin(seen["clean"], test_y, rows)).statistic
    )
    found["Digits2026-top1"] = float((logits["clean"].argmax(1) == test_y).mean())
    for name in _CONDITIONS:
        found[f"Digits2026.{name}-top1"] = float((logits[name].argmax(1) == test_y).mean())
    return {name: found[name] for names in CATEGORIES.values() for name in names}


def _features(model: "PixelModel", x: "Floats") -> tuple["Floats", "Floats"]:
    """Outputs of the network's first and third stage, (N, ...)."""
    stages = dict(model.module.named_children())
    with torch.no_grad():
        early = stages["early"](model.normalise(torch.from_numpy(x)))
        late = stages["late"](stages["middle"](early))
    return early.numpy(), late.numpy()


def _logits(model: "PixelModel", x: "Floats") -> "Floats":
    with torch.no_grad():
        out: Floats = model(torch.from_numpy(x)).numpy()
    return out


def _margin(evidence: "Floats", labels: "Ints", rows: "Ints") -> "Floats":
    import numpy as np

    others = evidence.copy()
    others[rows, labels] = -np.inf
    margin: Floats = evidence[rows, labels] - others.max(1)
    return margin


def _confusion_likeness(a: "Floats", b: "Floats", labels: "Ints") -> float:
    """Spearman correlation of the two confusion matrices' off-diagonal cells."""
    import numpy as np
    from scipy.stats import spearmanr

    cells = []
    for evidence in (a, b):
        counts = np.zeros((10, 10))
        np.add.at(counts, (labels, evidence.argmax(1)), 1)
        cells.append(counts[~np.eye(10, dtype=bool)])
    if min(np.ptp(c) for c in cells) == 0:
        return float("nan")
    return float(spearmanr(*cells).statistic)


def leaderboard(measured: Mapping[str, Mapping[str, float]]) -> str:
    """The measured scores as CSV in Brain-Score's published format.

    A parent stands before its children and is the mean of their rounded scores, an undefined one (``X``)
    counting as 0, as Brain-Score computes it.
    """
    rows = []
    for name, scores in measured.items():
        cells: dict[str, str] = {}
        means = {}
        for category, benchmarks in CATEGORIES.items():
            values = [scores[b] for b in benchmarks]
            texts = [f"{v:.4f}" if v == v else "X" for v in values]
            means[category] = sum(0.0 if t == "X" else float(t) for t in texts) / len(texts)
            cells[f"{category}_vision"] = f"{means[category]:.4f}"
            cells |= dict(zip(benchmarks, texts, strict=True))
        average = (float(cells["neural_vision"]) + float(cells["behavior_vision"])) / 2
        rows.append((name, average, {"average_vision": f"{average:.4f}"} | cells))
    ranks = sorted((-average for _, average, _ in rows))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model_name", "model_id", "rank", "layers", *(rows[0][2] if rows else ())])
    for i, (name, average, texts_) in enumerate(rows, 1):
        writer.writerow([name, i, ranks.index(-average) + 1, "", *texts_.values()])
    return out.getvalue()


def measure_all(sheet: "pd.DataFrame", folder: Path, seed: int) -> str:
    """`leaderboard` of the sheet's trained networks, measured here.

    A network whose weights are none has no row.

    Parameters
    ----------
    folder : of the models
    seed : that they were trained with
    """
    from alignsec.demo.networks import load, untrained

    if not any(SOURCES[source].trained for source in sheet["source"]):
        raise AlignsecError(
            "leaderboard.source: demo is measured on the demo's networks, and the sheet has none: name a "
            "leaderboard (a file, or brain-score.org), or ask for what needs none: snakemake robustness"
        )
    models, measured = Models(folder), {}
    for model, source, spec in zip(sheet["model"], sheet["source"], sheet["spec"], strict=True):
        if SOURCES[source].trained:
            try:
                network = load(spec or model, models.weights(model))
            except Excluded as excluded:
                print(f"{model}: {excluded}", file=sys.stderr)
            else:
                measured[model] = measure(network, untrained(spec or model, seed))
    return leaderboard(measured)
