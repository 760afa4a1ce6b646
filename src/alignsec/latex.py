"""Data frames as LaTeX tables (booktabs)."""

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def escape(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return re.sub(r"[\\&%$#_{}~^]", lambda m: _SPECIAL[m[0]], text)


def _cell(value: Any, column: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType":
        return "--"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if column in ("p", "q", "p_ols") and value < 0.001:
            return "$<$.001"
        return f"{value:.3g}".replace("-", "$-$", 1) if "e" not in f"{value:.3g}" else f"{value:.2e}"
    return escape(str(value))


def table(frame: "pd.DataFrame", caption: str, label: str) -> str:
    """A `longtable` with a caption; numbers right-aligned, floats to three significant digits, null as a dash."""
    numeric = [frame[c].dtype.kind in "ifu" or str(frame[c].dtype) == "Int64" for c in frame.columns]
    head = " & ".join(escape(str(c)) for c in frame.columns) + r" \\"
    lines = [
        "% needs \\usepackage{booktabs,longtable}",
        r"\begin{longtable}{" + "".join("r" if n else "l" for n in numeric) + "}",
        rf"\caption{{{escape(caption)}}}\label{{{label}}} \\",
        r"\toprule", head, r"\midrule", r"\endfirsthead", r"\toprule", head, r"\midrule", r"\endhead",
    ]  # fmt: skip
    for row in frame.itertuples(index=False):
        lines.append(" & ".join(_cell(v, str(c)) for v, c in zip(row, frame.columns, strict=True)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{longtable}", ""])
