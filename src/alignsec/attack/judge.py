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
from alignsec.attack.draws import start_points
from alignsec.attack.square import QUERIES, Square
from alignsec.study.request import Attack, AttackRequest

TARGETS = 9
ITERATIONS = 100  # of APGD and of FAB, as in the reference
APGD = (Attack.APGD_CE, Attack.APGD_DLR, Attack.APGD_T)
TARGETED = (Attack.APGD_T, Attack.FAB_T)
RANKED = {Attack.APGD_T: 4, Attack.APGD_DLR: 3}  # these losses rank the fourth (third) largest logit


@dataclass(frozen=True)
class Rows:
    """A batch of the judge; an image may stand in several rows, in other balls or towards other classes.

    Parameters
    ----------
    x : (N, C, H, W) float32 in [0, 1], clean images that are classified rightly
    y : (N,) int64, their labels
    marks : digests of the images, whose draws they are (`alignsec.attack.draws.digests`)
    radii : (N,) float32, of their balls in [0, 1] pixel units
    ranks : (N,) int64, 2 or above, of the targeted attacks: the target is the class of this rank among the
        logits of the clean image
    """

    x: Tensor
    y: Tensor
    marks: Sequence[bytes]
    radii: Tensor
    ranks: Tensor | None = None


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
        self.reference.square.device = "cpu"  # it makes the forms of windows, which are kept
        self.square = Square(self.reference.square, request.norm, request.seed)
        self.norm, self.seed, self.classes = request.norm, request.seed, classes
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
            return Passes(QUERIES + 1)  # and the start
        # FAB looks at the clean image, and after each step; untargeted it takes a gradient of each logit
        looks, gradients = (2, 1) if name == Attack.FAB_T else (1, self.classes)
        return Passes(looks + ITERATIONS, gradients * ITERATIONS)

    def passes(self, unit: str) -> int:
        """The same in forward-equivalent passes."""
        return self.cost(unit).equivalents

    def attack(self, name: Attack | str, rows: Rows) -> Answer:
        """Run one attack, each row in its own ball and, if it is targeted, towards its own class.

        Draws belong to image, attack and rank, so a row goes through what it would go through alone.
        """
        if (name in TARGETED) != (rows.ranks is not None):
            raise ValueError(
                f"{name} with ranks {rows.ranks}: the targeted attacks need them, others have none"
            )
        if name in APGD:
            return self._apgd(name, rows)
        if name == Attack.SQUARE:
            return Answer(self.square.search(self.reference.model, rows.x, rows.y, rows.marks, rows.radii))
        return self._fab(rows)

    def _apgd(self, name: str, rows: Rows) -> Answer:
        apgd = self.reference.apgd
        calls = [str(name)] * len(rows.x)
        if rows.ranks is None:
            apgd.loss = name.removeprefix("apgd-")
        else:
            apgd = self.reference.apgd_targeted
            with torch.no_grad():
                apgd.y_target = targets(self.reference.model(rows.x), rows.ranks)
            calls = [f"{name}:{rank}" for rank in rows.ranks.tolist()]
        apgd.eps, apgd.seed = rows.radii.view(-1, 1, 1, 1), self.seed
        apgd.init_hyperparam(rows.x)
        start = start_points(rows.x, rows.marks, self.seed, calls, rows.radii, self.norm)
        torch.manual_seed(self.seed)  # of a stochastic model's own draws
        best, standing, _, adversarial = apgd.attack_single_run(rows.x, rows.y, x_init=start)
        broken = ~standing.bool()[:, None, None, None]
        return Answer(torch.where(broken, adversarial, rows.x), best if name == Attack.APGD_CE else None)

    def _fab(self, rows: Rows) -> Answer:
        """The nearest adversarials that FAB finds, in the ball or not.

        Its radius is for random starts and for the verdict, which are not its part here: from the clean image
        it never asks for one, so the distances are facts for every ball.
        """
        model, ranks, fab = self.reference.model, rows.ranks, self.reference.fab

        def shown(x: Tensor) -> Tensor:
            logits: Tensor = model(x)
            if ranks is None:
                return logits
            # the authors' code takes all images to one rank: each row's target is shown as its second class
            top, target = logits.argmax(1, keepdim=True), targets(logits, ranks)[:, None]
            return torch.zeros_like(logits).scatter(1, target, 1.0).scatter(1, top, 2.0)

        fab.target_class, fab.seed = 2, self.seed
        fab._predict_fn = shown
        fab._get_predicted_label = torch.no_grad()(lambda x: model(x).max(1)[1])
        return Answer(
            fab.attack_single_run(rows.x, rows.y, use_rand_start=False, is_targeted=ranks is not None)
        )


def targets(logits: Tensor, ranks: Tensor) -> Tensor:
    """The class of each row's rank, 1 for the largest of its logits; (N, K) and (N,) to (N,).

    >>> targets(torch.tensor([[0.1, 0.5, 0.2], [3.0, 2.0, 1.0]]), torch.tensor([2, 3])).tolist()
    [2, 2]
    """
    return logits.sort(dim=1)[1].gather(1, (logits.shape[1] - ranks)[:, None])[:, 0]
