"""Verdicts per image as a table of models and targets."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.ground.errors import AlignsecError
from alignsec.study import epsilon as eps
from alignsec.study.records import OK, Status
from alignsec.study.targets import (
    CORRUPTIONS,
    conditional,
    corruption_name,
    median_name,
    source_of,
    target_name,
    with_source,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

COLUMNS = ["model", "target", "value", "low", "high", "n"]
EXCLUDED = ["model", "step", "reason"]
WARNINGS = ["model", "warning", "value", "meaning"]
_MEANINGS = {
    "zero_gradients": "share of images whose loss has no gradient at all: gradient attacks see nothing there",
    "square_after_white_box": "images that only the black-box attack broke: gradients may be masked",
    "not_monotone": "verdicts of the judge that a smaller ball contradicted: stronger attacks may break more",
    "not_finite": "images around which logits or gradients are not finite: no such point counts as an "
    "adversarial, and the attacks could not pass there",
    "attacks_left_out": "attacks that rank more classes than the model has: the verdicts are weaker than the "
    "version's name says",
    "moving_outputs": "logits differ between two looks at the same images, by this share of their length: "
    "verdicts of a version that is not rand may be chance",
    "softmax_output": "the outputs look like probabilities: losses on logits lose their strength",
    "stochastic": "attacked with version rand; largest standard deviation of robust accuracy over "
    "evaluations",
}
_COUNTS = (
    "square_after_white_box",
    "not_monotone",
    "not_finite",
)  # of images and verdicts, the others are shares


def summarise(
    attacks: Iterable["pd.DataFrame"],
    statuses: Iterable[Status],
    corruptions: Iterable["pd.DataFrame"],
    epsilons: Sequence[str],
    norm: str,
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Accuracies per model with Wilson intervals, and the models that have none.

    A model that preflight or an attack excludes has no row; one that only its corruptions exclude keeps
    those of its attack.

    Parameters
    ----------
    attacks : tables of kind ``attack``, one per model and shard
    statuses : one per attack and corruptions job
    corruptions : tables of kind ``corruptions``, one per model
    epsilons : as written in the configuration

    Returns
    -------
    (models, excluded)
        `models`: model, target, value, low, high, n (95 % Wilson score interval over the images; of the
        median of the smallest adversarial norm known, in [0, 1] pixel units and censored at the largest
        epsilon, the interval of order statistics); `excluded`: model, step, reason.

    Raises
    ------
    AlignsecError
        Every model was excluded, or verdicts are missing.
    """
    import pandas as pd

    excluded = pd.DataFrame(
        sorted({(s["model"], s["step"], s["reason"]) for s in statuses if s["status"] != OK}),
        columns=EXCLUDED,
    )
    out = set(excluded.loc[excluded["step"] != "corruptions", "model"])
    attack = pd.concat([f for f in attacks if len(f)] or [pd.DataFrame(columns=["model"])], ignore_index=True)
    attack = attack[~attack["model"].isin(out)]
    if attack.empty:
        reasons = "; ".join(f"{r.model}: {r.reason}" for r in excluded.head(5).itertuples())
        raise AlignsecError(
            f"no model could be attacked ({reasons}): see robustness/excluded.csv and the logs"
        )
    rows: list[dict[str, Any]] = []
    for model, frame in attack.groupby("model", sort=True):
        rows += _attacked(str(model), frame, epsilons, norm)
    for frame in corruptions:
        if len(frame):
            rows += _corrupted(frame)
    return with_conditional(pd.DataFrame(rows, columns=COLUMNS)), excluded


def _attacked(model: str, frame: "pd.DataFrame", epsilons: Sequence[str], norm: str) -> list[dict[str, Any]]:
    """Rows of one model from its verdicts."""
    images = frame.drop_duplicates("image")
    clean = images["correct"]
    rows = [
        share_row(model, "clean_top1", int(clean.sum()), len(clean)),
        share_row(model, "clean_top5", int(images["correct_top5"].sum()), len(clean)),
    ]
    for text in epsilons:
        at = frame.loc[frame["epsilon"] == eps.parse(text), "robust"]
        if len(at) != len(clean):
            raise AlignsecError(
                f"model {model!r}: {len(at)} verdicts at epsilon {text} for {len(clean)} images: "
                "delete its attack folder and run again"
            )
        rows.append(share_row(model, target_name(text, norm), int(at.sum()), len(at)))
        five = frame.loc[at.index, "top5"]
        if five.notna().all():
            rows.append(share_row(model, target_name(text, norm, top=5), int(five.sum()), len(five)))
    # 0 where the clean image is misclassified; as far as the largest epsilon where nothing was found
    farthest = max(eps.parse(e) for e in epsilons)
    distance = images["distance"].fillna(farthest).clip(upper=farthest).where(clean, 0.0)
    return [*rows, _median(model, median_name(norm), distance.to_numpy(dtype=float))]


