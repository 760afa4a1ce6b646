# The profile htcondor/: where its job wrapper is among the default resources, jobs go to the pool.
# a text keeps the quotes that the profile has it in
_GIVEN = {
    name: str(value.raw).strip("'\"")
    for name, value in (workflow.resource_settings.default_resources or {}).items()
}
HTCONDOR = "job_wrapper" in _GIVEN  # here and in the jobs
CONDOR = HTCONDOR and workflow.is_main_process


if CONDOR:
    import os

    from alignsec import estimate as _estimate
    from alignsec.images import packs as _packs
    from alignsec.condor import controller as _controller
    from alignsec.condor import site as _site

    # what only looks at a study must not touch the queue
    _LOOKS = ("dryrun", "touch", "report", "lint", "unlock", "dag", "rulegraph", "filegraph", "d3dag", "list_rules",
              "list_target_rules", "summary", "detailed_summary", "archive", "cleanup_metadata", "containerize")  # fmt: skip
    _ASKED = asked()
    try:
        SITE = _site.read(
            _GIVEN,
            attempts=1 + (_ASKED.retries or 0),
            shared=bool(workflow.storage_settings.shared_fs_usage),
        )
        if ATTACKS:
            _site.check(SITE, CONFIG["images"], CONFIG["corruptions"], SHEET, Path.cwd())
        VERSIONS = _site.versions()
        if not any(getattr(_ASKED, name, None) for name in _LOOKS):
            CONTROLLER = _controller.Controller(Path.cwd())
            for _text in _controller.recover(Path.cwd(), _GIVEN.get("strays", "remove")):
                print(_text, file=sys.stderr)
            for _model in MODELS:  # HTCondor makes one missing folder for what comes back, not two
                Path(R, "logs", "attack", _model).mkdir(parents=True, exist_ok=True)
                Path(R, "models", _model, "attack").mkdir(parents=True, exist_ok=True)
            _controller.be_patient()  # from here on: without an access point, a run is told so at once
            _controller.set_events_aside(Path(_ASKED.htcondor_jobdir or ".snakemake/htcondor"))
    except AlignsecError as error:
        raise WorkflowError(str(error))
    _ESTIMATE = _estimate.read(Path(R) / "zoo" / "estimate.csv")
    JOB_HOURS = {row["model"]: float(row["job_hours_high"]) for row in _ESTIMATE}


def condor_needs(
    memory_mb, disk_mb, *, gpu=False, gpu_memory_gb=0, ledger=False, images=None, returns=("{log}",)
):
    """HTCondor's words for what a rule needs (`alignsec.condor.site`)."""
    packed = CONFIG["images"]["source"] == "packs" and images is not None
    address = CONFIG["images"]["address"]
    always = ["Snakefile", "workflow", "envs", *([SHEET] if SHEET else [])]

    def packs(wildcards):
        return _packs.covering(Path(CONFIG["images"]["path"]), *images(wildcards))

    def sent(input):
        configs = [os.path.relpath(f) for f in workflow.configfiles]
        return [*always, _site.WRAPPER, *configs, *input]

    return _site.commands(
        SITE,
        versions=VERSIONS,
        memory_mb=memory_mb,
        disk_mb=disk_mb,
        gpu=gpu,
        gpu_memory_mb=int(gpu_memory_gb * 1000),
        hours=lambda wildcards: JOB_HOURS.get(MODELS[wildcards.model]["model"]),
        inputs=always,
        returned=[*returns, *([KEPT] if ledger and CONFIG["attack"]["keep"] else [])],
        state=ledger_of if ledger else None,
        staged=packs if packed else None,
        address=address,
        sent=sent,
    )


KEPT = f"{R}/models/{{wildcards.model}}/attack/{{wildcards.shard}}.adversarials.npz"


def ledger_of(wildcards):
    return f"{R}/models/{wildcards.model}/attack/{wildcards.shard}.ledger"


def remove_held():
    """What HTCondor holds at the end of a run would start again for nobody."""
    if CONDOR:
        try:
            for line in _controller.remove_held(Path.cwd()):
                print(f"held, and removed from the queue: {line}", file=sys.stderr)
        except AlignsecError as error:  # the run's own end is not to be changed by this
            print(f"warning: held jobs were not looked for: {error}", file=sys.stderr)


# after the folder is this run's own
AGAIN = retry_excluded() if workflow.is_main_process and "retry_excluded" in sys.argv else []
