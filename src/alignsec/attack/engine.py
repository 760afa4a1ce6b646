"""The epsilon ladder around the reference AutoAttack.

The judge is ``pyautoattack`` (Croce and Hein 2020, arXiv 2003.01690), its own attacks driven stage by stage.
The balls of several epsilons are nested, so an adversarial of measured norm d settles every epsilon >= d, and
an image on which the whole of AutoAttack failed at e is taken as robust at smaller epsilons unless the cheap
screen there finds an adversarial, which then corrects the larger ones as well.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from alignsec.attack import checks
from alignsec.attack.counting import Counted
from alignsec.attack.screen import margin, screen
from alignsec.errors import AlignsecError

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6  # pixel units in [0, 1]: float32 rounding of x + delta near 1 is 6e-8 a step
BISECTIONS = 6
DEFAULT_BATCH = 256
NORMS = ("Linf", "L2")
VERSIONS = ("standard",)


def measured_norm(adversarial: Tensor, clean: Tensor, norm: str) -> Tensor:
    """Norm of the perturbation, (N,), in [0, 1] pixel units."""
    delta = (adversarial - clean).flatten(1)
    return delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)


class _Judge:
    """pyautoattack's attacks of one version, called one stage and one batch at a time."""

    def __init__(
        self, model: nn.Module, norm: str, version: str, seed: int, device: str, classes: int
    ) -> None:
        from pyautoattack import AutoAttack

        # the radius is set per call; any positive number constructs
        self.reference = AutoAttack(model, norm=norm, eps=1.0, seed=seed, version=version, device=device)
        self.reference.apgd_targeted.n_target_classes = min(9, classes - 1)
        self.reference.fab.n_target_classes = min(9, classes - 1)
        self.stages: list[str] = list(self.reference.attacks_to_run)
        if classes < 4:
            # the targeted losses rank the third and fourth logit
            self.stages = [s for s in self.stages if s != "apgd-t"]

    def attack(self, stage: str, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
        r = self.reference
        for part in (r.apgd, r.apgd_targeted, r.fab, r.square):
            part.eps, part.seed = epsilon, r.get_seed()
        if stage == "apgd-ce":
            r.apgd.loss = "ce"
            return r.apgd.perturb(x, y)
        if stage == "apgd-t":
            return r.apgd_targeted.perturb(x, y)
        if stage == "fab-t":
            r.fab.targeted = True
            return r.fab.perturb(x, y)
        if stage == "square":
            return r.square.perturb(x, y)
        raise ValueError(stage)


class _Run:
    """State of one evaluation: what is known of every image."""

    def __init__(self, model: Counted, x: Tensor, y: Tensor, norm: str, batch_size: int) -> None:
        self.model, self.x, self.y, self.norm, self.batch_size = model, x, y, norm, batch_size
        n = len(x)
        self.distance = np.full(n, np.inf)  # of the smallest adversarial known
        self.found_stage = np.full(n, "", dtype=object)
        self.found_epsilon = np.full(n, np.nan)
        self.failed_epsilon = np.full(n, -np.inf)  # largest epsilon at which the whole judge failed
        self.failed_stage = np.full(n, "", dtype=object)
        # what settled each epsilon at its turn; a closer adversarial found later does not rewrite it
        self.settled_stage: dict[float, np.ndarray] = {}
        self.settled_robust: dict[float, np.ndarray] = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self.contradictions = 0
        with torch.no_grad():
            self.correct = np.concatenate(
                [(margin(self.model(x[b]), y[b]) <= 0).cpu().numpy() for b in self.batches(np.arange(n))]
            )

    def batches(self, index: np.ndarray) -> list[np.ndarray]:
        return [index[i : i + self.batch_size] for i in range(0, len(index), self.batch_size)]

    @torch.no_grad()
    def misclassified(self, candidates: Tensor, index: np.ndarray) -> np.ndarray:
        predicted = self.model(candidates).argmax(1)
        return (predicted != self.y[index]).cpu().numpy()

    def take(self, candidates: Tensor, index: np.ndarray, epsilon: float, stage: str, tighten: bool) -> None:
        """Record the adversarial candidates: misclassified, in the ball and in [0, 1], in float32."""
        candidates = candidates.detach().float()
        size = measured_norm(candidates, self.x[index], self.norm).cpu().numpy().astype(float)
        inside = (candidates.flatten(1).amin(1) >= 0) & (candidates.flatten(1).amax(1) <= 1)
        good = self.misclassified(candidates, index) & (size <= epsilon + TOLERANCE) & inside.cpu().numpy()
        index, candidates, size = index[good], candidates[torch.from_numpy(good)], size[good]
        if tighten and len(index):
            size = self.bisect(candidates, index, size)
        better = size < self.distance[index]
        index, size = index[better], size[better]
        self.distance[index], self.found_stage[index], self.found_epsilon[index] = size, stage, epsilon

    def bisect(self, adversarial: Tensor, index: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Norm of the nearest adversarial found by bisection on the segment from the clean image."""
        low, high = np.zeros(len(index)), np.ones(len(index))
        best = size.copy()
        clean = self.x[index]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            t = torch.as_tensor(middle, dtype=clean.dtype, device=clean.device)[:, None, None, None]
            point = clean + t * (adversarial - clean)
            bad = self.misclassified(point, index)
            norm = measured_norm(point, clean, self.norm).cpu().numpy().astype(float)
            best = np.where(bad, np.minimum(best, norm), best)
            high, low = np.where(bad, middle, high), np.where(bad, low, middle)
        return best

    def standing(self, epsilon: float) -> np.ndarray:
        return np.flatnonzero(self.correct & (self.distance > epsilon + TOLERANCE))

    def screen(self, epsilon: float) -> None:
        start = time.perf_counter()
        before = self.standing(epsilon)
        for b in self.batches(before):
            self.take(
                screen(self.model, self.x[b], self.y[b], epsilon, self.norm), b, epsilon, "screen", True
            )
        # an adversarial inside a ball that the judge had cleared: its failure no longer counts for anything
        wrong = self.correct & (self.distance <= self.failed_epsilon + TOLERANCE)
        self.contradictions += int(wrong.sum())
        self.failed_epsilon[wrong] = -np.inf
        self.seconds["screen"] += time.perf_counter() - start

    def judge(self, judge: _Judge, epsilon: float, tighten: bool) -> None:
        index = self.standing(epsilon)
        index = index[self.failed_epsilon[index] < epsilon]
        for stage in judge.stages:
            start = time.perf_counter()
            for b in self.batches(index):
                found = judge.attack(stage, self.x[b].clone(), self.y[b].clone(), epsilon)
                self.take(found, b, epsilon, stage, tighten)
            index = index[self.distance[index] > epsilon + TOLERANCE]
            self.seconds[stage] += time.perf_counter() - start
            if not len(index):
                break
        self.failed_epsilon[index], self.failed_stage[index] = epsilon, judge.stages[-1]

    def settle(self, epsilon: float) -> None:
        """Note what settled every image at this epsilon."""
        robust = self.correct & (self.distance > epsilon + TOLERANCE)
        here = np.where(robust, self.failed_epsilon, self.found_epsilon) == epsilon
        named = np.where(robust, self.failed_stage, self.found_stage)
        stage = np.where(here, named, "larger-epsilon")
        self.settled_stage[epsilon] = np.where(self.correct, stage, "misclassified")
        self.settled_robust[epsilon] = robust

    def verdicts(self, epsilon: float) -> "pd.DataFrame":
        import pandas as pd

        robust = self.correct & (self.distance > epsilon + TOLERANCE)
        # robust at its turn and broken now: an adversarial of a smaller epsilon corrected it
        stage = np.where(
            ~robust & self.settled_robust[epsilon], "smaller-epsilon", self.settled_stage[epsilon]
        )
        return pd.DataFrame(
            {
                "image": np.arange(len(self.y)),
                "label": self.y.cpu().numpy(),
                "epsilon": epsilon,
                "correct": self.correct,
                "robust": robust,
                "stage": stage.astype(str),
                "distance": np.where(np.isfinite(self.distance), self.distance, np.nan),
            }
        )


def evaluate_robustness(
    model: nn.Module,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    epsilons: Sequence[float],
    norm: str = "Linf",
    version: str = "standard",
    ladder: bool = True,
    top5: bool = False,
    batch_size: int | None = None,
    device: str | None = None,
    screen_precision: str = "float32",
    seed: int = 0,
    ledger: None = None,
    progress: bool = False,
) -> "pd.DataFrame":
    """Verdict of AutoAttack on every image at every epsilon.

    Parameters
    ----------
    model : module in eval mode, (N, C, H, W) float32 pixels in [0, 1] to (N, K) logits
    images : (N, C, H, W) float32 in [0, 1]
    labels : (N,) integers in 0 .. K-1
    epsilons : radii of the ball in [0, 1] pixel units; 0 < epsilon <= 0.5 for Linf
    norm : "Linf" or "L2"
    version : "standard" (APGD-CE, APGD-T, FAB-T, Square)
    ladder : False runs the judge once per epsilon and shares nothing, to check the ladder against
    batch_size : images per batch; None: 256
    seed : seed of every random draw of the judge
    progress : a bar on stderr

    Returns
    -------
    DataFrame, one row per image and epsilon (ascending): `image` (position), `label`, `epsilon`, `correct`
    (clean prediction), `robust`, `stage` (what settled it), `distance` (measured norm of the smallest
    adversarial known, null if none). ``attrs["cost"]`` holds image passes, seconds per stage, versions.

    Raises
    ------
    AlignsecError
        Training mode, logits that are not (N, K) and finite, pixels outside [0, 1], labels out of range, an
        epsilon of 0 or below or twice or (Linf) above 0.5, or an option that this version does not have.
    """
    import pandas as pd

    if norm not in NORMS:
        raise AlignsecError(f"norm {norm!r} is not one of {', '.join(NORMS)}")
    if version not in VERSIONS:
        raise AlignsecError(f"attack version {version!r} is not one of {', '.join(VERSIONS)}")
    unsupported = {
        "top5": top5,
        "ledger": ledger is not None,
        "screen_precision": screen_precision != "float32",
    }
    for option, asked in unsupported.items():
        if asked:
            raise AlignsecError(f"{option} is not available in this version of alignsec: leave it out")
    if batch_size is not None and batch_size < 1:
        raise AlignsecError(f"batch_size must be at least 1, not {batch_size}")
    ladder_down = checks.epsilons(epsilons, norm)[::-1]
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    x = torch.as_tensor(images, dtype=torch.float32, device=device)
    y = torch.as_tensor(labels, device=device)
    model = model.to(device)
    classes = checks.inputs(model, x, y)
    y = y.long()

    counted = Counted(model).eval()
    judge = _Judge(counted, norm, version, seed, device, classes)
    size = batch_size or DEFAULT_BATCH
    runs: dict[float, _Run] = {}
    run = _Run(counted, x, y, norm, size)
    for epsilon in tqdm(ladder_down, desc="epsilon", unit="ball", disable=not progress):
        if ladder:
            run.screen(epsilon)
        else:
            run = _Run(counted, x, y, norm, size)
        run.judge(judge, epsilon, tighten=ladder)
        run.settle(epsilon)
        runs[epsilon] = run
    table = pd.concat([runs[e].verdicts(e) for e in ladder_down[::-1]], ignore_index=True)
    distinct = list({id(r): r for r in runs.values()}.values())
    table.attrs["cost"] = {
        "forward_images": counted.forward_images,
        "forward_backward_images": counted.backward_images,
        "seconds": {stage: sum(r.seconds[stage] for r in distinct) for stage in ("screen", *judge.stages)},
        "contradicted_failures": sum(r.contradictions for r in distinct),
        "batch_size": size,
        "device": device,
        "attack": f"pyautoattack {package_version('pyautoattack')} {version}",
        "torch": torch.__version__,
    }
    return table
