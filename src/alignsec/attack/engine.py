"""The epsilon ladder around the reference AutoAttack.

The balls of several epsilons are nested, so an adversarial of measured norm d settles every epsilon >= d, and an
image on which the whole judge failed at e is taken as robust at smaller epsilons unless the cheap screen there
finds an adversarial, which then corrects the larger ones as well. So: from the largest epsilon down, screen,
then judge what is left; every image pays for one failed AutoAttack, however many epsilons are asked.
"""

import base64
import contextlib
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from alignsec.attack import batches, checks
from alignsec.attack import draws as drawn
from alignsec.attack import screen as cheap
from alignsec.attack.counting import Counted
from alignsec.attack.judge import Judge
from alignsec.attack.known import Known, key, stage_name, tolerance
from alignsec.attack.ledger import Ledger, images_hash
from alignsec.attack.progress import Progress
from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import weights_hash
from alignsec.ground.reasons import out_of_memory

if TYPE_CHECKING:
    import pandas as pd

NORMS = ("Linf", "L2")
PRECISIONS = ("float32", "bfloat16")
REPEATS = 10  # evaluations of an adversarial of a stochastic model; the majority is the verdict
SCREENED_AT_ONCE = 8  # batches of one screening job

Work = Callable[[list[int], float], dict[str, Any]]


def _among_top5(logits: Tensor, labels: Tensor) -> Tensor:
    """Is the label among the five largest logits, (N,) bool."""
    top = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return (top == labels[:, None]).any(1)


@contextlib.contextmanager
def _exact_float32() -> Iterator[None]:
    """TF32 off: the last word on an adversarial is float32's."""
    saved = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = saved


