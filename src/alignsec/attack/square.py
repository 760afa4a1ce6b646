"""Square (Andriushchenko et al. 2020, arXiv 1912.00049) with a radius per image, and a host that never waits.

The authors' code takes one radius for a batch and asks the device several times a step: which images stand,
where the window lies. Here windows are drawn before the search, an image that falls stays as it is, and the
batch is looked at every `COMPACTED` steps only, when those that fell leave it. At equal draws every image
goes through the same points (a test compares them call by call).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alignsec.attack import draws
from alignsec.attack.screen import margin
from alignsec.study.epsilon import Norm

QUERIES = 5000
COMPACTED = 64  # steps between two looks at the batch on a GPU, where looking makes the host wait

Window = tuple[slice, slice, slice, slice]


def _length(values: Tensor, *dims: int) -> Tensor:
    return (values**2).sum(dim=dims, keepdim=True).sqrt()


def _unit(delta: Tensor) -> Tensor:
    return delta / ((delta**2).flatten(1).sum(-1).sqrt()[:, None, None, None] + 1e-12)


@dataclass
class Batch:
    """The images that are searched.

    `gap` (N,): by how much the label's logit exceeds the others at `best` (N, C, H, W); an image falls where
    that is zero or below, and moves no more.
    """

    row: Tensor
    x: Tensor
    y: Tensor
    radius: Tensor  # (N, 1, 1, 1)
    best: Tensor
    gap: Tensor
    not_finite: Tensor  # (N,) bool, whether such logits were met

    def standing(self, at: Tensor) -> "Batch":
        """These rows of it."""
        return Batch(*(t.index_select(0, at) for t in vars(self).values()))


class Square:
    """The search of one judge.

    Parameters
    ----------
    authors : `pyautoattack.square.SquareAttack`: its schedule of window sizes, and in L2 its windows' form
    every : steps between two looks at the batch; None: 1 on a CPU, `COMPACTED` on a GPU
    """

    def __init__(self, authors: Any, norm: str, seed: int, every: int | None = None) -> None:
        self.authors, self.norm, self.seed, self.every = authors, norm, seed, every
        self.forms: dict[tuple[int, bool], Tensor] = {}

    @torch.no_grad()
    def search(
        self, model: nn.Module, x: Tensor, y: Tensor, marks: Sequence[bytes], radii: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What was found of images x (N, C, H, W) with labels y (N,) in balls of radii (N,).

        Returns
        -------
        (candidates (N, C, H, W): the first point that is no longer of the label's class, or the clean image;
        not finite (N,) bool: logits that are not were met on the way)
        """
        every = self.every or (1 if x.device.type == "cpu" else COMPACTED)
        radius = radii.view(-1, 1, 1, 1)
        shared = draws.Shared(self.seed)
        best = self._start(shared, x, marks, radius)
        gap = -margin(model(best), y)
        batch = Batch(torch.arange(len(x), device=x.device), x, y, radius, best, gap, gap.isinf())
        step = self._steps(shared, x)
        found, odd = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for first in range(0, QUERIES, every):
            at = (batch.gap > 0).nonzero()[:, 0]
            if len(at) < len(batch.row):
                self._keep(batch, found, odd)
                batch = batch.standing(at)
            if not len(at):
                return found, odd
            for number in range(first, min(first + every, QUERIES)):
                step(model, batch, number)
        self._keep(batch, found, odd)
        return found, odd

    @staticmethod
    def _keep(batch: Batch, found: Tensor, odd: Tensor) -> None:
        fell = (batch.gap <= 0)[:, None, None, None]
        found.index_copy_(0, batch.row, torch.where(fell, batch.best, batch.x))
        odd.index_copy_(0, batch.row, batch.not_finite)

    def _start(self, shared: draws.Shared, x: Tensor, marks: Sequence[bytes], radius: Tensor) -> Tensor:
        if self.norm == Norm.LINF:
            signs = draws.stripes(marks, self.seed, x.shape[1:]).to(x.device)
            return (x + radius * signs).clamp(0.0, 1.0)
        channels, height, width = x.shape[1:]
        delta = torch.zeros(1, channels, height, width)
        side = max(height // 5, 1)
        first = max((height - 5 * side) // 2, 0)
        rows, columns = height // side, width // side
        signs = torch.from_numpy(np.sign(2 * shared.uniform(rows * columns, channels, 1, 1) - 1))
        corners = [(first + i * side, first + j * side) for i in range(rows) for j in range(columns)]
        for sign, turned, (top, left) in zip(signs, shared.turned(len(corners)), corners, strict=True):
            part = delta[_window(side, top, left)]  # may reach beyond the image
            part += (self._form(side, turned) * sign)[:, : part.shape[2], : part.shape[3]]
        return (x + (_unit(delta).to(x.device)) * radius).clamp(0.0, 1.0)

    def _form(self, side: int, turned: bool) -> Tensor:
        """A window of the L2 attack, (side, side), of length 1: two halves of opposite sign."""
        if (side, turned) not in self.forms:
            upper = self.authors.eta_rectangles(side // 2, side)
            form = torch.cat([upper, -self.authors.eta_rectangles(side - side // 2, side)])
            form = form / _length(form, 0, 1)
            self.forms[side, turned] = form.T.contiguous() if turned else form
        return self.forms[side, turned]

    def _side(self, step: int, shape: Sequence[int]) -> int:
        channels, height, width = shape
        share = self.authors.p_selection(step) * (channels * height * width) / channels
        side = round(math.sqrt(share))
        if self.norm == Norm.L2:
            side = max(side, 3) | 1  # odd
        return min(max(side, 1), height, width)

    def _steps(self, shared: draws.Shared, x: Tensor) -> Callable[[nn.Module, Batch, int], None]:
        """The steps of one batch: what they draw is drawn here, and signs are brought to the device once."""
        channels, height, width = x.shape[1:]
        sides = [self._side(i, x.shape[1:]) for i in range(QUERIES)]
        numbers = 2 if self.norm == Norm.LINF else 4
        drawn = shared.uniform(QUERIES, numbers + channels)
        room = np.array([[height - s, width - s] * (numbers // 2) for s in sides], dtype=np.float32)
        corners = (room * drawn[:, :numbers]).astype(int).tolist()
        signs = torch.from_numpy(np.sign(2 * drawn[:, numbers:] - 1))[:, :, None, None].to(x.device)
        if self.norm == Norm.LINF:
            return lambda model, batch, i: _flip(model, batch, _window(sides[i], *corners[i]), signs[i])
        turned = list(shared.turned(QUERIES))
        forms = {(s, t): self._form(s, t).to(x.device) for s in set(sides) for t in (False, True)}

        def move(model: nn.Module, batch: Batch, i: int) -> None:
            near, far = _window(sides[i], *corners[i][:2]), _window(sides[i], *corners[i][2:])
            _shift(model, batch, near, far, forms[sides[i], turned[i]] * signs[i])

        return move


def _window(side: int, top: int, left: int) -> Window:
    return slice(None), slice(None), slice(top, top + side), slice(left, left + side)


def _flip(model: nn.Module, batch: Batch, window: Window, signs: Tensor) -> None:
    """Linf: move a window of all images by twice the radius, up or down per channel."""
    clean, old, r = batch.x[window], batch.best[window], batch.radius
    new = torch.min(torch.max(old + 2 * r * signs, clean - r), clean + r).clamp(0.0, 1.0)
    tried = batch.best.clone()
    tried[window] = new
    _take(model, batch, tried)


def _shift(model: nn.Module, batch: Batch, near: Window, far: Window, form: Tensor) -> None:
    """L2: move the length of the perturbation in window `far`, and what the ball has left, to `near`."""
    delta = batch.best - batch.x
    channels = delta.shape[1]
    rest = (batch.radius**2 - _length(delta, 1, 2, 3) ** 2).clamp_min(0.0)
    covered = torch.zeros_like(delta[:1, :1])
    covered[near], covered[far] = 1.0, 1.0
    held = _length(delta * covered, 2, 3)
    new = form + delta[near] / (1e-12 + _length(delta[near], 2, 3))
    new = new / (1e-12 + _length(new, 2, 3)) * (rest / channels + held**2).sqrt()
    delta[far] = 0.0
    delta[near] = new
    _take(model, batch, (batch.x + _unit(delta) * batch.radius).clamp(0.0, 1.0))


def _take(model: nn.Module, batch: Batch, tried: Tensor) -> None:
    """Keep the points of images that stand and are nearer to another class now."""
    gap = -margin(model(tried), batch.y)
    better = (gap < batch.gap) & (batch.gap > 0)
    batch.best = torch.where(better[:, None, None, None], tried, batch.best)
    batch.not_finite = batch.not_finite | (gap.isinf() & (batch.gap > 0))
    batch.gap = torch.where(better, gap, batch.gap)
