if ATTACKS:

    rule robustness:
        input:
            attacks=[f"{R}/models/{m}/attack/{s}.parquet" for m in MODELS for s in SHARDS],
            corruptions=[f"{R}/models/{m}/corruptions.parquet" for m in MODELS if CORRUPTIONS],
            sheet=SHEET,
        output:
            models=f"{R}/robustness/models.parquet",
            excluded=f"{R}/robustness/excluded.csv",
            warnings=report(
                f"{R}/robustness/warnings.csv", category="Tables", caption="../report/warnings.rst"
            ),
        log:
            f"{R}/logs/robustness.log",
        conda:
            "../../envs/analysis.yaml"
        params:
            folder=above(3, "input"),
            shards=len(SHARDS),
            corruptions="--corruptions" if CORRUPTIONS else "",
            epsilons=each("--epsilon", CONFIG["attack"]["epsilons"]),
            norm=CONFIG["attack"]["norm"],
            duplicates=(
                "--exclude-duplicates" if "duplicate weights" in CONFIG["preflight"]["exclude_flags"] else ""
            ),
        shell:
            "alignsec robustness gather --sheet {input.sheet} --folder {params.folder} --shards {params.shards} "
            "{params.corruptions} {params.epsilons} --norm {params.norm} {params.duplicates} --out {output.models} "
            "--out-excluded {output.excluded} --out-warnings {output.warnings} > {log} 2>&1"

else:

    rule robustness:
        input:
            CONFIG["robustness"]["source"],
        output:
            models=f"{R}/robustness/models.parquet",
            excluded=f"{R}/robustness/excluded.csv",
            warnings=report(
                f"{R}/robustness/warnings.csv", category="Tables", caption="../report/warnings.rst"
            ),
        log:
            f"{R}/logs/robustness.log",
        conda:
            "../../envs/analysis.yaml"
        message:
            "Take the robustness table {input}"
        shell:
            "alignsec robustness own {input:q} --out {output.models} --out-excluded {output.excluded} "
            "--out-warnings {output.warnings} > {log} 2>&1"
