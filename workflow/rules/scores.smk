SUFFIX = "zip" if CONFIG["scores"]["source"].lower().endswith(".zip") else "csv"
LEADERBOARD = f"{R}/scores/leaderboard.{SUFFIX}"

if DEMO_SCORES:

    rule measure_demo:
        input:
            weights=f"{R}/models/{{model}}/weights.pt",
        output:
            f"{R}/models/{{model}}/demo_scores.json",
        log:
            f"{R}/logs/measure_demo/{{model}}.log",
        priority: FIRST
        conda:
            "../../envs/models.yaml"
        resources:
            **needs(memory_gb=2, disk_gb=1),
        params:
            spec=spec,
        shell:
            "alignsec scores measure {params.spec:q} --weights {input.weights} --out {output} > {log} 2>&1"

    rule fetch_scores:
        input:
            scores=[f"{R}/models/{m}/demo_scores.json" for m, r in MODELS.items() if r["source"] == "demo"],
            sheet=SHEET,
        output:
            LEADERBOARD,
        log:
            f"{R}/logs/fetch_scores.log",
        priority: FIRST
        conda:
            "../../envs/analysis.yaml"
        params:
            folder=above(2, "input"),
        message:
            "Gather the demo networks' measured scores as a leaderboard"
        shell:
            "alignsec scores gather --sheet {input.sheet} --folder {params.folder} --out {output} > {log} 2>&1"

else:

    rule fetch_scores:
        input:
            lambda wildcards: [] if "://" in CONFIG["scores"]["source"] else CONFIG["scores"]["source"],
        output:
            LEADERBOARD,
        log:
            f"{R}/logs/fetch_scores.log",
        priority: FIRST
        conda:
            "../../envs/analysis.yaml"
        threads: FIRST_THREADS
        params:
            source=CONFIG["scores"]["source"],
            sha256=option("--sha256", CONFIG["scores"]["sha256"]),
        message:
            "Fetch the leaderboard {params.source}"
        shell:
            "alignsec scores fetch {params.source:q} {params.sha256} --out {output} > {log} 2>&1"


rule parse_scores:
    input:
        LEADERBOARD,
    output:
        scores=f"{R}/scores/scores.parquet",
        benchmarks=f"{R}/scores/benchmarks.parquet",
    log:
        f"{R}/logs/parse_scores.log",
    priority: FIRST
    conda:
        "../../envs/analysis.yaml"
    threads: FIRST_THREADS
    shell:
        "alignsec scores parse {input} --out-scores {output.scores} --out-benchmarks {output.benchmarks} > {log} 2>&1"
