"""Per-image verdicts to a table of models and targets; or a user's own table in their place."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec import epsilon as eps
from alignsec.errors import AlignsecError
from alignsec.targets import conditional, is_share

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = ["model", "target", "value", "low", "high", "n"]
EXCLUDED = ["model", "step", "reason"]
WARNINGS = ["model", "warning", "value", "meaning"]
_MEANINGS = {
    "zero_gradients": "share of images whose loss has no gradient at all: gradient attacks see nothing there",
    "square_after_white_box": "images that only the black-box attack broke: gradients may be masked",
    "not_monotone": "verdicts of the judge that a smaller ball contradicted: stronger attacks may break more",
    "softmax_output": "the outputs look like probabilities: losses on logits lose their strength",
    "stochastic": "attacked with version rand; largest standard deviation of robust accuracy over evaluations",
}
_UPSTREAM = ["Model Name", "Threat Model", "Epsilon"]


def target_name(epsilon: str, norm: str, top: int = 1) -> str:
    """`robust_top1@<epsilon>`; a norm other than Linf says so."""
    return f"robust_top{top}@{epsilon}" if norm == "Linf" else f"robust_top{top}@{norm}:{epsilon}"


def median_name(norm: str) -> str:
    """`median_distance`; a norm other than Linf says so."""
    return "median_distance" if norm == "Linf" else f"median_distance@{norm}"


def _median(model: str, target: str, distance: "np.ndarray") -> dict[str, Any]:
    """The median with its distribution-free 95 % interval, from order statistics."""
    import numpy as np
    from scipy.stats import binom

    ordered = np.sort(distance)
    n = len(ordered)
    below = int(binom.ppf(0.025, n, 0.5))
    low, high = ordered[max(0, below - 1)], ordered[min(n - 1, n - below)]
    return dict(zip(COLUMNS, (model, target, float(np.median(ordered)), low, high, n), strict=True))


def doubts(statuses: Iterable[dict[str, Any]]) -> "pd.DataFrame":
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
            counted = warning in ("square_after_white_box", "not_monotone")
            found[key] = before + value if counted else max(before, float(value))
    rows = [(model, warning, value, _MEANINGS[warning]) for (model, warning), value in sorted(found.items())]
    return pd.DataFrame(rows, columns=WARNINGS)


def _share(model: str, target: str, hits: int, n: int) -> dict[str, Any]:
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return dict(zip(COLUMNS, (model, target, hits / n, interval.low, interval.high, n), strict=True))


def summarise(
    attacks: Iterable["pd.DataFrame"],
    statuses: Iterable[dict[str, Any]],
    corruptions: Iterable["pd.DataFrame"],
    epsilons: Sequence[str],
    norm: str,
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Accuracies per model with Wilson intervals, and the models that have none.

    Parameters
    ----------
    attacks : tables of kind ``attack``, one per model and shard
    statuses : one per attack and corruption job: `model`, `step`, `status` (``ok`` or ``excluded``), `reason`
    corruptions : tables of kind ``corruptions``, one per model
    epsilons : as written in the configuration

    Returns
    -------
    (models, excluded)
        `models`: model, target, value, low, high, n (95 % Wilson score interval over the images; of the median
        of the smallest adversarial norm known, in [0, 1] pixel units and censored at the largest epsilon, the
        interval of order statistics);
        `excluded`: model, step, reason.

    Raises
    ------
    AlignsecError
        Every model was excluded.
    """
    import pandas as pd

    excluded = pd.DataFrame(
        sorted({(s["model"], s["step"], s["reason"]) for s in statuses if s["status"] != "ok"}),
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
        images = frame.drop_duplicates("image")
        clean = images["correct"]
        rows.append(_share(str(model), "clean_top1", int(clean.sum()), len(clean)))
        rows.append(_share(str(model), "clean_top5", int(images["correct_top5"].sum()), len(clean)))
        for text in epsilons:
            at = frame.loc[frame["epsilon"] == eps.parse(text), "robust"]
            if len(at) != len(clean):
                raise AlignsecError(
                    f"model {model!r}: {len(at)} verdicts at epsilon {text} for {len(clean)} images: "
                    "delete its attack folder and run again"
                )
            rows.append(_share(str(model), target_name(text, norm), int(at.sum()), len(at)))
            five = frame.loc[at.index, "top5"]
            if five.notna().all():
                rows.append(_share(str(model), target_name(text, norm, top=5), int(five.sum()), len(five)))
        # 0 where the clean image is misclassified; as far as the largest epsilon where nothing was found
        farthest = max(eps.parse(e) for e in epsilons)
        distance = images["distance"].fillna(farthest).clip(upper=farthest).where(clean, 0.0)
        rows.append(_median(str(model), median_name(norm), distance.to_numpy(dtype=float)))
    for frame in corruptions:
        if frame.empty:
            continue
        model = str(frame["model"].iloc[0])
        for (name, severity), part in frame.groupby(["corruption", "severity"], sort=True):
            target = f"corruption_top1@{name}-{severity}"
            rows.append(_share(model, target, int(part["correct"].sum()), len(part)))
        # images repeat across corruptions, so no binomial interval holds for the mean
        rows.append(
            {
                "model": model,
                "target": "corruption_top1@mean",
                "value": float(frame.groupby(["corruption", "severity"])["correct"].mean().mean()),
                "low": None,
                "high": None,
                "n": frame["image"].nunique(),
            }
        )
    return with_conditional(pd.DataFrame(rows, columns=COLUMNS)), excluded


def with_conditional(table: "pd.DataFrame") -> "pd.DataFrame":
    """`table` (kind ``robustness``) with `robust_given_correct@<epsilon>`: robust among the clean-correct images.

    Its `n` is the number of clean-correct images and its interval Wilson's; a model with none has no row. Rows are made
    where clean and robust accuracy are of as many images, and where the number is unknown as a ratio without interval;
    a robust accuracy above the clean one was measured on other images, and makes none.
    """
    import pandas as pd

    clean = table[table["target"] == "clean_top1"].set_index("model")
    rows: list[dict[str, Any]] = []
    for model, target, value, n in zip(
        table["model"], table["target"], table["value"], table["n"], strict=True
    ):
        name = conditional(str(target))
        if name is None or model not in clean.index or pd.isna(value):
            continue
        of, count = clean.loc[model, "value"], clean.loc[model, "n"]
        if pd.isna(of) or not 0 < of >= value:
            continue
        if pd.isna(n) and pd.isna(count):
            rows.append(dict(zip(COLUMNS, (model, name, value / of, None, None, None), strict=True)))
        elif pd.notna(n) and pd.notna(count) and n == count and round(of * n) > 0:
            rows.append(_share(str(model), name, round(value * n), round(of * n)))
    if not rows:
        return table
    added = pd.DataFrame(rows, columns=COLUMNS)
    # both as objects: a column that is all null in one must not decide the type of the other
    return pd.concat([table.astype(object), added.astype(object)], ignore_index=True).infer_objects()


def read_own(path: Path | str) -> "pd.DataFrame":
    """A user's robustness table: tidy (`model, target, value, n`) or the paper's CSV.

    The paper's columns are Model Name, Threat Model, Epsilon, Top-1 Accuracy, Top-5 Accuracy, Top-1 Subset
    Clean Accuracy, Top-5 Subset Clean Accuracy; accuracies are shares in [0, 1].

    Raises
    ------
    AlignsecError
        The file and line: missing column, a value that is no number or outside [0, 1], a repeated row.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise AlignsecError(f"{path}: no such robustness table: set robustness.source")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise AlignsecError(f"{path}: not a CSV file: {error}") from error
    if set(_UPSTREAM) <= set(frame.columns):
        frame = _from_upstream(frame, path)
    missing = [c for c in ("model", "target", "value") if c not in frame.columns]
    if missing:
        raise AlignsecError(
            f"{path}: column {missing[0]!r} is missing; the columns are {', '.join(map(str, frame.columns))}, "
            "expected are model, target, value and n (or the paper's, from 'Model Name' on)"
        )
    frame["line"] = frame.get("line", pd.Series(range(2, len(frame) + 2), index=frame.index))
    value = pd.to_numeric(frame["value"].replace("", None), errors="coerce")
    # a distance in L2 may be above 1
    share = frame["target"].map(is_share)
    bad = frame[(value.isna() & (frame["value"] != "")) | (value < 0) | ((value > 1) & share)]
    if len(bad):
        row = bad.iloc[0]
        raise AlignsecError(
            f"{path}:{row['line']}: value {row['value']!r} of {row['model']!r}, {row['target']!r} is not a share "
            "in [0, 1]: divide percentages by 100"
        )
    twice = frame[frame.duplicated(["model", "target"])]
    if len(twice):
        row = twice.iloc[0]
        raise AlignsecError(
            f"{path}:{row['line']}: {row['model']!r}, {row['target']!r} occurs twice: keep one"
        )
    if "n" in frame:
        n = (
            pd.to_numeric(frame["n"].replace("", None), errors="coerce")
            .astype("Float64")
            .round()
            .astype("Int64")
        )
    else:
        n = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    rows = []
    for model, target, v, count in zip(frame["model"], frame["target"], value, n, strict=True):
        if pd.isna(v):
            continue
        if not is_share(target):
            rows.append(dict(zip(COLUMNS, (model, target, v, None, None, count), strict=True)))
        elif pd.notna(count) and count > 0:
            rows.append(_share(model, target, round(v * count), int(count)) | {"value": v})
        else:
            rows.append(dict(zip(COLUMNS, (model, target, v, None, None, None), strict=True)))
    if not rows:
        raise AlignsecError(f"{path}: the table has no value")
    return with_conditional(pd.DataFrame(rows, columns=COLUMNS))


def _from_upstream(frame: "pd.DataFrame", path: Path) -> "pd.DataFrame":
    import pandas as pd

    rows: list[dict[str, Any]] = []
    columns = {
        "Top-1 Accuracy": "robust_top1",
        "Top-5 Accuracy": "robust_top5",
        "Top-1 Subset Clean Accuracy": "clean_top1",
        "Top-5 Subset Clean Accuracy": "clean_top5",
    }
    clean: dict[tuple[str, str], str] = {}
    for line, record in enumerate(frame.to_dict("records"), 2):
        norm = record["Threat Model"].strip()
        prefix = "" if norm.lower() in ("linf", "l_inf", "l∞", "") else f"{norm}:"
        for column, kind in columns.items():
            value = record.get(column, "")
            if value == "":
                continue
            model = record["Model Name"]
            target = kind if kind.startswith("clean") else f"{kind}@{prefix}{record['Epsilon'].strip()}"
            if kind.startswith("clean"):
                # the clean accuracy is repeated on every epsilon's row
                known = clean.get((model, kind))
                if known not in (None, value):
                    raise AlignsecError(
                        f"{path}:{line}: {column} of {model!r} is {value}, on an earlier line {known}"
                    )
                if known is not None:
                    continue
                clean[model, kind] = value
            rows.append({"model": model, "target": target, "value": value, "line": line})
    return pd.DataFrame(rows, columns=["model", "target", "value", "line"]).drop_duplicates(
        ["model", "target", "value", "line"]
    )


def join(
    merged: "pd.DataFrame",
    benchmarks: Sequence[str],
    robustness: "pd.DataFrame",
    families: dict[str, str] | None,
) -> "pd.DataFrame":
    """Benchmarks and targets side by side, one row per model.

    Models of the sheet (`families`: model to family) or, without a sheet, of the merge. A model without
    alignment scores or without robustness keeps its row with nulls.

    Raises
    ------
    AlignsecError
        No model of the robustness table is known.
    """
    wide = robustness.pivot(index="model", columns="target", values="value")
    order = list(dict.fromkeys(robustness["target"]))
    known = merged.set_index("model")
    models = list(families) if families is not None else list(known.index)
    if not set(models) & set(wide.index):
        some = ", ".join(map(repr, list(wide.index)[:3]))
        raise AlignsecError(
            f"no model of the robustness table ({some}, …) is a model of the study: check the names"
        )
    total = known.reindex(models)[["family", *benchmarks]]
    if families is not None:
        total["family"] = [families[m] for m in models]
    clash = sorted(set(order) & set(benchmarks))
    if clash:
        raise AlignsecError(f"target {clash[0]!r} has the name of a benchmark: rename it")
    total = total.join(wide[order].reindex(models))
    total.index.name = "model"
    return total.reset_index()


def weights_of(sheet: "pd.DataFrame", folder: Path | None) -> "pd.DataFrame":
    """Model and what its weights are known by: their hash from preflight below `folder`, else source and spec."""
    import pandas as pd

    from alignsec.names import encode

    keys = []
    for model, source, spec in zip(sheet["model"], sheet["source"], sheet["spec"], strict=True):
        key = f"{source}:{spec or model}"
        report = None if folder is None else folder / encode(model) / "preflight.json"
        if report is not None and report.is_file():
            key = read_status(report).get("weights_sha256") or key
        keys.append(key)
    return pd.DataFrame({"model": sheet["model"], "weights": keys})


def read_status(path: Path | str) -> dict[str, Any]:
    """A job's ``status.json``."""
    status: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return status
