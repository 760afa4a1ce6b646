# The demo's own networks and benchmarks: trained and measured here, nothing downloaded. Starting takes longer than
# most of the work, so one job trains the networks of a family, and one measures them all.
TRAINED = [r for r in ROWS if catalogue.SOURCES[r["source"]].trained]

for family in dict.fromkeys(r["family"] for r in TRAINED):

    rule:
        name:
            f"train_demo_{layout.folder_name(family)}"
        output:
            [S.models.weights(r["model"]) for r in TRAINED if r["family"] == family],
        log:
            S.log("train_demo", layout.folder_name(family)),
        priority: FIRST
        conda:
            "../../envs/models.yaml"
        resources:
            **needs(memory_gb=2, disk_gb=1),
        params:
            family=always(family),
            specs=always(each("", [r["spec"] or r["model"] for r in TRAINED if r["family"] == family])),
            outs=lambda wildcards, output: each("--out", output),
            seed=CONFIG["seed"],
        message:
            "Train the networks of {params.family}"
        shell:
            "alignsec demo train {params.outs} --seed {params.seed} -- {params.specs} > {log} 2>&1"


if CONFIG["leaderboard"]["source"] == "demo":

    rule measure_demo:
        input:
            weights=[S.models.weights(r["model"]) for r in TRAINED],
            sheet=path(SHEET),
        output:
            LEADERBOARD,
        log:
            S.log("measure_demo"),
        priority: FIRST
        conda:
            "../../envs/models.yaml"
        resources:
            **needs(memory_gb=2, disk_gb=1),
        params:
            folder=S.models.folder,
            seed=CONFIG["seed"],
        message:
            "Measure the demo networks' scores, as a leaderboard"
        shell:
            "alignsec demo measure --sheet {input.sheet:q} --folder {params.folder} --seed {params.seed} "
            "--out {output} > {log} 2>&1"
