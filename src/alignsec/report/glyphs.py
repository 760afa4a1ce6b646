"""Plain text as LaTeX that every engine sets, and how wide that becomes.

The code is ASCII and needs no package for fonts or input: letters with accents are composed, Greek and the
signs of our own captions are set as mathematics, and whatever else no font of LaTeX's own has (emoji,
Chinese, control characters) is shown by its number, as ``[U+1F600]``. Different texts stay different.
"""

import functools
import math
import unicodedata
from collections.abc import Iterator

_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi",
    "ρ": "rho", "ς": "varsigma", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "varphi", "χ": "chi",
    "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi",
    "Σ": "Sigma", "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"{\ttfamily\char34}",
    "'": r"\textquotesingle{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{",
    "}": r"\}",
    # a row that begins with one of these would be an option of the line before
    "[": "{[}", "]": "{]}", "*": "{*}",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}", "œ": r"\oe{}", "Œ": r"\OE{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "–": "{--}", "—": "{---}", "…": r"\ldots{}", "§": r"\S{}",
    "©": r"\copyright{}", "£": r"\pounds{}", "’": "{'}", "‘": "{`}", "”": "{''}", "“": "{``}",
    "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "−": "$-$", "±": r"$\pm$", "∞": r"$\infty$",
    "→": r"$\to$", "°": r"$^\circ$", "²": "$^2$", "³": "$^3$", "·": r"$\cdot$",
    **{letter: rf"$\{name}$" for letter, name in _GREEK.items()},
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip
_LIGATURES = "-,"  # two of them in a row would become one sign
# of Computer Modern at 10 points, in em; wider than most other faces
_WIDTHS = {
    **dict.fromkeys("iljI.,:;!|'`()[]", 0.39),
    **dict.fromkeys("rstfcez/", 0.45),
    **dict.fromkeys("0123456789agkovxy$*?-", 0.53),
    **dict.fromkeys("mwM%&W@−<>=+_~^\\{}×", 1.03),
}
_CAPITAL, _OTHER, _BY_NUMBER = 0.79, 0.56, 0.64  # em, too; the last for each sign of [U+1F600]
_AFTER = "_.-/@:\\,; "  # a line of a narrow column may end behind one of these


@functools.cache
def _glyph(char: str) -> tuple[str, float]:
    """A character's code and width in em."""
    width = _WIDTHS.get(char, _CAPITAL if char.isupper() else _OTHER)
    if char in _SPECIAL:
        return _SPECIAL[char], width if char.isascii() else max(width, 1.03)
    if " " <= char <= "~":
        return char, width
    apart = unicodedata.normalize("NFD", char)
    whole = len(apart) == 2 and unicodedata.normalize("NFC", apart) == char
    base, accent = (apart[0], apart[1]) if whole else ("", "")
    if base.isascii() and accent in _ACCENTS:
        letter = {"i": r"\i", "j": r"\j"}.get(base, base) if accent not in "\u0323\u0327\u0331" else base
        return rf"\{_ACCENTS[accent]}{{{letter}}}", _CAPITAL
    number = f"U+{ord(char):04X}"
    return f"{{[}}{number}{{]}}", _BY_NUMBER * (len(number) + 2)


def _pieces(text: str) -> Iterator[tuple[str, str, float]]:
    """Character, code and width, in order."""
    last = ""
    for at, char in enumerate(text):
        code, width = _glyph(char)
        if char == " " and (last in ("", " ") or at == len(text) - 1):
            code = r"\ "  # LaTeX would drop it
        elif char == last and char in _LIGATURES:
            code = "{}" + code
        yield char, code, width
        last = char


def escape(text: str, column: float | None = None) -> str:
    r"""Plain text as LaTeX code.

    Parameters
    ----------
    column : width in em of the lines that the text is broken into: behind ``_``, ``-``, ``/``, … and anywhere
        in what is longer than a line without those; None: only where LaTeX itself does

    >>> escape("a_b 50%"), escape("ü\N{GRINNING FACE}")
    ('a\\_b 50\\%', '\\"{u}{[}U+1F600{]}')
    """
    pieces = list(_pieces(text))
    if column is None or measure(text) <= column:
        return "".join(code for _, code, _ in pieces)
    out: list[str] = []
    for start, end in _chunks(text):
        length = 0.0
        for at in range(start, end):
            _, code, width = pieces[at]
            if out and (at == start or length + width > column):
                if pieces[at - 1][0] != " ":
                    out.append(r"\allowbreak{}")
                length = 0.0
            out.append(code)
            length += width
    return "".join(out)


def _chunks(text: str) -> list[tuple[int, int]]:
    """First and past-the-last character of what no line is broken within."""
    ends = [i for i in range(1, len(text)) if text[i - 1] in _AFTER and text[i] not in _AFTER]
    return list(zip([0, *ends], [*ends, len(text)], strict=True))


def measure(text: str) -> float:
    """Width in em of a text, rather too large than too small."""
    return sum(_glyph(c)[1] for c in text)


def longest(text: str) -> float:
    """Width in em of the longest part of a text that no line is broken within."""
    return max((measure(text[a:b]) for a, b in _chunks(text)), default=0.0)


def lines(text: str, column: float) -> int:
    """Into how many lines a column of that width breaks a text, about."""
    return max(1, math.ceil(1.1 * measure(text) / column)) if measure(text) > column else 1
