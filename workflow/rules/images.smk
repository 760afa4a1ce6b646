

rule shard_images:
    output:
        f"{R}/images/shards/{{shard}}.parquet",
    log:
        f"{R}/logs/shard_images/{{shard}}.log",
    conda:
        "../../envs/models.yaml"
    params:
        source=CONFIG["images"]["source"],
        path=option("--path", CONFIG["images"]["path"]),
        bounds=bounds,
        seed=CONFIG["seed"],
        stratified=stratified(),
    shell:
        "alignsec images shard {params.source} {params.path} {params.bounds} --seed {params.seed} "
        "{params.stratified} --out {output} > {log} 2>&1"


rule sample_images:
    output:
        f"{R}/images/sample.parquet",
    log:
        f"{R}/logs/sample_images.log",
    priority: FIRST
    conda:
        "../../envs/models.yaml"
    params:
        source=CONFIG["images"]["source"],
        path=option("--path", CONFIG["images"]["path"]),
        n=SAMPLE,
        seed=CONFIG["seed"],
        stratified=stratified(),
    message:
        "Take the first {params.n} images as preflight's sample"
    shell:
        "alignsec images shard {params.source} {params.path} --start 0 --stop {params.n} --clip "
        "--seed {params.seed} {params.stratified} --out {output} > {log} 2>&1"


rule gather_images:
    input:
        [f"{R}/images/shards/{s}.parquet" for s in SHARDS],
    output:
        f"{R}/images/manifest.parquet",
    log:
        f"{R}/logs/gather_images.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=above(1, "input"),
        shards=len(SHARDS),
    shell:
        "alignsec images gather {params.folder} --count {params.shards} --out {output} > {log} 2>&1"
