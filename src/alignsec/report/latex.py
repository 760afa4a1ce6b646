"""Tables for a paper: a DataFrame to LaTeX with booktabs."""

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

LONG = 45  # rows; more do not fit one page and become a longtable
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{c: f"\\{c}" for c in "_%&#${}"},
    # what our own names and captions hold and pdfLaTeX's fonts do not
    "ε": r"$\varepsilon$",
    "ρ": r"$\rho$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "−": "$-$",
}
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL)))


def escape(text: str) -> str:
    """Plain text as LaTeX text; line breaks become spaces."""
    return _PATTERN.sub(lambda found: _SPECIAL[found[0]], " ".join(text.split()))


def table(frame: "pd.DataFrame", caption: str, label: str) -> str:
    r"""The columns of `frame` (its index is left out) as a LaTeX table.

    Numbers are set flush right, those of a column with equally many decimals, so that the points stand under
    each other: three below 10, fewer above; a column of smaller numbers only has three significant digits. p
    and q values (columns `p`, `q` and those that begin `p_` or end `_p` or `_q`) below .001 are "< .001",
    null is an en dash. Needs ``\usepackage{booktabs}``, and ``longtable`` for more than `LONG` rows.

    Parameters
    ----------
    caption : plain text, is escaped
    label : as in ``\ref{label}``
    """
    import pandas as pd

    names = [str(c) for c in frame.columns]
    kinds = [
        pd.api.types.is_numeric_dtype(t) and not pd.api.types.is_bool_dtype(t) for t in frame.dtypes.tolist()
    ]
    spec = "".join("r" if numeric else "l" for numeric in kinds)
    head = " & ".join(map(escape, names)) + r" \\"
    places = [_places(frame.iloc[:, i]) if numeric else None for i, numeric in enumerate(kinds)]
    body = [
        " & ".join(_cell(v, name, p) for name, v, p in zip(names, row, places, strict=True)) + r" \\"
        for row in frame.itertuples(index=False, name=None)
    ]
    about = rf"\caption{{{escape(caption)}}}\label{{{label}}}"
    if len(body) > LONG:
        again = [r"\toprule", head, r"\midrule"]
        lines = [
            rf"\begin{{longtable}}{{{spec}}}",
            about + r" \\",
            *again,
            r"\endfirsthead",
            *again,
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *body,
            r"\end{longtable}",
        ]
    else:
        lines = [
            r"\begin{table}",
            r"\centering",
            about,
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def _places(column: "pd.Series") -> int | None:
    """Decimals that suit all numbers of a column; None where each needs its own."""
    import numpy as np

    size = column.abs().replace(np.inf, np.nan).max()
    if size != size or 0 < size < 0.01:
        return None
    return 3 if size < 10 else 2 if size < 100 else 1


def _cell(value: Any, column: str, places: int | None) -> str:
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
