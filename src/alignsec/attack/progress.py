"""What a person sees while an attack runs: a bar on a terminal, a line a minute in a log."""

import os
import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

EVERY = 60.0  # seconds between lines of a log


class Progress:
    """Progress in image passes, which is where the time goes; verdicts beside it."""

    def __init__(self, show: bool, images: int) -> None:
        self.images, self.show = images, show
        self.terminal = show and (sys.stderr.isatty() or os.environ.get("ALIGNSEC_TERMINAL") == "1")
        self.started = self.said = time.monotonic()
        self.first: int | None = None
        self.bar = tqdm(total=1, desc="passes", unit=" passes", unit_scale=True, disable=not self.terminal)

    def update(self, stage: str, done: int, left: int, settled: int, robust: Mapping[float, int]) -> None:
        """`done` and `left` in forward-equivalent passes; `robust` counts images so far per epsilon."""
        if not self.show:
            return
        self.first = done if self.first is None else self.first
        counts = ", ".join(f"{e:.4g}: {k}" for e, k in robust.items())
        if self.terminal:
            self.bar.total = done + left
            self.bar.n = done
            self.bar.set_description(stage, refresh=False)
            self.bar.set_postfix_str(
                f"settled {settled}/{self.images}, not broken {{{counts}}}", refresh=False
            )
            self.bar.refresh()
            return
        now = time.monotonic()
        if now - self.said < EVERY and left:
            return
        self.said = now
        rate = (done - self.first) / max(now - self.started, 1e-9)
        eta = f"{left / rate / 60:.0f} min left" if rate else "no estimate yet"
        print(
            f"{stage}: {settled} of {self.images} images settled, not broken {{{counts}}}, "
            f"{rate:.0f} passes/s, {eta}",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()
