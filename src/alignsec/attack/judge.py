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
from alignsec.ground.errors import AlignsecError
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
    """What was found of the rows.

    Parameters
    ----------
    candidates : (N, C, H, W), clean where nothing was found
    not_finite : (N,) bool, whether logits or a gradient that is not finite were met on the way
    highest_loss : (N, C, H, W), of APGD-CE only
    """

    candidates: Tensor
    not_finite: Tensor
    highest_loss: Tensor | None = None


class Finite(nn.Module):
    """The model as the authors' loops see it, row by row of one batch.

    Logits that are not finite are nothing that they could compare, and their gradient would carry an image
    off for good. A row of them is shown as its label's class beyond doubt, with no gradient: no adversarial,
    and no way on; a gradient that is not finite is none either. `met` (N,) says which rows had one of them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.training = model, model.training

    def start(self, labels: Tensor) -> None:
        """A batch with these labels comes next."""
        self.met = torch.zeros_like(labels, dtype=torch.bool)
        self.labels = labels[:, None]

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and torch.is_grad_enabled():
            x = x.view_as(x)
            x.register_hook(self._kept)  # type: ignore[no-untyped-call]
        logits: Tensor = self.model(x)
        odd = ~torch.isfinite(logits).all(1)
        self.met |= odd
        return torch.where(odd[:, None], torch.zeros_like(logits).scatter(1, self.labels, 1e3), logits)

    def _kept(self, slope: Tensor) -> Tensor:
        finite = torch.isfinite(slope)
        self.met |= ~finite.flatten(1).all(1)
        return torch.where(finite, slope, 0.0)


class Judge:
    """AutoAttack's attacks at the settings of its version standard (rand: with EOT)."""

    def __init__(self, model: nn.Module, request: AttackRequest, device: str, classes: int) -> None:
        from pyautoattack import AutoAttack

        self.model, self.finite = model, Finite(model)
        # constructed for its published settings; the radius is set at every call
        self.reference = AutoAttack(
            self.finite,
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
        self.left_out = [name for name in request.run if classes < RANKED.get(name, 2)]
        self.units = [
            unit
            for name in request.run
            if name not in self.left_out
            for unit in ([f"{name}:{t}" for t in targets] if name in TARGETED else [name.value])
        ]
        if not self.units:
            ranked = ", ".join(f"{name} ranks {RANKED[name]} logits" for name in self.left_out)
            raise AlignsecError(
                f"no attack can be run on a model of {classes} classes: {ranked}; "
                f"add another to attack.attacks ({', '.join(a for a in Attack if a not in RANKED)})"
            )

    def cost(self, unit: str) -> Passes:
        """Passes of one image that survives the unit; only Square costs less where the image falls."""
        name = unit.partition(":")[0]
        if name in APGD:
            averaged = self.reference.apgd.eot_iter
            return Passes(int(name == Attack.APGD_T), (1 + ITERATIONS) * averaged)
        if name == Attack.SQUARE:
            return Passes(QUERIES + 1)  # and the start
        # FAB looks after each step, and for its target at the clean image; untargeted it takes a gradient of
        # each logit
        looks, gradients = (1, 1) if name == Attack.FAB_T else (0, self.classes)
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
        if name == Attack.SQUARE:
            return Answer(*self.square.search(self.model, rows.x, rows.y, rows.marks, rows.radii))
        self.finite.start(rows.y)
        return self._apgd(name, rows) if name in APGD else self._fab(rows)

    def _apgd(self, name: str, rows: Rows) -> Answer:
        apgd = self.reference.apgd
        calls = [str(name)] * len(rows.x)
        if rows.ranks is None:
            apgd.loss = name.removeprefix("apgd-")
        else:
            apgd = self.reference.apgd_targeted
            with torch.no_grad():
                apgd.y_target = targets(self.finite(rows.x), rows.ranks)
            calls = [f"{name}:{rank}" for rank in rows.ranks.tolist()]
        apgd.eps, apgd.seed = rows.radii.view(-1, 1, 1, 1), self.seed
        apgd.init_hyperparam(rows.x)
        start = start_points(rows.x, rows.marks, self.seed, calls, rows.radii, self.norm)
        torch.manual_seed(self.seed)  # of a stochastic model's own draws
        best, standing, _, adversarial = apgd.attack_single_run(rows.x, rows.y, x_init=start)
        broken = ~standing.bool()[:, None, None, None]
        found = torch.where(broken, adversarial, rows.x)
        return Answer(found, self.finite.met, best if name == Attack.APGD_CE else None)

    def _fab(self, rows: Rows) -> Answer:
        """The nearest adversarials that FAB finds, in the ball or not.

        Its radius is for random starts and for the verdict, which are not its part here: from the clean image
        it never asks for one, so the distances are facts for every ball.
        """
        model, ranks, fab = self.finite, rows.ranks, self.reference.fab

        def shown(x: Tensor) -> Tensor:
            logits: Tensor = model(x)
            if ranks is None:
                return logits
            # the authors' code takes all images to one rank: each row's target is shown as its second class
            top, target = logits.argmax(1, keepdim=True), targets(logits, ranks)[:, None]
            return torch.zeros_like(logits).scatter(1, target, 1.0).scatter(1, top, 2.0)

        known = [rows.y]  # of the clean images, at which it looks first: all rows are to go through it

        @torch.no_grad()
        def predicted(x: Tensor) -> Tensor:
            return known.pop() if known else model(x).max(1)[1]

        fab.target_class, fab.seed = 2, self.seed
        fab._predict_fn, fab._get_predicted_label = shown, predicted
        found = fab.attack_single_run(rows.x, rows.y, use_rand_start=False, is_targeted=ranks is not None)
        return Answer(found, self.finite.met)


def targets(logits: Tensor, ranks: Tensor) -> Tensor:
    """The class of each row's rank, 1 for the largest of its logits; (N, K) and (N,) to (N,).

    >>> targets(torch.tensor([[0.1, 0.5, 0.2], [3.0, 2.0, 1.0]]), torch.tensor([2, 3])).tolist()
    [2, 2]
    """
    return logits.sort(dim=1)[1].gather(1, (logits.shape[1] - ranks)[:, None])[:, 0]
