rule train_demo:
    output:
        f"{R}/models/{{model}}/weights.pt",
    log:
        f"{R}/logs/train_demo/{{model}}.log",
    priority: FIRST
    conda:
        "../../envs/models.yaml"
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
    output:
        f"{R}/models/{{model}}/preflight.json",
    log:
        f"{R}/logs/preflight/{{model}}.log",
    retries: 1
    conda:
        "../../envs/models.yaml"
    params:
        model=row("model"),
        source=row("source"),
        spec=spec,
        weights=weights_option,
    shell:
        "alignsec preflight {params.model:q} --source {params.source} --spec {params.spec:q} {params.weights} "
        "--out {output} > {log} 2>&1"


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
        f"{R}/benchmarks/attack/{{model}}/{{shard}}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: 1
    resources:
        gpu=1,
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
        keep=lambda wildcards, output: kept(wildcards, output),
        seed=CONFIG["seed"],
    message:
        "Attack {params.model} on shard {wildcards.shard}"
    shell:
        "alignsec attack {params.model:q} --source {params.source} --spec {params.spec:q} {params.weights} "
        "--preflight {input.preflight} --shard {input.shard} --out {output.table} --status {output.status} "
        "{params.epsilons} --norm {params.norm} --version {params.version} {params.attacks} {params.ladder} "
        "{params.top5} --screen-precision {params.screen_precision} {params.batch_size} --ledger {params.ledger} "
        "{params.keep} --seed {params.seed} --threads {threads} > {log} 2>&1"


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
        gpu=1,
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
        seed=CONFIG["seed"],
    shell:
        "alignsec corruptions {params.model:q} --source {params.source} --spec {params.spec:q} {params.weights} "
        "--preflight {input.preflight} --shards {params.folder} --count {params.n_shards} --out {output.table} "
        "--status {output.status} {params.names} {params.severities} {params.path} --seed {params.seed} "
        "--threads {threads} > {log} 2>&1"
