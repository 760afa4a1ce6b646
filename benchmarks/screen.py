"""How strong a screen is for its price: python -m benchmarks.screen --model cifar --images 64

One row per loss, schedule and number of steps: forward-equivalent passes spent, and images left for the
judge.
"""

import argparse
import itertools

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from alignsec.attack.counting import Counted
from alignsec.attack.screen import Ascent, falling, margin, probe, screen
from alignsec.study.epsilon import Norm
from benchmarks.models import EPSILONS, MODELS


def constant(steps: int) -> Tensor:
    return torch.full((steps,), 0.25)


def halving(steps: int) -> Tensor:
    """1 for a quarter of the steps, then a half, a quarter, an eighth."""
    return 0.5 ** (4 * torch.arange(steps) // steps).float()


def ce(logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(logits, labels, reduction="none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(MODELS), default="cifar")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--epsilon", type=float, action="append")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, x, y = MODELS[args.model](args.images)
    with torch.no_grad():
        right = torch.cat([model(part).argmax(1) for part in x.split(64)]) == y
    x, y = x[right], y[right]
    print(f"{args.model}, {len(x)} images classified rightly, torch {torch.__version__}\n")
    print("| epsilon | attack | steps | passes per image | left for the judge |\n|---|---|---|---|---|")
    for epsilon in args.epsilon or EPSILONS[args.model]:
        counted = Counted(model).eval()
        candidates, _ = probe(counted, x, y, Norm.LINF)
        inside = (candidates - x).abs().flatten(1).amax(1) <= epsilon
        left = int((~inside | (counted(candidates).argmax(1) == y)).sum())
        print(f"| {epsilon:.5f} | linear probe | | {counted.equivalents / len(x):.1f} | {left} |", flush=True)
        choices = [("margin", margin, falling), ("margin, constant steps", margin, constant)]
        choices += [("margin, halving steps", margin, halving), ("cross-entropy", ce, falling)]
        for (name, loss, schedule), steps in itertools.product(choices, args.steps):
            counted = Counted(model).eval()
            how = Ascent(steps, 32, loss=loss, schedule=schedule)
            candidates, _ = screen(counted, x, y, epsilon, Norm.LINF, how)
            with torch.no_grad():
                left = int((counted(candidates).argmax(1) == y).sum())
            print(
                f"| {epsilon:.5f} | {name} | {steps} | {counted.equivalents / len(x):.1f} | {left} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
