"""Verdicts of the ladder against `ladder: false`, by norm and number of classes, and why each differs.

    python -m benchmarks.agreement --images 24

Every image is followed at every epsilon, those that stand and those that fall. A difference is

- `our find`: broken here, robust there; the adversarial that we kept is checked again, here;
- `carried`: robust here because the judge failed in a larger ball, broken there in a smaller one, so that the
  verdicts of the reference are not monotone;
- `missed`: robust here, broken there, in the ball that was judged here as well. Allowed where the reference
  with three other seeds misses it at least once; `MISSED` otherwise.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import models

EPSILONS = {"Linf": [0.03, 0.06, 0.09, 0.12, 0.16], "L2": [0.2, 0.4, 0.7, 1.0, 1.4]}
OTHER_SEEDS = (1, 2, 3)


def verified(
    model: nn.Module, clean: Tensor, label: Tensor, kept: Path, image: int, limit: float, norm: str
) -> bool:
    """Whether the adversarial that was kept of the image is one, in the ball."""
    with np.load(kept) as file:
        for prefix in ("", "exact_"):
            for number, delta in zip(file[f"{prefix}image"], file[f"{prefix}delta"], strict=True):
                if int(number) == image:
                    made = (clean + torch.from_numpy(delta.astype(np.float32))).clamp(0, 1)
                    moved = (made - clean).flatten()
                    size = float(moved.abs().max() if norm == "Linf" else moved.norm())
                    return int(model(made[None]).argmax()) != int(label) and size <= limit * (1 + 1e-5) + 1e-6
    return False


def compared(norm: str, classes: int, images: int) -> dict[str, Any]:
    """Both ways on the same images; what differs, and why."""
    from alignsec.attack import evaluate_robustness

    model, x, y = models.digits(images, classes)
    epsilons = EPSILONS[norm]
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept.npz"
        ours = evaluate_robustness(model, x, y, epsilons, norm=norm, keep=kept)
        theirs = evaluate_robustness(model, x, y, epsilons, norm=norm, ladder=False)
        found: dict[str, list[str]] = {}
        for mine, other in zip(ours.itertuples(), theirs.itertuples(), strict=True):
            if mine.robust == other.robust:
                continue
            at = f"image {mine.image} at {mine.epsilon:g} ({mine.stage}; there {other.stage})"
            place = x[mine.image], y[mine.image]
            if not mine.robust:
                good = verified(model, *place, kept, mine.image, mine.epsilon, norm)
                found.setdefault("our find" if good else "NOT VERIFIED", []).append(at)
            elif mine.stage == "larger-epsilon":
                found.setdefault("carried", []).append(at)
            else:
                again = [
                    evaluate_robustness(
                        model,
                        x[[mine.image]],
                        y[[mine.image]],
                        [mine.epsilon],
                        norm=norm,
                        ladder=False,
                        seed=s,
                    )["robust"].item()
                    for s in OTHER_SEEDS
                ]
                found.setdefault("missed" if any(again) else "MISSED", []).append(at)
    robust = {e: (int(a["robust"].sum()), int(b["robust"].sum())) for (e, a), (_, b) in
              zip(ours.groupby("epsilon"), theirs.groupby("epsilon"), strict=True)}  # fmt: skip
    return {
        "norm": norm,
        "classes": classes,
        "verdicts": len(ours),
        "robust here": ", ".join(str(a) for a, _ in robust.values()),
        "robust there": ", ".join(str(b) for _, b in robust.values()),
        "differ": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--norm", choices=sorted(EPSILONS), nargs="+", default=sorted(EPSILONS))
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 3, 10])
    parser.add_argument("--out", type=Path, help="write the record as JSON here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [compared(norm, classes, args.images) for norm in args.norm for classes in args.classes]
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print("| norm | classes | verdicts | robust here | robust there | differ |\n|---|---|---|---|---|---|")
    for row in rows:
        kinds = ", ".join(f"{len(v)} {k}" for k, v in row["differ"].items()) or "0"
        values = [str(row[k]) for k in ("norm", "classes", "verdicts", "robust here", "robust there")]
        print("| " + " | ".join([*values, kinds]) + " |")
    for row in rows:
        for kind, places in row["differ"].items():
            print(f"- {row['norm']}, {row['classes']} classes: {kind}: {'; '.join(places)}")


if __name__ == "__main__":
    main()
