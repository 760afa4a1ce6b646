"""The handwritten digits that scikit-learn carries: the demo study's images, nothing downloaded."""

from importlib.util import find_spec
from pathlib import Path
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

    package = find_spec("sklearn")
    assert package is not None and package.origin is not None
    # the package's file and not its `load_digits`, whose import is a third of a small job's start
    rows = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    rows = rows[np.random.default_rng(SEED).permutation(len(rows))]
    x = (rows[:, :-1].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    y = rows[:, -1].astype(np.int64)
    return x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:]
