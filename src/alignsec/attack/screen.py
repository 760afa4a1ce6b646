"""Cheap attacks that settle the easy images before the judge sees them."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn

from alignsec.attack.counting import Passes
from alignsec.study.epsilon import Norm

STEPS = 10  # of an image on its way to the judge
CARRIED_STEPS = 5  # of an image that the judge could not break in a larger ball
PROBED_CLASSES = 3  # of a model with more than twenty classes; else all, where a linear model is solved
REPACKED = 4  # steps between two looks at the slots on a GPU, where looking makes the host wait
OVERSHOOT = 1.02
# of the logits' scale: by less, another batch might round a point on the segment right
CLEAR = 1e-5
PRECISION = 0.01  # of a tightened distance, relative
TIGHTENINGS = 12

Precision = Callable[[], contextlib.AbstractContextManager[object]]
Loss = Callable[[Tensor, Tensor], Tensor]


def falling(steps: int) -> Tensor:
    """Step sizes as shares of epsilon, (steps,): from 1 to 0.1 along half a cosine."""
    return 0.1 + 0.45 * (1 + torch.cos(torch.pi * torch.arange(steps) / steps))


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest logit of a wrong class minus the logit of the right one, (N,); positive means misclassified.

    Where logits are not finite it is -inf: that is no adversarial.
    """
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return torch.where(torch.isfinite(logits).all(1), wrong - right, -torch.inf)


def size(delta: Tensor, norm: str) -> Tensor:
    """Norm of each perturbation (N, C, H, W), (N,), in [0, 1] pixel units."""
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == Norm.LINF else flat.norm(dim=1)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def direction(gradient: Tensor, norm: str) -> Tensor:
    """Steepest ascent of unit norm."""
    if norm == Norm.LINF:
        return gradient.sign()
    return gradient / _wide(gradient.flatten(1).norm(dim=1).clamp_min(1e-12))


def ball(x: Tensor, clean: Tensor, radii: Tensor, norm: str) -> Tensor:
    """`x` projected on the balls of `radii` (N,) around `clean`, then on [0, 1]."""
    delta = x - clean
    if norm == Norm.LINF:
        delta = delta.clamp(-_wide(radii), _wide(radii))
    else:
        delta = delta * _wide((radii / size(delta, norm).clamp_min(1e-12)).clamp_max(1.0))
    return (clean + delta).clamp(0.0, 1.0)


def probed(classes: int) -> int:
    """How many wrong classes the probe takes a gradient of."""
    return classes - 1 if classes <= 20 else PROBED_CLASSES


def probe_cost(classes: int) -> Passes:
    """Passes of one image in the probe."""
    return Passes(0, probed(classes))


def screen_cost(steps: int) -> Passes:
    """Passes of one image in a screen at most: until the next look at the slots it goes on."""
    return Passes(0, REPACKED * ceil(steps / REPACKED))


def tighten_cost() -> Passes:
    """Passes of one adversarial that is drawn nearer, at most."""
    return Passes(2 + TIGHTENINGS)


def probe(model: nn.Module, images: Tensor, labels: Tensor, norm: str) -> tuple[Tensor, Tensor]:
    """One linear step to the nearest decision boundary, of the likeliest wrong classes.

    The distance of the linearised boundary to class k is margin_k / ||gradient of margin_k|| in the dual norm
    (DeepFool, arXiv 1511.04599, eq. 8), exact for a linear model. Costs one forward-backward per class.

    Returns
    -------
    (candidates (N, C, H, W), dead (N,) bool: every gradient is exactly zero)
    """
    dual: float = 1 if norm == Norm.LINF else 2
    x = images.clone().requires_grad_(True)
    with torch.enable_grad():
        logits = model(x)
        order = logits.detach().scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
        right = logits.gather(1, labels[:, None])[:, 0]
        nearest = torch.full_like(right, torch.inf)
        best = images.clone()
        dead = torch.ones_like(labels, dtype=torch.bool)
        count = probed(logits.shape[1])
        for rank in range(count):
            gap = right - logits.gather(1, order[:, rank : rank + 1])[:, 0]
            (gradient,) = torch.autograd.grad(gap.sum(), x, retain_graph=rank < count - 1)
            slope = gradient.flatten(1).norm(p=dual, dim=1)
            dead &= slope == 0
            distance = gap.detach() / slope.clamp_min(1e-12)
            closer = distance < nearest
            nearest = torch.where(closer, distance, nearest)
            step = images - _wide(OVERSHOOT * distance) * direction(gradient, norm)
            best = torch.where(_wide(closer), step, best)
    return best.detach().clamp(0.0, 1.0), dead


@dataclass(frozen=True)
class Ascent:
    """How the screen climbs.

    Parameters
    ----------
    steps : of an image at most
    slots : images at once
    precision : context of the forward pass
    repack : steps between two looks at the slots; None: 1 on a CPU, `REPACKED` on a GPU
    loss : (logits (N, K), labels (N,)) -> (N,), ascended in place of the margin
    schedule : steps to their sizes as shares of epsilon; this and `loss` to measure what serves best
    """

    steps: int = STEPS
    slots: int = 256
    precision: Precision = contextlib.nullcontext
    repack: int | None = None
    loss: Loss = margin
    schedule: Callable[[int], Tensor] = falling


