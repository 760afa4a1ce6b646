"""The command-line program: one verb per rule of the workflow, each one call into the library."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from typing import Any

import typer

from alignsec.ground.errors import AlignsecError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


def _group(name: str, text: str) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=text)
    app.add_typer(group, name=name)
    return group


config_ = _group("config", "The study's configuration.")
scores_ = _group("scores", "The Brain-Score leaderboard.")
registry_ = _group("registry", "The models that can be loaded.")
images_ = _group("images", "Labelled images.")
robustness_ = _group("robustness", "Robustness per model.")
analysis_ = _group("analysis", "Alignment against robustness.")
figures_ = _group("figures", "One verb per figure.")

Out = Annotated[Path, typer.Option(help="File to write.")]


class Source(StrEnum):
    brainscore = "brainscore"
    torchvision = "torchvision"
    timm = "timm"
    factory = "factory"
    demo = "demo"


def _warn(texts: list[str]) -> None:
    for text in texts:
        print(f"warning: {text}", file=sys.stderr)


def _sheet(path: Path | None) -> Any:
    from alignsec.study import sheet

    return None if path is None else sheet.read(path)


def _resolved(path: Path) -> dict[str, Any]:
    """The configuration of a file with its defaults."""
    import yaml

    from alignsec.study import config

    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise AlignsecError(f"{path}: not a readable YAML file: {error}") from error
    return config.resolve(given or {})


def _families(path: Path | None) -> dict[str, str] | None:
    rows = _sheet(path)
    return None if rows is None else dict(zip(rows["model"], rows["family"], strict=True))


@app.command()
def devices(
    jobs: Annotated[bool, typer.Option(help="Print how many attack jobs may run at once.")] = False,
) -> None:
    """List this machine's GPUs as this process may use them."""
    from alignsec.ground.devices import visible

    found = visible()
    if jobs:
        # without a GPU nothing should hold the CPU jobs back
        print(len(found) or 10_000)
    else:
        print("\n".join(found) or "no GPU")


@app.command()
def unlock(
    folder: Annotated[Path, typer.Argument(help="Working directory of the run.")] = Path(),
) -> None:
    """Remove the lock that a killed Snakemake run left, unless a run is alive there."""
    from alignsec.ground import locks

    if locks.unlock(folder.resolve()):
        print("removed the lock of a run that was killed", file=sys.stderr)


@app.command()
def status(
    configfile: Annotated[Path, typer.Option(help="The study's configuration.")] = Path("config/config.yaml"),
    folder: Annotated[Path, typer.Option(help="Working directory of the run.")] = Path(),
) -> None:
    """Tell how far a study is: images settled, jobs by state, hours used, time left, what is held and why."""
    import importlib.util
    import shutil

    from alignsec.condor import controller
    from alignsec.condor import status as told
    from alignsec.study import epsilon

    resolved = _resolved(folder / configfile)
    if resolved["models"]["sheet"] is None or resolved["robustness"]["source"] != "attack":
        raise AlignsecError(f"{configfile}: this study attacks nothing")
    count, per = resolved["images"]["count"], resolved["attack"]["images_per_shard"]
    shards = [(f"{i:04d}", min(per, count - start)) for i, start in enumerate(range(0, count, per))]
    results = folder / "results" / resolved["study"]
    models = list(_sheet(folder / resolved["models"]["sheet"])["model"])
    jobs: list[dict[str, Any]] = []
    if shutil.which("condor_q") and importlib.util.find_spec("htcondor2"):
        jobs = controller.queue(folder.resolve())
    epsilons = [epsilon.parse(e) for e in resolved["attack"]["epsilons"]]
    found = told.collect(models, results, shards, epsilons, resolved["attack"]["norm"])
    estimate = told.estimated_hours(results / "zoo" / "estimate.csv")
    print(told.text(found, jobs, estimate), end="")


@config_.command("readme")
def config_readme(
    out: Annotated[Path | None, typer.Option(help="File; default: standard output.")] = None,
) -> None:
    """Write the page of every configuration key."""
    from alignsec.ground.tables import write_text
    from alignsec.study import config

    if out is None:
        print(config.markdown(), end="")
    else:
        write_text(out, config.markdown())


