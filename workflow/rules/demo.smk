# The demo's own networks and benchmarks: trained and measured here, nothing downloaded.
rule train_demo:
    output:
        S.models.weights(MODEL),
    log:
        S.log("train_demo", MODEL),
    priority: FIRST
    conda:
        "../../envs/models.yaml"
    resources:
        **needs(memory_gb=2, disk_gb=1),
    params:
        model=row("model"),
        spec=row("spec"),
        seed=CONFIG["seed"],
    message:
        "Train {params.model}"
    shell:
        "alignsec demo train {params.spec:q} --seed {params.seed} --out {output} > {log} 2>&1"


if CONFIG["leaderboard"]["source"] == "demo":

    rule measure_demo:
        input:
            weights=S.models.weights(MODEL),
        output:
            S.models.demo_scores(MODEL),
        log:
            S.log("measure_demo", MODEL),
        priority: FIRST
        conda:
            "../../envs/models.yaml"
        resources:
            **needs(memory_gb=2, disk_gb=1),
        params:
            spec=row("spec"),
        shell:
            "alignsec demo measure {params.spec:q} --weights {input.weights} --out {output} > {log} 2>&1"

    rule gather_demo:
        input:
            scores=[S.models.demo_scores(r["model"]) for r in ROWS if catalogue.SOURCES[r["source"]].trained],
            sheet=path(SHEET),
        output:
            LEADERBOARD,
        log:
            S.log("gather_demo"),
        priority: FIRST
        conda:
            "../../envs/analysis.yaml"
        params:
            folder=S.models.folder,
        message:
            "Gather the demo networks' measured scores as a leaderboard"
        shell:
            "alignsec demo gather --sheet {input.sheet:q} --folder {params.folder} --out {output} > {log} 2>&1"
