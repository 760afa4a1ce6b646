"""What a sheet's plugins import and this environment lacks, read from their source without running it."""

from typing import TYPE_CHECKING

from alignsec.leaderboard.plugins import is_installed, wanted
from alignsec.leaderboard.registry import plugin_folder, plugin_of

if TYPE_CHECKING:
    import pandas as pd


def listing(sheet: "pd.DataFrame") -> str:
    """What to install for a sheet's `brainscore` rows, in the format of a requirements file.

    One line per requirement, the models that need it in a comment; a model that the installed package does
    not register is a comment at the end.
    """
    needed: dict[str, list[str]] = {}
    unknown = []
    for row in sheet.itertuples():
        if row.source == "timm" and not is_installed("timm"):
            needed.setdefault("timm", []).append(str(row.model))
        if row.source != "brainscore":
            continue
        spec = str(row.spec or row.model)
        plugin = plugin_of(spec)
        if plugin is None:
            unknown.append(spec)
            continue
        for line in wanted(plugin_folder(plugin)).values():
            needed.setdefault(line, []).append(str(row.model))
    lines = []
    for line, models in sorted(needed.items(), key=lambda t: (-len(t[1]), t[0])):
        more = f", … ({len(models)} models)" if len(models) > 3 else ""
        lines.append(f"{line}  # {', '.join(models[:3])}{more}")
    lines += [f"# not in the registry: {m}" for m in unknown]
    return "\n".join(lines or ["# nothing is missing"]) + "\n"
