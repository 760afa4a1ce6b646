from alignsec.study.request import AttackRequest

REQUEST = AttackRequest.of_config(CONFIG)
MANNER = REQUEST.manner()  # the options that change no verdict
# what a pool brings back beside the outputs, in its own words for wildcards
_JOB = layout.Wildcard("{wildcards.model}"), layout.Wildcard("{wildcards.shard}")
RETURNED = ["{log}", str(S.log("attack", *_JOB, suffix="tsv"))]
if REQUEST.keep:
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
        **needs(memory_gb=8, disk_gb=4, gpu=1),
    params:
        folder=S.models.folder,
        request=always(REQUEST.to_json()),
        images=COUNT,
        per_shard=PER_SHARD,
        limit=CONFIG["attack"]["job_hours"],
    message:
        "Estimate what the attacks will cost on this machine's device"
    shell:
        "alignsec attack estimate --sheet {input.sheet:q} --folder {params.folder} --request {params.request:q} "
        "--count {params.images} --per-shard {params.per_shard} --limit {params.limit} --out {output} "
        "2>&1 | tee {log}"


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
            images=shard_range,
            state=of_job(S.models.ledger),
            returns=RETURNED,
        ),
        attempts_left=attempts_left,
    params:
        model=row("model"),
        source=row("source"),
        spec=row("spec"),
        weights=option_of("--weights", "weights"),
        request=always(REQUEST.to_json()),
        manner=never(MANNER),
        cache=S.pixels,
        # no declared output: Snakemake would delete what a killed job had settled
        ledger=of_job(S.models.ledger),
    message:
        "Attack {params.model} on shard {wildcards.shard}"
    shell:
        "alignsec attack run --source {params.source} --spec {params.spec:q} {params.weights} "
        "--preflight {input.preflight} --shard {input.shard} --out {output.table} --status {output.status} "
        "--request {params.request:q} --request {params.manner:q} --ledger {params.ledger} --cache {params.cache} "
        "--threads {threads} "
        "--attempts-left {resources.attempts_left} -- {params.model:q} > {log} 2>&1"
