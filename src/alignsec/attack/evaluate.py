"""Verdicts of AutoAttack on every image at every epsilon: the function that a notebook calls, and the job."""

import contextlib
import resource
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from alignsec.attack import checks, draws
from alignsec.attack import ledger as books
from alignsec.attack.blame import logits_of, own_code
from alignsec.attack.counting import Counted
from alignsec.attack.judge import Judge
from alignsec.attack.ladder import Ladder
from alignsec.attack.ledger import Ledger, Witness
from alignsec.attack.precision import arithmetic, exact
from alignsec.attack.progress import Progress
from alignsec.attack.units import Units, rounded
from alignsec.attack.verdicts import Kept
from alignsec.attack.work import Images, Work
from alignsec.ground.hashes import weights_hash
from alignsec.study.request import AttackRequest, SearchPrecision

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]


def evaluate_robustness(
    model: nn.Module,
    images: Tensor | Array,
    labels: Tensor | Array,
    epsilons: Sequence[float | str] | float | str,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    ledger: Path | str | None = None,
    keep: Path | str | None = None,
    device: str | None = None,
    progress: bool = False,
    **options: Any,
) -> "pd.DataFrame":
    """Verdict of AutoAttack on every image at every epsilon.

    Parameters
    ----------
    model : module in eval mode, (N, C, H, W) float32 pixels in [0, 1] to (N, K) logits
    images : (N, C, H, W) float32 in [0, 1]
    labels : (N,) integers in 0 .. K-1
    epsilons : radii of the ball in [0, 1] pixel units, or one, as numbers or like "1/255"; at most 0.5 for
        Linf
    seed : seed of every random draw; each image has draws of its own
    batch_size : images per batch; None: the largest that fits, found by doubling, on a GPU; 64 on a CPU
    ledger : path of a file that keeps what is settled, created if absent; a killed run goes on from it
    keep : path of an .npz to write with the smallest adversarial known of each image: `image`, `distance`,
        `delta` (float16, added to the clean image and clipped to [0, 1]); where float16 would not do,
        `exact_image`, `exact_distance`, `exact_delta` (float32)
    device : a torch device; None: CUDA if there is one
    progress : a bar on a terminal, a line a minute elsewhere
    options : further fields of `alignsec.attack.AttackRequest`: `norm` ("Linf" or "L2"); `version`
        ("standard": APGD-CE, APGD-T, FAB-T, Square; "rand": APGD-CE, APGD-DLR with EOT 20, for stochastic
        models, a verdict is the majority of 10 evaluations; "custom": the `attacks` named, in order, of
        apgd-ce, apgd-dlr, apgd-t, fab, fab-t, square); `ladder` (False runs the judge once per epsilon and
        shares nothing, to check the ladder against); `top5` (also say whether the label is among the five
        largest logits of a full APGD-CE adversarial); `precision` ("float32" or "tf32", of the search on a
        GPU); `screen_precision` ("float32" or "bfloat16", of the
        screen only; every find is re-checked in float32)

    Returns
    -------
    DataFrame, one row per image and epsilon (ascending): `image` (position), `label`, `epsilon`, `correct`
    and `correct_top5` (clean prediction), `robust`, `top5` (if asked for), `stage` (what settled it),
    `distance` (measured norm of the smallest adversarial known, null if none or misclassified).
    ``attrs["cost"]`` holds image passes, seconds per stage, batch sizes, peak memory, versions;
    ``attrs["warnings"]`` what makes the verdicts doubtful; ``attrs["spread"]`` (version rand) the standard
    deviation of robust accuracy over repeated evaluations, per epsilon.

    Raises
    ------
    AlignsecError
        Training mode, pixels outside [0, 1], negative labels, an unknown or impossible option
        (`AttackRequest`), or a ledger that belongs to another job, is damaged or cannot be written.
    ModelError
        One of these, of which the model is the cause: its own code fails, its logits are not (N, K) and
        finite, or there are labels that it has no class for.

    Source: Croce and Hein 2020 (arXiv 2003.01690) for the attacks; docs/attack.md for the ladder.

    Examples
    --------
    A linear model whose boundary is 0.1 away from the first image and 0.05 from the second:

    >>> import torch
    >>> weight = torch.tensor([[1.0, 1.0, -1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False)).eval()
    >>> _ = model[1].weight.data.copy_(weight)
    >>> images = torch.tensor([[0.6, 0.6, 0.4, 0.4], [0.55, 0.55, 0.45, 0.45]]).reshape(2, 1, 2, 2)
    >>> table = evaluate_robustness(model, images, torch.tensor([0, 0]), [0.08], version="custom",
    ...                             attacks=["apgd-ce"], device="cpu")
    >>> table[["robust", "stage"]].to_dict("list")
    {'robust': [True, False], 'stage': ['apgd-ce', 'screen']}
    """
    radii = [epsilons] if isinstance(epsilons, str | float | int) else epsilons
    given = {"epsilons": radii, "seed": seed, "batch_size": batch_size, **options}
    if given.get("attacks", ()) is None:
        del given["attacks"]
    request = AttackRequest.of(given)
    return evaluate(
        model, images, labels, request, ledger=ledger, keep=keep, device=device, progress=progress
    )


