"""The epsilon ladder around the reference AutoAttack: what is tried next, on which images.

The balls of several epsilons are nested, so an adversarial of measured norm d settles every epsilon >= d, and
an image on which the whole judge failed at e is taken as robust at smaller epsilons unless the cheap screen
there finds an adversarial, which then corrects the larger ones as well. So: from the largest epsilon down,
screen, then judge what is left; every image pays for one failed AutoAttack, however many epsilons are asked.
"""

import numpy as np

from alignsec.attack import screen as cheap
from alignsec.attack.counting import Passes
from alignsec.attack.judge import Judge
from alignsec.attack.known import stage_name
from alignsec.attack.progress import Progress
from alignsec.attack.units import Units
from alignsec.attack.verdicts import REPEATS
from alignsec.attack.work import SCREENED_AT_ONCE
from alignsec.study.request import Attack, AttackRequest, Precision


class Ladder:
    """Takes a model's images through screen and judge at every epsilon."""

    def __init__(self, units: Units, bar: Progress) -> None:
        self.units, self.bar, self.request = units, bar, units.request
        self.work, self.verdicts = units.work, units.work.verdicts
        self.work.shown = self.show

    def evaluate(self) -> None:
        """Do what is left to do."""
        known, work = self.verdicts, self.work
        work.run("clean", None, np.flatnonzero(~known.seen), self.units.clean)
        for epsilon in self.request.radii[::-1]:
            if self.request.ladder and not self.request.stochastic:
                self._cheap(epsilon)
            for unit in self.units.judge.units:
                standing = known.unjudged(epsilon) & ~known.known[epsilon].tried(unit, epsilon)
                work.run(unit, epsilon, np.flatnonzero(standing), self.units.judged(unit))
            if self.request.top5:
                asked = known.clean_top5.copy()
                asked[list(known.in_top5[epsilon])] = False
                work.run("top5", epsilon, np.flatnonzero(asked), self.units.highest_loss)
        self.bar.close()

    def _cheap(self, epsilon: float) -> None:
        verdicts, known = self.verdicts, self.verdicts.known[epsilon]
        many = SCREENED_AT_ONCE * self.work.batch_size
        fresh = verdicts.unjudged(epsilon)
        self.work.run("probe", None, np.flatnonzero(fresh & ~known.tried("probe", None)), self.units.probe)
        fresh &= ~known.broken(epsilon) & ~known.tried("screen", epsilon)
        self.work.run("screen", epsilon, np.flatnonzero(fresh), self.units.screen(cheap.STEPS), many)
        carried = verdicts.standing(epsilon) & (known.failed >= epsilon)
        carried &= (
            ~known.tried("carried", epsilon) & ~known.tried("screen", epsilon) & ~known.judged_at(epsilon)
        )
        short = self.units.screen(cheap.CARRIED_STEPS)
        self.work.run("carried", epsilon, np.flatnonzero(carried), short, many)

    def show(self, unit: str, epsilon: float | None) -> None:
        """Tell the bar how far things are after a batch."""
        if not self.bar.show:
            return
        verdicts, judge, best = self.verdicts, self.units.judge, self.verdicts.books[0]
        whole = sum(judge.passes(u) for u in judge.units)
        low = self.request.radii[0]
        open_ = verdicts.correct & ~best.broken(low) & (best.failed < low)
        # images that stand in this ball go through what is left of the judge, of the others half may have to
        standing = open_ & ~best.broken(epsilon) if epsilon else open_
        units = judge.units
        rest = sum(judge.passes(u) for u in units[units.index(unit) + 1 :]) if unit in units else whole
        left = int(standing.sum()) * rest + int((open_ & ~standing).sum()) * whole // 2
        counts = {e: int(verdicts.standing(e).sum()) for e in self.request.radii}
        self.bar.update(stage_name(unit), self.work.model.equivalents, left, int((~open_).sum()), counts)


def least(judge: Judge, request: AttackRequest) -> Passes:
    """Passes of one image that is classified rightly and falls at once at every epsilon.

    With the ladder to the probe (version rand: to the judge's first attack), without to the first attack of
    each ball.
    """
    first = Passes(1) if judge.units[0] == Attack.SQUARE else judge.cost(judge.units[0])
    if not request.ladder:
        return clean(request) + len(request.radii) * first
    return clean(request) + (first if request.stochastic else cheap.probe_cost(judge.classes))


def most(judge: Judge, request: AttackRequest) -> Passes:
    """Passes of one image that is classified rightly and stands in every ball.

    With the ladder it goes through one whole judge, and in every other ball through the screen and, in case
    that only the judge breaks it there, the judge's first attack. Every adversarial on the way, of a larger
    ball, is checked and drawn nearer. (One that only the last attacks break, at several epsilons, would cost
    more.)
    """
    balls = len(request.radii)
    look = Passes(REPEATS if request.stochastic else 1)
    checked = look + request.keep * look
    if request.ladder and not request.stochastic:
        checked += cheap.tighten_cost() + look
    whole = sum((judge.cost(u) + checked for u in judge.units), Passes())
    top5 = balls * (judge.cost(Attack.APGD_CE) + Passes(1)) if request.top5 else Passes()
    if not request.ladder:
        return clean(request) + top5 + balls * whole
    again = judge.cost(judge.units[0]) + checked
    if request.stochastic:
        return clean(request) + whole + (balls - 1) * again
    screen = cheap.screen_cost(cheap.STEPS) + checked
    if request.screen_precision is not Precision.FLOAT32:
        screen += cheap.screen_cost(cheap.STEPS) + look
    probe = cheap.probe_cost(judge.classes) + checked
    return clean(request) + top5 + probe + balls * screen + whole + (balls - 1) * again


def clean(request: AttackRequest) -> Passes:
    """Passes of one image in the clean pass."""
    return Passes(1 + (REPEATS if request.stochastic else 0))


def misclassified(judge: Judge, request: AttackRequest) -> Passes:
    """Passes of one misclassified image, at most: top-5 robustness is measured on it as well."""
    balls = len(request.radii) if request.top5 else 0
    return clean(request) + balls * (judge.cost(Attack.APGD_CE) + Passes(1))
