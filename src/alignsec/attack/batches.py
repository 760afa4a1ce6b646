"""How many images at once: as many as fit, never a tiny batch at the end, and where an image is cheapest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil, log2

import torch

from alignsec.ground.reasons import may_be_memory, out_of_memory

CPU_BATCH = 64  # on a CPU larger batches are no faster, and a kill loses more
GPU_BATCH = 1024
ROWS = 4  # times so many rows of a small model on a CPU, where a step costs the same for few
CHEAPER = 0.75  # a doubling that makes an image no cheaper than this is not worth more rows
TIMES = 3  # that each size is timed; the fastest counts


@dataclass(frozen=True)
class Batch:
    """Rows of work; an image may stand in several, towards other classes, one after the other.

    Parameters
    ----------
    unit : what they go through; of a targeted attack its name alone
    images : their numbers
    radii : of their balls
    ranks : of the targeted attacks: the rank of the target class
    """

    unit: str
    images: list[int]
    radii: list[float]
    ranks: list[int] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def names(self) -> list[str]:
        """The unit of each row.

        >>> Batch("apgd-t", [4, 4], [0.1, 0.1], [2, 3]).names()
        ['apgd-t:2', 'apgd-t:3']
        """
        return [self.unit] * len(self) if self.ranks is None else [f"{self.unit}:{r}" for r in self.ranks]

    def part(self, chosen: "list[int] | range") -> "Batch":
        """These rows of it."""
        ranks = None if self.ranks is None else [self.ranks[i] for i in chosen]
        return replace(
            self, images=[self.images[i] for i in chosen], radii=[self.radii[i] for i in chosen], ranks=ranks
        )

    def even(self, size: int) -> "list[Batch]":
        """The same in as few batches of at most `size` as possible, of equal length (one longer at most)."""
        return [self.part(span) for span in even(len(self), size)]


def even(count: int, size: int) -> Iterator[range]:
    """0 .. count-1 in as few spans of at most `size` as possible, of equal length (one longer at most).

    >>> list(even(5, 3))
    [range(0, 3), range(3, 5)]
    """
    parts = ceil(count / size)
    short, longer = divmod(count, parts) if parts else (0, 0)
    at = 0
    for i in range(parts):
        length = short + (i < longer)
        yield range(at, at + length)
        at += length


def release() -> None:
    """Give cached device memory back before a smaller try."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def largest(attempt: Callable[[int], None], limit: int) -> int:
    """The largest size of 1, 2, 4, … `limit` that `attempt` gets through.

    Raises what `attempt` raises at size 1, and anything that is not a lack of memory.
    """
    best, size = 0, 1
    while True:
        try:
            attempt(size)
        except (MemoryError, RuntimeError) as error:
            if not (out_of_memory(error) or may_be_memory(error)) or not best:
                raise
            release()
            return best
        best = size
        if size >= limit:
            return best
        size = min(2 * size, limit)


def efficient(attempt: Callable[[int], None], limit: int, clock: Callable[[], float]) -> int:
    """The size, of 1, 4, 16, … `limit`, from which on a larger batch makes an image hardly cheaper."""

    def seconds(size: int) -> float:
        taken = []
        for _ in range(TIMES):
            start = clock()
            attempt(size)
            taken.append(clock() - start)
        return min(taken) / size

    attempt(1)  # what comes first is slow
    size, cost = 1, seconds(1)
    while size < limit:
        larger = min(4 * size, limit)
        try:
            each = seconds(larger)
        except (MemoryError, RuntimeError) as error:
            if not (out_of_memory(error) or may_be_memory(error)):
                raise
            release()
            break
        if each > cost * CHEAPER ** log2(larger / size):
            break
        size, cost = larger, each
    return size
