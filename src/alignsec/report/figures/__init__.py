"""One module per figure, listed in `alignsec.study.catalogue.FIGURES`; what they share is here."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignsec.study.targets import label as target_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CATEGORY_COLORS", "COLUMN", "LEVEL", "PAGE", "family_styles", "message", "save", "style",
           "target_label"]  # fmt: skip

# Okabe and Ito's colours, told apart with any common colour blindness
CATEGORY_COLORS = {"neural": "#0072B2", "behavior": "#D55E00", "engineering": "#009E73", None: "#555555"}
COLUMN, PAGE = 3.4, 7.0  # widths in inches of one and two columns
LEVEL = 0.05  # of q, or of p where there is no q
# Tol's muted scheme (personal.sron.nl/~pault), safe for colour blindness, and a marker each for print
_FAMILIES = (
    ("#332288", "s"),
    ("#CC6677", "^"),
    ("#117733", "D"),
    ("#DDCC77", "v"),
    ("#88CCEE", "P"),
    ("#AA4499", "X"),
    ("#44AA99", "<"),
    ("#882255", ">"),
)
OTHER = ("#999999", "o")
_RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 6.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType, so that journals find the fonts embedded and text stays text
    "savefig.dpi": 200,
    "figure.dpi": 100,
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """matplotlib settings of every figure, whatever the user's own are; no display is needed."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def family_styles(families: Iterable[str], most: int = len(_FAMILIES)) -> dict[str, tuple[str, str]]:
    """Colour and marker of the largest families with two models or more, largest first; the rest takes
    `OTHER`."""
    ordered = sorted(Counter(families).items(), key=lambda f: (-f[1], f[0]))
    named = [name for name, count in ordered if count > 1][:most]
    return dict(zip(named, _FAMILIES, strict=False))


def by_category(categories: Sequence[object]) -> list[tuple[int, int, str | None]]:
    """Runs of equal category in a column in tree order: (start, stop, category)."""
    names = [c if isinstance(c, str) else None for c in categories]
    starts = [i for i, c in enumerate(names) if i == 0 or c != names[i - 1]]
    return [(a, b, names[a]) for a, b in zip(starts, [*starts[1:], len(names)], strict=True)]


def short(names: Iterable[str], most: int = 38) -> dict[str, str]:
    """Benchmark -> its name as it fits beside a plot, no two alike.

    Names that would be cut to the same text are cut less, until they differ.

    >>> list(short(["Marques2020_FreemanZiemba2013-abs_x_index", "a"], 30).values())
    ['Marques2020_Freema…abs_x_index', 'a']
    """
    room = dict.fromkeys(names, most)
    while True:
        cut = {n: n if len(n) <= size else f"{n[: size - 12]}…{n[-11:]}" for n, size in room.items()}
        count = Counter(cut.values())
        alike = [n for n in room if count[cut[n]] > 1 and cut[n] != n]
        if not alike:
            return cut
        for name in alike:
            room[name] += 4


def p_text(p: float, name: str = "p") -> str:
    """A p-value as papers write it."""
    return f"{name} < .001" if p < 0.001 else f"{name} = {p:.3f}".replace("0.", ".")


def save(figure: "Figure", stem: Path | str) -> list[Path]:
    """Write `<stem>.pdf` and `<stem>.png`, the same bytes each time (dated by ``SOURCE_DATE_EPOCH``, else
    1970)."""
    from alignsec.ground.tables import atomic

    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    written = []
    with style():
        for suffix, metadata in ((".pdf", {"CreationDate": made}), (".png", {"Software": None})):
            written.append(Path(f"{stem}{suffix}"))
            with atomic(written[-1]) as temporary:
                figure.savefig(temporary, metadata=metadata, bbox_inches="tight")
    return written


def message(text: str) -> "Figure":
    """A figure that says why there is nothing to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True, fontsize=8)
    return figure
