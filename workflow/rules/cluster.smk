# What a pool needs to know. Without its profile, `needs` says memory, disk and GPU, and nothing else here counts.
CLUSTER = None
ON_POOL = "job_wrapper" in (workflow.resource_settings.default_resources or {})  # here and in the jobs
if ON_POOL and workflow.is_main_process:
    try:
        CLUSTER = catalogue.cluster("htcondor").Cluster(workflow, CONFIG, S, BY_FOLDER)
    except AlignsecError as error:
        raise WorkflowError(str(error))
# on a pool, as often as the profile says, each time with more memory
PREFLIGHT_RETRIES = 0 if ON_POOL else 1
# elsewhere a job whose GPU fails is run again so often, from its ledger
GPU_RETRIES = 0 if ON_POOL else 2


def passed(wildcards):
    """Whether preflight lets the model pass; a resource that asks is evaluated again once the report is there."""
    return lets_pass(Path(str(S.models.preflight(MODEL)).format(model=wildcards.model)))


def one_if_passed(wildcards):
    return 1 if passed(wildcards) else None


def needs(memory_gb, disk_gb, gpu=None, wanted=None, **more):
    """Resources of a rule that may run elsewhere; under a cluster's profile also in its words."""
    tags = {"mem_mb": int(memory_gb * 1000), "disk_mb": int(disk_gb * 1000)} | ({"gpu": gpu} if gpu else {})
    if CLUSTER:
        tags |= CLUSTER.needs(tags["mem_mb"], tags["disk_mb"], gpu=bool(gpu), wanted=wanted, **more)
    return tags


def attempts_left(wildcards, attempt):
    """Further attempts of a job on a GPU; on a pool the job's own wrapper knows better."""
    return max(0, GPU_RETRIES + 1 - attempt)


def cluster_ends():
    if CLUSTER:
        CLUSTER.ends()
