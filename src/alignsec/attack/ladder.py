"""The epsilon ladder around the reference AutoAttack: what is tried next, on which images.

The balls of several epsilons are nested, so an adversarial of measured norm d settles every epsilon >= d, and
an image on which the whole judge failed at e is taken as robust at smaller epsilons unless the cheap screen
there finds an adversarial, which then corrects the larger ones as well. So every image has one ball at a time
that it is open in, the largest that is not settled. All images are screened there; then they go through the
judge together, each in its own ball. One that breaks falls to its next ball, is screened there and comes
again; the earliest unit that has work runs first, so that the others wait for it, and the last and longest
runs on all. Every image pays for one failed AutoAttack, and all of them for one AutoAttack's steps, however
many epsilons are asked.
"""

import numpy as np
import numpy.typing as npt

from alignsec.attack import screen as cheap
from alignsec.attack.batches import Batch
from alignsec.attack.counting import Passes
from alignsec.attack.judge import Judge
from alignsec.attack.known import Flags, stage_name, tolerance
from alignsec.attack.progress import Progress
from alignsec.attack.units import Units
from alignsec.attack.verdicts import REPEATS
from alignsec.attack.work import SCREENED_AT_ONCE, Record, Unit
from alignsec.study.request import Attack, AttackRequest, Precision

Numbers = npt.NDArray[np.intp]
Balls = npt.NDArray[np.float64]
NEAR = 1.01  # of an adversarial that is kept, against the smallest known: what tightening leaves open


