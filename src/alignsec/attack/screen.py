"""A short gradient attack that settles the easy images before the judge sees them."""

import torch
from torch import Tensor, nn

STEPS = 20


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest logit of a wrong class minus the logit of the right one, (N,); positive means misclassified."""
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return wrong - right


def ball(x: Tensor, clean: Tensor, epsilon: float, norm: str) -> Tensor:
    """`x` projected on the epsilon ball around `clean`, then on [0, 1]."""
    delta = x - clean
    if norm == "Linf":
        delta = delta.clamp(-epsilon, epsilon)
    else:
        size = delta.flatten(1).norm(dim=1).clamp_min(1e-12)
        delta = delta * (epsilon / size).clamp_max(1.0)[:, None, None, None]
    return (clean + delta).clamp(0.0, 1.0)


def screen(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, norm: str) -> Tensor:
    """Candidate adversarials for a batch, (N, C, H, W).

    Projected gradient ascent on the margin from the clean image; the step falls from epsilon to epsilon/10
    along a half cosine. An image leaves the batch at its first misclassification.
    """
    found = images.clone()
    standing = torch.arange(len(images), device=images.device)
    x = images.clone()
    for step in range(STEPS):
        x.requires_grad_(True)
        loss = margin(model(x), labels[standing])
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        x = x.detach()
        broken = loss.detach() > 0
        found[standing[broken]] = x[broken]
        keep = ~broken
        standing, x, gradient = standing[keep], x[keep], gradient[keep]
        if not len(standing):
            break
        share = 0.1 + 0.45 * (1 + torch.cos(torch.tensor(torch.pi * step / STEPS)).item())
        if norm == "Linf":
            move = gradient.sign()
        else:
            move = gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
        x = ball(x + share * epsilon * move, images[standing], epsilon, norm)
    found[standing] = x
    return found
