"""This engine, pyautoattack and torchattacks on the same model and images, in one run.

    python -m benchmarks.attack --model cifar --images 16
    python -m benchmarks.attack --model digits --images 32 --peers engine reference
    python -m benchmarks.attack --model digits --images 32 --scaling
    python -m benchmarks.attack --model cifar --images 8 --batches 1 7 8 --attack apgd-ce --attack apgd-t

`engine` evaluates all epsilons at once; `reference` is pyautoattack's standard AutoAttack once per epsilon;
`torchattacks` its AutoAttack once per epsilon in batches of 32, as the code of arXiv 2502.12377 ran it
(install it on the side: `uv pip install --no-deps --target DIR torchattacks`, then `--torchattacks DIR`).
Passes are counted by a counter outside all of them: a forward counts 1, a backward 2. Every verdict that
differs is listed; an adversarial of ours that the reference missed is checked here, from the file that the
engine kept.
"""

import argparse
import json
import multiprocessing
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.models import EPSILONS, MODELS

PEERS = ("engine", "reference", "torchattacks")


class Counter(nn.Module):
    """Counts calls, images forward, and images back through the logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.calls = self.forwards = self.backwards = 0

    @property
    def equivalents(self) -> int:
        return self.forwards + 2 * self.backwards

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        self.calls += 1
        self.forwards += len(x)
        if out.requires_grad:
            out.register_hook(lambda _: self._back(len(x)))
        return out

    def _back(self, count: int) -> None:
        self.backwards += count


def measured(model: nn.Module, device: str, work: Callable[[Counter], Any]) -> tuple[Any, dict[str, float]]:
    counter = Counter(model).eval()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(counter)
    if device == "cuda":
        torch.cuda.synchronize()
    cost = {
        "passes": counter.equivalents,
        "calls": counter.calls,
        "forwards": counter.forwards,
        "backwards": counter.backwards,
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
    }
    if device == "cuda":
        cost["peak_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return result, cost


def run_engine(model: nn.Module, x: Tensor, y: Tensor, epsilons: list[float], device: str) -> dict[str, Any]:
    from alignsec.attack import evaluate_robustness

    with tempfile.TemporaryDirectory() as folder:
        keep = Path(folder) / "kept.npz"
        table, cost = measured(
            model,
            device,
            lambda m: evaluate_robustness(m, x, y, epsilons, device=device, keep=keep, progress=True),
        )
        with np.load(keep) as kept:
            arrays = {k: kept[k] for k in kept.files}
    adversarials: dict[int, Tensor] = {}
    for prefix in ("", "exact_"):
        for i, delta in zip(arrays[f"{prefix}image"], arrays[f"{prefix}delta"], strict=True):
            adversarials[int(i)] = (x[int(i)].cpu() + torch.from_numpy(delta.astype(np.float32))).clamp(0, 1)
    robust = {str(e): rows["robust"].tolist() for e, rows in table.groupby("epsilon")}
    stage = {str(e): rows["stage"].tolist() for e, rows in table.groupby("epsilon")}
    distance = table.drop_duplicates("image")["distance"].tolist()
    return {
        "robust": robust,
        "stage": stage,
        "distance": distance,
        "adversarials": adversarials,
        "cost": cost,
        "attrs": table.attrs,
    }


def reference(
    x: Tensor, y: Tensor, epsilon: float, device: str, batch: int
) -> Callable[[Counter], list[bool]]:
    from pyautoattack import AutoAttack

    def work(model: Counter) -> list[bool]:
        attack = AutoAttack(model, norm="Linf", eps=epsilon, seed=0, version="standard", device=device)
        adversarial, _ = attack.run_standard_evaluation(x, y, batch_size=batch)
        with torch.no_grad():
            return [
                bool(v)
                for part, label in zip(adversarial.split(batch), y.split(batch), strict=True)
                for v in model(part).argmax(1) == label
            ]

    return work


def peer(x: Tensor, y: Tensor, epsilon: float, device: str, _: int) -> Callable[[Counter], list[bool]]:
    import torchattacks

    def work(model: Counter) -> list[bool]:
        classes = int(model.model(x[:1]).shape[1])
        attack = torchattacks.AutoAttack(
            model, norm="Linf", eps=epsilon, version="standard", n_classes=classes, seed=0
        )
        out: list[bool] = []
        for images, labels in zip(x.split(32), y.split(32), strict=True):
            adversarial = attack(images, labels)
            with torch.no_grad():
                out += [bool(v) for v in model(adversarial).argmax(1) == labels]
        return out

    return work


def failure(classes: int, shape: tuple[int, ...]) -> int:
    """Passes of one image on which standard AutoAttack fails: counted on a model that nothing breaks."""

    class Wall(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            steps = torch.arange(classes, 0, -1, dtype=torch.float32)
            return steps + 1e-9 * x.flatten(1).sum(1, keepdim=True)

    counter = Counter(Wall()).eval()
    x, y = torch.full((1, *shape), 0.5), torch.zeros(1, dtype=torch.long)
    reference(x, y, 0.01, "cpu", 1)(counter)
    return counter.equivalents


def differences(
    ours: dict[str, Any], theirs: dict[str, list[bool]], model: nn.Module, x: Tensor, y: Tensor
) -> list[str]:
    found = []
    for text, verdicts in theirs.items():
        epsilon = float(text)
        for i, (mine, other) in enumerate(zip(ours["robust"][text], verdicts, strict=True)):
            if mine == other:
                continue
            where = f"image {i} at {epsilon:.6f}"
            if mine:
                found.append(f"{where}: robust here ({ours['stage'][text][i]}), broken by the other")
                continue
            adversarial = ours["adversarials"][i].to(x.device)
            size = float((adversarial - x[i]).abs().max())
            with torch.no_grad():
                wrong = int(model(adversarial[None]).argmax()) != int(y[i])
            good = (
                wrong
                and size <= epsilon + 1e-6
                and 0 <= float(adversarial.min()) <= float(adversarial.max()) <= 1
            )
            found.append(
                f"{where}: broken here ({ours['stage'][text][i]}), robust for the other; adversarial at "
                f"{size:.6f} " + ("verified" if good else "NOT VERIFIED")
            )
    return found


def scaling(
    model: nn.Module, x: Tensor, y: Tensor, epsilons: list[float], device: str
) -> list[dict[str, Any]]:
    rows = []
    low, high = min(epsilons), max(epsilons)
    for k in (1, 3, 10):
        chosen = [high] if k == 1 else [float(e) for e in np.linspace(low, high, k)]
        result = run_engine(model, x, y, chosen, device)
        rows.append({"k": k, **result["cost"]})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def batches(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    epsilons: list[float],
    device: str,
    sizes: list[int],
    attacks: list[str],
) -> list[dict[str, Any]]:
    """Verdicts at several batch sizes against those of the last."""
    from alignsec.attack import evaluate_robustness

    chosen: dict[str, Any] = {"version": "custom", "attacks": attacks} if attacks else {}
    tables = {
        size: evaluate_robustness(
            model, x, y, epsilons, batch_size=size, device=device, progress=True, **chosen
        )
        for size in sizes
    }
    last = tables[sizes[-1]]
    rows = []
    for size, table in tables.items():
        other = table["robust"] != last["robust"]
        apart = (table["distance"] - last["distance"]).abs().max()
        rows.append(
            {
                "batch size": size,
                "verdicts": len(table),
                "verdicts that differ": int(other.sum()),
                "stages that differ": int((table["stage"] != last["stage"]).sum()),
                "largest difference of a distance": float(apart),
                "which": [
                    f"image {r.image} at {r.epsilon:.6f}: {r.stage}, distance {r.distance:.7f}"
                    for r in table[other].itertuples()
                ],
            }
        )
    return rows


def markdown(record: dict[str, Any]) -> str:
    lines = [f"`{record['command']}` on {record['device']}; {record['versions']}", ""]
    if "batches" in record:
        keys = [k for k in record["batches"][0] if k != "which"]
        lines += ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
        lines += [
            "| " + " | ".join(f"{r[k]:.2g}" if isinstance(r[k], float) else str(r[k]) for k in keys) + " |"
            for r in record["batches"]
        ]
        lines += [f"- batch size {r['batch size']}, {w}" for r in record["batches"] for w in r["which"]]
        return "\n".join(lines) + "\n"
    if "scaling" in record:
        lines += ["| epsilons | passes | per image | against k = 3 |", "|---|---|---|---|"]
        three = next(r["passes"] for r in record["scaling"] if r["k"] == 3)
        lines += [
            f"| {r['k']} | {r['passes']:,} | {r['passes'] / record['images']:,.0f} | "
            f"{r['passes'] / three:.2f} |"
            for r in record["scaling"]
        ]
        return "\n".join(lines) + "\n"
    lines += [
        "| attack | passes | against reference | calls of the model | CPU s | against reference | wall s | "
        + ("peak MB | " if "peak_mb" in record["peers"]["engine"] else "")
        + "robust at each epsilon |",
        "|---|---|---|---|---|---|---|" + ("---|" if "peak_mb" in record["peers"]["engine"] else "") + "---|",
    ]
    base = record["peers"].get("reference", {})
    for name, cost in record["peers"].items():
        ratio = {k: f"{cost[k] / base[k]:.3f}" if base else "" for k in ("passes", "cpu_s")}
        counts = ", ".join(str(sum(v)) for v in cost["robust"].values())
        peak = f"{cost['peak_mb']:,} | " if "peak_mb" in cost else ""
        lines.append(
            f"| {name} | {cost['passes']:,} | {ratio['passes']} | {cost['calls']:,} | {cost['cpu_s']:,} | "
            f"{ratio['cpu_s']} | {cost['wall_s']:,} | {peak}{counts} |"
        )
    if "floor" in record:
        lines += [
            "",
            f"Floor: {record['floor']:,} passes (one failed AutoAttack of {record['failure']:,} passes for "
            "each image that the "
            "reference finds robust at some epsilon); the engine spent "
            f"{record['peers']['engine']['passes'] / record['floor']:.3f} times that.",
        ]
    for name, rows in record["differences"].items():
        count = record["images"] * len(record["epsilons"])
        lines += [
            "",
            f"Verdicts that differ from {name}: {len(rows)} of {count}" + (":" if rows else "."),
            "",
        ]
        lines += [f"- {row}" for row in rows]
    return "\n".join(lines) + "\n"


def run_peer(
    name: str,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    epsilons: list[float],
    device: str,
    batch: int,
    done: Callable[[str, dict[str, Any], dict[str, list[bool]]], None],
) -> None:
    """Run a peer once per epsilon, from the largest down; `done` is told after each."""
    total: dict[str, Any] = {}
    robust: dict[str, list[bool]] = {}
    for epsilon in epsilons[::-1]:
        work = (reference if name == "reference" else peer)(x, y, epsilon, device, batch)
        verdicts, cost = measured(model, device, work)
        robust = {str(epsilon): verdicts, **robust}
        total = {
            k: max(v, total.get(k, 0)) if k == "peak_mb" else round(v + total.get(k, 0), 1)
            for k, v in cost.items()
        }
        print(f"{name} {epsilon:.6f}: {sum(verdicts)} robust, {cost}", file=sys.stderr, flush=True)
        done(name, total, robust)


def _told(arguments: list[str]) -> str:
    """The command line without the places of files, which are this machine's."""
    places = ("--out", "--torchattacks")
    pairs = zip(["", *arguments], arguments, strict=False)
    return " ".join(a for before, a in pairs if a not in places and before not in places)