class Ladder:
    """Takes a model's images through screen and judge at every epsilon."""

    def __init__(self, units: Units, bar: Progress) -> None:
        self.units, self.bar, self.request = units, bar, units.request
        self.work, self.verdicts = units.work, units.work.verdicts
        self.names = units.judge.units
        self.work.shown = self.show

    def evaluate(self) -> None:
        """Do what is left to do."""
        while self.work.left:
            self.work.carry_out(self.work.left, self._how(self.work.left[0].unit))
        self._run("clean", np.flatnonzero(~self.verdicts.seen))
        if self.request.ladder:
            while self._screen() or self._judge() or self._carry():
                pass
        else:
            self._separately()
        for epsilon in self.request.radii[::-1] if self.request.top5 else ():
            asked = self.verdicts.clean_top5.copy()
            asked[list(self.verdicts.in_top5[epsilon])] = False
            self._run("top5", np.flatnonzero(asked), epsilon)
        if self.request.keep:
            self._keep()
        self.bar.close()

    def _how(self, unit: str) -> Unit:
        ways: dict[str, Unit] = {
            "clean": self.units.clean,
            "probe": self.units.probe,
            "screen": self.units.screen(cheap.STEPS),
            "carried": self.units.screen(cheap.CARRIED_STEPS),
            "top5": self.units.highest_loss,
        }
        return ways.get(unit, self.units.judged)

    def _run(self, unit: str, images: Numbers, epsilon: float | Balls | None = None) -> bool:
        """Take images through a unit, each in its ball (None: in the largest); whether there were any."""
        radii = np.broadcast_to(self.request.radii[-1] if epsilon is None else epsilon, images.shape)
        batch = Batch(unit, images.tolist(), radii.tolist())
        self.work.run(batch, self._how(unit), SCREENED_AT_ONCE if unit in ("screen", "carried") else 1)
        return bool(len(batch))

    def _screen(self) -> bool:
        """Probe, and screen every image in the ball that it is open in; whether there was one to screen."""
        if self.request.stochastic:
            return False
        known = self.verdicts.books[0]
        self._run("probe", np.flatnonzero((self.verdicts.open() > 0) & ~known.tried("probe", None)))
        ball = self.verdicts.open()
        fresh = np.zeros(len(ball), dtype=bool)
        for epsilon in self.request.radii:
            fresh |= (ball == epsilon) & ~known.tried("screen", epsilon)
        chosen = np.flatnonzero(fresh)
        return self._run("screen", chosen, ball[chosen])

    def _next(self) -> Numbers:
        """The number of the next unit of each image in its ball, (n,); one too many where there is none."""
        ball, known = self.verdicts.open(), self.verdicts.books[0]
        following = np.full(len(ball), len(self.names))
        for number in reversed(range(len(self.names))):
            for epsilon in self.request.radii:
                left = (ball == epsilon) & ~known.tried(self.names[number], epsilon)
                following[left] = number
        return following

    def _judge(self) -> bool:
        """Run the earliest unit that an image is at, on all that are at it; whether there was anything."""
        if not self.names:
            return False
        ball, following = self.verdicts.open(), self._next()
        through = np.flatnonzero((ball > 0) & (following == len(self.names)))
        if len(through):
            self._failed(through, ball)
            return True
        open_ = np.flatnonzero(ball > 0)
        if self._release([int(i) for i in open_], following, ball):
            return True
        if not len(open_):
            return False
        family = self.names[following.min()].partition(":")[0]
        at = [int(i) for i in open_ if self.names[following[i]].partition(":")[0] == family]
        if ":" not in self.names[following.min()]:
            return self._run(family, np.array(at), ball[at])
        # further classes of an image fill what the images leave empty of a batch, and no more: they are in
        # vain where an earlier one breaks it
        abreast = max(1, self.work.efficient // len(at))
        rows = [
            (i, float(ball[i]), rank) for i in at for rank in self._ranks(i, following[i], abreast, ball[i])
        ]
        images, radii, ranks = map(list, zip(*rows, strict=True))
        self.work.run(Batch(family, images, radii, ranks), self.units.judged, still=self.verdicts.unbroken)
        return True

    def _ranks(self, image: int, first: int, count: int, epsilon: float) -> list[int]:
        """The next `count` target classes of an image, from the unit of number `first` on."""
        name, known = self.names[first].partition(":")[0], self.verdicts.books[0]
        ranks: list[int] = []
        for unit in self.names[first:]:
            if unit.partition(":")[0] != name or (image, unit) in self.verdicts.held or len(ranks) == count:
                break
            if not known.tried(unit, epsilon)[image]:
                ranks.append(int(unit.partition(":")[2]))
        return ranks

    def _release(self, images: list[int], following: Numbers, ball: Balls) -> bool:
        """Let what was found before its turn count, of images that have come to it."""
        told = False
        for i in images:
            unit = self.names[following[i]]
            if (i, unit) not in self.verdicts.held:
                continue
            distance, kept, precision = self.verdicts.held[i, unit]
            name, _, rank = unit.partition(":")
            record: Record = {"kind": "done", "unit": name, "ranks": [int(rank)], "images": [i]}
            record |= {"epsilon": float(ball[i]), "precision": precision}
            record["found"] = [] if distance is None else [[0, distance]]
            self.work.note(record | ({"kept": [[0, *kept]]} if kept else {}))
            told = True
        return told

    def _failed(self, images: Numbers, ball: Balls) -> None:
        """Write down that the judge has failed on images in their balls, by the precision it searched in."""
        by: dict[str, list[int]] = {}
        for i in images.tolist():
            known = self.verdicts.known[float(ball[i])]
            by.setdefault(known.searched(i, float(ball[i]), self.names), []).append(i)
        for precision, chosen in by.items():
            record: Record = {"kind": "failed", "unit": self.names[-1], "precision": precision}
            self.work.note({**record, "images": chosen, "epsilon": ball[chosen].tolist()})

    def _carry(self) -> bool:
        """Screen images that the judge failed on in smaller balls, shortly; whether one fell open again."""
        if self.request.stochastic:
            return False
        known = self.verdicts.books[0]
        for epsilon in self.request.radii[::-1]:
            carried = self.verdicts.standing(epsilon) & (known.failed >= epsilon) & ~known.judged_at(epsilon)
            carried &= ~known.tried("carried", epsilon) & ~known.tried("screen", epsilon)
            self._run("carried", np.flatnonzero(carried), epsilon)
        return bool(self.names) and bool((self.verdicts.open() > 0).any())

    def _separately(self) -> None:
        """The reference's way: the judge once per epsilon, unit by unit, nothing shared."""
        for epsilon in self.request.radii[::-1]:
            known = self.verdicts.known[epsilon]
            for unit in self.names:
                name, _, rank = unit.partition(":")
                images = np.flatnonzero(
                    self.verdicts.unjudged(epsilon) & ~known.tried(unit, epsilon)
                ).tolist()
                ranks = [int(rank)] * len(images) if rank else None
                self.work.run(Batch(name, images, [epsilon] * len(images), ranks), self.units.judged)
            through = np.flatnonzero(self.verdicts.unjudged(epsilon))
            if len(through) and self.names:
                self._failed(through, np.full(len(self.verdicts.labels), epsilon))

    def _keep(self) -> None:
        """Find once more the smallest adversarials that were found when nobody asked to keep them."""
        verdicts = self.verdicts
        missing: dict[tuple[str, float], Batch] = {}
        for book in verdicts.books:
            for image in np.flatnonzero(np.isfinite(book.distance) & verdicts.correct).tolist():
                distance, epsilon, unit = min(book.finds[image])
                far = verdicts.kept[image][0] if image in verdicts.kept else np.inf
                # a verdict that rests on the nearer one needs it, however little is between them
                needed = any(
                    book.broken_at(image, e) and far > e + tolerance(e, self.request.norm)
                    for e in self.request.radii
                )
                if needed or far > NEAR * distance:
                    name, _, rank = unit.partition(":")
                    batch = missing.setdefault((name, epsilon), Batch(name, [], [], [] if rank else None))
                    batch.images.append(image)
                    batch.radii.append(epsilon)
                    if batch.ranks is not None:
                        batch.ranks.append(int(rank))
        for batch in missing.values():
            self.work.run(batch, self._how(batch.unit))

    def show(self, batch: Batch) -> None:
        """Tell the bar how far things are after a batch."""
        if not self.bar.show:
            return
        verdicts, names = self.verdicts, self.names
        costs = [self.units.judge.passes(u) for u in names]
        left = [sum(costs[number:]) for number in range(len(names) + 1)]
        if self.request.ladder:
            ball, following = verdicts.open(), self._next()
            open_: Flags = ball > 0
            rest = sum(left[number] for number in following[open_])
        else:
            standing = [verdicts.unjudged(e) for e in self.request.radii]
            open_ = np.any(standing, axis=0)
            rest = left[0] * int(np.sum(standing))
        counts = {e: int(verdicts.standing(e).sum()) for e in self.request.radii}
        self.bar.update(
            stage_name(batch.unit), self.work.model.equivalents, rest, int((~open_).sum()), counts
        )


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
