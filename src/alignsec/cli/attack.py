"""`alignsec attack`: AutoAttack on every model, and what it will cost."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from alignsec.cli.options import AttemptsLeft, Cache, Out, Source, group
from alignsec.ground.errors import AlignsecError
from alignsec.study.request import AttackRequest

app = group("AutoAttack at every epsilon, and what it will cost.")


def asks(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb, in place of its `request`, an option for each field of it, and --request for many.

    An option that is not given is as --request says, else at its default; --request may be given twice.
    """
    hints = typing.get_type_hints(AttackRequest)
    own = inspect.signature(verb, eval_str=True).parameters
    texts = typer.Option("--request", help="JSON of these options, in place of single ones.")
    generated = {"request": Annotated[list[str] | None, texts]}
    for field in dataclasses.fields(AttackRequest):
        kind, name = hints[field.name], field.name.replace("_", "-")
        default: Any = field.default
        if typing.get_origin(kind) is tuple:
            # one of several at a time
            kind, name = list[typing.get_args(kind)[0]], name.removesuffix("s")  # type: ignore[misc]
            default = ", ".join(default)
        flag = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
        shown = str(default).lower() if isinstance(default, bool) else str(default or "") or False
        told = typer.Option(flag, help=field.metadata["meaning"], show_default=shown)
        generated[field.name] = Annotated[kind | None, told]

    @functools.wraps(verb)
    def asking(**given: Any) -> None:
        texts = given.pop("request") or []
        single = {k: given.pop(k) for k in generated if k != "request"}
        asked = {k: v for k, v in single.items() if v not in (None, [])}
        verb(**given, request=AttackRequest.from_json(*texts, **asked))

    parameters = [p for name, p in own.items() if name != "request"]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in generated.items()
    ]
    asking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    asking.__annotations__ = {p.name: p.annotation for p in parameters}
    return asking


@app.command()
@asks
def estimate(
    sheet: Annotated[Path, typer.Option(help="The model sheet.")],
    folder: Annotated[Path, typer.Option(help="Folder of the models.")],
    count: Annotated[int, typer.Option(help="Images.")],
    per_shard: Annotated[int, typer.Option(help="Images of one job.")],
    out: Out,
    request: AttackRequest,
    limit: Annotated[float, typer.Option(help="Hours that one job may last.")] = 24,
) -> None:
    """Estimate the hours that attacking every model takes on this machine's device."""
    from alignsec.attack import estimate as est
    from alignsec.ground import tables
    from alignsec.study import sheet as sheets

    found, text = est.of_study(sheets.read(sheet), folder, request, est.Extent(count, per_shard, limit))
    tables.write_csv(found, out)
    print(text, end="")


@app.command()
@asks
def audit(
    name: str,
    source: Source,
    spec: Annotated[str, typer.Option(help="What the source needs to find the model.")],
    preflight: Annotated[Path, typer.Option(help="The model's preflight report.")],
    shards: Annotated[Path, typer.Option(help="Folder of the shards.")],
    verdicts: Annotated[Path, typer.Option(help="Folder of the model's attack tables.")],
    count: Annotated[int, typer.Option(help="How many shards.")],
    out: Out,
    status: Annotated[Path, typer.Option(help="File to write how it ended.")],
    request: AttackRequest,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the verdicts.")] = 0.02,
    weights: Annotated[Path | None, typer.Option(help="Weights that the workflow made.")] = None,
    threads: int = 1,
    attempts_left: AttemptsLeft = 0,
) -> None:
    """Judge a random share of one model's verdicts again, by stock pyautoattack."""
    from alignsec.attack import audit as audited
    from alignsec.study.layout import shard_tables
    from alignsec.zoo.running import ModelRow

    audited.run(
        audited.AuditJob(
            model=ModelRow(name, source, spec, weights, preflight), out=out, status=status, threads=threads,
            request=request, shards=shard_tables(shards, count), verdicts=shard_tables(verdicts, count),
            share=share, attempts_left=attempts_left,
        )
    )  # fmt: skip


@app.command("gather-audit")
def gather_audit(
    sheet: Annotated[Path, typer.Option(help="The model sheet.")],
    folder: Annotated[Path, typer.Option(help="Folder of the models.")],
    out: Out,
) -> None:
    """Gather the models' audits into one table."""
    from alignsec.attack import audit as audited
    from alignsec.study import sheet as sheets

    audited.gather([str(m) for m in sheets.read(sheet)["model"]], folder, out)
    print(*audited.sentences(out))


@app.command()
def verify(
    model: Annotated[list[str] | None, typer.Argument(help="Names; default: every model.")] = None,
    configfile: Annotated[Path, typer.Option(help="The study's configuration.")] = Path("config/config.yaml"),
    folder: Annotated[Path, typer.Option(help="Working directory of the run.")] = Path(),
) -> None:
    """Check the adversarials that a study kept, by a forward pass: legal, inside the ball, misclassified."""
    from alignsec.attack import verify as verified
    from alignsec.study.config import of_run

    config = of_run(configfile, folder)
    failed = 0
    for found in verified.of_study(folder, config, model or []):
        print(verified.line(found))
        failed += not found.holds
    if failed:
        raise AlignsecError(f"{failed} shards hold verdicts that their adversarials do not prove")


@app.command()
@asks
def run(
    name: str,
    source: Source,
    spec: Annotated[str, typer.Option(help="What the source needs to find the model.")],
    preflight: Annotated[Path, typer.Option(help="The model's preflight report.")],
    shard: Annotated[Path, typer.Option(help="The images, a shard.")],
    out: Out,
    status: Annotated[Path, typer.Option(help="File to write how it ended.")],
    request: AttackRequest,
    weights: Annotated[Path | None, typer.Option(help="Weights that the workflow made.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="File that keeps what is settled.")] = None,
    cache: Cache = None,
    threads: int = 1,
    attempts_left: AttemptsLeft = 0,
) -> None:
    """Attack one model on one shard of images at every epsilon."""
    from alignsec.attack import job
    from alignsec.zoo.running import ModelRow

    model = ModelRow(name, source, spec, weights, preflight)
    job.run(
        job.AttackJob(
            model=model, out=out, status=status, cache=cache, threads=threads, request=request, shard=shard,
            ledger=ledger, attempts_left=attempts_left,
        )
    )  # fmt: skip
