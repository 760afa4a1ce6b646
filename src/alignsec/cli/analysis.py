"""`alignsec analysis`: alignment against robustness."""

from pathlib import Path
from typing import Annotated

import typer

from alignsec.cli.options import Out, Sheet, group, read_sheet

app = group("Alignment against robustness.")
# options that several verbs have
Total = Annotated[Path, typer.Option(help="Table of kind total_scores.")]
Benchmarks = Annotated[Path, typer.Option(help="Table of kind benchmarks.")]
Targets = Annotated[Path, typer.Option(help="Table of kind robustness, with the plan's means.")]
Rows = Annotated[Path, typer.Option(help="Which models the primary analysis has.")]
PlanJson = Annotated[Path, typer.Option(help="The plan (plan.json).")]
Robustness = Annotated[Path, typer.Option(help="Table of kind robustness.")]
Covariates = Annotated[Path, typer.Option(help="What the models are and how they were trained.")]
KindsTable = Annotated[Path, typer.Option(help="Reviewed table of kinds (analysis.kinds).")]
SameImages = Annotated[
    bool | None,
    typer.Option(
        "--same-images/--other-images",
        help="Robust and clean accuracy are of the same images; without either: if numbers agree.",
    ),
]


@app.command()
def join(
    merged: Annotated[Path, typer.Option(help="Table of kind merged.")],
    benchmarks: Benchmarks,
    robustness: Robustness,
    out: Out,
    out_duplicates: Annotated[Path, typer.Option(help="What one row per weights changes.")],
    sheet: Sheet = None,
    models: Annotated[Path | None, typer.Option(help="Folder of the models' preflight reports.")] = None,
    completeness: float = 0.5,
    collapse: Annotated[bool, typer.Option(help="One row for all models of the same weights.")] = False,
) -> None:
    """Put benchmarks and robustness side by side, one row per model, parents computed again."""
    from alignsec.analysis import join as joining
    from alignsec.ground import tables

    found = joining.join(
        tables.read(merged, "merged"),
        tables.read(benchmarks, "benchmarks"),
        tables.read(robustness, "robustness"),
        read_sheet(sheet),
        models,
        completeness=completeness,
        collapse=collapse,
    )
    tables.write_csv(found.duplicates, out_duplicates)
    tables.write(found.total, out, "total_scores")
    print(
        f"{found.models} models, {found.weights} different weights; "
        f"{'one row for each' if collapse else 'all rows kept'}"
    )


@app.command()
def covariates(
    merged: Annotated[Path, typer.Option(help="Table of kind merged.")],
    table: Annotated[Path, typer.Option(help="Reviewed table (analysis.covariates).")],
    out: Out,
    sheet: Sheet = None,
) -> None:
    """Write what the study's models are and how they were trained."""
    from alignsec.ground import tables
    from alignsec.study import covariates as known

    found = known.of_study(tables.read(merged, "merged"), known.read(table), read_sheet(sheet))
    tables.write_csv(found, out)
    print(found["training"].value_counts().to_string())


@app.command()
def correlate(
    total: Total,
    benchmarks: Benchmarks,
    robustness: Robustness,
    out: Annotated[
        Path, typer.Option(help="The gathered table; its CSV twin and one file per benchmark go beside it.")
    ],
    same_images: SameImages = None,
    flips: int = 10_000,
    seed: int = 0,
) -> None:
    """Correlate every benchmark with every target."""
    from alignsec.analysis import correlate as correlations
    from alignsec.analysis.taken import images_of
    from alignsec.ground import tables

    measured = tables.read(robustness, "robustness")
    table = correlations.correlate(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        correlations.targets_of(measured),
        images=images_of(measured),
        same_images=same_images,
        seed=seed,
        flips=flips,
        progress=True,
    )
    correlations.write(table, out)


