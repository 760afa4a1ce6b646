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
FIGURES = [f"{R}/figures/{name}.{suffix}" for name in NAMES for suffix in ("pdf", "png")]


rule figures:
    input:
        FIGURES,


rule heatmap:
    input:
        correlations=f"{R}/correlations/all.parquet",
        benchmarks=f"{R}/scores/benchmarks.parquet",
    output:
        figure(["heatmap"], "heatmap"),
    log:
        f"{R}/logs/heatmap.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
        annotate="--annotate" if CONFIG["figures"]["heatmap"]["annotate"] else "",
        colormap=CONFIG["figures"]["heatmap"]["colormap"],
    shell:
        "alignsec figures heatmap --correlations {input.correlations} --benchmarks {input.benchmarks} "
        "{params.annotate} --colormap {params.colormap:q} --out {params.stem} > {log} 2>&1"


rule scatter:
    input:
        total=f"{R}/analysis/total_scores.parquet",
        correlations=f"{R}/correlations/all.parquet",
    output:
        figure([f"scatter_{s}" for s in SCATTERS], "scatter"),
    log:
        f"{R}/logs/scatter.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=above(1),
        point_size=CONFIG["figures"]["scatter"]["point_size"],
    shell:
        "alignsec figures scatter --total {input.total} --correlations {input.correlations} "
        "--point-size {params.point_size} --out {params.folder} > {log} 2>&1"


rule tsne:
    input:
        total=f"{R}/analysis/total_scores.parquet",
        correlations=f"{R}/correlations/all.parquet",
        benchmarks=f"{R}/scores/benchmarks.parquet",
    output:
        figure(["tsne"], "tsne"),
    log:
        f"{R}/logs/tsne.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
        perplexity=CONFIG["figures"]["tsne"]["perplexity"],
        completeness=CONFIG["statistics"]["completeness"],
        seed=CONFIG["seed"],
    shell:
        "alignsec figures tsne --total {input.total} --correlations {input.correlations} "
        "--benchmarks {input.benchmarks} --perplexity {params.perplexity} "
        "--completeness {params.completeness} --seed {params.seed} --out {params.stem} > {log} 2>&1"


rule forest:
    input:
        correlations=f"{R}/correlations/all.parquet",
    output:
        figure(["forest"], "forest"),
    log:
        f"{R}/logs/forest.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
        rows=CONFIG["figures"]["forest"]["rows"],
    shell:
        "alignsec figures forest --correlations {input.correlations} --rows {params.rows} "
        "--out {params.stem} > {log} 2>&1"


rule within_between:
    input:
        correlations=f"{R}/correlations/all.parquet",
    output:
        figure(["within_between"], "within_between"),
    log:
        f"{R}/logs/within_between.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
    shell:
        "alignsec figures within --correlations {input.correlations} " "--out {params.stem} > {log} 2>&1"


rule p_values:
    input:
        correlations=f"{R}/correlations/all.parquet",
    output:
        figure(["p_values"], "p_values"),
    log:
        f"{R}/logs/p_values.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
    shell:
        "alignsec figures p-values --correlations {input.correlations} " "--out {params.stem} > {log} 2>&1"


rule curves:
    input:
        robustness=f"{R}/robustness/models.parquet",
        total=f"{R}/analysis/total_scores.parquet",
        sheet=SHEET or [],
    output:
        figure(["curves"], "curves"),
    log:
        f"{R}/logs/curves.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
        sheet=option("--sheet", SHEET),
    shell:
        "alignsec figures curves --robustness {input.robustness} --total {input.total} {params.sheet} "
        "--out {params.stem} > {log} 2>&1"


rule missingness:
    input:
        scores=f"{R}/scores/scores.parquet",
        benchmarks=f"{R}/scores/benchmarks.parquet",
        total=f"{R}/analysis/total_scores.parquet",
    output:
        figure(["missingness"], "missingness"),
    log:
        f"{R}/logs/missingness.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        stem=stem,
    shell:
        "alignsec figures missingness --scores {input.scores} --benchmarks {input.benchmarks} --total {input.total} "
        "--out {params.stem} > {log} 2>&1"
