from snakemake.io import report as in_report


def figure(names, caption):
    """PDF and PNG of each name, the PNG shown in the report."""
    text = f"../report/{caption}.rst"
    shown = [
        in_report(S.figure(n, "png"), category="Figures", caption=text, labels={"figure": n}) for n in names
    ]
    return [*(S.figure(n, "pdf") for n in names), *shown]


def stem(wildcards, output):
    """The figure's path without its suffix."""
    return str(Path(output[0]).with_suffix(""))


SCATTERS = ("average", "neural", "behavior", "engineering")
NAMES = (
    "heatmap",
    "forest",
    *(f"scatter_{s}" for s in SCATTERS),
    "curves",
    "within_between",
    "p_values",
    "tsne",
    "missingness",
)
FIGURES = [S.figure(name, suffix) for name in NAMES for suffix in layout.FIGURE_SUFFIXES]


rule figures:
    input:
        FIGURES,


rule heatmap:
    input:
        correlations=S.correlations,
        benchmarks=S.benchmarks,
    output:
        figure(["heatmap"], "heatmap"),
    log:
        S.log("heatmap"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
        annotate=option("--annotate", CONFIG["report"]["heatmap"]["annotate"]),
        colormap=CONFIG["report"]["heatmap"]["colormap"],
    shell:
        "alignsec report figures heatmap --correlations {input.correlations} --benchmarks {input.benchmarks} "
        "{params.annotate} --colormap {params.colormap:q} --out {params.stem} > {log} 2>&1"


rule scatter:
    input:
        total=S.total,
        correlations=S.correlations,
    output:
        figure([f"scatter_{s}" for s in SCATTERS], "scatter"),
    log:
        S.log("scatter"),
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=S.figure("x", "png").parent,
        point_size=CONFIG["report"]["scatter"]["point_size"],
    shell:
        "alignsec report figures scatter --total {input.total} --correlations {input.correlations} "
        "--point-size {params.point_size} --out {params.folder} > {log} 2>&1"


rule tsne:
    input:
        total=S.total,
        correlations=S.correlations,
        benchmarks=S.benchmarks,
    output:
        figure(["tsne"], "tsne"),
    log:
        S.log("tsne"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
        perplexity=CONFIG["report"]["tsne"]["perplexity"],
        completeness=CONFIG["analysis"]["completeness"],
        seed=CONFIG["seed"],
    shell:
        "alignsec report figures tsne --total {input.total} --correlations {input.correlations} "
        "--benchmarks {input.benchmarks} --perplexity {params.perplexity} "
        "--completeness {params.completeness} --seed {params.seed} --out {params.stem} > {log} 2>&1"


rule forest:
    input:
        correlations=S.correlations,
    output:
        figure(["forest"], "forest"),
    log:
        S.log("forest"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
        rows=CONFIG["report"]["forest"]["rows"],
    shell:
        "alignsec report figures forest --correlations {input.correlations} --rows {params.rows} "
        "--out {params.stem} > {log} 2>&1"


rule within_between:
    input:
        correlations=S.correlations,
    output:
        figure(["within_between"], "within_between"),
    log:
        S.log("within_between"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
    shell:
        "alignsec report figures within --correlations {input.correlations} "
        "--out {params.stem} > {log} 2>&1"


rule p_values:
    input:
        correlations=S.correlations,
    output:
        figure(["p_values"], "p_values"),
    log:
        S.log("p_values"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
    shell:
        "alignsec report figures p-values --correlations {input.correlations} "
        "--out {params.stem} > {log} 2>&1"


rule curves:
    input:
        robustness=S.robustness,
        total=S.total,
        sheet=path(SHEET),
    output:
        figure(["curves"], "curves"),
    log:
        S.log("curves"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
        sheet=option("--sheet", SHEET),
    shell:
        "alignsec report figures curves --robustness {input.robustness} --total {input.total} {params.sheet} "
        "--out {params.stem} > {log} 2>&1"


rule missingness:
    input:
        scores=S.scores,
        benchmarks=S.benchmarks,
        total=S.total,
    output:
        figure(["missingness"], "missingness"),
    log:
        S.log("missingness"),
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
    shell:
        "alignsec report figures missingness --scores {input.scores} --benchmarks {input.benchmarks} --total {input.total} "
        "--out {params.stem} > {log} 2>&1"


TABLES = [
    S.table(t, s)
    for t in ("correlations", "predictors", "aggregates", "targets", "duplicates", "models", "excluded")
    for s in layout.TABLE_SUFFIXES
]
# what the findings are made from, each file under the option of its name
FOUND = {
    "total": S.total,
    "benchmarks": S.benchmarks,
    "robustness": S.robustness,
    "correlations": S.correlations,
    "excluded": S.excluded,
    "duplicates": S.duplicates,
    "warnings": S.warnings,
}


rule tables:
    input:
        **FOUND,
    output:
        [
            (
                report(t, category="Tables", caption="../report/tables.rst", labels={"table": t.stem})
                if t.suffix == ".csv"
                else t
            )
            for t in TABLES
        ],
    log:
        S.log("tables"),
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=S.table("x", "csv").parent,
    shell:
        "alignsec report tables --total {input.total} --benchmarks {input.benchmarks} --robustness {input.robustness} "
        "--correlations {input.correlations} --excluded {input.excluded} --duplicates {input.duplicates} "
        "--warnings {input.warnings} --out {params.folder} > {log} 2>&1"


rule summary:
    input:
        **FOUND,
    output:
        report(
            S.summary,
            category="Findings",
            caption="../report/summary.rst",
            labels={"what": "summary"},
        ),
    log:
        S.log("summary"),
    conda:
        "../../envs/analysis.yaml"
    params:
        study=CONFIG["study"],
    shell:
        "alignsec report summary {params.study} --total {input.total} --benchmarks {input.benchmarks} "
        "--robustness {input.robustness} --correlations {input.correlations} --excluded {input.excluded} "
        "--duplicates {input.duplicates} --warnings {input.warnings} --out {output} > {log} 2>&1"


rule explorer:
    input:
        total=S.total,
        benchmarks=S.benchmarks,
        correlations=S.correlations,
    output:
        report(
            S.explorer,
            category="Findings",
            caption="../report/explorer.rst",
            labels={"what": "explorer"},
        ),
    log:
        S.log("explorer"),
    conda:
        "../../envs/analysis.yaml"
    params:
        study=CONFIG["study"],
    shell:
        "alignsec report explorer {params.study} --total {input.total} --benchmarks {input.benchmarks} "
        "--correlations {input.correlations} --out {output} > {log} 2>&1"


rule provenance:
    input:
        S.correlations,
        S.manifest if ATTACKS else [],
    output:
        S.provenance,
    log:
        S.log("provenance"),
    conda:
        "../../envs/analysis.yaml"
    params:
        # how figures look is no part of what they rest on
        config=json.dumps({k: v for k, v in CONFIG.items() if k != "report"}),
        folder=S.root,
    shell:
        "alignsec provenance {params.config:q} --folder {params.folder} --out {output} > {log} 2>&1"
