"""What networks are and how they were trained, as columns that `control.leafwise` holds fixed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

LOGARITHMS = ("parameters", "input_size")  # of which a factor counts, not a difference
ADVERSARIAL = "adversarial"  # as a name: trained on adversarial images or not, whatever else


def matrix(covariates: "pd.DataFrame", names: Sequence[str], least: int = 1) -> tuple["Floats", list[str]]:
    """Covariates of n models as (n, k) float64, and names of the k columns; NaN where a number is unknown.

    Numbers are taken as they are, `LOGARITHMS` as logarithms to base 10; a text gives a column of 0 and 1 for
    each of its values but the commonest, those of fewer than `least` models counting as one. `ADVERSARIAL` is
    a column of its own, made from `training`.

    Parameters
    ----------
    covariates : a row per model, as in ``analysis/covariates.csv``
    names : of its columns, or `ADVERSARIAL`
    least : models; of a column of fewer, little but these models would be held fixed

    Raises
    ------
    AlignsecError
        A name is neither a column nor `ADVERSARIAL`.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"training": ["standard", "CLIP", "standard"], "parameters": [1e6, 1e8, 1e7]})
    >>> matrix(frame, ["training", "parameters"])
    (array([[0., 6.],
           [1., 8.],
           [0., 7.]]), ['training: CLIP', 'parameters'])
    """
    import numpy as np
    import pandas as pd

    columns: dict[str, Floats] = {}
    for name in names:
        wanted = "training" if name == ADVERSARIAL else name
        if wanted not in covariates:
            known = ", ".join(map(str, covariates.columns))
            raise AlignsecError(f"covariate {name!r} is no column of the table of covariates ({known})")
        values = covariates[wanted]
        if name == ADVERSARIAL:
            columns[name] = (values == "adversarial").to_numpy(dtype=float)
        elif pd.api.types.is_numeric_dtype(values):
            number = values.to_numpy(dtype=float, na_value=np.nan)
            columns[name] = np.log10(number) if name in LOGARITHMS else number
        else:
            texts = values.fillna("unknown").astype(str)
            texts = texts.where(texts.map(texts.value_counts()) >= least, "other")
            for value in texts.value_counts().index[1:]:
                columns[f"{name}: {value}"] = (texts == value).to_numpy(dtype=float)
    return np.column_stack([np.zeros((len(covariates), 0)), *columns.values()]), list(columns)


def between(columns: "Floats", family: "npt.NDArray[np.intp]") -> float:
    """Degrees of freedom that columns (n, k) take of the differences between families.

    Each column counts as much as of it lies between families (their means' part of its spread, of columns
    made orthogonal): 1 where a family has one value, less where models of a family differ.

    >>> import numpy as np
    >>> family = np.repeat(np.arange(4), 2)
    >>> alike, apart = np.repeat([0.0, 1, 0, 1], 2), np.tile([0.0, 1], 4)
    >>> [round(between(np.stack(c, 1), family), 9) for c in ([alike], [apart], [alike, apart, alike + apart])]
    [1.0, 0.0, 1.0]
    """
    import numpy as np

    left, size, _ = np.linalg.svd(columns - columns.mean(0), full_matrices=False)
    left = left[:, size > 1e-9 * max(size.max(initial=0.0), 1e-9)]
    each = (family[:, None] == np.arange(family.max() + 1)).astype(float)
    each /= np.sqrt(np.maximum(each.sum(0), 1))
    return float(((each.T @ left) ** 2).sum())
