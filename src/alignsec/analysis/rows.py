"""Which models an analysis has: of every source of targets one row per network, of known identity.

What is left out is left out by a rule that was written down, and each row says by which.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.analysis.correlate import targets_of
from alignsec.study.plan import ONLY as ONLY_THEM
from alignsec.study.plan import WITHOUT
from alignsec.study.records import Plan
from alignsec.study.targets import source_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["model", "source", "family", "network", "training", "primary", "why", "identity", "leaves",
           "copy_of"]  # fmt: skip
ADVERSARIAL = "adversarial"  # as `training` of a model
UNKNOWN = "unknown"
# reasons for which a row is not primary, those that a selection takes back by name
TRAINED, UNTRAINED, EXCLUDED = "adversarially trained", "not adversarially trained", "excluded by the plan: "
COPY = "the same network as "
# selections of rows
EVERY, NETWORKS, PRIMARY = "every row", "one per network", "primary"
WITH, ONLY = "with adversarially trained", "adversarially trained only"


def of_study(
    total: "pd.DataFrame",
    leaves: Sequence[str],
    targets: "pd.DataFrame",
    plan: Plan,
    *,
    covariates: "pd.DataFrame | None" = None,
    identities: "pd.DataFrame | None" = None,
    weights: Mapping[str, str] | None = None,
) -> "pd.DataFrame":
    """A row per model and source of targets, whether it is a primary one, and why not.

    Parameters
    ----------
    total : table of kind ``total_scores``
    leaves : benchmarks whose scores are counted: of the models that are one network, the one with the most
        scored stands for it, the first by name among equals; one of another identity than the plan admits,
        or excluded, only where there is no other
    targets : table of kind ``robustness``
    covariates : `model, training`; a model without is of unknown training
    identities : `model, source, identity, network` of published rows; one without is taken to be the model
    weights : model -> what its weights are known by, which make a network where no identity does

    Returns
    -------
    `COLUMNS`, sorted by source and model. `source` is null for the study's own targets. `why` holds every
    reason, separated by ``"; "``, and is null where `primary`. `copy_of` names the model that stands for the
    network; null in its own row.
    """
    import pandas as pd

    known: dict[str, str] = {}
    if covariates is not None:
        known = dict(covariates[["model", "training"]].dropna().itertuples(index=False, name=None))
    same: dict[tuple[str, str], tuple[str, str]] = {}
    if identities is not None:
        columns = ["model", "source", "identity", "network"]
        same = {(m, s): (i, n) for m, s, i, n in identities[columns].itertuples(index=False)}
    scored = dict(zip(total["model"], total[list(leaves)].notna().sum(axis=1), strict=True))
    rows: list[dict[str, Any]] = []
    every = targets_of(targets)
    for source in dict.fromkeys(source_of(t) for t in every):
        mine = [t for t in every if source_of(t) == source]
        measured = total[total[mine].notna().any(axis=1)]
        for model, family in zip(measured["model"], measured["family"], strict=True):
            own = (weights or {}).get(model, model)
            identity, network = same.get((model, source or ""), (None, own))
            rows.append({"model": model, "source": source, "family": family, "network": network,
                         "training": known.get(model, UNKNOWN), "identity": identity,
                         "leaves": int(scored[model])})  # fmt: skip
    for row, other in zip(rows, _stand_ins(rows, plan), strict=True):
        row["copy_of"] = other
        row["why"] = _why(row, plan) or None
        row["primary"] = row["why"] is None
    rows.sort(key=lambda r: (r["source"] or "", r["model"]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _admitted(identity: str | None, plan: Plan) -> bool:
    return identity is None or identity in plan["identities"]


def _stand_ins(rows: Sequence[Mapping[str, Any]], plan: Plan) -> list[str | None]:
    """For each row the model that stands for its network in its source, where that is another."""
    best: dict[tuple[str | None, str], tuple[bool, bool, int, str]] = {}
    for row in rows:
        key, model = (row["source"], row["network"]), row["model"]
        place = (model in plan["exclude"], not _admitted(row["identity"], plan), -row["leaves"], model)
        best[key] = min(best.get(key, place), place)
    found = [best[row["source"], row["network"]][-1] for row in rows]
    return [None if name == row["model"] else name for name, row in zip(found, rows, strict=True)]


def _why(row: Mapping[str, Any], plan: Plan) -> str:
    """Every reason for which a row is not primary."""
    model, trained = row["model"], row["training"] == ADVERSARIAL
    whom = plan["adversarially_trained"]
    reasons = []
    if trained and whom == WITHOUT:
        reasons.append(TRAINED)
    if not trained and whom == ONLY_THEM:
        reasons.append(UNTRAINED)
    if model in plan["exclude"]:
        reasons.append(EXCLUDED + plan["exclude"][model])
    if not _admitted(row["identity"], plan):
        reasons.append(f"identity: {row['identity']}")
    if plan["one_per_network"] and row["copy_of"] is not None:
        reasons.append(f"{COPY}{row['copy_of']}, which has no fewer scored leaves")
    return "; ".join(reasons)


def selected(rows: "pd.DataFrame", which: str, source: str | None) -> list[str]:
    """The models of a selection of rows of one source of targets.

    Parameters
    ----------
    rows : of `of_study`
    which : `EVERY`; `NETWORKS`, one of each network, whatever its identity and training; `PRIMARY`; `WITH`,
        the primary ones as if training did not matter; `ONLY`, those of them that are adversarially trained
    source : of the targets; None: the study's own
    """
    mine = rows[rows["source"].isna() if source is None else rows["source"] == source]
    reasons = [set(str(w).split("; ")) for w in mine["why"].fillna("")]
    free = [r <= {"", TRAINED, UNTRAINED} for r in reasons]
    trained = list(mine["training"] == ADVERSARIAL)
    if which == EVERY:
        keep = [True] * len(mine)
    elif which == NETWORKS:
        excluded = [any(w.startswith(EXCLUDED) for w in r) for r in reasons]
        keep = [pick and not out for pick, out in zip(mine["copy_of"].isna(), excluded, strict=True)]
    elif which == PRIMARY:
        keep = list(mine["primary"].astype(bool))
    elif which == WITH:
        keep = free
    else:
        keep = [f and t for f, t in zip(free, trained, strict=True)]
    return list(mine.loc[keep, "model"])


def admitted(rows: "pd.DataFrame", source: str | None, networks: bool, trained: bool) -> list[str]:
    """The models of one source that the plan admits, whatever it says of copies and of training.

    Parameters
    ----------
    rows : of `of_study`
    source : of the targets; None: the study's own
    networks : one row of each network, else every row
    trained : with adversarially trained networks
    """
    mine = rows[rows["source"].isna() if source is None else rows["source"] == source]
    free = [
        all(r in ("", TRAINED, UNTRAINED) or r.startswith(COPY) for r in str(why).split("; "))
        for why in mine["why"].fillna("")
    ]
    keep = mine[free]
    if networks:
        keep = keep[keep["copy_of"].isna()]
    if not trained:
        keep = keep[keep["training"] != ADVERSARIAL]
    return list(keep["model"])
