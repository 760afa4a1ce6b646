def of_job(file, wildcards):
    """A file of an attack job that is no declared output."""
    return str(file(MODEL, SHARD)).format(**wildcards)


def ledger(wildcards):
    return of_job(S.models.ledger, wildcards)


def kept(wildcards, output):
    return option("--keep", of_job(S.models.adversarials, wildcards) if CONFIG["attack"]["keep"] else None)


# what a pool brings back beside the outputs, in its own words for wildcards
_JOB = layout.Wildcard("{wildcards.model}"), layout.Wildcard("{wildcards.shard}")
RETURNED = ["{log}", str(S.log("attack", *_JOB, suffix="tsv"))]
if CONFIG["attack"]["keep"]:
    RETURNED.append(str(S.models.adversarials(*_JOB)))


rule estimate:
    input:
        preflight=[S.models.preflight(m) for m in MODELS],
        sheet=path(SHEET),
    output:
        S.estimate,
    log:
        S.log("estimate"),
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        **needs(memory_gb=8, disk_gb=4, gpu=True),
    params:
        folder=S.models.folder,
        epsilons=len(CONFIG["attack"]["epsilons"]),
        images=COUNT,
        per_shard=PER_SHARD,
        version=CONFIG["attack"]["version"],
        limit=CONFIG["attack"]["job_hours"],
    message:
        "Estimate what the attacks will cost on this machine's device"
    shell:
        "alignsec attack estimate --sheet {input.sheet:q} --folder {params.folder} --epsilons {params.epsilons} "
        "--count {params.images} --per-shard {params.per_shard} --version {params.version} --limit {params.limit} "
        "--out {output} 2>&1 | tee {log}"


rule attack:
    input:
        shard=S.images(SHARD),
        preflight=S.models.preflight(MODEL),
        weights=weights,
    output:
        table=S.models.attack(MODEL, SHARD),
        status=S.models.attack_status(MODEL, SHARD),
    log:
        S.log("attack", MODEL, SHARD),
    benchmark:
        S.log("attack", MODEL, SHARD, suffix="tsv")
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        **needs(
            memory_gb=8,
            disk_gb=8,
            gpu=True,
            gpu_memory_gb=8,
            images=shard_range,
            state=ledger,
            returns=RETURNED,
        ),
    params:
        model=row("model"),
        source=row("source"),
        spec=row("spec"),
        weights=option_of("--weights", "weights"),
        epsilons=each("--epsilon", CONFIG["attack"]["epsilons"]),
        norm=CONFIG["attack"]["norm"],
        version=CONFIG["attack"]["version"],
        attacks=each("--attack", CONFIG["attack"]["attacks"]),
        ladder=option("--no-ladder", not CONFIG["attack"]["ladder"]),
        top5=option("--top5", CONFIG["attack"]["top5"]),
        screen_precision=CONFIG["attack"]["screen_precision"],
        batch_size=option("--batch-size", CONFIG["attack"]["batch_size"]),
        # neither is a declared output: Snakemake would delete what a killed job had settled
        ledger=ledger,
        keep=kept,
        cache=S.pixels,
        seed=CONFIG["seed"],
    message:
        "Attack {params.model} on shard {wildcards.shard}"
    shell:
        "alignsec attack run {params.model:q} --source {params.source} --spec {params.spec:q} {params.weights} "
        "--preflight {input.preflight} --shard {input.shard} --out {output.table} --status {output.status} "
        "{params.epsilons} --norm {params.norm} --version {params.version} {params.attacks} {params.ladder} "
        "{params.top5} --screen-precision {params.screen_precision} {params.batch_size} --ledger {params.ledger} "
        "{params.keep} --cache {params.cache} --seed {params.seed} --threads {threads} > {log} 2>&1"
