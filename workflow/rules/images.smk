def bounds(wildcards):
    start = int(wildcards.shard) * PER_SHARD
    return f"--start {start} --stop {min(start + PER_SHARD, COUNT)}"


rule shard_images:
    output:
        f"{R}/images/shards/{{shard}}.parquet",
    params:
        source=CONFIG["images"]["source"],
        path=option("--path", CONFIG["images"]["path"]),
        bounds=bounds,
        seed=CONFIG["seed"],
    log:
        f"{R}/logs/shard_images/{{shard}}.log",
    conda:
        "../../envs/models.yaml"
    shell:
        "alignsec images shard {params.source} {params.path} {params.bounds} --seed {params.seed} --out {output} "
        "> {log} 2>&1"


rule gather_images:
    input:
        [f"{R}/images/shards/{s}.parquet" for s in SHARDS],
    output:
        f"{R}/images/manifest.parquet",
    params:
        folder=f"{R}/images/shards",
        shards=len(SHARDS),
    log:
        f"{R}/logs/gather_images.log",
    conda:
        "../../envs/analysis.yaml"
    shell:
        "alignsec images gather {params.folder} --count {params.shards} --out {output} > {log} 2>&1"
