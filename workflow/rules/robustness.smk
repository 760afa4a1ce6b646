CORRUPTIONS = CONFIG["robustness"]["corruptions"]["names"]


rule corruptions:
    input:
        shards=[S.images(s) for s in SHARDS],
        preflight=S.models.preflight(MODEL),
        weights=weights,
    output:
        table=S.models.corruptions(MODEL),
        status=S.models.corruptions_status(MODEL),
    log:
        S.log("corruptions", MODEL),
    retries: GPU_RETRIES
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        **needs(
            memory_gb=8,
            disk_gb=8,
            gpu=one_if_passed,
            gpu_memory_gb=8,
            wanted=passed,
            images=all_images,
        ),
        attempts_left=attempts_left,
    params:
        model=row("model"),
        source=row("source"),
        spec=row("spec"),
        weights=option_of("--weights", "weights"),
        folder=S.images(SHARDS[0]).parent,
        n_shards=len(SHARDS),
        names=each("--corruption", CORRUPTIONS),
        severities=each("--severity", CONFIG["robustness"]["corruptions"]["severities"]),
        path=option("--path", CONFIG["robustness"]["corruptions"]["path"]),
        cache=S.pixels,
        seed=CONFIG["seed"],
    shell:
        "alignsec robustness corruptions --source {params.source} --spec {params.spec:q} "
        "{params.weights} --preflight {input.preflight} --shards {params.folder} --count {params.n_shards} "
        "--out {output.table} --status {output.status} {params.names} {params.severities} {params.path} "
        "--cache {params.cache} --seed {params.seed} --threads {threads} "
        "--attempts-left {resources.attempts_left} -- {params.model:q} > {log} 2>&1"


if ATTACKS:

    rule robustness:
        input:
            attacks=[S.models.attack(m, s) for m in MODELS for s in SHARDS],
            corruptions=[S.models.corruptions(m) for m in MODELS if CORRUPTIONS],
            preflights=[S.models.preflight(m) for m in MODELS],
            sheet=path(SHEET),
            # ImageNet top-1 of those that are on the leaderboard; other studies need none for this table
            scores=S.scores if any(row["source"] == "brainscore" for row in ROWS) else [],
        output:
            models=S.own if USED else S.robustness,
            excluded=S.excluded,
            warnings=report(
                S.own_warnings if USED else S.warnings, category="Tables", caption="../report/warnings.rst"
            ),
        log:
            S.log("robustness"),
        conda:
            "../../envs/analysis.yaml"
        params:
            scores=option_of("--scores", "scores"),
            folder=S.models.folder,
            shards=len(SHARDS),
            corruptions=option("--corruptions", bool(CORRUPTIONS)),
            epsilons=each("--epsilon", CONFIG["attack"]["epsilons"]),
            norm=CONFIG["attack"]["norm"],
            duplicates=(
                "--exclude-duplicates" if "duplicate weights" in CONFIG["zoo"]["exclude_flags"] else ""
            ),
        shell:
            "alignsec robustness gather --sheet {input.sheet:q} --folder {params.folder} "
            "--shards {params.shards} {params.corruptions} {params.epsilons} --norm {params.norm} "
            "{params.duplicates} {params.scores} --out {output.models} --out-excluded {output.excluded} "
            "--out-warnings {output.warnings} > {log} 2>&1"

elif OWN:

    rule robustness:
        input:
            table=path(CONFIG["robustness"]["source"]),
            scores=S.scores,
            names=path(CONFIG["robustness"]["names"]),
            sheet=path(SHEET),
        output:
            models=S.own if USED else S.robustness,
            excluded=S.excluded,
            warnings=report(
                S.own_warnings if USED else S.warnings, category="Tables", caption="../report/warnings.rst"
            ),
        log:
            S.log("robustness"),
        conda:
            "../../envs/analysis.yaml"
        params:
            names=option("--names", CONFIG["robustness"]["names"]),
            sheet=option("--sheet", SHEET),
        message:
            "Take the robustness table {input.table}"
        shell:
            "alignsec robustness own --scores {input.scores} {params.names} {params.sheet} "
            "--out {output.models} --out-excluded {output.excluded} --out-warnings {output.warnings} "
            "-- {input.table:q} > {log} 2>&1"
