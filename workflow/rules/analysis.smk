PLAN = CONFIG["analysis"]["plan"]
# preflight's sample holds the attacked images
SAME_IMAGES = {
    True: "--same-images",
    False: "--other-images",
    None: "--same-images" if ATTACKS else "",
}[CONFIG["robustness"]["same_images"]]


rule plan:
    input:
        robustness=S.robustness,
        plan=path(PLAN),
    output:
        plan=S.plan,
        targets=S.targets,
    log:
        S.log("plan"),
    conda:
        "../../envs/analysis.yaml"
    params:
        plan=option("--plan", PLAN),
    message:
        "Choose the primary targets, before anything is correlated"
    shell:
        "alignsec analysis plan --robustness {input.robustness} {params.plan} --out {output.plan} "
        "--out-targets {output.targets} > {log} 2>&1"


rule covariates:
    input:
        merged=S.merged,
        table=path(CONFIG["analysis"]["covariates"]),
        sheet=path(SHEET),
    output:
        S.covariates,
    log:
        S.log("covariates"),
    conda:
        "../../envs/analysis.yaml"
    params:
        sheet=option("--sheet", SHEET),
    message:
        "Gather what the models are and how they were trained"
    shell:
        "alignsec analysis covariates --merged {input.merged} --table {input.table:q} {params.sheet} "
        "--out {output} > {log} 2>&1"


rule join:
    input:
        merged=S.merged,
        benchmarks=S.benchmarks,
        robustness=S.targets,
        sheet=path(SHEET),
        preflights=[S.models.preflight(m) for m in MODELS if ATTACKS],
    output:
        total=S.total,
        duplicates=S.duplicates,
    log:
        S.log("join"),
    conda:
        "../../envs/analysis.yaml"
    params:
        sheet=option("--sheet", SHEET),
        models=option("--models", S.models.folder if ATTACKS else None),
        completeness=CONFIG["analysis"]["completeness"],
        collapse=option("--collapse", CONFIG["analysis"]["collapse_duplicates"]),
    shell:
        "alignsec analysis join --merged {input.merged} --benchmarks {input.benchmarks} "
        "--robustness {input.robustness} {params.sheet} {params.models} --completeness {params.completeness} "
        "{params.collapse} --out {output.total} --out-duplicates {output.duplicates} > {log} 2>&1"


rule rows:
    input:
        total=S.total,
        benchmarks=S.benchmarks,
        targets=S.targets,
        plan=S.plan,
        covariates=S.covariates,
        identities=S.identities if USED else [],
        sheet=path(SHEET),
        preflights=[S.models.preflight(m) for m in MODELS if ATTACKS],
    output:
        report(S.rows, category="Tables", caption="../report/rows.rst"),
    log:
        S.log("rows"),
    conda:
        "../../envs/analysis.yaml"
    params:
        identities=option("--identities", S.identities if USED else None),
        sheet=option("--sheet", SHEET),
        models=option("--models", S.models.folder if ATTACKS else None),
    message:
        "Say which models the primary analysis has"
    shell:
        "alignsec analysis rows --total {input.total} --benchmarks {input.benchmarks} "
        "--targets {input.targets} --plan {input.plan} --covariates {input.covariates} "
        "{params.identities} {params.sheet} {params.models} --out {output} > {log} 2>&1"


rule names:
    input:
        dropped=S.dropped,
        scores=S.scores,
        registry=S.registry,
        total=S.total,
        robustness=S.robustness,
        excluded=S.excluded,
        sheet=path(SHEET),
        own=path(CONFIG["robustness"]["source"]) if OWN and not ATTACKS else [],
        aliases=path(CONFIG["robustness"]["names"]),
        fates=S.fates if USED else [],
    output:
        report(S.names, category="Tables", caption="../report/names.rst"),
    log:
        S.log("names"),
    conda:
        "../../envs/analysis.yaml"
    params:
        sheet=option("--sheet", SHEET),
        own=option("--own", CONFIG["robustness"]["source"] if OWN and not ATTACKS else None),
        aliases=option("--aliases", CONFIG["robustness"]["names"]),
        fates=option("--fates", S.fates if USED else None),
    message:
        "Account for every name"
    shell:
        "alignsec analysis names --dropped {input.dropped} --scores {input.scores} "
        "--registry {input.registry} --total {input.total} --robustness {input.robustness} "
        "--excluded {input.excluded} {params.sheet} {params.own} {params.aliases} {params.fates} "
        "--out {output} > {log} 2>&1"


