"""Cheap attacks that settle the easy images before the judge sees them."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

STEPS = 10  # of an image on its way to the judge
CARRIED_STEPS = 5  # of an image that the judge could not break in a larger ball
PROBED_CLASSES = (
    3  # of a model with more than twenty classes; all of them otherwise, where a linear model is solved
)
OVERSHOOT = 1.02
# a point on the segment must be wrong by this share of the logits' scale, or another batch might round it right
CLEAR = 1e-5
PRECISION = 0.01  # of a tightened distance, relative
TIGHTENINGS = 12

Precision = Callable[[], contextlib.AbstractContextManager[object]]
Loss = Callable[[Tensor, Tensor], Tensor]


def falling(steps: int) -> Tensor:
    """Step sizes as shares of epsilon, (steps,): from 1 to 0.1 along half a cosine."""
    return 0.1 + 0.45 * (1 + torch.cos(torch.pi * torch.arange(steps) / steps))


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest logit of a wrong class minus the logit of the right one, (N,); positive means misclassified."""
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return wrong - right


def size(delta: Tensor, norm: str) -> Tensor:
    """Norm of each perturbation (N, C, H, W), (N,), in [0, 1] pixel units."""
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "Linf" else flat.norm(dim=1)


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def direction(gradient: Tensor, norm: str) -> Tensor:
    """Steepest ascent of unit norm."""
    if norm == "Linf":
        return gradient.sign()
    return gradient / _wide(gradient.flatten(1).norm(dim=1).clamp_min(1e-12))


def ball(x: Tensor, clean: Tensor, epsilon: float, norm: str) -> Tensor:
    """`x` projected on the epsilon ball around `clean`, then on [0, 1]."""
    delta = x - clean
    if norm == "Linf":
        delta = delta.clamp(-epsilon, epsilon)
    else:
        delta = delta * _wide((epsilon / size(delta, norm).clamp_min(1e-12)).clamp_max(1.0))
    return (clean + delta).clamp(0.0, 1.0)


def probe(model: nn.Module, images: Tensor, labels: Tensor, norm: str) -> tuple[Tensor, Tensor]:
    """One linear step to the nearest decision boundary, of the likeliest wrong classes.

    The distance of the linearised boundary to class k is margin_k / ||gradient of margin_k|| in the dual norm
    (DeepFool, arXiv 1511.04599, eq. 8), exact for a linear model. Costs one forward-backward per class.

    Returns
    -------
    (candidates (N, C, H, W), dead (N,) bool: every gradient is exactly zero)
    """
    dual: float = 1 if norm == "Linf" else 2
    x = images.clone().requires_grad_(True)
    with torch.enable_grad():
        logits = model(x)
        order = logits.detach().scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
        right = logits.gather(1, labels[:, None])[:, 0]
        nearest = torch.full_like(right, torch.inf)
        best = images.clone()
        dead = torch.ones_like(labels, dtype=torch.bool)
        others = logits.shape[1] - 1
        count = others if others < 20 else PROBED_CLASSES
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


def screen(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    norm: str,
    steps: int = STEPS,
    slots: int = 256,
    precision: Precision = contextlib.nullcontext,
    repack: int | None = None,
    loss: Loss | None = None,
    schedule: Callable[[int], Tensor] = falling,
) -> tuple[Tensor, Tensor]:
    """Projected gradient ascent on the margin from the clean image, with falling steps.

    A pool of at most `slots` images runs at once. An image leaves at its first misclassification or after
    `steps` steps, and the next one takes its slot, so that the device stays full. Slots are looked at every
    `repack` steps (1 on a CPU, 4 on a GPU, where looking makes the host wait); what is found does not depend
    on it, nor on the company an image has. `loss` (logits (N, K), labels (N,)) -> (N,) is ascended in place of
    the margin, `schedule` gives the steps: for measuring what serves best (docs/attack.md).

    Returns
    -------
    (candidates (N, C, H, W), found (N,) bool: misclassified under `precision`; an image not found leaves its
    last point, which nobody has looked at)
    """
    every = repack or (1 if images.device.type == "cpu" else 4)
    device = images.device
    share = schedule(steps).to(device)
    candidates = images.clone()
    found = torch.zeros(len(images), dtype=torch.bool, device=device)
    slot = torch.arange(min(slots, len(images)), device=device)
    waiting = len(slot)
    age = torch.zeros_like(slot)
    x = images[slot]
    hit = torch.zeros(len(slot), dtype=torch.bool, device=device)
    while len(slot):
        clean, label = images[slot], labels[slot]
        for _ in range(every):
            x.requires_grad_(True)
            with torch.enable_grad(), precision():
                logits = model(x).float()
                gap = margin(logits, label)
                rise = gap if loss is None else loss(logits, label)
            (gradient,) = torch.autograd.grad(rise.sum(), x)
            x = x.detach()
            hit = hit | ((gap.detach() > 0) & (age < steps))
            moved = ball(
                x + _wide(share[age.clamp_max(steps - 1)] * epsilon) * direction(gradient, norm),
                clean,
                epsilon,
                norm,
            )
            # an image that was found, or has had its steps, waits where it is for the next look
            x = torch.where(_wide(hit | (age >= steps)), x, moved)
            age = age + 1
        leaving = hit | (age >= steps)
        candidates[slot[leaving]], found[slot[leaving]] = x[leaving], hit[leaving]
        stay = ~leaving
        fresh = torch.arange(
            waiting, min(waiting + slots - int(stay.sum()), len(images)), device=device, dtype=slot.dtype
        )
        waiting += len(fresh)
        slot = torch.cat([slot[stay], fresh])
        age = torch.cat([age[stay], torch.zeros_like(fresh)])
        hit = torch.cat([hit[stay], torch.zeros(len(fresh), dtype=torch.bool, device=device)])
        x = torch.cat([x[stay], images[fresh]])
    return candidates, found


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
