TABLES = [
    f"{R}/tables/{t}.{s}"
    for t in ("correlations", "predictors", "aggregates", "targets", "duplicates", "models", "excluded")
    for s in ("csv", "tex")
]
# what the findings are made from, each file under the option of its name
FOUND = {
    "total": f"{R}/analysis/total_scores.parquet",
    "benchmarks": f"{R}/scores/benchmarks.parquet",
    "robustness": f"{R}/robustness/models.parquet",
    "correlations": f"{R}/correlations/all.parquet",
    "excluded": f"{R}/robustness/excluded.csv",
    "duplicates": f"{R}/analysis/duplicates.csv",
    "warnings": f"{R}/robustness/warnings.csv",
}


rule join:
    input:
        merged=f"{R}/registry/merged.parquet",
        benchmarks=f"{R}/scores/benchmarks.parquet",
        robustness=f"{R}/robustness/models.parquet",
        sheet=SHEET or [],
        preflights=[f"{R}/models/{m}/preflight.json" for m in MODELS if ATTACKS],
    output:
        total=f"{R}/analysis/total_scores.parquet",
        duplicates=f"{R}/analysis/duplicates.csv",
    log:
        f"{R}/logs/join.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        sheet=option("--sheet", SHEET),
        models=option("--models", f"{R}/models" if ATTACKS else None),
        completeness=CONFIG["statistics"]["completeness"],
        collapse="--collapse" if CONFIG["statistics"]["collapse_duplicates"] else "--no-collapse",
    shell:
        "alignsec analysis join --merged {input.merged} --benchmarks {input.benchmarks} "
        "--robustness {input.robustness} {params.sheet} {params.models} --completeness {params.completeness} "
        "{params.collapse} --out {output.total} --out-duplicates {output.duplicates} > {log} 2>&1"


rule correlate:
    input:
        total=f"{R}/analysis/total_scores.parquet",
        benchmarks=f"{R}/scores/benchmarks.parquet",
        robustness=f"{R}/robustness/models.parquet",
    output:
        table=f"{R}/correlations/all.parquet",
        csv=f"{R}/correlations/all.csv",
    log:
        f"{R}/logs/correlate.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        flips=CONFIG["statistics"]["flips"],
        seed=CONFIG["seed"],
    message:
        "Correlate every benchmark with every target"
    shell:
        "alignsec analysis correlate --total {input.total} --benchmarks {input.benchmarks} "
        "--robustness {input.robustness} --flips {params.flips} --seed {params.seed} --out {output.table} > {log} 2>&1"


rule tables:
    input:
        **FOUND,
    output:
        [
            (
                report(t, category="Tables", caption="../report/tables.rst", labels={"table": Path(t).stem})
                if t.endswith(".csv")
                else t
            )
            for t in TABLES
        ],
    log:
        f"{R}/logs/tables.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=above(1),
    shell:
        "alignsec tables --total {input.total} --benchmarks {input.benchmarks} --robustness {input.robustness} "
        "--correlations {input.correlations} --excluded {input.excluded} --duplicates {input.duplicates} "
        "--warnings {input.warnings} --out {params.folder} > {log} 2>&1"


rule summary:
    input:
        **FOUND,
    output:
        report(
            f"{R}/summary.md",
            category="Findings",
            caption="../report/summary.rst",
            labels={"what": "summary"},
        ),
    log:
        f"{R}/logs/summary.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        study=CONFIG["study"],
    shell:
        "alignsec summary {params.study} --total {input.total} --benchmarks {input.benchmarks} "
        "--robustness {input.robustness} --correlations {input.correlations} --excluded {input.excluded} "
        "--duplicates {input.duplicates} --warnings {input.warnings} --out {output} > {log} 2>&1"


rule explorer:
    input:
        total=f"{R}/analysis/total_scores.parquet",
        benchmarks=f"{R}/scores/benchmarks.parquet",
        correlations=f"{R}/correlations/all.parquet",
    output:
        report(
            f"{R}/explorer.html",
            category="Findings",
            caption="../report/explorer.rst",
            labels={"what": "explorer"},
        ),
    log:
        f"{R}/logs/explorer.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        study=CONFIG["study"],
    shell:
        "alignsec analysis explorer {params.study} --total {input.total} --benchmarks {input.benchmarks} "
        "--correlations {input.correlations} --out {output} > {log} 2>&1"


rule provenance:
    input:
        f"{R}/correlations/all.parquet",
        f"{R}/images/manifest.parquet" if ATTACKS else [],
    output:
        f"{R}/provenance.json",
    log:
        f"{R}/logs/provenance.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        # how figures look is no part of what they rest on
        config=json.dumps({k: v for k, v in CONFIG.items() if k != "figures"}),
        folder=above(1),
    shell:
        "alignsec provenance {params.config:q} --folder {params.folder} --out {output} > {log} 2>&1"