@config_.command("check")
def config_check(path: Path) -> None:
    """Check a configuration file and print it with its defaults."""
    import yaml

    from alignsec.study import config

    resolved = _resolved(path)
    _warn(config.warnings(resolved))
    print(yaml.safe_dump(resolved, sort_keys=False), end="")


@scores_.command("fetch")
def scores_fetch(source: str, out: Out, sha256: str | None = None) -> None:
    """Copy or download a leaderboard file, its SHA-256 checked."""
    from alignsec.leaderboard import export as scores

    found = scores.fetch(source, out, sha256 or None)
    print(f"{source}: SHA-256 {found}, {'as asked for' if sha256 else 'unchecked (scores.sha256 is null)'}")


@scores_.command("parse")
def scores_parse(
    path: Path, out_scores: Path = typer.Option(), out_benchmarks: Path = typer.Option()
) -> None:
    """Turn any published export into tidy scores and the benchmark tree."""
    from alignsec.ground import tables
    from alignsec.leaderboard import export as scores

    parsed = scores.parse(path)
    tables.write(parsed.benchmarks, out_benchmarks, "benchmarks")
    tables.write(parsed.scores, out_scores, "scores")
    _warn(parsed.warnings)
    for text in parsed.duplicates:
        print(f"duplicate: {text}")
    leaves = int(parsed.benchmarks["is_leaf"].sum())
    print(
        f"{path}: {parsed.variant}; {parsed.scores['model'].nunique()} distinct models, {leaves} leaf benchmarks, "
        f"{len(parsed.benchmarks) - leaves} parents, {len(parsed.duplicates)} names with several rows"
    )


@scores_.command("measure")
def scores_measure(spec: str, weights: Path = typer.Option(), out: Path = typer.Option()) -> None:
    """Score one trained demo network on the demo's benchmarks."""
    import torch

    from alignsec.jobs import write_json
    from alignsec.zoo import Excluded
    from alignsec.zoo import demo
    from alignsec.zoo import demo_benchmarks

    torch.set_num_threads(1)
    try:
        write_json(out, demo_benchmarks.measure(demo.load(spec, weights)))
    except Excluded as excluded:
        raise AlignsecError(excluded.reason) from excluded


@scores_.command("gather")
def scores_gather(
    sheet: Path = typer.Option(), folder: Path = typer.Option(), out: Path = typer.Option()
) -> None:
    """Write the demo networks' measured scores as a leaderboard file."""
    from alignsec.ground.names import encode
    from alignsec.ground.tables import write_text
    from alignsec.zoo import demo_benchmarks

    rows = _sheet(sheet)
    measured = {
        m: json.loads((folder / encode(m) / "demo_scores.json").read_text(encoding="utf-8"))
        for m in rows.loc[rows["source"] == "demo", "model"]
    }
    write_text(out, demo_benchmarks.leaderboard(measured))


@registry_.command("read")
def registry_read(
    source: str, out: Path = typer.Option(), out_unresolved: Path = typer.Option(), sheet: Path | None = None
) -> None:
    """Read the registered names from the installed package's source, importing nothing."""
    import pandas as pd

    from alignsec.ground import tables
    from alignsec.leaderboard import registry

    if source == "demo":
        rows = _sheet(sheet)
        if rows is None:
            raise AlignsecError("registry.source demo needs models.sheet")
        found, unresolved = registry.demo_registry(rows), pd.DataFrame(columns=registry.UNRESOLVED)
    else:
        found, unresolved = registry.read_registry(source)
    tables.write_csv(unresolved, out_unresolved)
    tables.write(found, out, "registry")
    print(
        f"{len(found)} models in {found['plugin'].nunique()} plugins, {len(unresolved)} registrations unresolved"
    )


