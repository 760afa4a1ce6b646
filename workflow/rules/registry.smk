rule read_registry:
    input:
        sheet=SHEET if CONFIG["registry"]["source"] == "demo" else [],
    output:
        registry=f"{R}/registry/registry.parquet",
        unresolved=f"{R}/registry/unresolved.csv",
    log:
        f"{R}/logs/read_registry.log",
    priority: FIRST
    conda:
        "../../envs/models.yaml"
    threads: FIRST_THREADS
    params:
        source=CONFIG["registry"]["source"],
        sheet=lambda wildcards, input: option("--sheet", input.sheet or None),
    shell:
        "alignsec registry read {params.source:q} {params.sheet} --out {output.registry} "
        "--out-unresolved {output.unresolved} > {log} 2>&1"


rule merge_registry:
    input:
        scores=f"{R}/scores/scores.parquet",
        benchmarks=f"{R}/scores/benchmarks.parquet",
        registry=f"{R}/registry/registry.parquet",
        sheet=SHEET or [],
    output:
        merged=f"{R}/registry/merged.parquet",
        unmatched=f"{R}/registry/unmatched.csv",
    log:
        f"{R}/logs/merge_registry.log",
    priority: FIRST
    conda:
        "../../envs/analysis.yaml"
    threads: FIRST_THREADS
    params:
        sheet=option("--sheet", SHEET),
    message:
        "Join leaderboard and registry by exact name, and check the sheet against both"
    shell:
        "alignsec registry merge --scores {input.scores} --benchmarks {input.benchmarks} "
        "--registry {input.registry} {params.sheet} --out {output.merged} --out-unmatched {output.unmatched} "
        "> {log} 2>&1"


rule propose_sheet:
    input:
        f"{R}/registry/merged.parquet",
    output:
        f"{R}/registry/proposed_models.tsv",
    log:
        f"{R}/logs/propose_sheet.log",
    conda:
        "../../envs/analysis.yaml"
    shell:
        "alignsec registry propose {input} --out {output} 2>&1 | tee {log}"


rule model_sheet:
    input:
        f"{R}/registry/proposed_models.tsv",
