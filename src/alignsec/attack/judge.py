"""The judge: the reference's own attacks, one unit at a time on one batch at a time.

``pyautoattack`` (Croce and Hein 2020, arXiv 2003.01690) loops over attacks, target classes and batches inside
one call. Here each of its single runs (APGD-CE; APGD-T and FAB-T towards one target class; Square) is a unit of
work: between units the images still standing are packed into full batches again, and a killed job loses one
batch of one unit at most. What an image goes through is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alignsec.attack.draws import SquareDraws, start_points

TARGETS = 9
EOT = 20  # gradients averaged per step on stochastic models, as in the reference's version "rand"
ATTACKS = ("apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square")
VERSIONS: dict[str, tuple[str, ...]] = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "rand": ("apgd-ce", "apgd-dlr"),
}


@dataclass
class Answer:
    """What one unit found: `candidates` (N, C, H, W); `highest_loss` the same, of APGD on cross-entropy only."""

    candidates: Tensor
    highest_loss: Tensor | None = None


class Judge:
    """AutoAttack's attacks at the settings of its version standard (rand: with EOT)."""

    def __init__(
        self,
        model: nn.Module,
        norm: str,
        version: str,
        attacks: Sequence[str],
        seed: int,
        device: str,
        classes: int,
    ) -> None:
        from pyautoattack import AutoAttack

        # constructed for its published settings; the radius is set at every call
        self.reference = AutoAttack(
            model,
            norm=norm,
            eps=1.0,
            seed=seed,
            version="rand" if version == "rand" else "standard",
            device=device,
        )
        self.norm, self.seed, self.device = norm, seed, device
        targets = range(2, min(TARGETS, classes - 1) + 2)
        self.units: list[str] = []
        for name in attacks:
            if (name == "apgd-t" and classes < 4) or (name == "apgd-dlr" and classes < 3):
                continue  # these losses rank the third (and fourth) logit
            self.units += [f"{name}:{t}" for t in targets] if name in ("apgd-t", "fab-t") else [name]

    def passes(self, unit: str) -> int:
        """Forward-equivalent passes of one image that survives the unit (a forward-backward counts 3)."""
        name = unit.split(":")[0]
        if name in ("apgd-ce", "apgd-dlr", "apgd-t"):
            return 303 * self.reference.apgd.eot_iter
        return {"fab-t": 403, "fab": 403, "square": 5001}[name]

    def attack(self, unit: str, x: Tensor, y: Tensor, marks: Sequence[bytes], epsilon: float) -> Answer:
        """Run one unit on correctly classified images x (N, C, H, W) with labels y (N,)."""
        name, _, target = unit.partition(":")
        r = self.reference
        if name in ("apgd-ce", "apgd-dlr", "apgd-t"):
            apgd = r.apgd_targeted if name == "apgd-t" else r.apgd
            apgd.eps, apgd.seed = epsilon, self.seed
            apgd.init_hyperparam(x)
            if name == "apgd-t":
                apgd.y_target = self._class(x, int(target))
            else:
                apgd.loss = name.removeprefix("apgd-")
            start = start_points(x, marks, self.seed, unit, epsilon, self.norm)
            torch.manual_seed(self.seed)  # of a stochastic model's own draws
            best, standing, _, adversarial = apgd.attack_single_run(x, y, x_init=start)
            broken = ~standing.bool()[:, None, None, None]
            return Answer(torch.where(broken, adversarial, x), best if name == "apgd-ce" else None)
        if name in ("fab", "fab-t"):
            r.fab.eps, r.fab.seed, r.fab.targeted = epsilon, self.seed, name == "fab-t"
            r.fab.target_class = int(target) if target else None
            return Answer(r.fab.attack_single_run(x, y, use_rand_start=False, is_targeted=name == "fab-t"))
        draws = SquareDraws(marks, self.seed, self.device)
        r.square.eps, r.square.seed = epsilon, self.seed
        r.square.random_choice, r.square.random_int = draws.choice, draws.integer
        return Answer(r.square.perturb(x, y))

    @torch.no_grad()
    def _class(self, x: Tensor, rank: int) -> Tensor:
        """The class with the `rank`-th largest logit of the clean image."""
        return self.reference.model(x).sort(dim=1)[1][:, -rank]
