"""Is a published network the leaderboard's model? Clean accuracies compared, copies found."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.study.targets import parts, radius, source_of, with_source

if TYPE_CHECKING:
    import pandas as pd

SAME, OTHER_SIZE, LIKELY = "same weights", "same weights, other input size", "likely"
IDENTITIES = (SAME, OTHER_SIZE, LIKELY)
IDENTITY_COLUMNS = ("model", "source", "source_model", "identity", "network", "evidence", "source_clean",
                    "leaderboard_clean", "difference", "flagged", "why")  # fmt: skip
IMAGENET = "ImageNet-top1"  # the leaderboard's own clean accuracy
AWAY = 0.03  # from the source's median difference; farther off, an identity is flagged
ALIKE = 0.0015  # copies: scores this near,
SHARE, SHARED = 0.4, 20  # on more than this share of at least so many leaves
AGREED = ("model", "source", "source_model", "target", "published_target", "own", "low", "high", "n",
          "published", "difference")  # fmt: skip
_TOLERANCE = 1e-9  # two spellings of one radius


def identities(
    names: "pd.DataFrame", joined: Mapping[str, "pd.DataFrame"], wide: "pd.DataFrame"
) -> "pd.DataFrame":
    """`IDENTITY_COLUMNS` of every row of the map: the source's clean accuracy beside the leaderboard's own.

    A network is what `networks` joins. A difference is flagged where it lies more than `AWAY` from the
    median difference of the source: preprocessing differs alike for all, another network does not.
    """
    import pandas as pd

    clean: dict[tuple[str, str], float] = {}
    for source, table in joined.items():
        rows = table[table["target"] == with_source("clean_top1", source)]
        clean |= {(m, source): v for m, v in zip(rows["model"], rows["value"], strict=True)}
    network = networks(names)
    own = wide[IMAGENET] if IMAGENET in wide else pd.Series(dtype=float)
    found = pd.DataFrame(
        {
            "model": names["leaderboard_model"],
            "source": names["source"],
            "source_model": names["source_model"],
            "identity": names["identity"],
            "network": [network[m] for m in names["leaderboard_model"]],
            "evidence": names["evidence"],
        }
    )
    keys = list(zip(found["model"], found["source"], strict=True))
    found["source_clean"] = [clean.get(k, float("nan")) for k in keys]
    found["leaderboard_clean"] = [float(own.get(m, float("nan"))) for m, _ in keys]
    found["difference"] = found["leaderboard_clean"] - found["source_clean"]
    middle = found[found["identity"] == SAME].groupby("source")["difference"].median()
    off = found["difference"] - found["source"].map(middle)
    found["flagged"] = off.abs() > AWAY
    found["why"] = [
        f"clean accuracy is {o:+.3f} from the source's median difference" if f else _unchecked(there, here)
        for o, f, there, here in zip(
            off, found["flagged"], found["source_clean"], found["leaderboard_clean"], strict=True
        )
    ]
    return found.sort_values(["source", "model"], ignore_index=True)[list(IDENTITY_COLUMNS)]


def _unchecked(there: float, here: float) -> str:
    """Why an identity could not be checked; empty where it was."""
    if math.isnan(there):
        return "not checked: the source has no clean accuracy"
    return f"not checked: the leaderboard has no {IMAGENET}" if math.isnan(here) else ""


def networks(names: "pd.DataFrame") -> dict[str, str]:
    """Model -> its network: one for all models that a source has one name for, or that load one checkpoint.

    A network is called after the first source of `names` that has it, as ``testbed:resnet50``.

    Parameters
    ----------
    names : the name map, `published.MAP`, perhaps with `weights`: the checkpoint that the plugin declares
    """
    above: dict[str, str] = {}

    def root(node: str) -> str:
        while above.setdefault(node, node) != node:
            node = above[node]
        return node

    called = list(names["source"] + ":" + names["source_model"])
    weights = list(names["weights"]) if "weights" in names else [""] * len(names)
    models = list(names["leaderboard_model"])
    for model, name, checkpoint in zip(models, called, weights, strict=True):
        above[root(f"model {model}")] = root(f"name {name}")
        if checkpoint:
            above[root(f"model {model}")] = root(f"weights {checkpoint}")
    label: dict[str, str] = {}
    for model, name in zip(models, called, strict=True):
        label.setdefault(root(f"model {model}"), name)
    return {model: label[root(f"model {model}")] for model in models}


def copies(wide: "pd.DataFrame", leaves: Sequence[str]) -> "pd.DataFrame":
    """Pairs of models that agree within `ALIKE` on over `SHARE` of at least `SHARED` leaves of both."""
    import numpy as np
    import pandas as pd

    values = wide[list(leaves)].to_numpy(float)
    rows: list[tuple[Any, ...]] = []
    for i in range(len(values)):
        both = np.isfinite(values[i]) & np.isfinite(values[i + 1 :])
        with np.errstate(invalid="ignore"):
            near = (np.abs(values[i + 1 :] - values[i]) <= ALIKE) & both
        count, alike = both.sum(1), near.sum(1)
        for k in np.flatnonzero((count >= SHARED) & (alike > SHARE * count)):
            rows.append((wide.index[i], wide.index[i + 1 + k], int(alike[k]), int(count[k])))
    return pd.DataFrame(rows, columns=["model", "other", "alike", "leaves"])


def agreement(own: "pd.DataFrame", published: "pd.DataFrame", identity: "pd.DataFrame") -> "pd.DataFrame":
    """Own and published values of the same weights at one input size, side by side: `AGREED`.

    Clean accuracy stands beside clean accuracy, accuracy under attack beside that of the same norm and
    radius, whatever attacked (AutoAttack finds more than a PGD), any other target beside the one of its name.
    `own, low, high, n` are the study's own; `difference` is own - published.
    """
    import pandas as pd

    same = identity[identity["identity"] == SAME]
    rows: list[tuple[Any, ...]] = []
    for model, source, name in _rows(same, "model", "source", "source_model"):
        theirs = published[published["model"] == model]
        for target, *values in _rows(own[own["model"] == model], "target", "value", "low", "high", "n"):
            for other, value in _rows(theirs, "target", "value"):
                if source_of(other) == source and _comparable(target, other):
                    rows.append((model, source, name, target, other, *values, value, values[0] - value))
    return pd.DataFrame(rows, columns=list(AGREED))


def _rows(table: "pd.DataFrame", *columns: str) -> Iterable[Any]:
    return table[list(columns)].itertuples(index=False, name=None)


def _comparable(own: str, published: str) -> bool:
    """Do two targets measure the same, whoever measured and whatever attacked?

    >>> _comparable("robust_top1@1/510", "pgd_top1@0.5/255[testbed]")
    True
    >>> _comparable("robust_top1@0.5", "pgd_top1@L2:0.5[testbed]")
    False
    """
    a, b, sizes = parts(own), parts(published), (radius(own), radius(published))
    if sizes[0] is None or sizes[1] is None:
        return a[:3] == b[:3]
    attacked = {a.measure, b.measure} <= {"robust_top1", "pgd_top1"}
    return attacked and a.norm == b.norm and abs(sizes[0] - sizes[1]) < _TOLERANCE
