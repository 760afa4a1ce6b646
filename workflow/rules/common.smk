import json
import sys
from math import ceil
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import report as in_report

from alignsec import account as _account
from alignsec import config as _config
from alignsec import locks as _locks
from alignsec import registry as _registry
from alignsec import sheet as _sheet
from alignsec.errors import AlignsecError
from alignsec.names import encode

try:
    CONFIG = _config.resolve(config)
    SHEET = CONFIG["models"]["sheet"]
    _rows = [] if SHEET is None else _sheet.read(SHEET).to_dict("records")
except AlignsecError as error:
    raise WorkflowError(str(error))
if workflow.is_main_process:
    for _text in _config.warnings(CONFIG):
        print(f"warning: {_text}", file=sys.stderr)

R = f"results/{CONFIG['study']}"
ATTACKS = CONFIG["robustness"]["source"] == "attack"
DEMO_SCORES = CONFIG["scores"]["source"] == "demo"


class _Sheet(dict):
    def __missing__(self, name):
        raise WorkflowError(f"{SHEET}: no model {name!r} (encoded as in file names) in the sheet")


MODELS = _Sheet({encode(row["model"]): row for row in _rows})
COUNT, PER_SHARD = CONFIG["images"]["count"], CONFIG["attack"]["images_per_shard"]
SHARDS = [f"{i:04d}" for i in range(ceil(COUNT / PER_SHARD))]
CORRUPTIONS = CONFIG["corruptions"]["names"]
SAMPLE = CONFIG["preflight"]["images"]  # of the source, not of the study: more images rerun no preflight
PIXELS = f"{R}/images/pixels"  # shared by models of one resize and crop; made as needed, safe to delete
# The sheet is checked against leaderboard and registry before any attack: this short chain comes first and, on
# a downloaded leaderboard, has the machine to itself; a local one is checked before the first job (check_early).
# A file dependency would rerun every attack with a new leaderboard.
FIRST = 100
# not workflow.cores, which stops a report, that is given none
FIRST_THREADS = 1 if DEMO_SCORES else workflow.resource_settings.cores or 1


# to the alphabet of encoded names, not to the sheet's: a thousand names in every pattern would take half of the time
# that Snakemake needs for a study of that size; a name that is not in the sheet is refused by MODELS
wildcard_constraints:
    model="[a-z0-9_.-]+",
    shard="[0-9]{4}",


def asked():
    """The command line; Snakemake tells a workflow its targets only after the DAG is built."""
    from contextlib import redirect_stderr
    from io import StringIO

    from snakemake.cli import parse_args

    with redirect_stderr(StringIO()):  # the profiles in use were told once
        return parse_args(sys.argv[1:])[1]


def retry_excluded():
    """Before the DAG is built: transient exclusions are no outputs any more (a dry run only names them).

    Returns the files; they have to be asked for, as Snakemake leaves a missing file in the middle be.
    """
    command = asked()
    if "retry_excluded" not in command.targets:
        return []
    models, files = Path(R) / "models", []
    for model, reason, paths in _account.transient(models):
        print(f"again: {model} ({reason})", file=sys.stderr)
        files += map(str, paths)
    if command.dryrun:
        return files
    if alive := _locks.running(Path.cwd()):
        raise WorkflowError(
            f"a Snakemake run is alive here (process {alive[0]}): wait for it, or end it first"
        )
    _account.retry(models)
    return files


def check_early():
    """Bad scores or a sheet that does not fit them stop the run before its first job."""
    if SHEET is not None:
        scores = CONFIG["scores"]
        try:
            _registry.check_early(
                _sheet.read(SHEET), scores["source"], scores["sha256"], CONFIG["registry"]["source"]
            )
        except AlignsecError as error:
            raise WorkflowError(str(error))


def needs(memory_gb, disk_gb, **more):
    """Resources of a rule that may run elsewhere; under the profile htcondor/ also in HTCondor's words."""
    tags = {"mem_mb": int(memory_gb * 1000), "disk_mb": int(disk_gb * 1000)}
    if more.get("gpu"):
        tags["gpu"] = 1
    return tags | (condor_needs(tags["mem_mb"], tags["disk_mb"], **more) if CONDOR else {})


def row(key):
    """A params function: this model's cell of the sheet."""
    return lambda wildcards: MODELS[wildcards.model][key]


def spec(wildcards):
    return MODELS[wildcards.model]["spec"] or MODELS[wildcards.model]["model"]


def weights(wildcards):
    """Weights that this workflow makes; other sources bring their own."""
    trained = MODELS[wildcards.model]["source"] == "demo"
    return f"{R}/models/{wildcards.model}/weights.pt" if trained else []


def above(levels, kind="output"):
    """A params function: the folder that many levels above the job's first output or input."""

    def find(wildcards, input, output):
        return str(Path((input if kind == "input" else output)[0]).parents[levels - 1])

    return find


def option(flag, value):
    """`flag value` for the shell, nothing where the value is null."""
    from shlex import quote

    return "" if value is None or value == [] else f"{flag} {quote(str(value))}"


def each(flag, values):
    return " ".join(option(flag, v) for v in values)


def beside_status(suffix):
    """A params function: a file of this attack job that is no declared output."""
    return lambda wildcards, output: output.status.removesuffix("status.json") + suffix


def kept(wildcards, output):
    wanted = CONFIG["attack"]["keep"]
    return option("--keep", beside_status("adversarials.npz")(wildcards, output) if wanted else None)


def stratified():
    return "--stratified" if CONFIG["images"]["stratified"] else ""


def weights_option(wildcards, input):
    return option("--weights", input.weights or None)


def shard_range(wildcards):
    start = int(wildcards.shard) * PER_SHARD
    return start, min(start + PER_SHARD, COUNT)


def all_images(wildcards):
    return 0, COUNT


def sample_range(wildcards):
    return 0, SAMPLE


def bounds(wildcards):
    start, stop = shard_range(wildcards)
    return f"--start {start} --stop {stop}"


def figure(names, caption):
    """PDF and PNG of each name, the PNG shown in the report."""
    stems = [f"{R}/figures/{name}" for name in names]
    text = f"../report/{caption}.rst"
    shown = [
        in_report(f"{s}.png", category="Figures", caption=text, labels={"figure": Path(s).name})
        for s in stems
    ]
    return [f"{s}.pdf" for s in stems] + shown


def stem(wildcards, output):
    """The figure's path without its suffix."""
    return str(Path(output[0]).with_suffix(""))