@app.command()
def kinds(
    total: Total,
    benchmarks: Benchmarks,
    targets: Targets,
    rows: Rows,
    plan: PlanJson,
    covariates: Covariates,
    table: KindsTable,
    out: Annotated[Path, typer.Option(help="The kinds; differences.csv goes beside it.")],
    same_images: SameImages = None,
    signs: Annotated[tuple[int, int], typer.Option(help="Patterns of signs, and their seed.")] = (10_000, 0),
    hold: Annotated[
        list[str] | None, typer.Option(help="Covariate that is held fixed as well, in rows of its own.")
    ] = None,
) -> None:
    """Say which kinds of benchmarks go with robustness, which do not, and which differ."""
    from alignsec.analysis import claims
    from alignsec.analysis.taken import images_of
    from alignsec.ground import tables
    from alignsec.study import kinds as known
    from alignsec.study.layout import differences_of
    from alignsec.study.records import read_plan

    measured = tables.read(targets, "robustness")
    leaves, unlisted = known.of_leaves(known.read(table), tables.read(benchmarks, "benchmarks"))
    for benchmark in unlisted:
        print(f"{benchmark}: not in {table}, taken as one of 'other …'")
    found, differences = claims.claims(
        tables.read(total, "total_scores"),
        leaves,
        read_plan(plan),
        tables.read_csv(rows),
        tables.read_csv(covariates),
        claims.Options(
            images=images_of(measured),
            same_images=same_images,
            flips=signs[0],
            seed=signs[1],
            held=hold or (),
        ),
    )
    tables.write_csv(differences, differences_of(out))
    tables.write_csv(found, out)
    print(found[found["rows"] == claims.PRIMARY].groupby(["target", "verdict"]).size().to_string())


@app.command()
def specifications(
    total: Total,
    benchmarks: Benchmarks,
    targets: Targets,
    rows: Rows,
    plan: PlanJson,
    covariates: Covariates,
    table: KindsTable,
    out: Out,
    same_images: SameImages = None,
    completeness: float = 0.5,
    seed: int = 0,
) -> None:
    """Estimate every kind of benchmarks by other defensible choices too."""
    from alignsec.analysis import claims
    from alignsec.analysis import specifications as described
    from alignsec.analysis.taken import images_of
    from alignsec.ground import tables
    from alignsec.study import kinds as known
    from alignsec.study.records import read_plan

    measured = tables.read(targets, "robustness")
    images = images_of(measured)
    found = described.specifications(
        tables.read(total, "total_scores"),
        known.of_leaves(known.read(table), tables.read(benchmarks, "benchmarks"))[0],
        read_plan(plan),
        tables.read_csv(rows),
        tables.read_csv(covariates),
        claims.Options(images=images, same_images=same_images, seed=seed),
        completeness,
    )
    tables.write_csv(found, out)
    print(found.groupby("target_kind")["kind"].value_counts().groupby("target_kind").max().to_string())


@app.command()
def predict(
    total: Total,
    benchmarks: Benchmarks,
    plan: PlanJson,
    table: KindsTable,
    out: Out,
    completeness: float = 0.5,
    seed: int = 0,
) -> None:
    """Predict robustness of families left out, with benchmarks and with clean accuracy alone."""
    from alignsec.analysis import prediction
    from alignsec.ground import tables
    from alignsec.study import kinds as known
    from alignsec.study.records import read_plan

    found = prediction.of_plan(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        known.read(table),
        read_plan(plan),
        completeness=completeness,
        seed=seed,
    )
    tables.write_csv(found, out)


@app.command()
def plan(
    robustness: Robustness,
    out: Out,
    out_targets: Annotated[Path, typer.Option(help="The table with the means that the plan makes.")],
    plan: Annotated[Path | None, typer.Option(help="The plan file.")] = None,
) -> None:
    """Choose a primary target for each kind of target, from the targets alone."""
    from alignsec.analysis import plan as planning
    from alignsec.ground import tables
    from alignsec.study.plan import read
    from alignsec.study.records import write_json

    measured = tables.read(robustness, "robustness")
    chosen = planning.choose(measured, read(plan))
    tables.write(planning.with_means(measured, chosen), out_targets, "robustness")
    write_json(out, chosen)
    print("\n".join(f"{kind}: {target}" for kind, target in chosen["primary"].items()))


