"""The handwritten digits that scikit-learn carries: the demo study's images, nothing downloaded."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Split = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]

SEED = 20200630  # of the permutation: another seed is another split, and every network must be trained anew
N_TRAIN = 1000
CLASSES = 10


def digits() -> "Split":
    """Train and test split of the 1797 digits, as ``train_x, train_y, test_x, test_y``.

    The demo networks see the first 1000 images of one fixed permutation; what is measured and what is
    attacked comes from the other 797, so the two never overlap.

    Returns
    -------
    images float32 (N, 1, 8, 8) in [0, 1] (published as 0 to 16), labels int64 (N,) in 0 .. 9

    Notes
    -----
    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI repository
    (doi 10.24432/C50P49); scikit-learn bundles its test part.
    """
    import numpy as np
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(SEED).permutation(len(data.target))
    x = (data.images[order, None] / 16).astype(np.float32)
    y = data.target[order].astype(np.int64)
    return x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:]
