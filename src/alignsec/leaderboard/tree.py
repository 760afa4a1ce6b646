"""The benchmark tree: parents told by the scores themselves, or by the leaderboard of May 2025."""

import csv
import io
import re
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

ROOTS = ("average_vision", "neural_vision", "behavior_vision", "engineering_vision")
CATEGORIES = {f"{c}_vision": c for c in ("neural", "behavior", "engineering")}
# of a parent against its children's mean: both are rounded to three decimals, so .001 can occur
TOLERANCE = 0.00101


def display_name(name: str) -> str:
    """Display form of a benchmark id: no version suffix, no lower-case lab prefix, no case.

    >>> display_name("tong.Coggan2024_fMRI.V1-rdm_v1")
    'coggan2024_fmri.v1-rdm'
    """
    name = re.sub(r"_v\d+$", "", name.strip())
    return re.sub(r"^[a-z]+\.(?=[A-Z])", "", name).lower()


def known_tree() -> dict[str, str | None]:
    """Benchmark to parent in the leaderboard of May 2025, for exports whose columns do not tell."""
    text = (resources.files("alignsec.leaderboard") / "benchmark_tree.csv").read_text(encoding="utf-8")
    return {row["benchmark"]: row["parent"] or None for row in csv.DictReader(io.StringIO(text))}


def canonical_names() -> dict[str, str]:
    """Display form to benchmark id, of the leaderboard of May 2025, where the form is that of one id only."""
    short: dict[str, list[str]] = {}
    for name in known_tree():
        short.setdefault(display_name(name), []).append(name)
    return {s: names[0] for s, names in short.items() if len(names) == 1}


def derive_parents(names: list[str], values: "npt.NDArray[np.float64]") -> dict[str, str]:
    """Child to parent, from columns in depth-first order (a parent before its children).

    Read right to left: a column that equals the mean of the next k subtree roots (a missing child counts as
    0, as Brain-Score computes it) is their parent. A coincidence is no evidence: the column must vary.

    Parameters
    ----------
    values : (models, benchmarks) float, NaN where there is no score
    """
    import numpy as np

    filled = np.nan_to_num(values)
    parents: dict[str, str] = {}
    stack: list[int] = []  # roots of the subtrees right of here, nearest last
    for i in reversed(range(len(names))):
        rows = np.isfinite(values[:, i])
        distinct = len(np.unique(values[rows, i]))
        enough = 2 if names[i] in ROOTS else 5
        children: list[int] = []
        # engineering stands apart from the average, so no average may take it in
        limit = next(
            (k for k, j in enumerate(reversed(stack)) if names[j] == "engineering_vision"), len(stack)
        )
        if distinct >= enough:
            total = np.zeros(int(rows.sum()))
            for k, j in enumerate(list(reversed(stack))[:limit], 1):
                total += filled[rows, j]
                deviation = np.abs(total / k - values[rows, i])
                # scores of 1 and above are published with fewer decimals, so a few rows may stray
                if (deviation <= TOLERANCE).mean() >= 0.95 and deviation.max() <= 20 * TOLERANCE:
                    children = stack[-k:]
                    break
        for j in children:
            parents[names[j]] = names[i]
            stack.remove(j)
        stack.append(i)
    return parents


def tree_order(parents: Mapping[str, str | None]) -> list[str]:
    """Benchmarks depth first, siblings in the order given (the ZIP export lists them breadth first)."""
    children: dict[str | None, list[str]] = {}
    for name, parent in parents.items():
        children.setdefault(parent, []).append(name)
    order: list[str] = []
    stack = children.get(None, [])[::-1]
    while stack:
        order.append(name := stack.pop())
        stack += children.get(name, [])[::-1]
    return order


def build(
    names: list[str], values: "npt.NDArray[np.float64]", breadth_first: bool
) -> tuple["pd.DataFrame", list[str]]:
    """The table of kind ``benchmarks`` (without counts), in the order of the columns, and warnings.

    Parents are told by the scores (`derive_parents`) unless the columns are `breadth_first`; what they do not
    tell comes from the leaderboard of May 2025.

    Parameters
    ----------
    values : (models, benchmarks) float, NaN where there is no score
    """
    import pandas as pd

    known = known_tree()
    present = set(names)
    parents: dict[str, str | None] = dict.fromkeys(names)
    if not breadth_first:
        parents |= _without_circles(derive_parents(names, values), known)
    current: str | None = None  # the category whose columns are being read, in depth-first order
    unknown = []
    for name in names:
        if name in CATEGORIES:
            current = name
        if parents[name] is not None or name in ("engineering_vision", "average_vision"):
            continue
        ancestor = known.get(name)
        while ancestor is not None and ancestor not in present:
            ancestor = known.get(ancestor)
        if ancestor is None and name not in known:
            if breadth_first:
                ancestor = _by_region(name, present)
            elif current is not None:
                ancestor = current
            if ancestor is None:
                unknown.append(name)
        parents[name] = ancestor
    rows = []
    for name in names:
        depth, at, category = 0, name, CATEGORIES.get(name)
        while (above := parents[at]) is not None:
            depth, at = depth + 1, above
            if depth > len(names):
                raise AlignsecError(
                    f"benchmarks {name!r} and {parents[at]!r} are each above the other, by their scores "
                    "and the known tree: put every parent's column before its children's"
                )
            category = category or CATEGORIES.get(at)
        if category is None and name in known:
            category = _known_category(name, known)
        rows.append(
            (name, parents[name], category, depth, name not in parents.values() and name not in ROOTS)
        )
    warnings = [f"benchmark {n!r} is unknown, and its columns do not tell its category" for n in unknown]
    frame = pd.DataFrame(rows, columns=["benchmark", "parent", "category", "depth", "is_leaf"])
    return frame, warnings


def _without_circles(derived: dict[str, str], known: Mapping[str, str | None]) -> dict[str, str]:
    """Parents told by scores, without those that lie below their child by the known tree.

    A parent of one child equals it, so where it comes after the child, the child seems to be the parent.
    """

    def above(name: str) -> set[str]:
        found: set[str] = set()
        todo = [name]
        while todo:
            at = todo.pop()
            ups = {u for u in (derived.get(at), known.get(at)) if u is not None} - found
            found |= ups
            todo += ups
        return found

    return {child: parent for child, parent in derived.items() if child not in above(parent)}


def _known_category(name: str, known: dict[str, str | None]) -> str | None:
    at: str | None = name
    while at is not None:
        if at in CATEGORIES:
            return CATEGORIES[at]
        at = known[at]
    return None


def _by_region(name: str, present: set[str]) -> str | None:
    """Parent of a neural benchmark whose id names a visual area (`Lab2027.V4-rdm`)."""
    found = re.search(r"\.(V1|V2|V4|IT)\b", name)
    return found[1] if found and found[1] in present else None
