"""What others have published, computed again from the tables at hand: our number, its interval, a verdict.

The claims are data (`config/published/claims.yaml`); a claim names one of `quantities.QUANTITIES`. A verdict
compares an interval of ours with the region in which the claim holds; nothing here speaks of causes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.analysis.quantities import QUANTITIES, Found, Inputs
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.study.layout import Layout
from alignsec.study.records import read_plan

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("claim", "work", "said", "published", "ours", "low", "high", "n", "n_families", "verdict", "what")
AGREES, DISAGREES, UNTOLD, OTHER = "agrees", "disagrees", "cannot tell", "different data"
TESTBED = "testbed"


def verdict(found: Found, holds: Sequence[float], same_data: bool) -> str:
    """Our interval against the region in which a claim holds.

    >>> verdict(Found(0.1, -0.1, 0.2, 50, 9, ""), (-0.3, 0.3), same_data=True)
    'agrees'
    >>> verdict(Found(0.6, 0.4, 0.8, 50, 9, ""), (-0.3, 0.3), same_data=True)
    'disagrees'
    >>> verdict(Found(0.2, -0.5, 0.8, 50, 9, ""), (-0.3, 0.3), same_data=True)
    'cannot tell'
    """
    import math

    low, high = holds
    if not math.isfinite(found.low):
        return UNTOLD
    if low <= found.low and found.high <= high:
        return AGREES
    if found.high < low or found.low > high:
        return DISAGREES if same_data else OTHER
    return UNTOLD


def read_claims(path: Path) -> dict[str, Any]:
    """Works and claims of a YAML file.

    Raises
    ------
    AlignsecError
        The file, the claim and the key that is missing or unknown, and the remedy.
    """
    import yaml

    if not path.is_file():
        raise AlignsecError(f"{path}: no such file of claims: set robustness.published.claims")
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or not {"works", "claims"} <= set(data):
        raise AlignsecError(f"{path}: a file of claims has the keys 'works' and 'claims'")
    for claim in data["claims"]:
        where = f"{path}: claim {claim.get('id', '(without id)')!r}"
        for key in ("id", "work", "claim", "quantity", "holds", "data"):
            if key not in claim:
                raise AlignsecError(f"{where}: key {key!r} is missing")
        if claim["work"] not in data["works"]:
            raise AlignsecError(f"{where}: work {claim['work']!r} is not among the works")
        if claim["quantity"] not in QUANTITIES:
            near = closest(claim["quantity"], list(QUANTITIES))[0][0]
            raise AlignsecError(f"{where}: no quantity is called {claim['quantity']!r} (nearest: {near!r})")
        if claim["data"] not in ("same", "other"):
            raise AlignsecError(f"{where}: data is 'same' or 'other', not {claim['data']!r}")
    return data


def replicate(claims: Mapping[str, Any], data: Inputs) -> "pd.DataFrame":
    """A row per claim: what was said, our number, 95 % interval, models, families, verdict."""
    import pandas as pd

    rows = []
    for claim in claims["claims"]:
        found = QUANTITIES[claim["quantity"]](data, claim)
        work = claims["works"][claim["work"]]
        rows.append(
            {
                "claim": claim["id"],
                "work": f"{work['authors']} {work['year']}",
                "said": claim["claim"],
                "published": claim.get("published"),
                "ours": found.value,
                "low": found.low,
                "high": found.high,
                "n": found.n,
                "n_families": found.n_families,
                "verdict": verdict(found, claim["holds"], claim["data"] == "same"),
                "what": found.what,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def testbed(whole: "pd.DataFrame", types: "pd.DataFrame") -> "pd.DataFrame":
    """`Inputs.testbed` of the source's whole table (kind ``robustness``) and its types of training.

    Models that the authors gave no type are left out.
    """
    wide = whole.pivot(index="model", columns="target", values="value")
    said = types.set_index("source_model")
    wide = wide[wide.index.isin(said.index)]
    return wide.assign(type=said["type"].reindex(wide.index), family=said["group"].reindex(wide.index))


def of_study(folder: Path, claims: Path) -> "pd.DataFrame":
    """`replicate` for the study below ``results/<study>`` with a file of claims."""
    import pandas as pd

    study = Layout(folder)
    total = tables.read(study.total, "total_scores")
    scores = tables.read(study.scores, "scores").pivot(index="model", columns="benchmark", values="score")
    family = tables.read(study.merged, "merged").set_index("model")["family"]
    scores = scores.loc[scores.index.isin(family.index)].assign(family=family).reset_index()
    said = read_claims(claims)
    types = pd.read_csv(claims.with_name(said["types"]), sep="\t")
    bed = testbed(tables.read(study.published_whole(TESTBED), "robustness"), types)
    plan = read_plan(study.plan)
    target = next((t for k, t in plan["primary"].items() if k.startswith("adversarial Linf")), None)
    if target is None:
        raise AlignsecError(f"{study.plan}: no primary target under attack, and the claims are of one")
    benchmarks = tables.read(study.benchmarks, "benchmarks")
    return replicate(said, Inputs(total, scores, benchmarks, target, bed))
