rule train_demo:
    output:
        f"{R}/models/{{model}}/weights.pt",
    log:
        f"{R}/logs/train_demo/{{model}}.log",
    priority: FIRST
    conda:
        "../../envs/models.yaml"
    resources:
        **needs(memory_gb=2, disk_gb=1),
    params:
        model=row("model"),
        spec=spec,
        seed=CONFIG["seed"],
    message:
        "Train {params.model}"
    shell:
        "alignsec train {params.spec:q} --seed {params.seed} --out {output} > {log} 2>&1"


rule preflight:
    input:
        weights=weights,
        images=f"{R}/images/sample.parquet" if SAMPLE else [],
    output:
        f"{R}/models/{{model}}/preflight.json",
    log:
        f"{R}/logs/preflight/{{model}}.log",
    # on a pool, as often as the profile says, each time with more memory
    retries: 0 if HTCONDOR else 1
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        **needs(memory_gb=8, disk_gb=8, images=sample_range),
    params:
        model=row("model"),
        source=row("source"),
        spec=spec,
        weights=weights_option,
        images=lambda wildcards, input: option("--images", input.images or None),
        seed=CONFIG["seed"],
        timeout=CONFIG["preflight"]["timeout"],
        memory=option("--memory", CONFIG["preflight"]["memory_gb"]),
        offline="--offline" if CONFIG["preflight"]["offline"] else "",
        # duplicates show between models only: see rule robustness
        exclude=each(
            "--exclude-flag", [f for f in CONFIG["preflight"]["exclude_flags"] if f != "duplicate weights"]
        ),
        side_effects=CONFIG["preflight"]["side_effects"],
    message:
        "Preflight {params.model}"
    shell:
        "alignsec preflight {params.model:q} --source {params.source} --spec {params.spec:q} {params.weights} "
        "{params.images} --seed {params.seed} --timeout {params.timeout} {params.memory} {params.offline} "
        "{params.exclude} --side-effects {params.side_effects} --threads {threads} --out {output} > {log} 2>&1"


ZOO = [f"{R}/zoo/models.csv", f"{R}/zoo/reasons.csv"]


rule account:
    input:
        preflight=[f"{R}/models/{m}/preflight.json" for m in MODELS],
        sheet=SHEET or [],
        scores=f"{R}/scores/scores.parquet",
    output:
        models=report(ZOO[0], category="Models", caption="../report/zoo.rst"),
        reasons=report(ZOO[1], category="Models", caption="../report/zoo.rst"),
    log:
        f"{R}/logs/account.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=above(2, "input"),
    message:
        "Account for every model of the sheet"
    shell:
        "alignsec account --sheet {input.sheet} --folder {params.folder} --scores {input.scores} "
        "--out {output.models} --out-counts {output.reasons} > {log} 2>&1"


rule zoo:
    input:
        ZOO,


rule estimate:
    input:
        preflight=[f"{R}/models/{m}/preflight.json" for m in MODELS],
        sheet=SHEET or [],
    output:
        f"{R}/zoo/estimate.csv",
    log:
        f"{R}/logs/estimate.log",
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        **needs(memory_gb=8, disk_gb=4, gpu=True),
    params:
        folder=above(2, "input"),
        epsilons=len(CONFIG["attack"]["epsilons"]),
        images=COUNT,
        per_shard=PER_SHARD,
        version=CONFIG["attack"]["version"],
        limit=CONFIG["attack"]["job_hours"],
    message:
        "Estimate what the attacks will cost on this machine's device"
    shell:
        "alignsec estimate --sheet {input.sheet} --folder {params.folder} --epsilons {params.epsilons} "
        "--count {params.images} --per-shard {params.per_shard} --version {params.version} --limit {params.limit} "
        "--out {output} 2>&1 | tee {log}"


rule attack:
    input:
        shard=f"{R}/images/shards/{{shard}}.parquet",
        preflight=f"{R}/models/{{model}}/preflight.json",
        weights=weights,
    output:
        table=f"{R}/models/{{model}}/attack/{{shard}}.parquet",
        status=f"{R}/models/{{model}}/attack/{{shard}}.status.json",
    log:
        f"{R}/logs/attack/{{model}}/{{shard}}.log",
    benchmark:
        f"{R}/logs/attack/{{model}}/{{shard}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        **needs(
            memory_gb=8,
            disk_gb=8,
            gpu=True,
            gpu_memory_gb=8,
            ledger=True,
            images=shard_range,
            returns=["{log}", f"{R}/logs/attack/{{wildcards.model}}/{{wildcards.shard}}.tsv"],
        ),
    params:
        model=row("model"),
        source=row("source"),
        spec=spec,
        weights=weights_option,
        epsilons=each("--epsilon", CONFIG["attack"]["epsilons"]),
        norm=CONFIG["attack"]["norm"],
        version=CONFIG["attack"]["version"],
        attacks=each("--attack", CONFIG["attack"]["attacks"]),
        ladder="--ladder" if CONFIG["attack"]["ladder"] else "--no-ladder",
        top5="--top5" if CONFIG["attack"]["top5"] else "",
        screen_precision=CONFIG["attack"]["screen_precision"],
        batch_size=option("--batch-size", CONFIG["attack"]["batch_size"]),
        # neither is a declared output: Snakemake would delete what a killed job had settled
        ledger=beside_status("ledger"),
        keep=kept,
        cache=PIXELS,
        seed=CONFIG["seed"],
    message:
        "Attack {params.model} on shard {wildcards.shard}"
    shell:
        "alignsec attack {params.model:q} --source {params.source} --spec {params.spec:q} {params.weights} "
        "--preflight {input.preflight} --shard {input.shard} --out {output.table} --status {output.status} "
        "{params.epsilons} --norm {params.norm} --version {params.version} {params.attacks} {params.ladder} "
        "{params.top5} --screen-precision {params.screen_precision} {params.batch_size} --ledger {params.ledger} "
        "{params.keep} --cache {params.cache} --seed {params.seed} --threads {threads} > {log} 2>&1"


rule corruptions:
    input:
        shards=[f"{R}/images/shards/{s}.parquet" for s in SHARDS],
        preflight=f"{R}/models/{{model}}/preflight.json",
        weights=weights,
    output:
        table=f"{R}/models/{{model}}/corruptions.parquet",
        status=f"{R}/models/{{model}}/corruptions.status.json",
    log:
        f"{R}/logs/corruptions/{{model}}.log",
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        **needs(memory_gb=8, disk_gb=8, gpu=True, gpu_memory_gb=8, images=all_images),
    params:
        model=row("model"),
        source=row("source"),
        spec=spec,
        weights=weights_option,
        folder=above(1, "input"),
        n_shards=len(SHARDS),
        names=each("--corruption", CORRUPTIONS),
        severities=each("--severity", CONFIG["corruptions"]["severities"]),
        path=option("--path", CONFIG["corruptions"]["path"]),
        cache=PIXELS,
        seed=CONFIG["seed"],
    shell:
        "alignsec corruptions {params.model:q} --source {params.source} --spec {params.spec:q} {params.weights} "
        "--preflight {input.preflight} --shards {params.folder} --count {params.n_shards} --out {output.table} "
        "--status {output.status} {params.names} {params.severities} {params.path} --cache {params.cache} "
        "--seed {params.seed} --threads {threads} > {log} 2>&1"
