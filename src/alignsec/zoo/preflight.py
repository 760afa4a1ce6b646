"""Can this model be attacked, and if not why: answered on a CPU before any GPU time is spent."""

import time
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from alignsec.ground import isolation
from alignsec.ground.hashes import weights_hash
from alignsec.ground.isolation import note
from alignsec.ground.reasons import Excluded
from alignsec.ground.reasons import kind_of
from alignsec.ground.reasons import memory_excludes
from alignsec.study.layout import Models
from alignsec.study.records import MEASURED
from alignsec.study.records import verdict
from alignsec.study.records import write_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor

    from alignsec.zoo import PixelModel

REPEATS = 5
STOCHASTIC = 1e-4  # the reference's own check for randomised models
ROUND_TRIP = 1e-4  # of a pixel's range, normalised pixels against the model's own preprocessing
CHANCE_P = 0.01  # one-sided level at which clean accuracy counts as above chance
PRINTED = 4 << 20  # bytes; a plugin that prints more has a side effect, the bar of a long download has not
WEIGHTS = (".pt", ".pth", ".tar", ".ckpt", ".bin", ".safetensors", ".npz", ".pkl", ".h5", ".zip")
BATCH = 8
# What nearly every plugin imports.
PRELOAD = (
    "torch",
    "torchvision",
    "brainscore_vision.model_helpers.activations.pytorch",
    "brainscore_vision.model_helpers.brain_transformation",
    "alignsec.zoo.preflight",
    "alignsec.zoo.sources.brainscore",
)


