if ATTACKS:

    rule robustness:
        input:
            attacks=[f"{R}/models/{m}/attack/{s}.parquet" for m in MODELS for s in SHARDS],
            corruptions=[f"{R}/models/{m}/corruptions.parquet" for m in MODELS if CORRUPTIONS],
            sheet=SHEET,
        output:
            models=f"{R}/robustness/models.parquet",
            excluded=f"{R}/robustness/excluded.csv",
        params:
            folder=f"{R}/models",
            shards=len(SHARDS),
            corruptions="--corruptions" if CORRUPTIONS else "",
            epsilons=each("--epsilon", CONFIG["attack"]["epsilons"]),
            norm=CONFIG["attack"]["norm"],
        log:
            f"{R}/logs/robustness.log",
        conda:
            "../../envs/analysis.yaml"
        shell:
            "alignsec robustness gather --sheet {input.sheet} --folder {params.folder} --shards {params.shards} "
            "{params.corruptions} {params.epsilons} --norm {params.norm} --out {output.models} "
            "--out-excluded {output.excluded} > {log} 2>&1"

else:

    rule robustness:
        message:
            "Take the robustness table {input}"
        input:
            CONFIG["robustness"]["source"],
        output:
            models=f"{R}/robustness/models.parquet",
            excluded=f"{R}/robustness/excluded.csv",
        log:
            f"{R}/logs/robustness.log",
        conda:
            "../../envs/analysis.yaml"
        shell:
            "alignsec robustness own {input:q} --out {output.models} --out-excluded {output.excluded} > {log} 2>&1"
