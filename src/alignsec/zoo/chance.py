"""Whether predictions fit labels, in which order of the classes, better than chance."""

from typing import TYPE_CHECKING

from alignsec.ground.reasons import Excluded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

CHANCE_P = 0.01  # one-sided level at which clean accuracy counts as above chance
SHORT_P = 0.001  # one-sided level at which it counts as below what is published
ALLOWANCE = 0.02  # below what is published: another crop, decoder or rounding


def above_chance(predicted: "Ints", labels: "Ints", classes: int) -> bool:
    """Whether predictions fit the labels better than chance (one-sided binomial test, level `CHANCE_P`).

    Chance is the agreement expected if both were drawn independently as often as they occur, 1/classes at
    least: a network that always answers the same is not above it in a sample of few classes.
    """
    import numpy as np
    from scipy.stats import binomtest

    size = int(max(predicted.max(), labels.max())) + 1
    shares = [np.bincount(v, minlength=size) / len(labels) for v in (predicted, labels)]
    chance = min(1.0, max(float(shares[0] @ shares[1]), 1 / classes))
    hits = int((predicted == labels).sum())
    return bool(binomtest(hits, len(labels), chance, alternative="greater").pvalue < CHANCE_P)


def short_of(hits: int, n: int, expected: float) -> bool:
    """Whether `hits` of `n` images are fewer than chance leaves of an accuracy of `expected` - `ALLOWANCE`.

    One-sided binomial test at level `SHORT_P`: the images are a sample of those that the accuracy is of.

    >>> [short_of(hits, 256, 0.945) for hits in (241, 226, 219)]
    [False, False, True]
    >>> short_of(26, 37, 0.751)  # a few images tell little
    False
    """
    from scipy.stats import binom

    return bool(binom.cdf(hits, n, max(0.0, expected - ALLOWANCE)) < SHORT_P)


def background_offset(logits: "npt.NDArray[np.float32]", labels: "Ints") -> int:
    """Where the thousand classes start in a head of 1001: 1 with the background first, 0 with it last.

    Parameters
    ----------
    logits : (N, 1001)
    labels : (N,) in 0..999

    Raises
    ------
    Excluded
        Neither place gives an accuracy above chance, or both are equally good: it cannot be told.
    """
    predicted = [logits[:, o : o + 1000].argmax(1) for o in (0, 1)]
    counts = [int((p == labels).sum()) for p in predicted]
    if counts[0] == counts[1] or not above_chance(predicted[counts[1] > counts[0]], labels, 1000):
        raise Excluded(
            f"head of 1001: the place of its background class cannot be told ({counts[0]} and {counts[1]} of "
            f"{len(labels)} images right with it last and first)"
        )
    return int(counts[1] > counts[0])


def fits_another_order(predicted: "Ints", labels: "Ints", classes: int) -> bool:
    """Whether predictions that miss the labels fit them shifted by one, or agree among images of one class.

    Agreement: the share of pairs of images of one class with equal predictions against that of pairs of
    different classes, by a binomial test; a network that always answers the same has no more of the one than
    of the other.
    """
    import numpy as np
    from scipy.stats import binomtest

    for shift in (-1, 1):
        if above_chance((predicted + shift) % classes, labels, classes):
            return True
    first, second = np.triu_indices(len(labels), 1)
    same_class = labels[first] == labels[second]
    same_answer = predicted[first] == predicted[second]
    if not same_class.any() or same_class.all():
        return False
    base = max(float(same_answer[~same_class].mean()), 1 / classes)
    agreeing = int(same_answer[same_class].sum())
    return bool(binomtest(agreeing, int(same_class.sum()), base, alternative="greater").pvalue < CHANCE_P)