def _aside(queue: Any, model: str, images: int, epsilons: list[float], threads: int, path: list[str]) -> None:
    sys.path[:] = path
    torch.set_num_threads(threads)
    last: list[Any] = []
    net, x, y = MODELS[model](images)
    run_peer(
        "torchattacks",
        net,
        x,
        y,
        epsilons,
        "cpu",
        0,
        lambda _, *result: last.__setitem__(slice(None), result),
    )
    queue.put(last)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=sorted(MODELS), default="cifar")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--epsilon", type=float, action="append", help="default: the model's own list")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--batch", type=int, default=256, help="batch size of the reference")
    parser.add_argument("--torchattacks", type=Path, help="folder that torchattacks was installed to")
    parser.add_argument("--parallel", action="store_true", help="torchattacks in a process beside (CPU)")
    parser.add_argument("--scaling", action="store_true", help="passes of the engine at 1, 3 and 10 epsilons")
    parser.add_argument("--batches", type=int, nargs="+", help="verdicts of the engine at these batch sizes")
    parser.add_argument("--attack", action="append", default=[], help="with --batches: only these attacks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the record as JSON here, after every part")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.torchattacks:
        sys.path.append(str(args.torchattacks))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, x, y = MODELS[args.model](args.images)
    model, x, y = model.to(device), x.to(device), y.to(device)
    epsilons = sorted(args.epsilon or EPSILONS[args.model])
    record: dict[str, Any] = {
        "command": "python -m benchmarks.attack " + _told(sys.argv[1:]),
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else f"{platform.machine()} CPU, {args.threads} thread(s)",
        "versions": f"torch {torch.__version__}, "
        + ", ".join(f"{name} {version(name)}" for name in ("pyautoattack", "alignsec")),
        "model": args.model,
        "images": args.images,
        "epsilons": epsilons,
    }

    def save() -> None:
        if args.out:
            args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    if args.batches:
        record["batches"] = batches(model, x, y, epsilons, device, args.batches, args.attack)
        save()
        print(markdown(record))
        return
    if args.scaling:
        record["scaling"] = scaling(model, x, y, epsilons, device)
        save()
        print(markdown(record))
        return
    aside = None
    if args.parallel and "torchattacks" in args.peers:
        # a process of its own, so that the slowest does not wait for the others; engine and reference share
        # this one
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        aside = context.Process(
            target=_aside, args=(queue, args.model, args.images, epsilons, args.threads, sys.path)
        )
        aside.start()
    ours = run_engine(model, x, y, epsilons, device)
    record["peers"] = {"engine": {**ours["cost"], "robust": ours["robust"], "attrs": ours["attrs"]}}
    record["differences"] = {}
    save()

    def add(name: str, total: dict[str, Any], robust: dict[str, list[bool]]) -> None:
        record["peers"][name] = {**total, "robust": robust}
        record["differences"][name] = differences(ours, robust, model, x, y)
        save()

    if "reference" in args.peers:
        run_peer("reference", model, x, y, epsilons, device, args.batch, add)
        classes = model(x[:1]).shape[1]
        record["failure"] = failure(classes, tuple(x.shape[1:]))
        robust = record["peers"]["reference"]["robust"]
        record["floor"] = record["failure"] * int(np.any(list(robust.values()), axis=0).sum())
        save()
    if aside is not None:
        add("torchattacks", *queue.get())
        aside.join()
    elif "torchattacks" in args.peers:
        run_peer("torchattacks", model, x, y, epsilons, device, args.batch, add)
    print(markdown(record))


if __name__ == "__main__":
    main()
