# Are models that see more like humans harder to attack? One study per configuration file (config/README.md).
from snakemake.utils import min_version

min_version("9.27.1")

# the demo, where no --configfile is given; a study of its own inherits nothing of it
if not workflow.config_settings.configfiles:

    configfile: workflow.current_basedir.join("config/config.yaml").get_path_or_uri(False)


# used with --sdm apptainer: apptainer build alignsec.sif container/alignsec.def
container: "alignsec.sif"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/functions.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/leaderboard.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/zoo.smk"
include: "workflow/rules/demo.smk"
include: "workflow/rules/attack.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/published.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        FIGURES,
        TABLES,
        S.summary,
        S.explorer,
        S.correlations,
        S.selections,
        S.kinds,
        S.differences,
        S.prediction,
        S.covariates,
        [S.replication] if CLAIMS else [],
        S.names,
        S.provenance,
        [S.audit] if AUDITED else [],
        [S.manifest, S.account, S.reasons, S.excluded] if ATTACKS else [],


if CLUSTER:
    workflow.localrules(*CLUSTER.light_rules())


onstart:
    check_early()


onsuccess:
    cluster_ends()
    say_where()


onerror:
    cluster_ends()
