import json
import sys
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError

from alignsec.study import AlignsecError, catalogue, layout
from alignsec.study import config as configuration
from alignsec.study import published as catalogues
from alignsec.study import sheet as sheets
from alignsec.study.layout import MODEL, SHARD
from alignsec.study.records import lets_pass

try:
    # a relative path is the working directory's, else lies beside a configuration file, else in the clone
    places = [Path(f).absolute().parent for f in workflow.configfiles]
    places.append(Path(workflow.current_basedir).parents[1])
    CONFIG = configuration.located(configuration.resolve(config), places)
    SHEET = CONFIG["zoo"]["sheet"]
    ROWS = [] if SHEET is None else sheets.read(SHEET).to_dict("records")
    USED = [*CONFIG["robustness"]["published"]["use"], *CONFIG["robustness"]["published"]["show"]]
    SOURCES = CONFIG["robustness"]["published"]["sources"]
    PUBLISHED = catalogues.chosen(catalogues.read(Path(SOURCES)), USED, SOURCES) if USED else {}
    BY_FOLDER = {layout.folder_name(row["model"]): row for row in ROWS}
except AlignsecError as error:
    raise WorkflowError(str(error))
if workflow.is_main_process:
    for text in configuration.warnings(CONFIG):
        print(f"warning: {text}", file=sys.stderr)

S = layout.of_study(CONFIG["study"])  # where every file lies
ATTACKS = CONFIG["robustness"]["source"] == "attack"
OWN = CONFIG["robustness"]["source"] != "published"
CLAIMS = CONFIG["robustness"]["published"]["claims"]
MODELS = [row["model"] for row in ROWS]
COUNT, PER_SHARD = CONFIG["images"]["count"], CONFIG["attack"]["images_per_shard"]
SHARDS = layout.shard_names(COUNT, PER_SHARD)
SAMPLE = CONFIG["zoo"]["images"]  # of the source, not of the study: more images rerun no preflight
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
