"""What the rules need of a cluster: resources in its words, and the queue seen to at both ends of a run.

Where the profile is `htcondor/` (its job wrapper is among the default resources), jobs go to the pool.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from alignsec.attack import estimate
from alignsec.cluster import controller, site
from alignsec.ground.errors import AlignsecError
from alignsec.images import packs
from alignsec.study.layout import Layout

# what only looks at a study must not touch the queue
LOOKS = (
    *("dryrun", "touch", "report", "lint", "unlock", "archive", "cleanup_metadata", "containerize"),
    *(
        "dag",
        "rulegraph",
        "filegraph",
        "d3dag",
        "list_rules",
        "list_target_rules",
        "summary",
        "detailed_summary",
    ),
)
JOBDIR = ".snakemake/htcondor"

Range = Callable[[Any], tuple[int, int]]


class Cluster:
    """One run of a study on a pool, seen from the access point.

    Parameters
    ----------
    workflow : Snakemake's
    config : resolved
    files : of the study
    models : model's folder -> row of the sheet

    Raises
    ------
    AlignsecError
        The profile or the study cannot work on the pool, another controller holds the folder, or no schedd
        answers.
    """

    def __init__(
        self, workflow: Any, config: Mapping[str, Any], files: Layout, models: Mapping[str, Mapping[str, str]]
    ) -> None:
        asked, given = _asked(), profile(workflow)
        self.workflow, self.config, self.files, self.models = workflow, config, files, models
        self.folder = Path.cwd()
        self.sheet = config["zoo"]["sheet"]
        self.site = site.read(
            given,
            attempts=1 + (asked.retries or 0),
            shared=bool(workflow.storage_settings.shared_fs_usage),
        )
        if config["robustness"]["source"] == "attack":
            site.check(
                self.site,
                config["images"],
                config["robustness"]["corruptions"],
                self.sheet,
                self.folder,
                self._configs(),
            )
        self.versions = site.versions()
        self.hours = {r["model"]: float(r["job_hours_high"]) for r in estimate.read(files.estimate)}
        if not any(getattr(asked, name, None) for name in LOOKS):
            self.controller = controller.Controller(self.folder)
            for text in controller.recover(self.folder, given.get("strays", "remove")):
                print(text, file=sys.stderr)
            for name, row in models.items():  # HTCondor makes one missing folder for what comes back, not two
                for file in (files.log("attack", name, "x"), files.models.attack(row["model"], "x")):
                    file.parent.mkdir(parents=True, exist_ok=True)
            controller.be_patient()  # from here on: without an access point, a run is told so at once
            controller.set_events_aside(Path(asked.htcondor_jobdir or JOBDIR))

    def needs(
        self,
        memory_mb: int,
        disk_mb: int,
        *,
        gpu: bool = False,
        gpu_memory_gb: float = 0,
        images: Range | None = None,
        wanted: Callable[[Any], bool] | None = None,
        state: Callable[[Any], str] | None = None,
        returns: Sequence[str] = ("{log}",),
    ) -> dict[str, Any]:
        """HTCondor's words for what a rule needs (`site.commands`).

        Parameters
        ----------
        images : from the wildcards, the range of images that the job reads
        wanted : from the wildcards, whether the job will need its GPU and its images; None: it will
        state : from the wildcards, the file that must survive the job: its ledger
        returns : what comes back beside the rule's outputs
        """
        section = self.config["images"]
        always = ["Snakefile", "workflow", "profiles", "envs", *([self.sheet] if self.sheet else [])]
        packed = None
        if section["source"] == "packs" and images is not None:
            reads = images  # of the rule; None no more

            def covering(wildcards: Any) -> list[dict[str, Any]]:
                if wanted is not None and not wanted(wildcards):
                    return []
                return packs.covering(Path(section["path"]), *reads(wildcards))

            def sent(input: Any) -> list[str]:
                return [*always, site.WRAPPER, *self._configs(), *input]

            packed = site.Packs(covering, section["address"], sent)
        return site.commands(
            self.site,
            site.Machine(memory_mb, disk_mb, gpu, int(gpu_memory_gb * 1000), self._hours, wanted),
            site.Travel(always, list(returns), state, packed),
            self.versions,
        )

    def _hours(self, wildcards: Any) -> float | None:
        return self.hours.get(self.models[wildcards.model]["model"])

    def _configs(self) -> list[str]:
        return [os.path.relpath(f) for f in self.workflow.configfiles]

    def light_rules(self) -> list[str]:
        """A rule that does not say what it needs is light, and runs where Snakemake does."""
        return [r.name for r in self.workflow.rules if "classad_AlignsecVersions" not in r.resources]

    def ends(self) -> None:
        """What HTCondor holds at the end of a run would start again for nobody: it leaves the queue."""
        try:
            for line in controller.remove_held(self.folder):
                print(f"held, and removed from the queue: {line}", file=sys.stderr)
        except AlignsecError as error:  # the run's own end is not to be changed by this
            print(f"warning: held jobs were not looked for: {error}", file=sys.stderr)


def profile(workflow: Any) -> dict[str, str]:
    """The profile's default resources as text; one in quotes keeps them in Snakemake, and loses them here."""
    given = workflow.resource_settings.default_resources or {}
    return {name: str(value.raw).strip("'\"") for name, value in given.items()}


def _asked() -> Any:
    """The command line; Snakemake tells a workflow its targets and flags only after the DAG is built."""
    from snakemake.cli import parse_args

    with redirect_stderr(StringIO()):  # the profiles in use were told once
        return parse_args(sys.argv[1:])[1]
