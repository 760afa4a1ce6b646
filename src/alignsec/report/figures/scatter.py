"""Robust accuracy on one alignment score: a panel per target, with the least-squares line and its band."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alignsec.report.figures import COLUMN, OTHER, PAGE, family_styles, message, p_text, style, target_label
from alignsec.study.targets import is_share, ladders, mean_name, robust

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Floats = npt.NDArray[np.float64]

ACROSS, MOST = 3, 12  # panels beside each other, and in all
GRID = 60  # points that a line and its band are drawn through


def numbers(row: Any) -> str:
    """A row of `correlations` as a legend says it: R², rho with its interval, the family test's p, n."""
    import pandas as pd

    rho = f"ρ = {row['rho']:.2f}"  # true minus signs below, as on the axes
    if pd.notna(row["rho_low"]):
        rho += f" [{row['rho_low']:.2f}, {row['rho_high']:.2f}]"
    p = f", {p_text(float(row['p']))}" if pd.notna(row["p"]) else ""
    return f"R² = {row['r2']:.2f}, {rho}{p}, n = {row['n']}".replace("-", "−")


def of_study(tables: "Mapping[str, pd.DataFrame]", options: Mapping[str, Any]) -> "dict[str, Figure]":
    """A drawing per average of the leaderboard."""
    total, table = tables["total"], tables["correlations"]
    return {
        f"scatter_{kind}": draw(
            total, table, f"{kind}_vision", _shown(table["target"]), title=f"{kind} alignment", **options
        )
        for kind in ("average", "neural", "behavior", "engineering")
    }


def _shown(targets: "pd.Series") -> list[str]:
    """Every accuracy under attack, its mean over epsilons first; without one, all targets."""
    every = list(dict.fromkeys(targets))
    found: list[str] = []
    for ladder in ladders(every):
        found += [t for t in (mean_name(ladder[0]), *ladder) if t in every]
    return (found or robust(every))[:MOST]