def _corrupted(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows of one model from its table of kind ``corruptions``."""
    model = str(frame["model"].iloc[0])
    rows = [
        share_row(
            model, corruption_name(str(name), int(str(severity))), int(part["correct"].sum()), len(part)
        )
        for (name, severity), part in frame.groupby(["corruption", "severity"], sort=True)
    ]
    # images repeat across corruptions, so no binomial interval holds for the mean
    mean = float(frame.groupby(["corruption", "severity"])["correct"].mean().mean())
    return [*rows, _row(model, CORRUPTIONS, mean, None, None, frame["image"].nunique())]


def _row(model: str, target: str, *values: Any) -> dict[str, Any]:
    return dict(zip(COLUMNS, (model, target, *values), strict=True))


def share_row(model: str, target: str, hits: int, n: int) -> dict[str, Any]:
    """A row of kind ``robustness``: `hits` of `n` images, with Wilson's 95 % interval.

    >>> row = share_row("resnet", "clean_top1", 34, 1000)
    >>> row["value"], round(row["low"], 4), round(row["high"], 4)
    (0.034, 0.0244, 0.0471)
    """
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return _row(model, target, hits / n, interval.low, interval.high, n)


def _median(model: str, target: str, distance: "npt.NDArray[np.float64]") -> dict[str, Any]:
    """The median with its distribution-free 95 % interval, from order statistics."""
    import numpy as np
    from scipy.stats import binom

    ordered = np.sort(distance)
    n = len(ordered)
    below = int(binom.ppf(0.025, n, 0.5))
    low, high = ordered[max(0, below - 1)], ordered[min(n - 1, n - below)]
    return _row(model, target, float(np.median(ordered)), low, high, n)


def with_conditional(table: "pd.DataFrame") -> "pd.DataFrame":
    """`table` (kind ``robustness``) and `robust_given_correct@<epsilon>`: robust among images clean-correct.

    Its `n` is the number of clean-correct images and its interval Wilson's; a model with none has no row.
    Rows are made where clean and robust accuracy are of as many images, and where the number is unknown as a
    ratio without interval; a robust accuracy above the clean one was measured on other images, and makes
    none.
    """
    import pandas as pd

    known = table.set_index(["model", "target"])[["value", "n"]]
    clean = {key: (value, n) for key, value, n in known.itertuples(name=None)}
    rows: list[dict[str, Any]] = []
    for model, target, value, n in zip(
        table["model"], table["target"], table["value"], table["n"], strict=True
    ):
        name = conditional(str(target))
        key = model, with_source("clean_top1", source_of(str(target)))
        if name is None or key not in clean or pd.isna(value):
            continue
        of, count = clean[key]
        if pd.isna(of) or not 0 < of >= value:
            continue
        if pd.isna(n) and pd.isna(count):
            rows.append(_row(str(model), name, value / of, None, None, None))
        elif pd.notna(n) and pd.notna(count) and n == count and round(of * n) > 0:
            rows.append(share_row(str(model), name, round(value * n), round(of * n)))
    if not rows:
        return table
    added = pd.DataFrame(rows, columns=COLUMNS)
    # both as objects: a column that is all null in one must not decide the type of the other
    return pd.concat([table.astype(object), added.astype(object)], ignore_index=True).infer_objects()


def doubts(statuses: Iterable[Status]) -> "pd.DataFrame":
    """What the attack jobs warned about, one row per model and warning: `model, warning, value, meaning`.

    Counts are added up over a model's shards; of shares and deviations the largest is taken.
    """
    import pandas as pd

    found: dict[tuple[str, str], float] = {}
    for status in statuses:
        given = dict(status.get("warnings", {}))
        if status.get("spread"):
            given["stochastic"] = max(status["spread"].values())
        for warning, value in given.items():
            key = status["model"], warning
            before = found.get(key, 0.0)
            found[key] = before + value if warning in _COUNTS else max(before, float(value))
    rows = [(model, warning, value, _MEANINGS[warning]) for (model, warning), value in sorted(found.items())]
    return pd.DataFrame(rows, columns=WARNINGS)
