"""How much of an attack's time is the model's own, by kernel and number of standing images.

Each kernel runs on images that all stand (the radius is tiny), and beside it a bare loop of as many forward
and forward-backward passes of the same batch. The share is the bare loop's time over the kernel's; CPU
seconds on a CPU, wall time on a GPU, where it is also counted how often the host waits.

    python -m benchmarks.kernels --model digits --sizes 8 64 512
    python -m benchmarks.kernels --model resnet50 --device cuda --sizes 8 64 --precision tf32
    python -m benchmarks.kernels --model vit_b_16 --device cuda --sizes 8 64
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from alignsec.attack import square
from alignsec.attack.counting import Counted, Passes
from alignsec.attack.draws import digests
from alignsec.attack.judge import Judge, Rows
from alignsec.attack.precision import arithmetic
from alignsec.attack.screen import Ascent, margin, screen
from alignsec.study.epsilon import Norm
from alignsec.study.request import Attack, AttackRequest, SearchPrecision
from benchmarks.models import MODELS

RADIUS = 1e-6
KERNELS = ("screen", Attack.APGD_CE, Attack.APGD_T, Attack.FAB_T, Attack.SQUARE)


def seconds(work: Callable[[], object], device: str, repeats: int) -> float:
    """Of the fastest call; CPU seconds on a CPU, wall time on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter

    def once() -> float:
        start = clock()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        return clock() - start

    return min(once() for _ in range(repeats))


def waits(work: Callable[[], object], device: str) -> int | None:
    """How often the host waits for the GPU."""
    if device == "cpu":
        return None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(w.message) for w in told)


def bare(model: nn.Module, x: Tensor, y: Tensor, passes: Passes) -> None:
    """As many passes of the whole batch, and nothing else."""
    with torch.no_grad():
        for _ in range(passes.forward // len(x)):
            model(x)
    for _ in range(passes.gradient // len(x)):
        tried = x.detach().requires_grad_(True)
        with torch.enable_grad():
            loss = margin(model(tried), y).sum()
        torch.autograd.grad(loss, tried)


def kernel(name: str, judge: Judge, model: nn.Module, rows: Rows, steps: int) -> Callable[[], object]:
    """One call of it."""
    if name == "screen":
        how = Ascent(steps=steps, slots=len(rows.x))
        return lambda: screen(model, rows.x, rows.y, rows.radii, judge.norm, how)
    targeted = name in (Attack.APGD_T, Attack.FAB_T)
    given = replace(rows, ranks=torch.full_like(rows.y, 2) if targeted else None)
    return lambda: judge.attack(name, given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="digits")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--steps", type=int, default=100, help="of screen, APGD and FAB")
    parser.add_argument("--queries", type=int, default=500, help="of Square")
    parser.add_argument("--norm", type=Norm, choices=list(Norm), default=Norm.LINF)
    parser.add_argument("--precision", type=SearchPrecision, choices=list(SearchPrecision), default="float32")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    args = parser.parse_args()
    torch.set_num_threads(1)
    square.QUERIES = args.queries
    net, x, y = MODELS[args.model](max(args.sizes))
    net, x, y = net.to(args.device), x.to(args.device), y.to(args.device)
    with torch.no_grad():
        right = torch.cat([net(part).argmax(1) for part in x.split(64)]) == y
    place = torch.cuda.get_device_name() if args.device == "cuda" else "one thread of a CPU"
    print(f"{args.model}, {args.norm}, {args.precision}, {place}, torch {torch.__version__}\n")
    print("| kernel | images | passes | seconds | bare loop | share | waits |\n|---|---|---|---|---|---|---|")
    for size in args.sizes:
        at = right.nonzero()[:, 0].repeat(size)[:size]  # few that are right may stand in several rows
        radii = torch.full((size,), RADIUS, device=x.device)
        rows = Rows(x[at], y[at], digests(x[at]), radii)
        counted = Counted(net)
        asked = AttackRequest(
            norm=args.norm, version="custom", attacks=tuple(Attack), precision=args.precision
        )
        with torch.no_grad():
            judge = Judge(counted, asked, args.device, net(x[:1]).shape[1])
        for loop in (judge.reference.apgd, judge.reference.apgd_targeted, judge.reference.fab):
            loop.n_iter = args.steps
        for name in KERNELS:
            work = kernel(name, judge, counted, rows, args.steps)
            with arithmetic(asked.precision):
                before = counted.passes
                waited = waits(work, args.device)
                if waited is None:
                    work()
                after = counted.passes
                spent = Passes(after.forward - before.forward, after.gradient - before.gradient)
                ours = seconds(work, args.device, args.repeats)
                alone = partial(bare, net, rows.x, rows.y, spent)
                least = seconds(alone, args.device, args.repeats)
            cells = (
                name,
                size,
                spent.equivalents,
                f"{ours:.2f}",
                f"{least:.2f}",
                f"{least / ours:.0%}",
                waited,
            )
            print("| " + " | ".join("" if c is None else str(c) for c in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
