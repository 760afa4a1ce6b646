"""Networks that were trained both ways: adversarially, and on ordinary images alone. A list, no inference."""

import math
from typing import TYPE_CHECKING, Any

from alignsec.analysis.rows import ADVERSARIAL
from alignsec.study.records import Plan

if TYPE_CHECKING:
    import pandas as pd

STANDARD = "standard"
ALIKE = ["family", "architecture", "parameters", "data"]  # what makes two models twins
COLUMNS = ["model", "twin", *ALIKE, "input_size", "twin_input_size", "quantity", "value", "twin_value",
           "difference"]  # fmt: skip


def of_study(
    total: "pd.DataFrame", benchmarks: "pd.DataFrame", covariates: "pd.DataFrame | None", plan: Plan
) -> "pd.DataFrame":
    """Every adversarially trained model beside every standardly trained one of the same network.

    Parameters
    ----------
    total, benchmarks : tables of the kinds ``total_scores`` and ``benchmarks``
    covariates : `ALIKE, model, training, input_size`; models whose parameters are unknown have no twin; None:
        nobody knows of any
    plan : of the study

    Returns
    -------
    `COLUMNS`, a row per pair and quantity that both have: the leaderboard's means at the top of its tree (no
    leaves) and the primary targets. `difference`: of the model (adversarially trained) less its twin.
    """
    import pandas as pd

    if covariates is None:
        return pd.DataFrame(columns=COLUMNS)
    known = covariates[covariates["parameters"].notna() & covariates["model"].isin(total["model"])]
    known = known[[*ALIKE, "model", "training", "input_size"]]
    trained, plain = (known[known["training"] == t] for t in (ADVERSARIAL, STANDARD))
    pairs = trained.merge(plain, on=ALIKE, suffixes=("", "_twin"))
    tops = benchmarks.loc[(benchmarks["depth"] <= 1) & ~benchmarks["is_leaf"], "benchmark"]
    quantities = [*tops, *plan["primary"].values()]
    values: dict[Any, Any] = total.set_index("model")[quantities].astype(float).to_dict()
    found: list[dict[str, Any]] = []
    for pair in pairs.to_dict("records"):
        row = {str(k): pair[k] for k in (*ALIKE, "model", "input_size")}
        row |= {"twin": pair["model_twin"], "twin_input_size": pair["input_size_twin"]}
        for quantity in quantities:
            one, other = (values[quantity][pair[m]] for m in ("model", "model_twin"))
            if math.isfinite(one) and math.isfinite(other):
                both = {"quantity": quantity, "value": one, "twin_value": other, "difference": one - other}
                found.append(row | both)
    return pd.DataFrame(found, columns=COLUMNS)
