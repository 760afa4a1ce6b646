SCATTERS = ("average", "neural", "behavior", "engineering")
FIGURES = [
    f"{R}/figures/{name}.{suffix}"
    for name in ("heatmap", *(f"scatter_{s}" for s in SCATTERS), "tsne")
    for suffix in ("pdf", "png")
]


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
        seed=CONFIG["seed"],
    shell:
        "alignsec figures tsne --total {input.total} --correlations {input.correlations} "
        "--benchmarks {input.benchmarks} --perplexity {params.perplexity} --seed {params.seed} "
        "--out {params.stem} > {log} 2>&1"
