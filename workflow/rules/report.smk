FIGURES = [
    S.figure(f, s)
    for name in catalogue.FIGURES
    for f in catalogue.files(name)
    for s in layout.FIGURE_SUFFIXES
]
TABLES = [S.table(t, s) for t in catalogue.TABLES for s in layout.TABLE_SUFFIXES]
CAPTIONS = {p.stem: f"../report/{p.name}" for p in Path(workflow.basedir, "workflow", "report").glob("*.rst")}


rule figures:
    input:
        FIGURES,


# a rule for each line of the catalogue
for drawn, entry in catalogue.FIGURES.items():

    rule:
        name:
            drawn
        input:
            [getattr(S, table) for table in entry.tables],
            [path(catalogue.value(CONFIG, key)) for key in entry.keys if key in configuration.PATHS],
        output:
            [S.figure(file, "pdf") for file in catalogue.files(drawn)],
            [
                report(
                    S.figure(file, "png"),
                    category="Figures",
                    caption=CAPTIONS.get(drawn),
                    labels={"figure": file},
                )
                for file in catalogue.files(drawn)
            ],
        log:
            S.log(drawn),
        conda:
            "../../envs/analysis.yaml"
        params:
            figure=drawn,
            study=S.root,
            options=json.dumps(catalogue.options(drawn, CONFIG), sort_keys=True),
        shell:
            "alignsec report figures {params.figure} --study {params.study} --options {params.options:q} "
            "> {log} 2>&1"


# what tables, findings and page are made from
FOUND = [S.total, S.benchmarks, S.targets, S.correlations, S.excluded, S.duplicates, S.warnings, S.names]
FOUND += [S.kinds, S.selections, S.twins, S.plan, *([S.sources] if USED else [])]


rule tables:
    input:
        FOUND,
    output:
        [
            (
                report(t, category="Tables", caption="../report/tables.rst", labels={"table": t.stem})
                if t.suffix == ".csv"
                else t
            )
            for t in TABLES
        ],
    log:
        S.log("tables"),
    conda:
        "../../envs/analysis.yaml"
    params:
        study=S.root,
    shell:
        "alignsec report tables --study {params.study} > {log} 2>&1"


rule summary:
    input:
        FOUND,
        S.manifest if ATTACKS else [],
        S.audit if AUDITED else [],
    output:
        report(
            S.summary,
            category="Findings",
            caption="../report/summary.rst",
            labels={"what": "summary"},
        ),
    log:
        S.log("summary"),
    conda:
        "../../envs/analysis.yaml"
    params:
        study=S.root,
        # one that was made on demand is told of by the next run, and made again by none
        audit=S.audit.exists() and not AUDITED,
    shell:
        "alignsec report summary --study {params.study} > {log} 2>&1"


rule explorer:
    input:
        FOUND,
    output:
        report(
            S.explorer,
            category="Findings",
            caption="../report/explorer.rst",
            labels={"what": "explorer"},
        ),
    log:
        S.log("explorer"),
    conda:
        "../../envs/analysis.yaml"
    params:
        study=S.root,
    shell:
        "alignsec report explorer --study {params.study} > {log} 2>&1"


rule provenance:
    input:
        S.correlations,
        S.selections,
        path(PLAN),
        S.manifest if ATTACKS else [],
    output:
        S.provenance,
    log:
        S.log("provenance"),
    conda:
        "../../envs/analysis.yaml"
    params:
        # how figures look is no part of what they rest on
        config=always(json.dumps({k: v for k, v in CONFIG.items() if k != "report"})),
        folder=S.root,
    shell:
        "alignsec provenance {params.config:q} --folder {params.folder} --out {output} > {log} 2>&1"