@app.command()
def rows(
    total: Total,
    benchmarks: Benchmarks,
    targets: Targets,
    plan: PlanJson,
    out: Out,
    out_twins: Annotated[Path, typer.Option(help="Networks trained both adversarially and not.")],
    covariates: Annotated[Path | None, typer.Option(help="How each model was trained.")] = None,
    identities: Annotated[Path | None, typer.Option(help="Which network a published row is.")] = None,
    sheet: Sheet = None,
    models: Annotated[Path | None, typer.Option(help="Folder of the models' preflight reports.")] = None,
) -> None:
    """Say which models the primary analysis has, and why the others are not in it."""
    from alignsec.analysis import join as joining
    from alignsec.analysis import rows as selecting
    from alignsec.analysis import twins
    from alignsec.ground import tables
    from alignsec.study.records import read_plan

    known, chosen = read_sheet(sheet), read_plan(plan)
    tree, joined = tables.read(benchmarks, "benchmarks"), tables.read(total, "total_scores")
    trained = None if covariates is None else tables.read_csv(covariates)
    found = selecting.of_study(
        joined,
        list(tree.loc[tree["is_leaf"], "benchmark"]),
        tables.read(targets, "robustness"),
        chosen,
        covariates=trained,
        identities=None if identities is None else tables.read_csv(identities),
        weights=None if known is None else dict(joining.weights_of(known, models).to_numpy().tolist()),
    )
    tables.write_csv(twins.of_study(joined, tree, trained, chosen), out_twins)
    tables.write_csv(found, out)
    print(f"{int(found['primary'].sum())} of {len(found)} rows are primary")


@app.command()
def selections(
    total: Total,
    benchmarks: Benchmarks,
    targets: Targets,
    rows: Rows,
    plan: PlanJson,
    out: Out,
    same_images: SameImages = None,
    flips: int = 10_000,
    seed: int = 0,
) -> None:
    """Correlate over other rows than the primary ones, to see what hangs on their choice."""
    from alignsec.analysis import selections as described
    from alignsec.analysis.taken import images_of
    from alignsec.ground import tables
    from alignsec.study.records import read_plan

    measured = tables.read(targets, "robustness")
    found = described.correlate(
        tables.read(total, "total_scores"),
        tables.read(benchmarks, "benchmarks"),
        tables.read_csv(rows),
        read_plan(plan),
        images=images_of(measured),
        same_images=same_images,
        seed=seed,
        flips=flips,
    )
    tables.write_csv(found, out)


@app.command()
def names(
    dropped: Annotated[Path, typer.Option(help="Rows of the leaderboard that another stands for.")],
    scores: Annotated[Path, typer.Option(help="Table of kind scores.")],
    registry: Annotated[Path, typer.Option(help="Table of kind registry.")],
    total: Total,
    robustness: Robustness,
    excluded: Annotated[Path, typer.Option(help="Models that could not be evaluated.")],
    out: Out,
    sheet: Sheet = None,
    own: Annotated[Path | None, typer.Option(help="The robustness table of your own.")] = None,
    aliases: Annotated[Path | None, typer.Option(help="Names in it that mean others.")] = None,
    fates: Annotated[Path | None, typer.Option(help="Fates of the names of published sources.")] = None,
) -> None:
    """Write what became of every name that came in, wherever it came in."""
    from alignsec.analysis import names as made
    from alignsec.ground import tables

    files = made.Files(dropped, scores, registry, total, robustness, excluded, sheet, own, aliases, fates)
    found = made.of_study(files)
    tables.write_csv(found, out)
    print(made.counts(found).to_string())


@app.command()
def replicate(
    claims: Annotated[Path, typer.Argument(help="robustness.published.claims.")],
    study: Annotated[Path, typer.Option(help="Folder of the study, results/<study>.")],
) -> None:
    """Compute published claims again, with a verdict each."""
    from alignsec.analysis import replication
    from alignsec.ground import tables
    from alignsec.study.layout import Layout

    found = replication.of_study(study, claims)
    tables.write_csv(found, Layout(study).replication)
    print("; ".join(f"{c}: {v}" for c, v in zip(found["claim"], found["verdict"], strict=True)))
