"""Benchmarks of the user's own beside the published ones: a file of scores, a parent, a category.

The published file is not touched, and its parents' scores stay as published. The analysis computes parents
again from their children (`alignsec.analysis.parents`), an own benchmark among them; one without a parent is
in no mean.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.ground.tabular import Table, read_table
from alignsec.leaderboard.export import META, Parsed, cells
from alignsec.leaderboard.tree import display_name, tree_order

if TYPE_CHECKING:
    import pandas as pd

KEY = "leaderboard.extra"


@dataclass(frozen=True)
class Extra:
    """An entry of ``leaderboard.extra``.

    Parameters
    ----------
    file : a table that `read_table` reads: columns ``model`` and ``score``, of one benchmark that is called
        as the file is; or ``model`` and a column for each benchmark, under its name
    parent : the benchmark of the leaderboard that it stands below; None: it stands alone
    category : neural, behavior or engineering
    """

    file: str
    parent: str | None
    category: str

    @classmethod
    def of_json(cls, text: str) -> "Extra":
        """An entry as the configuration has it.

        >>> Extra.of_json('{"file": "a.csv", "parent": "V1", "category": "neural"}').parent
        'V1'
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise AlignsecError(f"{KEY}: {text}: expected are file, parent and category") from error


def add(parsed: Parsed, extras: Sequence[Extra]) -> Parsed:
    """The leaderboard with the own benchmarks, each below its parent and after the parent's own children.

    A model of the leaderboard that a file leaves out is ``missing`` in it. Models that are not on the
    leaderboard are left out and told in the warnings.

    Raises
    ------
    AlignsecError
        A file that is no table of scores, a model twice in it or none of the leaderboard's, an unknown parent
        or one that is a leaf, another category than the parent's, a name that the leaderboard has already.
    """
    for extra in extras:
        parsed = _added(parsed, extra)
    return parsed


def _added(parsed: Parsed, extra: Extra) -> Parsed:
    import pandas as pd

    table = read_table(extra.file)
    _check_parent(parsed.benchmarks, extra)
    column = table.find("model", "model_name")
    if column is None:
        raise AlignsecError(
            f"{KEY}: {extra.file}:{table.header_line}: column 'model' is missing; the header is "
            f"{', '.join(table.header)}"
        )
    benchmarks = _benchmarks(table, extra)
    _check_new(parsed.benchmarks, list(benchmarks), extra)
    row_of = _rows(table, column)
    models = list(dict.fromkeys(parsed.scores["model"]))
    strange = [m for m in row_of if m not in set(models)]
    if len(strange) == len(row_of):
        raise AlignsecError(
            f"{KEY}: {extra.file}: none of its {len(row_of)} models is on the leaderboard: names are "
            f"compared to the letter ({_near(strange[0], models)})"
        )
    values, status, warnings = cells(table, list(benchmarks.values()))
    records = [
        (m, b, values[r, j], status[r, j]) if (r := row_of.get(m)) is not None else (m, b, None, "missing")
        for m in models
        for j, b in enumerate(benchmarks)
    ]
    scores = pd.DataFrame(records, columns=["model", "benchmark", "score", "status"]).astype({"score": float})
    place = {m: i for i, m in enumerate(models)}
    both = pd.concat([parsed.scores, scores], ignore_index=True)
    both = both.sort_values("model", key=lambda c: c.map(place), kind="stable", ignore_index=True)
    if strange:
        some = "; ".join(_near(m, models) for m in strange[:20])
        more = f" and {len(strange) - 20} more" if len(strange) > 20 else ""
        warnings.append(
            f"{KEY}: {extra.file}: {len(strange)} of its models are not on the leaderboard and left out: "
            f"{some}{more}"
        )
    return replace(
        parsed,
        scores=both,
        benchmarks=_below(parsed.benchmarks, scores, extra),
        warnings=parsed.warnings + warnings,
        understood=f"{parsed.understood}; {extra.file}: {table.understood}",
    )


def _near(name: str, models: list[str]) -> str:
    return f"{name!r}, nearest {closest(name, models)[0][0]!r}"


def _check_parent(benchmarks: "pd.DataFrame", extra: Extra) -> None:
    if extra.parent is None:
        return
    known = benchmarks.set_index("benchmark")
    if extra.parent not in known.index:
        near = closest(extra.parent, known.index)[0][0]
        raise AlignsecError(
            f"{KEY}: {extra.file}: parent {extra.parent!r} is no benchmark of the leaderboard "
            f"(nearest: {near!r})"
        )
    found = known.loc[extra.parent]
    if found["is_leaf"]:
        raise AlignsecError(
            f"{KEY}: {extra.file}: parent {extra.parent!r} is a benchmark without others below it: name a "
            f"group, as {found['parent'] or 'neural_vision'!r}"
        )
    if isinstance(found["category"], str) and found["category"] != extra.category:
        raise AlignsecError(
            f"{KEY}: {extra.file}: category {extra.category!r}, but its parent {extra.parent!r} is of "
            f"{found['category']!r}: correct one of them"
        )


def _benchmarks(table: Table, extra: Extra) -> dict[str, int]:
    """Names of the benchmarks to their columns."""
    keys = [h.casefold().replace(" ", "_") for h in table.header]
    others = {h: j for j, (h, key) in enumerate(zip(table.header, keys, strict=True)) if key not in META}
    if not others:
        raise AlignsecError(
            f"{KEY}: {extra.file}:{table.header_line}: no column of scores: expected are model, score; or "
            "model and a column for each benchmark"
        )
    if [h.casefold() for h in others] == ["score"]:
        name = Path(extra.file).name.partition(".")[0]
        return dict.fromkeys([name], next(iter(others.values())))
    return others


def _check_new(benchmarks: "pd.DataFrame", names: list[str], extra: Extra) -> None:
    taken = {display_name(b): b for b in benchmarks["benchmark"]}
    for name in names:
        if (there := taken.get(display_name(name))) is not None:
            raise AlignsecError(
                f"{KEY}: {extra.file}: benchmark {name!r} is there already, as {there!r}: give "
                "yours another name"
            )
        taken[display_name(name)] = name


def _rows(table: Table, column: int) -> dict[str, int]:
    """Model to row."""
    found: dict[str, int] = {}
    for r in range(len(table.rows)):
        name = table.text(r, column, "model")
        if name in found:
            raise AlignsecError(
                f"{KEY}: {table.where(r, column)}: {name!r} stands in line {table.lines[found[name]]} "
                "already: keep one of them"
            )
        found[name] = r
    return found


def _below(benchmarks: "pd.DataFrame", scores: "pd.DataFrame", extra: Extra) -> "pd.DataFrame":
    import pandas as pd

    scored = scores[scores["status"] == "scored"]["benchmark"].value_counts()
    names = list(dict.fromkeys(scores["benchmark"]))
    depths = dict(zip(benchmarks["benchmark"], benchmarks["depth"], strict=True))
    depth = 0 if extra.parent is None else depths[extra.parent] + 1
    own = pd.DataFrame(
        {
            "benchmark": names,
            "parent": extra.parent,
            "category": extra.category,
            "depth": depth,
            "is_leaf": True,
            "n_scored": [int(scored.get(n, 0)) for n in names],
        }
    )
    every = pd.concat([benchmarks, own], ignore_index=True)
    order = tree_order(dict(zip(every["benchmark"], every["parent"], strict=True)))
    return every.set_index("benchmark").loc[order].reset_index()
