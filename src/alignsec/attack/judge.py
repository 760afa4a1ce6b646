"""The judge: the reference's own attacks, one unit at a time on one batch at a time.

``pyautoattack`` (Croce and Hein 2020, arXiv 2003.01690) loops over attacks, target classes and batches inside
one call. Here each of its single runs (APGD-CE; APGD-T and FAB-T towards one target class; Square) is a unit
of work: between units the images still standing are packed into full batches again, and a killed job loses
one batch of one unit at most. What an image goes through is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alignsec.attack.counting import Passes
from alignsec.attack.draws import SquareDraws, start_points
from alignsec.study.request import Attack, AttackRequest

TARGETS = 9
ITERATIONS = 100  # of APGD and of FAB, as in the reference
QUERIES = 5000  # of Square
APGD = (Attack.APGD_CE, Attack.APGD_DLR, Attack.APGD_T)
TARGETED = (Attack.APGD_T, Attack.FAB_T)
RANKED = {Attack.APGD_T: 4, Attack.APGD_DLR: 3}  # these losses rank the fourth (third) largest logit


@dataclass
class Answer:
    """What one unit found: `candidates` (N, C, H, W); `highest_loss` the same, of APGD-CE only."""

    candidates: Tensor
    highest_loss: Tensor | None = None


class Judge:
    """AutoAttack's attacks at the settings of its version standard (rand: with EOT)."""

    def __init__(self, model: nn.Module, request: AttackRequest, device: str, classes: int) -> None:
        from pyautoattack import AutoAttack

        # constructed for its published settings; the radius is set at every call
        self.reference = AutoAttack(
            model,
            norm=request.norm,
            eps=1.0,
            seed=request.seed,
            version="rand" if request.stochastic else "standard",
            device=device,
        )
        self.norm, self.seed, self.device, self.classes = request.norm, request.seed, device, classes
        targets = range(2, min(TARGETS, classes - 1) + 2)
        self.units: list[str] = []
        for name in request.run:
            if classes >= RANKED.get(name, 2):
                self.units += [f"{name}:{t}" for t in targets] if name in TARGETED else [name.value]

    def cost(self, unit: str) -> Passes:
        """Passes of one image that survives the unit; only Square costs less where the image falls."""
        name = unit.partition(":")[0]
        if name in APGD:
            averaged = self.reference.apgd.eot_iter
            return Passes(int(name == Attack.APGD_T), (1 + ITERATIONS) * averaged)
        if name == Attack.SQUARE:
            return Passes(QUERIES + 3)  # the clean image, the stripes, and the last word
        # FAB looks at the clean image, and after each step; untargeted it takes a gradient of each logit
        looks, gradients = (2, 1) if name == Attack.FAB_T else (1, self.classes)
        return Passes(looks + ITERATIONS, gradients * ITERATIONS)

    def passes(self, unit: str) -> int:
        """The same in forward-equivalent passes."""
        return self.cost(unit).equivalents

    def attack(self, unit: str, x: Tensor, y: Tensor, marks: Sequence[bytes], epsilon: float) -> Answer:
        """Run one unit on correctly classified images x (N, C, H, W) with labels y (N,)."""
        name, _, target = unit.partition(":")
        r = self.reference
        if name in APGD:
            apgd = r.apgd_targeted if name == Attack.APGD_T else r.apgd
            apgd.eps, apgd.seed = epsilon, self.seed
            apgd.init_hyperparam(x)
            if name == Attack.APGD_T:
                apgd.y_target = self._class(x, int(target))
            else:
                apgd.loss = name.removeprefix("apgd-")
            start = start_points(x, marks, self.seed, unit, epsilon, self.norm)
            torch.manual_seed(self.seed)  # of a stochastic model's own draws
            best, standing, _, adversarial = apgd.attack_single_run(x, y, x_init=start)
            broken = ~standing.bool()[:, None, None, None]
            return Answer(torch.where(broken, adversarial, x), best if name == Attack.APGD_CE else None)
        if name in (Attack.FAB, Attack.FAB_T):
            r.fab.eps, r.fab.seed, r.fab.targeted = epsilon, self.seed, name == Attack.FAB_T
            r.fab.target_class = int(target) if target else None
            return Answer(
                r.fab.attack_single_run(x, y, use_rand_start=False, is_targeted=name == Attack.FAB_T)
            )
        draws = SquareDraws(marks, self.seed, self.device)
        r.square.eps, r.square.seed = epsilon, self.seed
        r.square.random_choice, r.square.random_int = draws.choice, draws.integer
        return Answer(r.square.perturb(x, y))

    @torch.no_grad()
    def _class(self, x: Tensor, rank: int) -> Tensor:
        """The class with the `rank`-th largest logit of the clean image."""
        logits: Tensor = self.reference.model(x)
        return logits.sort(dim=1)[1][:, -rank]
