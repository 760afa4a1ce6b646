# Are models that see more like humans harder to attack? One study per configuration file (config/README.md).
from snakemake.utils import min_version

min_version("9.0")

# a study of its own must not inherit the demo's keys
if "study" not in config:

    configfile: "config/config.yaml"


# used with --sdm apptainer: apptainer build alignsec.sif container/alignsec.def
container: "alignsec.sif"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/condor.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/registry.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        FIGURES,
        TABLES,
        f"{R}/summary.md",
        f"{R}/explorer.html",
        f"{R}/correlations/all.csv",
        f"{R}/provenance.json",
        [f"{R}/images/manifest.parquet", *ZOO] if ATTACKS else [],


rule retry_excluded:
    input:
        rules.all.input,
        AGAIN,


if CONDOR:
    # a rule that does not say what it needs is light, and runs where Snakemake does
    workflow.localrules(*(r.name for r in workflow.rules if "classad_AlignsecVersions" not in r.resources))


onstart:
    check_early()


onsuccess:
    remove_held()
    shell(
        "echo 'findings: {R}/summary.md   explore: {R}/explorer.html   figures: {R}/figures   tables: {R}/tables' >&2"
    )


onerror:
    remove_held()
