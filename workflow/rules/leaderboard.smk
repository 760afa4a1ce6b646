LEADERBOARD = S.leaderboard(CONFIG["leaderboard"]["source"])
REMOTE = configuration.is_remote(CONFIG["leaderboard"]["source"])
EXTRA = CONFIG["leaderboard"]["extra"]

# the demo's leaderboard is measured (demo.smk)
if CONFIG["leaderboard"]["source"] != "demo":

    rule fetch_scores:
        input:
            [] if REMOTE else path(CONFIG["leaderboard"]["source"]),
        output:
            LEADERBOARD,
        log:
            S.log("fetch_scores"),
        priority: FIRST
        conda:
            "../../envs/analysis.yaml"
        threads: FIRST_THREADS
        params:
            source=CONFIG["leaderboard"]["source"],
            sha256=option("--sha256", CONFIG["leaderboard"]["sha256"]),
        message:
            "Fetch the leaderboard {params.source}"
        shell:
            "alignsec leaderboard fetch {params.sha256} --out {output} -- {params.source:q} > {log} 2>&1"


rule parse_scores:
    input:
        leaderboard=LEADERBOARD,
        extra=[path(entry["file"]) for entry in EXTRA],
    output:
        scores=S.scores,
        benchmarks=S.benchmarks,
        dropped=S.dropped,
    log:
        S.log("parse_scores"),
    priority: FIRST
    conda:
        "../../envs/analysis.yaml"
    threads: FIRST_THREADS
    params:
        extra=always(each("--extra", map(json.dumps, EXTRA))),
        categories=always(option("--categories", json.dumps(CONFIG["leaderboard"]["categories"]))),
    shell:
        "alignsec leaderboard parse {input.leaderboard} --out-scores {output.scores} "
        "--out-benchmarks {output.benchmarks} --out-dropped {output.dropped} {params.extra} {params.categories} > {log} 2>&1"


# a table of the registered models is an input; an installed package, or a copy of it, is not watched
REGISTRY = Path(CONFIG["leaderboard"]["registry"])


rule read_registry:
    input:
        table=path(REGISTRY) if REGISTRY.is_file() else [],
        sheet=path(SHEET) if CONFIG["leaderboard"]["registry"] == "demo" else [],
    output:
        registry=S.registry,
        unresolved=S.unresolved,
    log:
        S.log("read_registry"),
    priority: FIRST
    conda:
        "../../envs/analysis.yaml" if REGISTRY.is_file() else "../../envs/models.yaml"
    threads: FIRST_THREADS
    params:
        source=CONFIG["leaderboard"]["registry"],
        sheet=option_of("--sheet", "sheet"),
    shell:
        "alignsec leaderboard registry {params.sheet} --out {output.registry} "
        "--out-unresolved {output.unresolved} -- {params.source:q} > {log} 2>&1"


rule merge_registry:
    input:
        scores=S.scores,
        benchmarks=S.benchmarks,
        registry=S.registry,
        sheet=path(SHEET),
    output:
        S.merged,
    log:
        S.log("merge_registry"),
    priority: FIRST
    conda:
        "../../envs/analysis.yaml"
    threads: FIRST_THREADS
    params:
        sheet=option("--sheet", SHEET),
        # nothing is loaded where nothing is attacked: the leaderboard alone decides
        everything=option("--everything", not ATTACKS),
    message:
        "Join leaderboard and registry by exact name, and check the sheet against both"
    shell:
        "alignsec leaderboard merge --scores {input.scores} --benchmarks {input.benchmarks} "
        "--registry {input.registry} {params.sheet} {params.everything} --out {output} > {log} 2>&1"


rule propose_sheet:
    input:
        S.merged,
    output:
        S.proposed,
    log:
        S.log("propose_sheet"),
    conda:
        "../../envs/analysis.yaml"
    shell:
        "alignsec leaderboard propose {input} --out {output} 2>&1 | tee {log}"


rule model_sheet:
    input:
        S.proposed,
