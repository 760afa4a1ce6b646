"""Is a published network the leaderboard's model? Clean accuracies compared, copies found."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.study.targets import with_source

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
AGREED = ("model", "target", "published", "own", "difference")


def identities(
    names: "pd.DataFrame", joined: Mapping[str, "pd.DataFrame"], wide: "pd.DataFrame"
) -> "pd.DataFrame":
    """`IDENTITY_COLUMNS` of every row of the map: the source's clean accuracy beside the leaderboard's own.

    Networks have the source's name for them. A difference is flagged where it lies more than `AWAY` from the
    median difference of the source: preprocessing differs alike for all, another network does not.
    """
    import pandas as pd

    clean: dict[tuple[str, str], float] = {}
    for source, table in joined.items():
        rows = table[table["target"] == with_source("clean_top1", source)]
        clean |= {(m, source): v for m, v in zip(rows["model"], rows["value"], strict=True)}
    own = wide[IMAGENET] if IMAGENET in wide else pd.Series(dtype=float)
    found = pd.DataFrame(
        {
            "model": names["leaderboard_model"],
            "source": names["source"],
            "source_model": names["source_model"],
            "identity": names["identity"],
            "network": names["source"] + ":" + names["source_model"],
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
        f"clean accuracy is {o:+.3f} from the source's median difference" if f else ""
        for o, f in zip(off, found["flagged"], strict=True)
    ]
    return found.sort_values(["source", "model"], ignore_index=True)[list(IDENTITY_COLUMNS)]


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
    """Own and published values of the same weights under targets of one name, side by side."""
    import pandas as pd

    same = identity[identity["identity"] == SAME]
    rows = []
    values = published.set_index(["model", "target"])["value"]
    for model, source in zip(same["model"], same["source"], strict=True):
        for target, value in own.loc[own["model"] == model, ["target", "value"]].itertuples(index=False):
            theirs = values.get((model, with_source(str(target), source)))
            if theirs is not None:
                rows.append((model, with_source(str(target), source), theirs, value, value - theirs))
    return pd.DataFrame(rows, columns=list(AGREED))