def evaluate(
    model: nn.Module,
    images: Tensor | Array,
    labels: Tensor | Array,
    request: AttackRequest,
    *,
    ledger: Path | str | None = None,
    keep: Path | str | None = None,
    device: str | None = None,
    progress: bool = False,
) -> "pd.DataFrame":
    """`evaluate_robustness` of a request; adversarials are kept where `keep` names a file."""
    request = replace(request, keep=keep is not None)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    x = torch.as_tensor(images, dtype=torch.float32).to(place)
    y = torch.as_tensor(labels).to(place)
    with own_code("module error", f"moving the model to {place}"):
        model = model.to(place)
    with frozen(model), arithmetic(request.precision):
        classes = checks.inputs(model, x, y)
        moved = 0.0 if request.stochastic else checks.moving(model, x, classes)
        marks = draws.digests(x)
        attacked = Images(x, y.long(), marks, books.keys(marks, y.tolist()))
        counted = Counted(model, classes)
        forward = None if request.stochastic else witness(model, attacked)
        book = Ledger(ledger, identity(model, attacked, request), forward, _versions(place))
        try:
            work = Work(counted, attacked, request, book, request.precision)
            judge = Judge(counted, request, place, classes)
            Ladder(Units(work, judge), Progress(progress, len(x))).evaluate()
        finally:
            book.close()
    verdicts = work.verdicts
    table = verdicts.table()
    if keep is not None:
        write_kept(Path(keep), verdicts.kept)
    table.attrs["cost"] = _cost(work, place, book.damaged)
    doubts = {"attacks_left_out": len(judge.left_out), "moving_outputs": moved}
    table.attrs["warnings"] = verdicts.warnings(len(judge.units)) | {k: v for k, v in doubts.items() if v}
    if request.stochastic:
        table.attrs["spread"] = verdicts.spread()
    return table


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No gradients of parameters: some attacks would compute and heap them up."""
    # one by one: a TorchScript module refuses to be frozen as a whole
    with own_code("module error", "freezing the parameters"):
        wanted = [p for p in model.parameters() if p.requires_grad and p.is_leaf]
        for p in wanted:
            p.requires_grad_(False)
    try:
        yield
    finally:
        for p in wanted:
            p.requires_grad_(True)


def identity(model: nn.Module, images: Images, request: AttackRequest) -> dict[str, Any]:
    """What the facts of a ledger hold for, on whatever images; how weights are used, `witness` compares."""
    with own_code("module error", "reading the weights"):
        weights = weights_hash(model)
    told = {name: vars(model).get(name) for name in ("label_offset", "classes", "frame_axis", "arguments")}
    return {
        "weights": weights,
        "told": {name: repr(value) for name, value in told.items()},
        "shape": list(images.x.shape[1:]),
        "norm": request.norm,
        "version": request.version,
        "attacks": list(request.run),
        "seed": request.seed,
        "ladder": request.ladder,
    }


def witness(model: nn.Module, images: Images) -> Witness:
    """The model's logits of single images, in exact float32."""

    @torch.no_grad()
    def logits(names: Sequence[str]) -> dict[str, list[float]]:
        numbers = {key: i for i, key in enumerate(images.keys)}
        with exact():
            return {k: rounded(logits_of(model, images.x[numbers[k]][None])[0]) for k in names}

    return Witness(images.keys, logits)


def _versions(device: str) -> dict[str, str]:
    cuda = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name() if cuda else device,
        "torch": torch.__version__,
        "pyautoattack": package_version("pyautoattack"),
    }


def _cost(work: Work, device: str, damaged: int) -> dict[str, Any]:
    cuda = torch.device(device).type == "cuda"
    verdicts, told = work.verdicts, _versions(device)
    return {
        "forward_images": verdicts.spent.forward,
        "forward_backward_images": verdicts.spent.gradient,
        "seconds": {stage: round(seconds, 3) for stage, seconds in verdicts.seconds.items()},
        "batch_size": work.batch_size,
        "batch_sizes": {stage: sorted(sizes) for stage, sizes in verdicts.sizes.items()},
        "out_of_memory": work.halvings,
        "peak_memory_mb": round(
            torch.cuda.max_memory_allocated() / 2**20
            if cuda
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        ),
        "resumed_passes": work.replayed.equivalents,
        "damaged_records": damaged,
        "precision": work.request.precision if cuda else SearchPrecision.FLOAT32,
        "device": told["device"],
        "attack": f"pyautoattack {told['pyautoattack']} {work.request.version}",
        "torch": told["torch"],
    }


def write_kept(path: Path, kept: Kept) -> None:
    """Write perturbations, those of float16 and those that need float32 apart, in the order of images."""
    from alignsec.ground.tables import atomic

    arrays: dict[str, Array] = {}
    for prefix, dtype in (("", np.float16), ("exact_", np.float32)):
        chosen = sorted(i for i, (_, delta) in kept.items() if delta.dtype == dtype)
        arrays[f"{prefix}image"] = np.array(chosen, dtype=np.int64)
        arrays[f"{prefix}distance"] = np.array([kept[i][0] for i in chosen])
        arrays[f"{prefix}delta"] = np.stack([kept[i][1] for i in chosen]) if chosen else np.empty(0, dtype)
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)
