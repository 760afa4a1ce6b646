"""The command-line program: one group per stage, one verb per rule of the workflow, each one call into the library."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from alignsec.cli import analysis, attack, demo, images, leaderboard, report, robustness, study, zoo
from alignsec.ground.errors import AlignsecError

# verbs of earlier versions -> those of today
MOVED = {
    "scores fetch": "leaderboard fetch", "scores parse": "leaderboard parse", "scores measure": "demo measure",
    "scores gather": "demo gather", "registry read": "leaderboard registry", "registry merge": "leaderboard merge",
    "registry propose": "leaderboard propose", "train": "demo train", "preflight": "zoo preflight",
    "account": "zoo account", "estimate": "attack estimate", "corruptions": "robustness corruptions",
    "analysis explorer": "report explorer", "figures": "report figures", "tables": "report tables",
    "summary": "report summary",
}  # fmt: skip


class _Moved(TyperGroup):
    """Answers a verb of an earlier version with today's."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        asked = " ".join(w for w in args[:2] if not w.startswith("-"))
        for old, new in MOVED.items():
            if (asked == old or asked.startswith(f"{old} ")) and args[0] not in self.commands:
                raise AlignsecError(f"`alignsec {old}` is now `alignsec {new}` (alignsec {new} --help)")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Moved, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
for name, verbs in (
    ("leaderboard", leaderboard.app), ("images", images.app), ("zoo", zoo.app), ("attack", attack.app),
    ("robustness", robustness.app), ("analysis", analysis.app), ("report", report.app), ("demo", demo.app),
    ("config", study.config),
):  # fmt: skip
    app.add_typer(verbs, name=name)
for verb in (study.status, study.unlock, study.devices, study.provenance):
    app.command()(verb)


def main() -> None:
    """Run the program; a problem of the input is a message and exit status 2, a bug a traceback."""
    try:
        app()
    except AlignsecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
