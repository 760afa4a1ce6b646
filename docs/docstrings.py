"""Docstrings of this project for the site: ``name : meaning`` on one line, prose under Returns."""

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(?P<name>[A-Z]\w+)\n-{3,}\n(?P<body>.*?)(?=^[A-Z]\w+\n-{3,}\n|\Z)", re.M | re.S)


class OneLine(griffe.Extension):
    """Turns them into numpydoc's form, in which a type follows the colon and the meaning a line below."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring of any object."""
        if obj.docstring is not None:
            obj.docstring.value = _SECTION.sub(_section, obj.docstring.value)


def _section(match: "re.Match[str]") -> str:
    name, body = match["name"], match["body"]
    if name in ("Parameters", "Attributes"):
        body = re.sub(r"^(\*{0,2}\w[\w, *]*) : ", r"\1\n    ", body, flags=re.M)
    elif name == "Returns":
        lines = body.rstrip().splitlines()
        return "Returns\n-------\n:\n" + "\n".join(f"    {line}" if line else "" for line in lines) + "\n\n"
    return f"{name}\n{'-' * len(name)}\n{body}"