def preflight(
    name: str,
    source: str,
    spec: str,
    weights: Path | None = None,
    images: Path | None = None,
    *,
    seed: int = 0,
    timeout: float | None = None,
    memory: int | None = None,
    offline: bool = False,
    retries: int = 1,
    exclude_flags: Sequence[str] = (),
    side_effects: str = "exclude",
    threads: int = 1,
    preload: Sequence[str] = (),
) -> dict[str, Any]:
    """Load the model in a process of its own, without a GPU, and try it.

    Parameters
    ----------
    images : table of kind ``images``: a sample to measure clean accuracy and a background class on
    timeout, memory : limits of the process, in seconds and resident bytes
    offline : refuse connections to other machines
    retries : further attempts after a transient failure, where the model may be online
    exclude_flags : flags (`alignsec.ground.reasons.FLAGS`) that exclude
    side_effects : ``exclude`` or ``allow`` a plugin that prints over 4 MiB, writes other files than weights where it
        stands, or leaves another default dtype or device

    Returns
    -------
    dict with `model, source, spec, status` (``ok`` or ``excluded``), `reason`, its `kind`, `transient`, `flags`,
    `reached` (how far it came: `alignsec.study.records.Report`), `mean, std` (per channel, [0, 1] pixel units), `input_size`
    (height, width), `classes, label_offset, deterministic, parameters, weights_sha256` (of the state dict),
    `weight_files` (name to SHA-256), `geometry, round_trip` (pixel units), `clean_top1, clean_n`, `forward_seconds,
    gradient_seconds` (per image, of a forward pass and of one with its gradient, on these threads), `side_effects,
    seconds`; null where unknown.
    """
    report: dict[str, Any] = {
        "model": name,
        "source": source,
        "spec": spec,
        "status": "excluded",
        "reason": "",
        "kind": "",
        "transient": False,
        "flags": [],
        "reached": "started",
        **dict.fromkeys(MEASURED),
    }
    task = {
        "source": source,
        "spec": spec,
        "weights": isolation.plain(weights),
        "images": isolation.plain(images),
        "seed": seed,
        "threads": threads,
    }
    if source == "brainscore" and (found := _absent(spec)):
        # seen without running anything: three seconds of imports less
        return report | _verdict(found) | {"side_effects": [], "seconds": 0.0}
    for attempt in range(1 + retries):
        outcome = isolation.call(
            examine,
            task,
            timeout=timeout,
            memory=memory,
            offline=offline,
            environment={"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(threads)},
            preload=preload,
        )
        failed = outcome.excluded
        if failed is None or not failed.transient or attempt == retries:
            break
        if offline and kind_of(failed.reason) == "weights unavailable":
            break
    report |= outcome.partial | (outcome.value or {})
    report["seconds"] = outcome.seconds
    report["side_effects"] = _side_effects(outcome, report.pop("changed", []))
    if failed is None and report["side_effects"] and side_effects == "exclude":
        failed = Excluded(f"side effects: {'; '.join(report['side_effects'])}")
    flagged = [f for f in report["flags"] if f in exclude_flags]
    if failed is None and flagged:
        failed = Excluded(f"flagged: {', '.join(flagged)}")
    return report | _verdict(failed)


def sweep(
    sheet: "pd.DataFrame", folder: Path, jobs: int = 1, **options: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Preflight of every model of a sheet that has no report below `folder` yet, as the reports come.

    Each model has a process of its own, forked from one that has imported the common libraries: ten seconds less
    for each than one by one. Rows of source ``demo`` need weights that the workflow makes, and are left out.

    Parameters
    ----------
    folder : of the models; a report is ``<encoded model>/preflight.json``
    jobs : models at a time
    options : of `preflight`

    Yields
    ------
    model, report
    """
    from concurrent.futures import ThreadPoolExecutor
    from concurrent.futures import as_completed

    def one(model: str, source: str, spec: str) -> tuple[str, dict[str, Any]]:
        report = preflight(model, source, spec or model, preload=PRELOAD, **options)
        write_json(Models(folder).preflight(model), report)
        return model, report

    rows = [
        (str(r.model), str(r.source), str(r.spec))
        for r in sheet.itertuples()
        if r.source != "demo" and not Models(folder).preflight(str(r.model)).is_file()
    ]
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(one, *row) for row in rows]):
            yield done.result()


def line(model: str, report: dict[str, Any]) -> str:
    """A report in a line."""
    flags = f" ({', '.join(report['flags'])})" if report["flags"] else ""
    return f"{model}: {report['status']}{': ' + report['reason'] if report['reason'] else ''}{flags}"


def _verdict(failed: Excluded | None) -> dict[str, Any]:
    return verdict(failed) | {"kind": "" if failed is None else kind_of(failed.reason)}


def _side_effects(outcome: isolation.Outcome, changed: Sequence[str]) -> list[str]:
    found = []
    if outcome.printed > PRINTED:
        found.append(f"printed {outcome.printed / 2**20:.1f} MiB")
    # dozens of published plugins fetch their weights to where they stand
    written = [w for w in outcome.written if not w.endswith(WEIGHTS)]
    if written:
        more = f" and {len(written) - 3} more" if len(written) > 3 else ""
        found.append(f"wrote {', '.join(written[:3])}{more} into its working folder")
    return found + [f"changed the {c}" for c in changed if c in ("default dtype", "default device")]


def _absent(spec: str) -> Excluded | None:
    """What can be told of a Brain-Score model without running its plugin."""
    from alignsec.leaderboard import plugins
    from alignsec.leaderboard import registry

    plugin = registry.plugin_of(spec)
    if plugin is None:
        return Excluded(f"not in registry: brainscore_vision has no model {spec!r}")
    missing = plugins.missing_imports(registry.plugin_folder(plugin))
    return Excluded(f"missing package: {', '.join(missing)}") if missing else None


def examine(
    source: str, spec: str, weights: Path | None, images: Path | None, seed: int, threads: int
) -> dict[str, Any]:
    """The part of preflight that runs the model; for `isolation.call`.

    Raises
    ------
    Excluded
        As `alignsec.zoo.load`, or what the model fails in.
    """
    import torch

    from alignsec import zoo
    from alignsec.zoo.sources import is_imagenet

    torch.set_num_threads(threads)
    note(reached="started")
    model = zoo.load(source, spec, weights)
    trace = model.trace
    assert trace is not None
    height, width = model.height_width
    report: dict[str, Any] = {
        "mean": [round(float(v), 6) for v in model.mean.flatten()],
        "std": [round(float(v), 6) for v in model.std.flatten()],
        "input_size": [height, width],
        "parameters": sum(p.numel() for p in model.module.parameters()),
        "weights_sha256": weights_hash(model.module),
        "weight_files": trace.weight_files,
        "geometry": model.geometry,
        "changed": trace.changed,
        "flags": [],
    }
    note(**report)
    report |= _try(model, source, seed)
    note(**report)
    if images is not None:
        report |= _accuracy(model, images, source, report)
    elif report["classes"] == 1001 and is_imagenet(source):
        raise Excluded(
            "head of 1001: the place of its background class is measured on labelled images: give some"
        )
    return report


def _try(model: "PixelModel", source: str, seed: int) -> dict[str, Any]:
    """Forward and backward passes on two random images."""
    import torch

    from alignsec.zoo.sources import is_imagenet

    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(2, model.mean.numel(), *model.height_width, generator=generator)
    with memory_excludes(), torch.no_grad():
        logits = model(x)
        _check_logits(logits, len(x), is_imagenet(source))
        note(reached="forward", classes=logits.shape[1])
        start = time.perf_counter()
        others = [model(x) for _ in range(REPEATS - 1)]
        forward = (time.perf_counter() - start) / len(others) / len(x)
        single = model(x[:1])
    if single.shape != logits[:1].shape:
        raise Excluded(f"no classifier: logits of shape {tuple(single.shape)} for one image")
    spread = max(float((o - logits).abs().max()) for o in others)
    flags = []
    if spread > STOCHASTIC:
        flags.append("stochastic")
    if bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-3).all()):
        flags.append("probabilities")
    x.requires_grad_(True)
    start = time.perf_counter()
    try:
        with memory_excludes():
            out = model(x)
            # towards the least likely class: the loss is large, so a gradient of zero is none by saturation
            loss = torch.nn.functional.cross_entropy(out, out.detach().argmin(1), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
    except Excluded as error:
        if kind_of(error.reason) == "out of memory":
            raise
        raise Excluded(f"autograd error: {error.reason}") from error
    except RuntimeError as error:
        raise Excluded(f"autograd error: {str(error).splitlines()[0][:200]}") from error
    seconds = (time.perf_counter() - start) / len(x)
    note(reached="gradient")
    share = float((gradient.flatten(1).abs().amax(1) > 0).float().mean())
    if not bool(torch.isfinite(gradient).all()):
        raise Excluded("zero gradients: the gradient is not finite")
    if share < 1:
        raise Excluded("zero gradients")
    return {
        "classes": logits.shape[1],
        "label_offset": 0,
        "deterministic": "stochastic" not in flags,
        "flags": flags,
        "forward_seconds": round(forward, 5),
        "gradient_seconds": round(seconds, 5),
    }


def _check_logits(logits: "Tensor", n: int, imagenet: bool) -> None:
    import torch

    if logits.ndim != 2 or len(logits) != n or not logits.is_floating_point():
        raise Excluded(f"no classifier: an output of shape {tuple(logits.shape)}, {logits.dtype}")
    if not bool(torch.isfinite(logits).all()):
        raise Excluded("no classifier: the logits are not finite")
    if imagenet and logits.shape[1] not in (1000, 1001):
        raise Excluded(f"head of {logits.shape[1]}")
    if logits.shape[1] < 2:
        raise Excluded("head of 1")


def _accuracy(model: "PixelModel", path: Path, source: str, report: dict[str, Any]) -> dict[str, Any]:
    """Clean accuracy on the sample, the place of a background class, and what looks wrong."""
    import numpy as np
    import torch

    from alignsec.ground import tables
    from alignsec.images import sources
    from alignsec.images.pixels import as_files
    from alignsec.images.pixels import load as load_pixels
    from alignsec.zoo.sources import is_imagenet

    manifest = tables.read(path, "images")
    found: dict[str, Any] = {"flags": list(report["flags"])}
    pixels, labels = load_pixels(manifest, model.preprocess)
    check_fit(model, pixels)
    if model.round_trip is not None and not sources.is_array(manifest):
        with as_files(manifest.head(BATCH)) as files:
            found["round_trip"] = model.round_trip(files)
        if found["round_trip"] > ROUND_TRIP:
            raise Excluded(
                f"non-affine preprocessing: {found['round_trip']:.2g} off on the first {len(files)} images"
            )
    with torch.no_grad():
        logits = np.concatenate(
            [model(torch.from_numpy(pixels[i : i + BATCH])).numpy() for i in range(0, len(pixels), BATCH)]
        )
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
    return found


def check_fit(model: "PixelModel", pixels: "np.ndarray") -> None:
    """Raise `Excluded` for pixels (N, C, H, W) of another shape than the model's input."""
    expected = (model.mean.numel(), *model.height_width)
    if pixels.shape[1:] != expected:
        raise Excluded(
            f"images do not fit: they have {pixels.shape[1]} channels of {pixels.shape[2]} × {pixels.shape[3]}, the "
            f"model takes {expected[0]} of {expected[1]} × {expected[2]}"
        )


def above_chance(predicted: "np.ndarray", labels: "np.ndarray", classes: int) -> bool:
    """Whether predictions fit the labels better than chance (one-sided binomial test, level `CHANCE_P`).

    Chance is the agreement expected if both were drawn independently as often as they occur, 1/classes at least: a
    network that always answers the same is not above it in a sample of few classes.
    """
    import numpy as np
    from scipy.stats import binomtest

    size = int(max(predicted.max(), labels.max())) + 1
    shares = [np.bincount(v, minlength=size) / len(labels) for v in (predicted, labels)]
    chance = min(1.0, max(float(shares[0] @ shares[1]), 1 / classes))
    hits = int((predicted == labels).sum())
    return bool(binomtest(hits, len(labels), chance, alternative="greater").pvalue < CHANCE_P)


def background_offset(logits: "np.ndarray", labels: "np.ndarray") -> int:
    """Where the thousand classes start in a head of 1001: 1 with the background first, 0 with it last.

    Parameters
    ----------
    logits : (N, 1001)
    labels : (N,) in 0..999

    Raises
    ------
    Excluded
        Neither place gives an accuracy above chance, or both are equally good: it cannot be told.
    """
    predicted = [logits[:, o : o + 1000].argmax(1) for o in (0, 1)]
    counts = [int((p == labels).sum()) for p in predicted]
    if counts[0] == counts[1] or not above_chance(predicted[counts[1] > counts[0]], labels, 1000):
        raise Excluded(
            f"head of 1001: the place of its background class cannot be told ({counts[0]} and {counts[1]} of "
            f"{len(labels)} images right with it last and first)"
        )
    return int(counts[1] > counts[0])


def fits_another_order(predicted: "np.ndarray", labels: "np.ndarray", classes: int) -> bool:
    """Whether predictions that miss the labels fit them shifted by one, or agree among images of one class.

    Agreement: the share of pairs of images of one class with equal predictions against that of pairs of different
    classes, by a binomial test; a network that always answers the same has no more of the one than of the other.
    """
    import numpy as np
    from scipy.stats import binomtest

    for shift in (-1, 1):
        if above_chance((predicted + shift) % classes, labels, classes):
            return True
    first, second = np.triu_indices(len(labels), 1)
    same_class = labels[first] == labels[second]
    same_answer = predicted[first] == predicted[second]
    if not same_class.any() or same_class.all():
        return False
    base = max(float(same_answer[~same_class].mean()), 1 / classes)
    agreeing = int(same_answer[same_class].sum())
    return bool(binomtest(agreeing, int(same_class.sum()), base, alternative="greater").pvalue < CHANCE_P)
