# published robustness, as targets beside those of the study's own (docs/published.md)
if USED:

    rule published_file:
        output:
            S.published("{source}", "{file}"),
        log:
            S.log("published_file", "{source}", "{file}"),
        conda:
            "../../envs/analysis.yaml"
        params:
            catalogue=SOURCES,
            pin=pin,
        message:
            "Fetch {wildcards.file} of {wildcards.source}"
        shell:
            "alignsec robustness fetch --catalogue {params.catalogue:q} --out {output} "
            "-- {wildcards.source} {wildcards.file} > {log} 2>&1"

    rule published:
        input:
            files=[S.published(name, f.name) for name, s in PUBLISHED.items() for f in s.files],
            catalogue=path(CONFIG["robustness"]["published"]["sources"]),
            names=path(CONFIG["robustness"]["published"]["name_map"]),
            scores=S.scores,
            benchmarks=S.benchmarks,
            own=[S.own, S.own_warnings] if OWN else [],
        output:
            S.robustness,
            S.identities,
            S.sources,
            S.fates,
            S.copies,
            S.shown,
            S.agreement,
            report(S.warnings, category="Tables", caption="../report/warnings.rst"),
            [] if OWN else S.excluded,
            [S.published_whole(name) for name in PUBLISHED],
        log:
            S.log("published"),
        conda:
            "../../envs/analysis.yaml"
        params:
            study=S.root,
            use=each("--use", CONFIG["robustness"]["published"]["use"]),
            show=each("--show", CONFIG["robustness"]["published"]["show"]),
            own=option("--own", OWN),
        message:
            "Join published robustness with the leaderboard"
        shell:
            "alignsec robustness published --study {params.study} --catalogue {input.catalogue:q} "
            "--names {input.names:q} {params.use} {params.show} {params.own} > {log} 2>&1"
