"""An analysis-only installation, played: children of a test that find nothing of the extra `attack`."""

import os
from pathlib import Path

# import names; timm, an extra of its own, brings torch along; Snakemake tries boto3 and goes on without it
HEAVY = ("torch", "torchvision", "brainscore_vision", "brainscore_core", "pyautoattack", "timm")
_HIDES = '''"""Python reads this at its start, from PYTHONPATH."""
import sys
from importlib.machinery import PathFinder

found = PathFinder.find_spec


def find_spec(name, path=None, target=None):
    if name.partition(".")[0] not in {heavy!r}:
        return found(name, path, target)
    with open({asked!r}, "a") as handle:
        handle.write(f"{{name}} in {{sys.argv}}\\n")
    return None


PathFinder.find_spec = find_spec
'''


def environment(folder: Path) -> tuple[dict[str, str], Path]:
    """Variables of such children, and the file that names whatever they asked for in vain."""
    folder.mkdir(parents=True)
    asked = folder / "asked"
    (folder / "sitecustomize.py").write_text(_HIDES.format(heavy=HEAVY, asked=str(asked)))
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}, asked
