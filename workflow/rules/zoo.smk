rule preflight:
    input:
        weights=weights,
        images=S.sample if SAMPLE else [],
    output:
        S.models.preflight(MODEL),
    log:
        S.log("preflight", MODEL),
    retries: PREFLIGHT_RETRIES
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        **needs(memory_gb=8, disk_gb=8, images=sample_range),
    params:
        model=row("model"),
        source=row("source"),
        spec=row("spec"),
        weights=option_of("--weights", "weights"),
        images=option_of("--images", "images"),
        expected=option_of_row("--expected-top1", "expected_top1"),
        seed=CONFIG["seed"],
        timeout=CONFIG["zoo"]["timeout"],
        memory=option("--memory", CONFIG["zoo"]["memory_gb"]),
        offline=option("--offline", CONFIG["zoo"]["offline"]),
        # duplicates show between models only: see rule robustness
        exclude=each(
            "--exclude-flag", [f for f in CONFIG["zoo"]["exclude_flags"] if f != "duplicate weights"]
        ),
        side_effects=CONFIG["zoo"]["side_effects"],
    message:
        "Preflight {params.model}"
    shell:
        "alignsec zoo preflight --source {params.source} --spec {params.spec:q} {params.weights} "
        "{params.images} {params.expected} --seed {params.seed} --timeout {params.timeout} {params.memory} {params.offline} "
        "{params.exclude} --side-effects {params.side_effects} --threads {threads} --out {output} -- {params.model:q} > {log} 2>&1"


rule account:
    input:
        preflight=[S.models.preflight(m) for m in MODELS],
        sheet=path(SHEET),
        scores=S.scores,
    output:
        models=report(S.account, category="Models", caption="../report/zoo.rst"),
        reasons=report(S.reasons, category="Models", caption="../report/zoo.rst"),
    log:
        S.log("account"),
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=S.models.folder,
    message:
        "Account for every model of the sheet"
    shell:
        "alignsec zoo account --sheet {input.sheet:q} --folder {params.folder} --scores {input.scores} "
        "--out {output.models} --out-counts {output.reasons} > {log} 2>&1"


rule zoo:
    input:
        S.account,
        S.reasons,