@registry_.command("merge")
def registry_merge(
    scores: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    registry: Path = typer.Option(),
    out: Path = typer.Option(),
    out_unmatched: Path = typer.Option(),
    sheet: Path | None = None,
) -> None:
    """Join leaderboard and registry by exact name; check the sheet against the result."""
    from alignsec.ground import tables
    from alignsec.leaderboard import merge

    rows = _sheet(sheet)
    merged, unmatched = merge.merge(
        tables.read(scores, "scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(registry, "registry"),
        _families(sheet),
    )
    if rows is not None:
        merge.check_sheet(rows, merged["model"])
    tables.write_csv(unmatched, out_unmatched)
    tables.write(merged, out, "merged")
    near = int((unmatched["similarity"] == 1).sum())
    print(f"{len(merged)} models in both, {len(unmatched)} in one only ({near} near-matches, not used)")


@registry_.command("propose")
def registry_propose(merged: Path, out: Path = typer.Option()) -> None:
    """Write a model sheet of every merged model, for a person to review."""
    from alignsec.ground import tables
    from alignsec.leaderboard import proposed
    from alignsec.study import sheet

    sheet.write(proposed.propose_sheet(tables.read(merged, "merged")), out)
    print(
        f"{out}: review it (families are guessed from the names), then copy it to config/ and set models.sheet"
    )


@images_.command("shard")
def images_shard(
    source: str,
    out: Path = typer.Option(),
    start: int = typer.Option(),
    stop: int = typer.Option(),
    seed: int = 0,
    path: str | None = None,
    stratified: Annotated[bool, typer.Option(help="Equally many of each class.")] = False,
    clip: Annotated[bool, typer.Option(help="Of a smaller source, take all.")] = False,
) -> None:
    """List images START to STOP of the seeded order with their labels and checksums."""
    from alignsec.ground import tables
    from alignsec.images import shards as images

    stop = min(stop, images.size(source, path)) if clip else stop
    found = images.shard(source, path, start, stop, seed, stratified)
    _warn(found.attrs["warnings"])
    tables.write(found, out, "images")


@images_.command("pack")
def images_pack(
    source: str,
    out: Annotated[Path, typer.Option(help="Folder for the packs.")],
    count: Annotated[int, typer.Option(help="Images.")],
    per_shard: Annotated[int, typer.Option(help="Images of one archive: attack.images_per_shard.")],
    path: str | None = None,
    seed: int = 0,
    stratified: Annotated[bool, typer.Option(help="Equally many of each class.")] = False,
) -> None:
    """Write images as one archive per shard, for machines without a shared file system."""
    from alignsec.images import packing

    print(packing.pack(source, path, count, per_shard, out, seed, stratified))


@images_.command("gather")
def images_gather(folder: Path, count: int = typer.Option(), out: Path = typer.Option()) -> None:
    """Write the first COUNT shards of a folder as one manifest."""
    from alignsec.ground import tables
    from alignsec.images import shards as images

    shards = [tables.read(folder / f"{i:04d}.parquet", "images") for i in range(count)]
    tables.write(images.gather(shards), out, "images")


@app.command()
def train(spec: str, out: Path = typer.Option(), seed: int = 0) -> None:
    """Train one demo network."""
    from alignsec.zoo import demo

    accuracy = demo.train(spec, out, seed)
    print(", ".join(f"{k} {v:.3f}" for k, v in accuracy.items()))


@app.command()
def preflight(
    name: Annotated[str, typer.Argument(help="The model.")] = "",
    source: Source = Source.brainscore,
    out: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    spec: str = "",
    weights: Path | None = None,
    images: Annotated[Path | None, typer.Option(help="Table of labelled images, a sample.")] = None,
    seed: int = 0,
    timeout: Annotated[float, typer.Option(help="Seconds.")] = 900,
    memory: Annotated[float | None, typer.Option(help="GiB; default: 85 % of the machine's.")] = None,
    offline: Annotated[bool, typer.Option(help="Refuse connections to other machines.")] = False,
    retries: Annotated[int, typer.Option(help="Further attempts after a transient failure.")] = 1,
    exclude_flag: Annotated[list[str] | None, typer.Option(help="A flag that excludes.")] = None,
    side_effects: Annotated[str, typer.Option(help="exclude or allow")] = "exclude",
    threads: int = 1,
    sheet: Annotated[
        Path | None,
        typer.Option(help="All models of this sheet; --out is the models' folder; reports there stay."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="With --sheet: models at a time.")] = 1,
    requirements: Annotated[
        Path | None, typer.Option(help="Only print what to install for this model sheet.")
    ] = None,
) -> None:
    """Say whether a model can be attacked, and if not why."""
    if requirements is not None:
        from alignsec.requirements import listing

        print(listing(_sheet(requirements)), end="")
        return
    if out is None or bool(name) == (sheet is not None):
        raise AlignsecError(
            "preflight needs the name of a model or --sheet, and --out; or --requirements and a sheet"
        )
    from alignsec import preflight as pre
    from alignsec.jobs import write_json

    options: dict[str, Any] = {
        "images": images, "seed": seed, "timeout": timeout, "offline": offline, "retries": retries,
        "memory": None if memory is None else int(memory * 2**30), "exclude_flags": exclude_flag or (),
        "side_effects": side_effects, "threads": threads,
    }  # fmt: skip
    if sheet is not None:
        from tqdm import tqdm

        rows = _sheet(sheet)
        for model, report in tqdm(pre.sweep(rows, out, jobs, **options), total=len(rows), unit="model"):
            tqdm.write(pre.line(model, report))
        return
    report = pre.preflight(name, source.value, spec or name, weights, **options)
    write_json(out, report)
    print(pre.line(name, report))


@app.command()
def account(
    sheet: Path = typer.Option(),
    folder: Path = typer.Option(help="Folder of the models."),
    out: Path = typer.Option(),
    out_counts: Path = typer.Option(),
    scores: Annotated[Path | None, typer.Option(help="Tidy scores, for ImageNet top-1.")] = None,
) -> None:
    """Write what became of every model in preflight, and count the reasons."""
    from alignsec import account as acc
    from alignsec.ground import tables

    rows = _sheet(sheet)
    top1: dict[str, float] = {}
    if scores is not None:
        known = tables.read(scores, "scores")
        known = known[(known["benchmark"] == acc.TOP1) & known["score"].notna()]
        top1 = dict(zip(known["model"], known["score"], strict=True))
    found = acc.table(rows, acc.read(rows["model"], folder), top1)
    counted = acc.counts(found)
    tables.write_csv(found, out)
    tables.write_csv(counted, out_counts)
    print(counted.drop(columns="meaning").to_string(index=False))


@app.command()
def estimate(
    sheet: Path = typer.Option(),
    folder: Path = typer.Option(help="Folder of the models."),
    epsilons: int = typer.Option(help="How many."),
    count: int = typer.Option(help="Images."),
    per_shard: int = typer.Option(help="Images of one job."),
    out: Path = typer.Option(),
    version: str = "standard",
    limit: Annotated[float, typer.Option(help="Hours that one job may last.")] = 24,
) -> None:
    """Estimate the hours that attacking every model takes on this machine's device."""
    from alignsec import account as acc
    from alignsec import estimate as est
    from alignsec.ground import tables

    rows = _sheet(sheet)
    speed = est.measure()
    found = est.table(
        rows, acc.read(rows["model"], folder), speed, epsilons=epsilons, count=count, per_shard=per_shard,
        version=version, limit=limit,
    )  # fmt: skip
    tables.write_csv(found, out)
    print(est.text(found, speed, len(rows)), end="")


@app.command()
def attack(
    name: str,
    source: Source = typer.Option(),
    spec: str = typer.Option(),
    preflight: Path = typer.Option(),
    shard: Path = typer.Option(),
    out: Path = typer.Option(),
    status: Path = typer.Option(),
    epsilon: list[str] = typer.Option(),
    weights: Path | None = None,
    norm: str = "Linf",
    version: str = "standard",
    attacks: Annotated[
        list[str] | None, typer.Option("--attack", help="Of version custom, in order.")
    ] = None,
    ladder: bool = True,
    top5: Annotated[bool, typer.Option(help="Is the label among the five largest logits, too?")] = False,
    screen_precision: str = "float32",
    batch_size: int | None = None,
    ledger: Annotated[Path | None, typer.Option(help="File that keeps what is settled.")] = None,
    keep: Annotated[Path | None, typer.Option(help="File (.npz) for the adversarials.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for pixels that models share.")] = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Attack one model on one shard of images at every epsilon."""
    from alignsec import jobs

    jobs.supervised(
        "attack",
        {
            "name": name, "source": source.value, "spec": spec, "weights": weights, "preflight": preflight,
            "shard": shard, "out": out, "status": status, "epsilons": epsilon, "norm": norm, "version": version,
            "attacks": attacks or [], "ladder": ladder, "top5": top5, "screen_precision": screen_precision,
            "batch_size": batch_size, "ledger": ledger, "keep": keep, "cache": cache, "seed": seed,
            "threads": threads,
        },
        "attack",
    )  # fmt: skip


@app.command()
def corruptions(
    name: str,
    source: Source = typer.Option(),
    spec: str = typer.Option(),
    preflight: Path = typer.Option(),
    shards: Path = typer.Option(help="Folder of the shards."),
    count: int = typer.Option(help="How many shards."),
    out: Path = typer.Option(),
    status: Path = typer.Option(),
    corruption: list[str] = typer.Option(),
    severity: list[int] = typer.Option(),
    weights: Path | None = None,
    path: Path | None = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for pixels that models share.")] = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Measure one model's accuracy under corruptions."""
    from alignsec import jobs

    jobs.supervised(
        "corruptions",
        {
            "name": name, "source": source.value, "spec": spec, "weights": weights, "preflight": preflight,
            "shards": [shards / f"{i:04d}.parquet" for i in range(count)], "out": out, "status": status,
            "names": corruption, "severities": severity, "folder": path, "cache": cache, "seed": seed,
            "threads": threads,
        },
        "corruptions",
    )  # fmt: skip


@robustness_.command("gather")
def robustness_gather(
    sheet: Path = typer.Option(),
    folder: Path = typer.Option(),
    shards: int = typer.Option(help="How many shards each model was attacked on."),
    epsilon: list[str] = typer.Option(),
    out: Path = typer.Option(),
    out_excluded: Path = typer.Option(),
    out_warnings: Path = typer.Option(),
    corruptions: bool = False,
    norm: str = "Linf",
    exclude_duplicates: Annotated[
        bool, typer.Option(help="Of models with the same weights, keep the first.")
    ] = False,
) -> None:
    """Turn per-image verdicts into accuracies per model, with intervals."""
    from alignsec import jobs
    from alignsec.ground import tables

    table, excluded, doubts = jobs.gather_robustness(
        list(_sheet(sheet)["model"]), folder, [f"{i:04d}" for i in range(shards)], corruptions, epsilon, norm,
        exclude_duplicates,
    )  # fmt: skip
    tables.write_csv(excluded, out_excluded)
    tables.write_csv(doubts, out_warnings)
    tables.write(table, out, "robustness")
    print(
        f"{table['model'].nunique()} models, {table['target'].nunique()} targets, {len(excluded)} exclusions, "
        f"{len(doubts)} warnings"
    )


@robustness_.command("own")
def robustness_own(
    path: Path,
    out: Path = typer.Option(),
    out_excluded: Path = typer.Option(),
    out_warnings: Path = typer.Option(),
) -> None:
    """Take a robustness table of your own in place of the attacks."""
    import pandas as pd

    from alignsec import robustness
    from alignsec.ground import tables

    table = robustness.read_own(path)
    tables.write_csv(pd.DataFrame(columns=robustness.EXCLUDED), out_excluded)
    tables.write_csv(pd.DataFrame(columns=robustness.WARNINGS), out_warnings)
    tables.write(table, out, "robustness")


@analysis_.command("join")
def analysis_join(
    merged: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    robustness: Path = typer.Option(),
    out: Path = typer.Option(),
    out_duplicates: Path = typer.Option(help="What one row per weights changes."),
    sheet: Path | None = None,
    models: Path | None = typer.Option(None, help="Folder of the models' preflight reports."),
    completeness: float = 0.5,
    collapse: bool = typer.Option(False, help="One row for all models of the same weights."),
) -> None:
    """Put benchmarks and robustness side by side, one row per model, parents computed again."""
    from alignsec import parents
    from alignsec import robustness as rob
    from alignsec import statistics
    from alignsec.ground import tables

    tree, rows = tables.read(benchmarks, "benchmarks"), _sheet(sheet)
    measured = tables.read(robustness, "robustness")
    total = rob.join(tables.read(merged, "merged"), list(tree["benchmark"]), measured, _families(sheet))
    weights = {} if rows is None else dict(rob.weights_of(rows, models).to_numpy().tolist())
    one_each = parents.complete(statistics.collapse(total, weights), tree, completeness)
    total = parents.complete(total, tree, completeness)
    targets = list(dict.fromkeys(measured["target"]))
    tables.write_csv(statistics.compare(total, one_each, tree, targets), out_duplicates)
    tables.write(one_each if collapse else total, out, "total_scores")
    print(
        f"{len(total)} models, {len(one_each)} different weights; "
        f"{'one row for each' if collapse else 'all rows kept'}"
    )


@analysis_.command("correlate")
def analysis_correlate(
    total: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    robustness: Path = typer.Option(),
    out: Path = typer.Option(help="The gathered table; one file per benchmark goes beside it."),
    flips: int = 10_000,
    seed: int = 0,
) -> None:
    """Correlate every benchmark with every target."""
    from alignsec import statistics
    from alignsec.ground import tables
    from alignsec.ground.names import encode

    targets = list(dict.fromkeys(tables.read(robustness, "robustness")["target"]))
    table = statistics.correlate(
        tables.read(total, "total_scores"), tables.read(benchmarks, "benchmarks"), targets, seed=seed, flips=flips,
        progress=True,
    )  # fmt: skip
    files = {
        out.parent / f"{encode(str(b))}.parquet": part for b, part in table.groupby("benchmark", sort=False)
    }
    if out in files:
        raise AlignsecError(f"a benchmark is called {out.stem!r}, as the table of all: rename it")
    for stale in set(out.parent.glob("*.parquet")) - set(files):
        stale.unlink()
    for path, part in files.items():
        tables.write(part, path, "correlations")
    tables.write_csv(table, out.with_suffix(".csv"))
    tables.write(table, out, "correlations")  # last: its existence means that the others are complete


@figures_.command("heatmap")
def figures_heatmap(
    correlations: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    out: Path = typer.Option(help="Without suffix."),
    annotate: bool = False,
    colormap: str = "vlag",
) -> None:
    """Heatmap of Spearman rho, benchmarks by targets."""
    from alignsec.figures import heatmap
    from alignsec.figures import save
    from alignsec.ground import tables

    save(
        heatmap.draw(
            tables.read(correlations, "correlations"),
            tables.read(benchmarks, "benchmarks"),
            annotate=annotate,
            colormap=colormap,
        ),
        out,
    )


@figures_.command("scatter")
def figures_scatter(
    total: Path = typer.Option(),
    correlations: Path = typer.Option(),
    out: Path = typer.Option(help="Folder; one pair of files per kind of alignment."),
    point_size: float = 18,
) -> None:
    """Robust accuracy on average, neural, behavioral and engineering alignment."""
    from alignsec.figures import save
    from alignsec.figures import scatter
    from alignsec.ground import tables
    from alignsec.study import targets

    scores, table = tables.read(total, "total_scores"), tables.read(correlations, "correlations")
    for kind in ("average", "neural", "behavior", "engineering"):
        figure = scatter.draw(
            scores, table, f"{kind}_vision", targets.robust(table["target"]), title=f"{kind} alignment",
            point_size=point_size,
        )  # fmt: skip
        save(figure, out / f"scatter_{kind}")


@figures_.command("tsne")
def figures_tsne(
    total: Path = typer.Option(),
    correlations: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    out: Path = typer.Option(help="Without suffix."),
    perplexity: float = 20,
    completeness: float = 0.5,
    seed: int = 0,
) -> None:
    """t-SNE and principal components of the models, coloured by robust accuracy."""
    from alignsec.figures import save
    from alignsec.figures import tsne
    from alignsec.ground import tables
    from alignsec.study import targets

    figure = tsne.draw(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        targets.middle(tables.read(correlations, "correlations")["target"]),
        perplexity=perplexity,
        completeness=completeness,
        seed=seed,
    )
    save(figure, out)


@figures_.command("forest")
def figures_forest(
    correlations: Path = typer.Option(), out: Path = typer.Option(help="Without suffix."), rows: int = 30
) -> None:
    """Benchmarks ranked by |rho|, with intervals, raw beside partial."""
    from alignsec.figures import forest
    from alignsec.figures import save
    from alignsec.ground import tables
    from alignsec.study import targets

    table = tables.read(correlations, "correlations")
    save(forest.draw(table, targets.middle(table["target"]), rows=rows), out)


@figures_.command("within")
def figures_within(
    correlations: Path = typer.Option(), out: Path = typer.Option(help="Without suffix.")
) -> None:
    """Correlations within families against those between them."""
    from alignsec.figures import save
    from alignsec.figures import within_between
    from alignsec.ground import tables
    from alignsec.study import targets

    table = tables.read(correlations, "correlations")
    save(within_between.draw(table, targets.middle(table["target"])), out)


@figures_.command("p-values")
def figures_p_values(
    correlations: Path = typer.Option(), out: Path = typer.Option(help="Without suffix.")
) -> None:
    """Histogram of p over leaves and targets."""
    from alignsec.figures import p_values
    from alignsec.figures import save
    from alignsec.ground import tables

    save(p_values.draw(tables.read(correlations, "correlations")), out)


@figures_.command("curves")
def figures_curves(
    robustness: Path = typer.Option(),
    total: Path = typer.Option(),
    out: Path = typer.Option(help="Without suffix."),
    sheet: Path | None = None,
) -> None:
    """Accuracy against epsilon, by family."""
    from alignsec.figures import curves
    from alignsec.figures import save
    from alignsec.ground import tables

    rows = tables.read(total, "total_scores")
    family = dict(zip(rows["model"], rows["family"], strict=True)) | (_families(sheet) or {})
    save(curves.draw(tables.read(robustness, "robustness"), family), out)


@figures_.command("missingness")
def figures_missingness(
    scores: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    total: Path = typer.Option(),
    out: Path = typer.Option(help="Without suffix."),
) -> None:
    """Which model was scored on which benchmark."""
    from alignsec.figures import missingness
    from alignsec.figures import save
    from alignsec.ground import tables

    figure = missingness.draw(
        tables.read(scores, "scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(total, "total_scores")[["model", "family"]],
    )
    save(figure, out)


@analysis_.command("explorer")
def analysis_explorer(
    study: str,
    total: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    correlations: Path = typer.Option(),
    out: Path = typer.Option(),
) -> None:
    """Write the study as one page to explore, which opens without a network."""
    from alignsec import explorer
    from alignsec.ground import tables

    text = explorer.page(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(correlations, "correlations"),
        study,
    )
    tables.write_text(out, text)


def _study(
    total: Path,
    benchmarks: Path,
    robustness: Path,
    correlations: Path,
    excluded: Path,
    duplicates: Path,
    warnings: Path,
) -> Any:
    import pandas as pd

    from alignsec.findings import Study
    from alignsec.ground import tables

    return Study(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(robustness, "robustness"),
        tables.read(correlations, "correlations"),
        pd.read_csv(excluded),
        pd.read_csv(duplicates),
        pd.read_csv(warnings),
    )


@app.command("tables")
def tables_(
    total: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    robustness: Path = typer.Option(),
    correlations: Path = typer.Option(),
    excluded: Path = typer.Option(),
    duplicates: Path = typer.Option(),
    warnings: Path = typer.Option(),
    out: Path = typer.Option(help="Folder."),
) -> None:
    """Write the study's tables as CSV and LaTeX."""
    from alignsec import findings
    from alignsec import latex
    from alignsec.ground import tables

    study = _study(total, benchmarks, robustness, correlations, excluded, duplicates, warnings)
    for name, (frame, caption) in findings.all_tables(study).items():
        tables.write_csv(frame, out / f"{name}.csv")
        tables.write_text(out / f"{name}.tex", latex.table(frame, caption, f"tab:{name}"))


@app.command()
def summary(
    study: str,
    total: Path = typer.Option(),
    benchmarks: Path = typer.Option(),
    robustness: Path = typer.Option(),
    correlations: Path = typer.Option(),
    excluded: Path = typer.Option(),
    duplicates: Path = typer.Option(),
    warnings: Path = typer.Option(),
    out: Path = typer.Option(),
) -> None:
    """State the findings in sentences made from the numbers."""
    from alignsec import findings
    from alignsec.ground import tables

    found = _study(total, benchmarks, robustness, correlations, excluded, duplicates, warnings)
    tables.write_text(out, findings.summary(found, study))


@app.command()
def provenance(config: str, folder: Path = typer.Option(), out: Path = typer.Option()) -> None:
    """Record what produced a study. CONFIG is the resolved configuration as JSON."""
    from alignsec.jobs import write_json
    from alignsec.study.provenance import describe

    write_json(out, describe(json.loads(config), folder))


def main() -> None:
    """Run the program; a problem of the input is a message and exit status 2, a bug a traceback."""
    try:
        app()
    except AlignsecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