def draw(
    total: "pd.DataFrame",
    correlations: "pd.DataFrame",
    benchmark: str,
    targets: Sequence[str],
    *,
    title: str | None = None,
    point_size: float = 18,
) -> "Figure":
    """One point per model, colour and marker by family, the same in all drawings of a study; line and numbers
    of `correlations`, with a 95 % band from leaving out one family at a time."""
    import numpy as np
    from matplotlib.figure import Figure

    with style():
        if benchmark not in total.columns:
            return message(f"The leaderboard has no {benchmark}.")
        x = total[benchmark].to_numpy(float)
        values = {t: total[t].to_numpy(float) for t in targets}
        if not any(np.isfinite(x * y).any() for y in values.values()):
            return message(f"No model has both {benchmark} and a robustness value.")
        rows = correlations[correlations["benchmark"] == benchmark].set_index("target")
        family = total["family"].to_numpy(dtype=str)
        # of all models with robustness, whatever this drawing shows of them: so siblings agree
        styles = family_styles(family[np.isfinite(np.stack(list(values.values()))).any(0)])
        across = 2 if len(targets) == 4 else min(ACROSS, len(targets))
        down = -(-len(targets) // across)
        size = (COLUMN, 3.4) if len(targets) == 1 else (PAGE, 2.35 * down + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        grid = list(figure.subplots(down, across, squeeze=False).flat)
        for axes, (target, y) in zip(grid, values.items(), strict=False):
            _panel(axes, (x, y, family), target, rows.loc[target], styles, point_size)
        for axes in grid[len(targets) :]:
            axes.remove()
        for axes in grid[: len(targets)]:
            axes.set_xlabel(f"alignment: {benchmark}")
        figure.suptitle(title or benchmark, x=0.01, ha="left", fontsize=9, fontweight="bold")
        shown = family[np.isfinite(x) & np.isfinite(np.stack(list(values.values()))).any(0)]
        _name(figure, [str(f) for f in shown], styles, 6 if across > 1 else 3)
        return figure


def _panel(
    axes: "Axes",
    models: tuple["Floats", "Floats", "npt.NDArray[np.str_]"],
    target: str,
    row: Any,
    styles: Mapping[str, tuple[str, str]],
    point_size: float,
) -> None:
    """One target: points, line and band."""
    import numpy as np

    x, y, family = models
    both = np.isfinite(x) & np.isfinite(y)
    axes.set_title(f"{target_label(target)}\n{_lines(row)}", loc="left", fontsize=6.5)
    axes.set_ylabel("accuracy" if is_share(target) else target_label(target))
    if not both.any():
        return
    if np.isfinite(row["slope"]):
        along = np.linspace(x[both].min(), x[both].max(), GRID)
        line = row["intercept"] + row["slope"] * along
        bound = (0.0, 1.0) if is_share(target) else (0.0, np.inf)
        ends = band(x[both], y[both], family[both], along)
        if ends is not None:
            axes.fill_between(along, *np.clip(ends, *bound), color="0.85", linewidth=0, gid="band", zorder=0)
        # no accuracy is below 0 or above 1, and no line says so
        inside = (line >= bound[0]) & (line <= bound[1])
        axes.plot(along[inside], line[inside], color="0.2", linewidth=1.1, gid=target, zorder=1)
    for name, (colour, marker) in {**styles, "other": OTHER}.items():
        chosen = both & ((family == name) if name in styles else ~np.isin(family, list(styles)))
        if chosen.any():
            axes.scatter(x[chosen], y[chosen], s=point_size, color=colour, alpha=0.8, edgecolors="white",
                         linewidths=0.3, marker=marker, gid=f"{target} {name}", zorder=2)  # fmt: skip
    top = 1.06 * float(y[both].max()) or 1.0
    axes.set_ylim(-0.03 * top, top)


def _lines(row: Any) -> str:
    """The numbers, in two lines as a narrow panel needs them."""
    import pandas as pd

    if pd.isna(row["slope"]):
        return f"n = {row['n']}\n"
    first, _, rest = numbers(row).partition(", ")
    estimate, _, tail = rest.partition("], ")
    return f"{estimate}]\n{first}, {tail}" if tail else f"{rest}\n{first}"


def band(
    x: "Floats", y: "Floats", family: "npt.NDArray[np.str_]", along: "Floats"
) -> tuple["Floats", "Floats"] | None:
    """95 % band of the least-squares line of y on x, delete-one-family jackknife with t quantiles.

    Parameters
    ----------
    x, y, family : (n,), finite
    along : (k,) places on x

    Returns
    -------
    Lower and upper end, (k,) each; None where families are too few for an interval (`families.objection`), or
    where without one of them x is constant.
    """
    import numpy as np
    from scipy.stats import t as student

    from alignsec.analysis import families

    _, code = np.unique(family, return_inverse=True)
    sizes = np.bincount(code)
    if families.objection(sizes, interval=True):
        return None
    fits = []
    for left in (None, *range(len(sizes))):
        kept = code != left if left is not None else np.ones(len(x), bool)
        if np.ptp(x[kept]) == 0:
            return None
        fits.append(np.polyval(np.polyfit(x[kept], y[kept], 1), along))
    whole, without = fits[0], np.stack(fits[1:])
    count = len(sizes)
    error = np.sqrt((count - 1) / count * ((without - without.mean(0)) ** 2).sum(0))
    half = student.ppf((1 + families.LEVEL) / 2, families.degrees_of_freedom(sizes)) * error
    return whole - half, whole + half


def _name(
    figure: "Figure", shown: Sequence[str], styles: Mapping[str, tuple[str, str]], columns: int
) -> None:
    """Colour and marker of the families that have a point."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, linestyle="",
               label=f"{name} ({shown.count(name)})")
        for name, (colour, marker) in styles.items() if name in shown
    ]  # fmt: skip
    rest = sum(f not in styles for f in shown)
    if rest:
        handles.append(
            Line2D(
                [], [], color=OTHER[0], marker=OTHER[1], markersize=4, linestyle="", label=f"other ({rest})"
            )
        )
    figure.legend(handles=handles, loc="outside lower left", frameon=False, ncols=columns, handletextpad=0.2,
                  columnspacing=0.8)  # fmt: skip
