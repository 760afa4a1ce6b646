SUFFIX = "zip" if CONFIG["scores"]["source"].lower().endswith(".zip") else "csv"
LEADERBOARD = f"{R}/scores/leaderboard.{SUFFIX}"

if DEMO_SCORES:

    rule measure_demo:
        input:
            weights=f"{R}/models/{{model}}/weights.pt",
        output:
            f"{R}/models/{{model}}/demo_scores.json",
        params:
            spec=spec,
        log:
            f"{R}/logs/measure_demo/{{model}}.log",
        conda:
            "../../envs/models.yaml"
        priority: FIRST
        shell:
            "alignsec scores measure {params.spec:q} --weights {input.weights} --out {output} > {log} 2>&1"

    rule fetch_scores:
        message:
            "Gather the demo networks' measured scores as a leaderboard"
        input:
            scores=[f"{R}/models/{m}/demo_scores.json" for m, r in MODELS.items() if r["source"] == "demo"],
            sheet=SHEET,
        output:
            LEADERBOARD,
        params:
            folder=f"{R}/models",
        log:
            f"{R}/logs/fetch_scores.log",
        conda:
            "../../envs/analysis.yaml"
        priority: FIRST
        shell:
            "alignsec scores gather --sheet {input.sheet} --folder {params.folder} --out {output} > {log} 2>&1"

else:

    rule fetch_scores:
        message:
            "Fetch the leaderboard {params.source}"
        input:
            lambda wildcards: [] if "://" in CONFIG["scores"]["source"] else CONFIG["scores"]["source"],
        output:
            LEADERBOARD,
        params:
            source=CONFIG["scores"]["source"],
            sha256=option("--sha256", CONFIG["scores"]["sha256"]),
        log:
            f"{R}/logs/fetch_scores.log",
        conda:
            "../../envs/analysis.yaml"
        priority: FIRST
        threads: FIRST_THREADS
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
    conda:
        "../../envs/analysis.yaml"
    priority: FIRST
    threads: FIRST_THREADS
    shell:
        "alignsec scores parse {input} --out-scores {output.scores} --out-benchmarks {output.benchmarks} > {log} 2>&1"
