"""How many images at once: as many as fit, and never a tiny batch at the end."""

from collections.abc import Callable, Sequence
from math import ceil

import torch

from alignsec.ground.reasons import may_be_memory, out_of_memory

CPU_BATCH = 64  # on a CPU larger batches are no faster, and a kill loses more
GPU_BATCH = 1024


def even(index: Sequence[int], size: int) -> list[list[int]]:
    """`index` in as few batches of at most `size` as possible, of equal length (one longer at most)."""
    count = ceil(len(index) / size)
    if not count:
        return []
    short, longer = divmod(len(index), count)
    batches, at = [], 0
    for i in range(count):
        length = short + (i < longer)
        batches.append([int(v) for v in index[at : at + length]])
        at += length
    return batches


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