@contextlib.contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No gradients of parameters: some attacks would compute and heap them up."""
    wanted = [p for p in model.parameters() if p.requires_grad]
    for p in wanted:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in wanted:
            p.requires_grad_(True)


class _Evaluation:
    """One model on one set of images."""

    def __init__(
        self,
        model: Counted,
        x: Tensor,
        y: Tensor,
        marks: Sequence[bytes],
        judge: Judge,
        ledger: Ledger,
        *,
        epsilons: Sequence[float],
        norm: str,
        stochastic: bool,
        ladder: bool,
        top5: bool,
        keep: bool,
        precision: str,
        batch_size: int | None,
        progress: bool,
    ) -> None:
        self.model, self.x, self.y, self.judge, self.ledger = model, x, y, judge, ledger
        self.epsilons, self.norm, self.stochastic = list(epsilons), norm, stochastic
        self.ladder, self.top5, self.keep, self.precision = ladder, top5, keep, precision
        self.marks = marks
        n = len(x)
        # one for all epsilons, or one for each
        self.books = [Known(n, norm) for _ in (self.epsilons[:1] if ladder else self.epsilons)]
        self.known = dict(zip(self.epsilons, self.books * (len(self.epsilons) if ladder else 1), strict=True))
        self.seen = np.zeros(n, dtype=bool)
        self.correct = np.zeros(n, dtype=bool)
        self.clean_top5 = np.zeros(n, dtype=bool)
        self.clean_votes = np.zeros(n, dtype=np.int64)
        self.in_top5: dict[float, dict[int, bool]] = defaultdict(dict)
        self.dead: set[int] = set()
        self.softmax = False
        self.votes: list[list[tuple[float, int]]] = [[] for _ in range(n)]
        self.kept: dict[int, tuple[float, np.ndarray]] = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self.sizes: dict[str, set[int]] = defaultdict(set)
        self.spent = {"forward": 0, "backward": 0}
        self.plans: dict[tuple[str, float | None], list[list[int]]] = {}
        self.batch_size = self.halvings = 0
        self.fits = 2**30  # images known to be too many at once, halved
        self.bar = Progress(progress, n)
        for record in ledger.records:
            self._apply(record)
        self.replayed = self.spent["forward"] + 3 * self.spent["backward"]
        if batch_size is not None:
            self.batch_size = min(batch_size, self.fits)
        elif not self.batch_size:
            self._find_batch_size()

    # ---- facts ----

    def _apply(self, record: dict[str, Any]) -> None:
        kind = record["kind"]
        self.spent["forward"] += record.get("forward", 0)
        self.spent["backward"] += record.get("backward", 0)
        if kind == "batch size":
            self.batch_size = record["size"]
            if "reason" in record:
                self.fits, self.halvings = record["size"], self.halvings + 1
            return
        if kind == "plan":
            self.plans[key(record["unit"], record["epsilon"])] = [list(b) for b in record["batches"]]
            return
        unit, epsilon, images = record["unit"], record["epsilon"], record["images"]
        self.seconds[stage_name(unit)] += record["seconds"]
        self.sizes[stage_name(unit)].add(len(images))
        plan = self.plans.get(key(unit, epsilon))
        if plan and plan[0] == images:
            plan.pop(0)
        if unit == "clean":
            self.seen[images] = True
            self.correct[images] = record["correct"]
            self.clean_top5[images] = record["top5"]
            self.clean_votes[images] = record["clean_votes"]
            self.softmax |= record["softmax"]
        else:
            known = self.books[0] if self.ladder else self.known.get(epsilon)
            if known is not None:  # None: a ledger of separate epsilons, of one that is not asked now
                known.apply(record)
        self.dead.update(record.get("dead", ()))
        for image, value in record.get("in_top5", ()):
            self.in_top5[epsilon][image] = bool(value)
        for image, distance, bits in record.get("votes", ()):
            self.votes[image].append((distance, bits))
        for image, distance, kind_of_float, text in record.get("kept", ()):
            if image not in self.kept or distance < self.kept[image][0]:
                flat = np.frombuffer(base64.b64decode(text), dtype=kind_of_float)
                self.kept[image] = distance, flat.reshape(self.x.shape[1:])

    def _note(self, record: dict[str, Any]) -> None:
        self.ledger.append(record)
        self._apply(record)

    # ---- running a unit of work, batch by batch ----

    def _run(
        self, unit: str, epsilon: float | None, index: np.ndarray, work: Work, size: int | None = None
    ) -> None:
        """Take the images through `work` in batches; a plan that a killed run left is finished first.

        A batch that does not fit is halved, with all that follow; what was done is kept.
        """
        left = {i for b in self.plans.get(key(unit, epsilon), ()) for i in b}
        if left:
            self._carry_out(unit, epsilon, work, size)
        rest = [int(i) for i in index if i not in left]
        if rest:
            split = batches.even(rest, size or self.batch_size)
            self._note({"kind": "plan", "unit": unit, "epsilon": epsilon, "batches": split})
            self._carry_out(unit, epsilon, work, size)

    def _carry_out(self, unit: str, epsilon: float | None, work: Work, size: int | None) -> None:
        while plan := self.plans.get(key(unit, epsilon)):
            batch = list(plan[0])
            before = self.model.forward_images, self.model.backward_images
            start = time.perf_counter()
            try:
                result = work(batch, epsilon if epsilon is not None else max(self.epsilons))
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    # shapes and autograd: the model's forward was tried before, so its backward is meant
                    first = str(error).splitlines()[0]
                    raise checks.ModelError("autograd error", f"{unit}: {first}") from error
                if self.batch_size <= 1:
                    raise
                failed = (str(error).splitlines() or [type(error).__name__])[0]
            else:
                self._note(
                    {
                        "kind": "done",
                        "unit": unit,
                        "epsilon": epsilon if unit != "probe" else max(self.epsilons),
                        "images": batch,
                        **result,
                        **self._passes(before),
                        "seconds": round(time.perf_counter() - start, 4),
                    }
                )
                self._show(unit, epsilon)
                continue
            # outside the handler, so that the traceback lets go of the tensors that did not fit
            batches.release()
            halved = max(1, min(self.batch_size, len(batch)) // 2)
            self._note({"kind": "batch size", "size": halved, "reason": failed, **self._passes(before)})
            rest = [i for b in plan for i in b]
            split = batches.even(rest, halved if size is None else halved * SCREENED_AT_ONCE)
            self._note({"kind": "plan", "unit": unit, "epsilon": epsilon, "batches": split})

    def _passes(self, before: tuple[int, int]) -> dict[str, int]:
        return {
            "forward": self.model.forward_images - before[0],
            "backward": self.model.backward_images - before[1],
        }

    def _find_batch_size(self) -> None:
        before = self.model.forward_images, self.model.backward_images
        size = batches.CPU_BATCH
        if self.x.device.type == "cuda":

            def attempt(count: int) -> None:
                rows = torch.arange(count, device=self.x.device) % len(self.x)
                x = self.x[rows].requires_grad_(True)
                with torch.enable_grad():
                    loss = cheap.margin(self.model(x), self.y[rows]).sum()
                torch.autograd.grad(loss, x)

            # half of what a bare pass can hold: the attacks keep several copies of the batch beside it
            size = max(1, batches.largest(attempt, min(batches.GPU_BATCH, 2 * len(self.x))) // 2)
            batches.release()
        self._note({"kind": "batch size", "size": size, **self._passes(before)})

    def _show(self, unit: str, epsilon: float | None) -> None:
        if not self.bar.show:
            return
        best = self.books[0]
        whole = sum(self.judge.passes(u) for u in self.judge.units)
        low = min(self.epsilons)
        open_ = self.correct & ~best.broken(low) & (best.failed < low)
        done = self.model.equivalents
        # images that stand in this ball go through what is left of the judge, of the others half may have to
        standing = open_ & ~best.broken(epsilon) if epsilon else open_
        units = self.judge.units
        rest = sum(self.judge.passes(u) for u in units[units.index(unit) + 1 :]) if unit in units else whole
        left = int(standing.sum()) * rest + int((open_ & ~standing).sum()) * whole // 2
        counts = {e: int((self.correct & ~self.known[e].broken(e)).sum()) for e in self.epsilons}
        self.bar.update(stage_name(unit), done, left, int((~open_).sum()), counts)

    # ---- work ----

    @torch.no_grad()
    def _votes(self, x: Tensor, y: Tensor) -> np.ndarray:
        """Bits of correct predictions over repeated evaluations (one, unless the model is stochastic), (N,)."""
        bits = np.zeros(len(x), dtype=np.int64)
        with _exact_float32():
            for repeat in range(REPEATS if self.stochastic else 1):
                # a screening job holds several batches
                parts = [self.model(part).argmax(1) for part in x.split(self.batch_size)]
                bits |= (torch.cat(parts) == y).cpu().numpy().astype(np.int64) << repeat
        return bits

    def _wrong(self, bits: np.ndarray) -> np.ndarray:
        """Whether the majority of votes is wrong."""
        if not self.stochastic:
            return bits == 0
        return np.array([int(b).bit_count() * 2 <= REPEATS for b in bits], dtype=bool)

    def _clean(self, batch: list[int], _: float) -> dict[str, Any]:
        x, y = self.x[batch], self.y[batch]
        with torch.no_grad(), _exact_float32():
            logits = self.model(x)
        bad = (~torch.isfinite(logits)).any(1).nonzero()[:, 0]
        if len(bad):
            raise checks.ModelError(
                "no classifier", f"the logits of image {batch[int(bad[0])]} are not finite"
            )
        bits = (logits.argmax(1) == y).cpu().numpy().astype(np.int64)
        if self.stochastic:
            bits = self._votes(x, y)
        total = logits.sum(1)
        return {
            "correct": (~self._wrong(bits)).tolist(),
            "clean_votes": bits.tolist(),
            "top5": _among_top5(logits, y).tolist(),
            "softmax": bool((logits >= 0).all() and ((total - 1).abs() < 1e-4).all()),
        }

    def _take(self, batch: list[int], candidates: Tensor, epsilon: float) -> dict[str, Any]:
        """Adversarials among the candidates, each re-checked: misclassified in float32, in [0, 1], its norm measured.

        An adversarial outside the ball that was attacked is a fact as well, for a larger one.
        """
        rows = torch.as_tensor(batch, device=self.x.device)
        clean, y = self.x[rows], self.y[rows]
        candidates = candidates.detach().float()
        bits = self._votes(candidates, y)
        legal = ((candidates.flatten(1).amin(1) >= 0) & (candidates.flatten(1).amax(1) <= 1)).cpu().numpy()
        moved = cheap.size(candidates - clean, self.norm).cpu().numpy().astype(float)
        good = self._wrong(bits) & legal & (moved > 0)
        record: dict[str, Any] = {}
        if self.stochastic:
            record["votes"] = [
                [batch[i], float(moved[i]), int(bits[i])] for i in np.flatnonzero(legal & (moved > 0))
            ]
        chosen = np.flatnonzero(good)
        if len(chosen) and self.ladder and not self.stochastic:
            at = torch.as_tensor(chosen, device=self.x.device)
            nearer = torch.cat(
                [
                    cheap.tighten(self.model, clean[part], y[part], candidates[part])
                    for part in at.split(max(1, self.batch_size // 2))
                ]
            )
            sure = torch.as_tensor(self._votes(nearer, y[at]) == 0, device=self.x.device)
            candidates[at] = torch.where(sure[:, None, None, None], nearer, candidates[at])
            moved[chosen] = cheap.size(candidates[at] - clean[at], self.norm).cpu().numpy().astype(float)
        record["found"] = [[batch[i], float(moved[i])] for i in chosen]
        if self.keep:
            record["kept"] = [
                [batch[i], float(moved[i]), *self._compressed(clean[i], candidates[i], self.y[batch[i]])]
                for i in chosen
                if batch[i] not in self.kept or moved[i] < self.kept[batch[i]][0]
            ]
        return record

    def _compressed(self, clean: Tensor, adversarial: Tensor, label: Tensor) -> tuple[str, str]:
        """The perturbation in float16, rounded towards zero, if it is still adversarial; else in float32."""
        delta = (adversarial - clean).cpu().numpy()
        short = delta.astype(np.float16)
        over = np.abs(short.astype(np.float32)) > np.abs(delta)
        short[over] = np.nextafter(short[over], np.float16(0))
        again = (clean + torch.from_numpy(short.astype(np.float32)).to(clean.device)).clamp(0, 1)
        if not self._wrong(self._votes(again[None], label[None]))[0]:
            short = delta.astype(np.float32)
        return short.dtype.name, base64.b64encode(short.tobytes()).decode()

    def _probe(self, batch: list[int], epsilon: float) -> dict[str, Any]:
        candidates, dead = cheap.probe(self.model, self.x[batch], self.y[batch], self.norm)
        dead_images = [batch[i] for i in np.flatnonzero(dead.cpu().numpy())]
        return {**self._take(batch, candidates, epsilon), "dead": dead_images}

    def _screen(self, batch: list[int], epsilon: float, steps: int) -> dict[str, Any]:
        x, y = self.x[batch], self.y[batch]

        def reduced() -> contextlib.AbstractContextManager[object]:
            if self.precision == "float32":
                return contextlib.nullcontext()
            return torch.autocast(self.x.device.type, dtype=torch.bfloat16)

        candidates, found = cheap.screen(
            self.model, x, y, epsilon, self.norm, steps, self.batch_size, reduced
        )
        if self.precision != "float32":
            # what only reduced precision calls wrong goes again in float32
            false = (found.cpu().numpy() & ~self._wrong(self._votes(candidates, y))).nonzero()[0]
            if len(false):
                rows = torch.as_tensor(false, device=x.device)
                candidates[rows], _ = cheap.screen(
                    self.model, x[rows], y[rows], epsilon, self.norm, steps, self.batch_size
                )
        return self._take(batch, candidates, epsilon)

    def _judge(self, unit: str, batch: list[int], epsilon: float) -> dict[str, Any]:
        x, y = self.x[batch], self.y[batch]
        answer = self.judge.attack(unit, x.clone(), y.clone(), [self.marks[i] for i in batch], epsilon)
        record = self._take(batch, answer.candidates, epsilon)
        if self.top5 and answer.highest_loss is not None:
            record["in_top5"] = self._top5(batch, answer.highest_loss)
        if unit == self.judge.units[-1]:
            limit = epsilon + tolerance(epsilon, self.norm)
            broken = {i for i, d in record["found"] if d <= limit}
            record["failed"] = [i for i in batch if i not in broken]
        return record

    @torch.no_grad()
    def _top5(self, batch: list[int], adversarial: Tensor) -> list[list[int]]:
        with _exact_float32():
            logits = self.model(adversarial)
        inside = _among_top5(logits, self.y[batch]).tolist()
        return [[i, int(v)] for i, v in zip(batch, inside, strict=True)]

    def _highest_loss(self, batch: list[int], epsilon: float) -> dict[str, Any]:
        x, y = self.x[batch], self.y[batch]
        answer = self.judge.attack("apgd-ce", x, y, [self.marks[i] for i in batch], epsilon)
        assert answer.highest_loss is not None
        return {"in_top5": self._top5(batch, answer.highest_loss)}

    # ---- the ladder ----

    def evaluate(self) -> None:
        self._run("clean", None, np.flatnonzero(~self.seen), self._clean)
        for epsilon in sorted(self.epsilons, reverse=True):
            known = self.known[epsilon]
            if self.ladder and not self.stochastic:
                self._cheap(known, epsilon)
            self._expensive(known, epsilon)
            if self.top5:
                asked = self.clean_top5.copy()
                asked[list(self.in_top5[epsilon])] = False
                self._run("top5", epsilon, np.flatnonzero(asked), self._highest_loss)
        self.bar.close()

    def _cheap(self, known: Known, epsilon: float) -> None:
        many = SCREENED_AT_ONCE * self.batch_size
        fresh = self.correct & ~known.broken(epsilon) & (known.failed < epsilon)
        self._run("probe", None, np.flatnonzero(fresh & ~known.tried("probe", None)), self._probe)
        fresh &= ~known.broken(epsilon) & ~known.tried("screen", epsilon)
        long = partial(self._screen, steps=cheap.STEPS)
        self._run("screen", epsilon, np.flatnonzero(fresh), long, many)
        carried = self.correct & ~known.broken(epsilon) & (known.failed >= epsilon)
        carried &= (
            ~known.tried("carried", epsilon) & ~known.tried("screen", epsilon) & ~known.judged_at(epsilon)
        )
        short = partial(self._screen, steps=cheap.CARRIED_STEPS)
        self._run("carried", epsilon, np.flatnonzero(carried), short, many)

    def _expensive(self, known: Known, epsilon: float) -> None:
        for unit in self.judge.units:
            standing = (
                self.correct & ~known.broken(epsilon) & (known.failed < epsilon) & ~known.tried(unit, epsilon)
            )
            self._run(unit, epsilon, np.flatnonzero(standing), partial(self._judge, unit))

    # ---- the answer ----

    def table(self) -> "pd.DataFrame":
        import pandas as pd

        parts = []
        n = len(self.x)
        for epsilon in sorted(self.epsilons):
            known = self.known[epsilon]
            robust = self.correct & ~known.broken(epsilon)
            stage = [known.stage(i, epsilon) if self.correct[i] else "misclassified" for i in range(n)]
            part = {
                "image": np.arange(n),
                "label": self.y.cpu().numpy(),
                "epsilon": epsilon,
                "correct": self.correct,
                "correct_top5": self.clean_top5,
                "robust": robust,
                "stage": stage,
                "distance": np.where(np.isfinite(known.distance) & self.correct, known.distance, np.nan),
            }
            if self.top5:
                part["top5"] = [self.in_top5[epsilon].get(i, False) for i in range(n)]
            parts.append(pd.DataFrame(part))
        return pd.concat(parts, ignore_index=True)

    def warnings(self) -> dict[str, Any]:
        """What makes the figures of this model doubtful; empty if nothing does."""
        found: dict[str, Any] = {}
        if self.dead:
            probed = sum(int(k.tried("probe", None).sum()) for k in self.books)
            found["zero_gradients"] = len(self.dead) / probed
        gained = {
            i for k in self.books for i, finds in enumerate(k.finds) for _, _, s in finds if s == "square"
        }
        if gained and len(self.judge.units) > 1:
            found["square_after_white_box"] = len(gained)
        if self.ladder:
            crossed = self.books[0].contradictions
        else:
            up = sorted(self.epsilons)
            robust = np.array([self.correct & ~self.known[e].broken(e) for e in up])
            crossed = int((robust[1:] & ~robust[:-1]).sum())
        if crossed:
            found["not_monotone"] = crossed
        if self.softmax:
            found["softmax_output"] = True
        return found

    def spread(self) -> dict[str, float]:
        """Standard deviation of robust accuracy over repeated evaluations of the final adversarials."""
        out = {}
        for epsilon in sorted(self.epsilons):
            limit = epsilon + tolerance(epsilon, self.norm)
            chosen = self.clean_votes.copy()
            for i, votes in enumerate(self.votes):
                inside = [bits for d, bits in votes if d <= limit]
                if inside and self.correct[i]:
                    chosen[i] = min(inside, key=lambda b: int(b).bit_count())
            rates = [float(((chosen >> r) & 1).mean()) for r in range(REPEATS)]
            out[repr(epsilon)] = float(np.std(rates, ddof=1))
        return out


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
    ledger: Path | str | None = None,
    progress: bool = False,
    attacks: Sequence[str] | None = None,
    keep: Path | str | None = None,
) -> "pd.DataFrame":
    """Verdict of AutoAttack on every image at every epsilon.

    Parameters
    ----------
    model : module in eval mode, (N, C, H, W) float32 pixels in [0, 1] to (N, K) logits
    images : (N, C, H, W) float32 in [0, 1]
    labels : (N,) integers in 0 .. K-1
    epsilons : radii of the ball in [0, 1] pixel units; 0 < epsilon <= 0.5 for Linf
    norm : "Linf" or "L2"
    version : "standard" (APGD-CE, APGD-T, FAB-T, Square), "rand" (APGD-CE, APGD-DLR with EOT 20, for stochastic
        models; a verdict is the majority of 10 evaluations), or "custom" (the `attacks` named)
    ladder : False runs the judge once per epsilon and shares nothing, to check the ladder against
    top5 : also say whether the label is among the five largest logits of a full APGD-CE adversarial
    batch_size : images per batch; None: the largest that fits, found by doubling, on a GPU; 64 on a CPU
    device : a torch device; None: CUDA if there is one
    screen_precision : "float32" or "bfloat16", of the screen only; every find is re-checked in float32
    seed : seed of every random draw; each image has draws of its own
    ledger : path of a file that keeps what is settled, created if absent; a killed run goes on from it
    progress : a bar on a terminal, a line a minute elsewhere
    attacks : of version "custom", in order: apgd-ce, apgd-dlr, apgd-t, fab, fab-t, square (one restart each)
    keep : path of an .npz to write with the smallest adversarial known of each image: `image`, `distance`,
        `delta` (float16, added to the clean image and clipped to [0, 1]); where float16 would not do,
        `exact_image`, `exact_distance`, `exact_delta` (float32)

    Returns
    -------
    DataFrame, one row per image and epsilon (ascending): `image` (position), `label`, `epsilon`, `correct` and
    `correct_top5` (clean prediction), `robust`, `top5` (if asked for), `stage` (what settled it), `distance`
    (measured norm of the smallest adversarial known, null if none or misclassified).
    ``attrs["cost"]`` holds image passes, seconds per stage, batch sizes, peak memory, versions;
    ``attrs["warnings"]`` what makes the verdicts doubtful; ``attrs["spread"]`` (version rand) the standard
    deviation of robust accuracy over repeated evaluations, per epsilon.

    Raises
    ------
    AlignsecError
        Training mode, logits that are not (N, K) and finite, pixels outside [0, 1], labels out of range, an
        epsilon of 0 or below or twice or (Linf) above 0.5, an unknown option, or a ledger that belongs to
        another job, is damaged or cannot be written.

    Source: Croce and Hein 2020 (arXiv 2003.01690) for the attacks; docs/attack.md for the ladder.
    """
    run = checks.attacks(version, attacks)
    if norm not in NORMS:
        raise AlignsecError(f"norm {norm!r} is not one of {', '.join(NORMS)}")
    if screen_precision not in PRECISIONS:
        raise AlignsecError(f"screen_precision {screen_precision!r} is not one of {', '.join(PRECISIONS)}")
    if batch_size is not None and batch_size < 1:
        raise AlignsecError(
            f"batch_size {batch_size} is not a positive number; leave it out to have it found"
        )
    if top5 and version == "rand":
        raise AlignsecError(
            "top5 is not defined for version rand: its adversarials are judged by repeated evaluation"
        )
    radii = checks.epsilons(epsilons, norm)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    x = torch.as_tensor(images, dtype=torch.float32).to(place)
    y = torch.as_tensor(labels).to(place)
    model = model.to(place)
    with _frozen(model):
        classes = checks.inputs(model, x, y)
        y = y.long()
        counted = Counted(model).eval()
        marks = drawn.digests(x)
        identity = {
            "model": f"{type(model).__module__}.{type(model).__qualname__}",
            "weights": weights_hash(model),
            "images": images_hash(marks, x.shape, y),
            "norm": norm,
            "version": version,
            "attacks": list(run),
            "pyautoattack": package_version("pyautoattack"),
            "seed": seed,
            "ladder": ladder,
            "keep": keep is not None,
        }
        book = Ledger(ledger, identity)
        try:
            evaluation = _Evaluation(
                counted,
                x,
                y,
                marks,
                Judge(counted, norm, version, run, seed, place, classes),
                book,
                epsilons=radii,
                norm=norm,
                stochastic=version == "rand",
                ladder=ladder,
                top5=top5,
                keep=keep is not None,
                precision=screen_precision,
                batch_size=batch_size,
                progress=progress,
            )
            evaluation.evaluate()
        finally:
            book.close()
    table = evaluation.table()
    if keep is not None:
        _write_kept(Path(keep), evaluation.kept)
    table.attrs["cost"] = _cost(evaluation, place, version)
    table.attrs["warnings"] = evaluation.warnings()
    if version == "rand":
        table.attrs["spread"] = evaluation.spread()
    return table


def _cost(run: _Evaluation, device: str, version: str) -> dict[str, Any]:
    cuda = torch.device(device).type == "cuda"
    return {
        "forward_images": run.spent["forward"],
        "forward_backward_images": run.spent["backward"],
        "seconds": {stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        "batch_size": run.batch_size,
        "batch_sizes": {stage: sorted(sizes) for stage, sizes in run.sizes.items()},
        "out_of_memory": run.halvings,
        "peak_memory_mb": round(
            torch.cuda.max_memory_allocated() / 2**20
            if cuda
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        ),
        "resumed_passes": run.replayed,
        "device": torch.cuda.get_device_name() if cuda else device,
        "attack": f"pyautoattack {package_version('pyautoattack')} {version}",
        "torch": torch.__version__,
    }


def _write_kept(path: Path, kept: dict[int, tuple[float, np.ndarray]]) -> None:
    from alignsec.ground.tables import atomic

    arrays: dict[str, np.ndarray] = {}
    for prefix, dtype in (("", np.float16), ("exact_", np.float32)):
        chosen = sorted(i for i, (_, delta) in kept.items() if delta.dtype == dtype)
        arrays[f"{prefix}image"] = np.array(chosen, dtype=np.int64)
        arrays[f"{prefix}distance"] = np.array([kept[i][0] for i in chosen])
        arrays[f"{prefix}delta"] = np.stack([kept[i][1] for i in chosen]) if chosen else np.empty(0, dtype)
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)
