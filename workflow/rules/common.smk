import json
import sys
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError

from alignsec.study import AlignsecError, catalogue, layout
from alignsec.study import config as configuration
from alignsec.study import sheet as sheets
from alignsec.study.layout import MODEL, SHARD

try:
    # a relative path is the working directory's, else lies beside a configuration file, else in the clone
    places = [Path(f).absolute().parent for f in workflow.configfiles]
    places.append(Path(workflow.current_basedir).parents[1])
    CONFIG = configuration.located(configuration.resolve(config), places)
    SHEET = CONFIG["zoo"]["sheet"]
    ROWS = [] if SHEET is None else sheets.read(SHEET).to_dict("records")
    BY_FOLDER = {layout.folder_name(row["model"]): row for row in ROWS}
except AlignsecError as error:
    raise WorkflowError(str(error))
if workflow.is_main_process:
    for text in configuration.warnings(CONFIG):
        print(f"warning: {text}", file=sys.stderr)

S = layout.of_study(CONFIG["study"])  # where every file lies
ATTACKS = CONFIG["robustness"]["source"] == "attack"
MODELS = [row["model"] for row in ROWS]
COUNT, PER_SHARD = CONFIG["images"]["count"], CONFIG["attack"]["images_per_shard"]
SHARDS = layout.shard_names(COUNT, PER_SHARD)
# The sheet is checked against leaderboard and registry before any attack: this short chain comes first and,
# on a downloaded leaderboard, has the machine to itself; a local one is checked before the first job
# (check_early). A file dependency would rerun every attack with a new leaderboard.
FIRST = 100
# not workflow.cores, which stops a report, that is given none
FIRST_THREADS = 1 if CONFIG["leaderboard"]["source"] == "demo" else workflow.resource_settings.cores or 1


# to the alphabet of encoded names, not to the sheet's: a thousand names in every pattern would take half of the
# time that Snakemake needs for such a study; a name that is not in the sheet is refused by `row`
wildcard_constraints:
    model="[a-z0-9_.-]+",
    shard="[0-9]{4}",


def row(key):
    """A params function: this model's cell of the sheet; of an empty spec, the model's name."""

    def cell(wildcards):
        if wildcards.model not in BY_FOLDER:
            raise WorkflowError(f"{SHEET}: no model is encoded as {wildcards.model!r} in the sheet")
        found = BY_FOLDER[wildcards.model]
        return found["model"] if key == "spec" and not found[key] else found[key]

    return cell


def weights(wildcards):
    """Weights that this workflow makes; other sources bring their own."""
    trained = catalogue.SOURCES[row("source")(wildcards)].trained
    return str(S.models.weights(MODEL)).format(model=wildcards.model) if trained else []


def path(text):
    """A user's path as an input, where there is one."""
    return [] if text is None else text


def option(flag, value):
    """`flag value` for the shell, quoted; of True the flag alone, of null and False nothing."""
    if value is None or value is False or value == []:
        return ""
    return flag if value is True else f"{flag} {quote(str(value))}"


def each(flag, values):
    return " ".join(option(flag, v) for v in values)


def option_of(flag, name):
    """A params function: the option for the input of that name, where there is one."""
    return lambda wildcards, input: option(flag, getattr(input, name) or None)


def say_where():
    """What there is to look at."""
    places = {"findings": S.summary, "explore": S.explorer, "figures": S.figure("x", "x").parent}
    places["tables"] = S.table("x", "x").parent
    if made := [f"{what}: {place}" for what, place in places.items() if place.exists()]:
        print("   ".join(made), file=sys.stderr)
