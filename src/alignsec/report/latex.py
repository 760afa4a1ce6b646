"""Tables for a paper: a DataFrame to LaTeX with booktabs that fits a page of `WIDTH`."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from alignsec.report.glyphs import escape, lines, longest, measure

if TYPE_CHECKING:
    import pandas as pd

LONG = 45  # lines; more do not fit one page and become a longtable
WIDTH = 345.0  # points of text in `article` at 10 points, narrower than most journals' pages
PREAMBLE = r"\usepackage{array,booktabs,longtable}"
# an estimate and the ends of its interval, which are set in one column
INTERVALS = (
    ("rho", "rho_low", "rho_high"),
    ("partial_rho", "partial_low", "partial_high"),
    ("rho", "low", "high"),
    ("rho_exported", "low_exported", "high_exported"),
)
_NARROW = 60.0  # points; a column of text is not made narrower, nor a number's for its name
_WORD = 20.0  # em; a longer word of a caption may be broken
_KEYS = 2  # columns of text at the left that every part of a table repeats


@dataclass(frozen=True)
class _Size:
    """A size of type: its command, em and half the gap between columns in points, and how much wider than in
    proportion Computer Modern is at it."""

    command: str
    em: float
    gap: float
    wider: float

    def points(self, width: float) -> float:
        return width * self.em * self.wider


_SIZES = (
    _Size("", 10, 6, 1),
    _Size(r"\small", 9, 4, 1.03),
    _Size(r"\footnotesize", 8, 3, 1.07),
    _Size(r"\scriptsize", 7, 3, 1.14),
)


@dataclass(frozen=True)
class _Column:
    """A column as it is set; `plain`: which of the cells are text still, and no code."""

    name: str
    numeric: bool
    cells: tuple[str, ...]
    plain: tuple[bool, ...]

    @cached_property
    def body(self) -> float:
        """Width of the widest cell in em."""
        each = zip(self.cells, self.plain, strict=True)
        return max((measure(c if plain else _seen(c)) for c, plain in each), default=0.0)

    def natural(self, size: _Size) -> float:
        """Points without broken cells; the name may be broken."""
        return max(size.points(self.body), min(size.points(longest(self.name)), _NARROW))

    def least(self, size: _Size) -> float:
        natural = self.natural(size)
        return natural if self.numeric else min(natural, _NARROW)


@dataclass(frozen=True)
class _Plan:
    """Columns, their size of type, and their widths in points."""

    columns: Sequence[_Column]
    size: _Size
    widths: Sequence[float]

    def broken(self, at: int) -> bool:
        return self.size.points(self.columns[at].body) > self.widths[at]

    def em(self, at: int) -> float:
        """Width of a column in em, for `glyphs`."""
        return self.widths[at] / self.size.points(1)

    def spec(self) -> str:
        return "".join(
            "r"
            if column.numeric
            else rf">{{\raggedright\arraybackslash}}p{{{self.widths[i]:.1f}pt}}"
            if self.broken(i)
            else "l"
            for i, column in enumerate(self.columns)
        )

    def head(self) -> str:
        return " & ".join(map(self._name, range(len(self.columns)))) + r" \\"

    def _name(self, at: int) -> str:
        column = self.columns[at]
        if self.size.points(measure(column.name)) <= self.widths[at]:
            return escape(column.name)
        side = "left" if column.numeric else "right"
        name = escape(column.name, self.em(at))
        return rf"\parbox[b]{{{self.widths[at]:.1f}pt}}{{\ragged{side} {name}}}"

    def body(self) -> list[str]:
        cells = [
            [escape(c, self.em(i)) if plain else c for c, plain in zip(col.cells, col.plain, strict=True)]
            for i, col in enumerate(self.columns)
        ]
        return [" & ".join(row) + r" \\" for row in zip(*cells, strict=True)]

    def lines(self) -> int:
        """How many lines the rows take."""
        each = [
            [lines(c, self.em(i)) if plain else 1 for c, plain in zip(col.cells, col.plain, strict=True)]
            for i, col in enumerate(self.columns)
        ]
        return sum(map(max, zip(*each, strict=True)))


def table(frame: "pd.DataFrame", caption: str, label: str) -> str:
    r"""The columns of `frame` (its index is left out) as a LaTeX table that fits `WIDTH`.

    Numbers are set flush right, those of a column with equally many decimals, so that the points stand under
    each other: three below 10, fewer above; a column of smaller numbers only has three significant digits. p
    and q values (columns `p`, `q` and those that begin `p_` or end `_p` or `_q`) below .001 are "< .001",
    null is an en dash; an estimate and its interval (`INTERVALS`) share a column. A table too wide is set
    smaller, then with broken cells, then in parts that repeat the columns of text at the left. Needs
    `PREAMBLE`, which the first line says; more than `LONG` lines become a longtable.

    Parameters
    ----------
    caption : plain text, is escaped
    label : as in ``\ref{label}``; further parts have ``label-2``, …
    """
    plans = _plans(_columns(frame))
    parts = [
        f"% Needs {PREAMBLE} and {WIDTH:.0f}pt of text width. All digits: the CSV file of the same name."
    ]
    for number, plan in enumerate(plans, 1):
        of = f" (part {number} of {len(plans)})" if len(plans) > 1 else ""
        name = label if number == 1 else f"{label}-{number}"
        said = " ".join(escape(word, _WORD) for word in (caption + of).split())
        parts.append(_environment(plan, rf"\caption{{{said}}}\label{{{name}}}"))
    return "\n".join(parts) + "\n"


def _environment(plan: _Plan, about: str) -> str:
    head, body, spec = plan.head(), plan.body(), plan.spec()
    size = rf"{plan.size.command}\setlength{{\tabcolsep}}{{{plan.size.gap:g}pt}}"
    if plan.lines() > LONG:
        again = [r"\toprule", head, r"\midrule"]
        rows = [
            rf"{{{size}",
            rf"\begin{{longtable}}{{{spec}}}",
            about + r" \\",
            *again,
            r"\endfirsthead",
            *again,
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *body,
            r"\end{longtable}}",
        ]
    else:
        rows = [
            r"\begin{table}",
            r"\centering",
            about,
            size,
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(rows)


def _plans(columns: Sequence[_Column]) -> list[_Plan]:
    """One for the whole table if it fits, else one for each part."""
    for size in _SIZES:
        natural = [c.natural(size) for c in columns]
        if _total(natural, size) <= WIDTH:
            return [_Plan(columns, size, natural)]
    size = _SIZES[-1]
    if _fits(columns, size):
        return [_Plan(columns, size, _shared(columns, size))]
    keys = next((i for i, c in enumerate(columns[:_KEYS]) if c.numeric), _KEYS)
    keys = max(min(keys, len(columns) - 1), 0)
    parts = _parted(columns[:keys], columns[keys:], size)
    return [_Plan(part, size, _shared(part, size)) for part in parts]


def _parted(keys: Sequence[_Column], rest: Sequence[_Column], size: _Size) -> list[list[_Column]]:
    """`keys` with as many of the others as fit a part, equally many in each if those fit too."""
    parts: list[list[_Column]] = []
    for column in rest:
        part = [*(parts[-1] if parts else keys), column]
        if parts and _fits(part, size):
            parts[-1] = part
        else:
            parts.append([*keys, column])
    count = len(parts)
    ends = [round(len(rest) * i / count) for i in range(count + 1)]
    even = [[*keys, *rest[a:b]] for a, b in pairwise(ends)]
    return even if all(_fits(part, size) for part in even) else parts


def _fits(columns: Sequence[_Column], size: _Size) -> bool:
    return _total([c.least(size) for c in columns], size) <= WIDTH


def _total(widths: Sequence[float], size: _Size) -> float:
    return sum(widths) + 2 * size.gap * len(widths)


def _shared(columns: Sequence[_Column], size: _Size) -> list[float]:
    """Widths where text has what numbers leave: narrow columns what they need, the others equal shares."""
    widths = {i: c.natural(size) for i, c in enumerate(columns)}
    room = WIDTH - _total([w for i, w in widths.items() if columns[i].numeric], size)
    room -= 2 * size.gap * sum(not c.numeric for c in columns)
    texts = sorted((i for i, c in enumerate(columns) if not c.numeric), key=widths.__getitem__)
    for taken, i in enumerate(texts):
        widths[i] = min(widths[i], room / (len(texts) - taken))
        room -= widths[i]
    return [widths[i] for i in range(len(columns))]


def _columns(frame: "pd.DataFrame") -> list[_Column]:
    """The columns of a frame as they are set."""
    import pandas as pd

    names = [str(c) for c in frame.columns]
    merged = {e: (low, high) for e, low, high in INTERVALS if {e, low, high} <= set(names)}
    ends = {name for pair in merged.values() for name in pair}
    made = []
    for i, name in enumerate(names):
        if name in ends:
            continue
        column = frame.iloc[:, i]
        numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        places = _places(column) if numeric else None
        plain = tuple(not numeric and isinstance(v, str) for v in column)
        cells = tuple(str(v) if p else _cell(v, name, places) for v, p in zip(column, plain, strict=True))
        one = _Column(name, numeric, cells, plain)
        if name in merged:
            low, high = (frame.iloc[:, names.index(end)] for end in merged[name])
            pairs = zip(one.cells, low, high, strict=True)
            cells = tuple(c + _interval(a, b, places) for c, a, b in pairs)
            one = replace(one, name=f"{name} [95 %]", cells=cells)
        made.append(one)
    return made


def _interval(low: Any, high: Any, places: int | None) -> str:
    import pandas as pd

    if pd.isna(low) and pd.isna(high):
        return ""
    return f" {{[}}{_cell(low, '', places)}, {_cell(high, '', places)}{{]}}"


def _seen(code: str) -> str:
    """What the code of a number looks like, to measure it."""
    text = code.replace(r"\times", "×").replace(r"\infty", "M").replace("$-$", "−")
    return re.sub(r"[\\${}^]", "", text)


def _places(column: "pd.Series") -> int | None:
    """Decimals that suit all numbers of a column; None where each needs its own."""
    import numpy as np

    size = column.abs().replace(np.inf, np.nan).max()
    if size != size or 0 < size < 0.01:
        return None
    return 3 if size < 10 else 2 if size < 100 else 1


def _cell(value: Any, column: str, places: int | None) -> str:
    """The code of a cell that is no text."""
    import numpy as np
    import pandas as pd

    if pd.isna(value):
        return "--"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value}".replace("-", "$-$")
    if isinstance(value, float | np.floating):
        is_p = column in ("p", "q") or column.startswith("p_") or column.endswith(("_p", "_q"))
        if is_p and value < 0.001:
            return "$<$.001"
        if places is not None and math.isfinite(value):
            return f"{value:.{places}f}".replace("-", "$-$")
        return _number(float(value))
    return escape(str(value))


def _number(value: float) -> str:
    if math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    minus, value = "-" if value < 0 else "", abs(value)
    sign = f"${minus}$" if minus else ""
    if value == 0:
        return "0"
    if float(f"{value:.2e}") >= 1000:
        return f"{sign}{value:.0f}"
    text = f"{value:#.3g}".rstrip(".")
    if "e" in text:
        mantissa, exponent = text.split("e")
        return rf"${minus}{mantissa}\times10^{{{int(exponent)}}}$"
    return sign + text
