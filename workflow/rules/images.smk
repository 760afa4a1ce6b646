STRATIFIED = option("--stratified", CONFIG["images"]["stratified"])


rule shard_images:
    output:
        S.images(SHARD),
    log:
        S.log("shard_images", SHARD),
    conda:
        "../../envs/models.yaml"
    params:
        source=CONFIG["images"]["source"],
        path=option("--path", CONFIG["images"]["path"]),
        bounds=bounds_of,
        seed=CONFIG["seed"],
        stratified=STRATIFIED,
    shell:
        "alignsec images shard {params.source} {params.path} {params.bounds} --seed {params.seed} "
        "{params.stratified} --out {output} > {log} 2>&1"


rule sample_images:
    output:
        S.sample,
    log:
        S.log("sample_images"),
    priority: FIRST
    conda:
        "../../envs/models.yaml"
    params:
        source=CONFIG["images"]["source"],
        path=option("--path", CONFIG["images"]["path"]),
        n=SAMPLE,
        seed=CONFIG["seed"],
        stratified=STRATIFIED,
    message:
        "Take the first {params.n} images as preflight's sample"
    shell:
        "alignsec images shard {params.source} {params.path} --start 0 --stop {params.n} --clip "
        "--seed {params.seed} {params.stratified} --out {output} > {log} 2>&1"


rule gather_images:
    input:
        [S.images(s) for s in SHARDS],
    output:
        S.manifest,
    log:
        S.log("gather_images"),
    conda:
        "../../envs/analysis.yaml"
    params:
        folder=S.images(SHARDS[0]).parent,
        shards=len(SHARDS),
    shell:
        "alignsec images gather {params.folder} --count {params.shards} --out {output} > {log} 2>&1"
