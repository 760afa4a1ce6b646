"""What networks are and how they were trained, as columns that `control.leafwise` holds fixed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

LOGARITHMS = ("parameters",)  # of which a factor counts, not a difference
ADVERSARIAL = "adversarial"  # as a name: trained on adversarial images or not, whatever else


def matrix(covariates: "pd.DataFrame", names: Sequence[str]) -> tuple["Floats", list[str]]:
    """Covariates of n models as (n, k) float64, and names of the k columns; NaN where a number is unknown.

    Numbers are taken as they are, `LOGARITHMS` as logarithms to base 10; a text gives a column of 0 and 1 for
    each of its values but the commonest. `ADVERSARIAL` is a column of its own, made from `training`.

    Parameters
    ----------
    covariates : a row per model, as in ``analysis/covariates.csv``
    names : of its columns, or `ADVERSARIAL`

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
            for value in texts.value_counts().index[1:]:
                columns[f"{name}: {value}"] = (texts == value).to_numpy(dtype=float)
    return np.column_stack([np.zeros((len(covariates), 0)), *columns.values()]), list(columns)