def screen(
    model: nn.Module, images: Tensor, labels: Tensor, radii: Tensor | float, norm: str, how: Ascent
) -> tuple[Tensor, Tensor]:
    """Projected gradient ascent on the margin from the clean image, with falling steps.

    A pool of at most `slots` images runs at once, each in the ball of its own radius. An image leaves at its
    first misclassification or after `steps` steps, and the next one takes its slot, so that the device stays
    full. Slots are looked at every `repack` steps, the only moments at which the host waits; what is found
    does not depend on it, nor on the company an image has.

    Parameters
    ----------
    radii : (N,) float32, or one of all images

    Returns
    -------
    (candidates (N, C, H, W), found (N,) bool: misclassified under `precision`; an image not found leaves its
    last point, which nobody has looked at)
    """
    device, steps = images.device, how.steps
    every = how.repack or (1 if device.type == "cpu" else REPACKED)
    share = how.schedule(steps).to(device)
    if not isinstance(radii, Tensor):
        radii = torch.full((len(images),), radii, device=device)
    candidates = images.clone()
    found = torch.zeros(len(images), dtype=torch.bool, device=device)
    slot = torch.arange(min(how.slots, len(images)), device=device)
    waiting = len(slot)
    age, x, hit = torch.zeros_like(slot), images[slot], found[slot]
    while len(slot):
        clean, label, radius = images[slot], labels[slot], radii[slot]
        for _ in range(every):
            gap, gradient = _climbed(model, x, label, how)
            hit = hit | ((gap > 0) & (age < steps))
            length = _wide(share[age.clamp_max(steps - 1)] * radius)
            moved = ball(x + length * direction(gradient, norm), clean, radius, norm)
            # an image that was found, or has had its steps, waits where it is for the next look
            x = torch.where(_wide(hit | (age >= steps)), x, moved)
            age = age + 1
        candidates.index_copy_(0, slot, x)
        found.index_copy_(0, slot, hit)
        stay = (~hit & (age < steps)).nonzero()[:, 0]
        fresh = torch.arange(
            waiting, min(waiting + how.slots - len(stay), len(images)), device=device, dtype=slot.dtype
        )
        waiting += len(fresh)
        slot = torch.cat([slot[stay], fresh])
        age = torch.cat([age[stay], torch.zeros_like(fresh)])
        hit = torch.cat([hit[stay], found[fresh]])
        x = torch.cat([x[stay], images[fresh]])
    return candidates, found


def _climbed(model: nn.Module, x: Tensor, labels: Tensor, how: Ascent) -> tuple[Tensor, Tensor]:
    """Margin of each image, and the gradient of what is ascended."""
    x = x.detach().requires_grad_(True)
    with torch.enable_grad(), how.precision():
        logits = model(x).float()
        gap = margin(logits, labels)
        rise = gap if how.loss is margin else how.loss(logits, labels)
    (gradient,) = torch.autograd.grad(rise.sum(), x)
    # a point whose logits are not finite is no way on, and must not take the image with it
    return gap.detach(), torch.where(torch.isfinite(gradient), gradient, 0.0)


@torch.no_grad()
def tighten(model: nn.Module, clean: Tensor, labels: Tensor, adversarial: Tensor) -> Tensor:
    """The nearest misclassified point found on the segment from the clean image to its adversarial.

    Safeguarded interpolation of the margin, until the boundary is known to `PRECISION` of its distance or
    `TIGHTENINGS` forwards are spent. An adversarial that is wrong by rounding only is returned as it is.
    """
    n = len(clean)
    logits = model(torch.cat([clean, adversarial]))
    clear = CLEAR * logits.abs().amax(1)
    value = margin(logits, torch.cat([labels, labels])) - clear
    low, high = torch.zeros(n, device=clean.device), torch.ones(n, device=clean.device)
    at_low, at_high = value[:n].clone(), value[n:].clone()
    usable = (at_low < 0) & (at_high > 0)
    for turn in range(TIGHTENINGS):
        active = (usable & (high - low > PRECISION * high)).nonzero()[:, 0]
        if not len(active):
            break
        a, b, fa, fb = low[active], high[active], at_low[active], at_high[active]
        if turn % 3 == 2:
            t = (a + b) / 2
        else:
            root = a + (b - a) * fa / (fa - fb)
            # step over the estimate towards the farther end, so that the two ends close in on it
            nudge = 0.4 * PRECISION * b
            t = torch.where(b - root > root - a, root + nudge, root - nudge)
            t = torch.minimum(torch.maximum(t, a + 0.02 * (b - a)), b - 0.02 * (b - a))
        point = clean[active] + _wide(t) * (adversarial[active] - clean[active])
        out = model(point)
        f = margin(out, labels[active]) - CLEAR * out.abs().amax(1)
        wrong = f > 0
        high[active], at_high[active] = torch.where(wrong, t, b), torch.where(wrong, f, fb)
        low[active], at_low[active] = torch.where(wrong, a, t), torch.where(wrong, fa, f)
    point = clean + _wide(high) * (adversarial - clean)
    return torch.where(_wide(usable), point, adversarial)