if CLAIMS:

    rule replicate:
        input:
            total=S.total,
            scores=S.scores,
            benchmarks=S.benchmarks,
            merged=S.merged,
            testbed=S.published_whole("testbed"),
            plan=S.plan,
            claims=path(CLAIMS),
        output:
            report(S.replication, category="Tables", caption="../report/replication.rst"),
        log:
            S.log("replicate"),
        conda:
            "../../envs/analysis.yaml"
        params:
            study=S.root,
        message:
            "Compute published claims again"
        shell:
            "alignsec analysis replicate --study {params.study} -- {input.claims:q} > {log} 2>&1"


rule correlate:
    input:
        total=S.total,
        benchmarks=S.benchmarks,
        robustness=S.targets,
    output:
        table=S.correlations,
        csv=S.correlations.with_suffix(".csv"),
    log:
        S.log("correlate"),
    conda:
        "../../envs/analysis.yaml"
    params:
        flips=CONFIG["analysis"]["flips"],
        same_images=SAME_IMAGES,
        seed=CONFIG["seed"],
    message:
        "Correlate every benchmark with every target"
    shell:
        "alignsec analysis correlate --total {input.total} --benchmarks {input.benchmarks} "
        "--robustness {input.robustness} --flips {params.flips} {params.same_images} --seed {params.seed} "
        "--out {output.table} > {log} 2>&1"


rule selections:
    input:
        total=S.total,
        benchmarks=S.benchmarks,
        targets=S.targets,
        rows=S.rows,
        plan=S.plan,
    output:
        report(S.selections, category="Tables", caption="../report/selections.rst"),
    log:
        S.log("selections"),
    conda:
        "../../envs/analysis.yaml"
    params:
        flips=CONFIG["analysis"]["flips"],
        same_images=SAME_IMAGES,
        seed=CONFIG["seed"],
    message:
        "Correlate over other selections of models"
    shell:
        "alignsec analysis selections --total {input.total} --benchmarks {input.benchmarks} "
        "--targets {input.targets} --rows {input.rows} --plan {input.plan} --flips {params.flips} "
        "{params.same_images} --seed {params.seed} --out {output} > {log} 2>&1"


rule claims:
    input:
        total=S.total,
        benchmarks=S.benchmarks,
        targets=S.targets,
        rows=S.rows,
        plan=S.plan,
        covariates=S.covariates,
        table=path(CONFIG["analysis"]["kinds"]),
    output:
        kinds=report(S.kinds, category="Tables", caption="../report/claims.rst"),
        differences=report(S.differences, category="Tables", caption="../report/differences.rst"),
    log:
        S.log("claims"),
    conda:
        "../../envs/analysis.yaml"
    params:
        same_images=SAME_IMAGES,
        flips=CONFIG["analysis"]["flips"],
        seed=CONFIG["seed"],
    message:
        "Say which kinds of benchmarks go with robustness"
    shell:
        "alignsec analysis kinds --total {input.total} --benchmarks {input.benchmarks} "
        "--targets {input.targets} --rows {input.rows} --plan {input.plan} "
        "--covariates {input.covariates} --table {input.table:q} {params.same_images} "
        "--signs {params.flips} {params.seed} --out {output.kinds} > {log} 2>&1"


rule specify:
    input:
        total=S.total,
        benchmarks=S.benchmarks,
        targets=S.targets,
        rows=S.rows,
        plan=S.plan,
        covariates=S.covariates,
        table=path(CONFIG["analysis"]["kinds"]),
    output:
        report(S.specifications, category="Tables", caption="../report/specifications.rst"),
    log:
        S.log("specify"),
    conda:
        "../../envs/analysis.yaml"
    params:
        same_images=SAME_IMAGES,
        completeness=CONFIG["analysis"]["completeness"],
        seed=CONFIG["seed"],
    message:
        "Estimate kinds of benchmarks by other defensible choices"
    shell:
        "alignsec analysis specifications --total {input.total} --benchmarks {input.benchmarks} "
        "--targets {input.targets} --rows {input.rows} --plan {input.plan} "
        "--covariates {input.covariates} --table {input.table:q} {params.same_images} "
        "--completeness {params.completeness} --seed {params.seed} --out {output} > {log} 2>&1"


rule predict:
    input:
        total=S.total,
        benchmarks=S.benchmarks,
        robustness=S.targets,
    output:
        report(S.prediction, category="Tables", caption="../report/prediction.rst"),
    log:
        S.log("predict"),
    conda:
        "../../envs/analysis.yaml"
    params:
        completeness=CONFIG["analysis"]["completeness"],
        seed=CONFIG["seed"],
    message:
        "Predict robustness of families left out"
    shell:
        "alignsec analysis predict --total {input.total} --benchmarks {input.benchmarks} "
        "--robustness {input.robustness} --completeness {params.completeness} --seed {params.seed} "
        "--out {output} > {log} 2>&1"
