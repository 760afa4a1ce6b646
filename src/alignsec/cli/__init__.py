"""The command-line program: a group per stage, a verb per rule, each one call into the library."""

import difflib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from alignsec.cli import analysis, attack, cluster, demo, images, leaderboard, report, robustness, study, zoo
from alignsec.ground.errors import AlignsecError

# verbs of earlier versions -> those of today
MOVED = {
    "scores fetch": "leaderboard fetch",
    "scores parse": "leaderboard parse",
    "scores measure": "demo measure",
    "scores gather": "demo measure",
    "registry read": "leaderboard registry",
    "registry merge": "leaderboard merge",
    "registry propose": "leaderboard propose",
    "scores": "leaderboard",
    "registry": "leaderboard",
    "analysis explorer": "report explorer",
    "train": "demo train",
    "preflight": "zoo preflight",
    "account": "zoo account",
    "estimate": "attack estimate",
    "corruptions": "robustness corruptions",
    "figures": "report figures",
    "tables": "report tables",
    "summary": "report summary",
}


class _Moved(TyperGroup):
    """Answers a verb of an earlier version with today's."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        old = next((o for o in (" ".join(args[:2]), args[0]) if o in MOVED), None)
        if old is not None:
            raise AlignsecError(f"`alignsec {old}` is now `alignsec {MOVED[old]}`: see its --help")
        return super().resolve_command(ctx, args)


class _Attack(TyperGroup):
    """Answers `alignsec attack NAME` of earlier versions; a slip in a verb is left to be named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = args[0] if args else "--help"
        if given != "--help" and not difflib.get_close_matches(given, self.commands):
            raise AlignsecError("`alignsec attack NAME` is now `alignsec attack run NAME`: see its --help")
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Moved,
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__,
)
app.add_typer(leaderboard.app, name="leaderboard")
app.add_typer(images.app, name="images")
app.add_typer(zoo.app, name="zoo")
app.add_typer(attack.app, name="attack", cls=_Attack)
app.add_typer(robustness.app, name="robustness")
app.add_typer(analysis.app, name="analysis")
app.add_typer(report.app, name="report")
app.add_typer(demo.app, name="demo")
app.add_typer(cluster.app, name="cluster")
app.add_typer(study.config, name="config")
for verb in (study.status, study.unlock, study.devices, study.provenance, study.cite):
    app.command()(verb)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(study.run)


@app.callback()
def program(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Answer what concerns no verb."""
    if version:
        from importlib.metadata import version as installed

        print(f"alignsec {installed('alignsec')}")
        raise typer.Exit


def main() -> None:
    """Run the program; a problem of the input is a message and exit status 2, a bug a traceback."""
    try:
        app()
    except AlignsecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
