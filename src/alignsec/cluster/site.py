"""What a rule needs, as HTCondor's submit commands, which the executor plugin reads from resources."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from alignsec.ground.errors import AlignsecError

WRAPPER = "htcondor/job.sh"
UNSET = "unset"
AGAIN = 75  # exit status (EX_TEMPFAIL) of a job that stopped before its time was up, to be started again
CHECKPOINT = 85  # exit status after which HTCondor keeps the checkpoint files and goes on in the same place
RESTARTS = 100  # of one job by HTCondor itself, each after a whole length of useful work


class Site(NamedTuple):
    """What differs between pools: the profile's own values (`htcondor/config.yaml`, default-resources)."""

    lengths: dict[str, float]  # GPUJobLength -> hours, shortest first; empty: the pool has no such classes
    capability: str = ""  # the least compute capability of a GPU
    image: str = ""  # the container's, as the profile names it
    image_mb: int = 0  # what it takes on the disk of the machine that runs a job
    send: tuple[str, ...] = ()
    attempts: int = 1
    shared: bool = False


def read(given: Mapping[str, str], attempts: int, shared: bool) -> Site:
    """The site of a profile's default resources, as written there.

    Raises
    ------
    AlignsecError
        A value cannot be read, or the container image is not set.
    """
    if given.get("container_image") == UNSET:
        raise AlignsecError(
            "htcondor/config.yaml: container_image is not set: build the image (docs/chtc.md) and name it "
            "there"
        )
    lengths = {}
    for word in given.get("gpu_job_lengths", "").replace("none", "").split():
        name, _, hours = word.partition("=")
        try:
            lengths[name] = float(hours)
        except ValueError:
            raise AlignsecError(
                f"htcondor/config.yaml: gpu_job_lengths: {word!r} is not like short=12 (hours)"
            ) from None
    return Site(
        dict(sorted(lengths.items(), key=lambda pair: pair[1])),
        given.get("gpu_capability", ""),
        given.get("container_image", ""),
        int(given.get("image_mb", 0)),
        tuple(w.strip() for w in given.get("htcondor_transfer_input_files", "").split(",") if w.strip()),
        attempts,
        shared,
    )


def check(
    site: Site,
    images: Mapping[str, Any],
    corruptions: Mapping[str, Any],
    sheet: str | None,
    folder: Path,
    configs: Sequence[str] = (),
) -> None:
    """Refuse a study whose files no job would find, before anything is submitted.

    Parameters
    ----------
    images, corruptions : sections of the configuration
    sheet, configs : the model sheet and the configuration files, from `folder`
    folder : where the run stands

    Raises
    ------
    AlignsecError
        The run does not start in a checkout, or images, sheet, configuration or packs lie where the pool's
        machines do not see them and from where they are not sent.
    """
    for name in ("Snakefile", WRAPPER):
        if not (folder / name).is_file():
            raise AlignsecError(f"{folder}: no {name} here: start the run in the checkout's own folder")
    if site.shared:
        return
    if images["source"] in ("npz", "imagenet-val", "folders"):
        raise AlignsecError(
            f"config: images.source {images['source']} is a path on this machine, which the pool's machines "
            "do not see: pack the images (alignsec images pack, docs/chtc.md) and set images.source to packs"
        )
    if corruptions["names"] and corruptions["path"]:
        raise AlignsecError(
            f"config: robustness.corruptions.path {corruptions['path']} is a folder on this machine, which "
            "the pool's machines do not see: use the profile htcondor/shared, or corruptions made on the "
            "fly (robustness.corruptions.path: null)"
        )
    sent = [("zoo.sheet", sheet), *(("configuration file", c) for c in configs)]
    if images["source"] == "packs" and images["address"] is None:
        sent.append(("images.path", images["path"]))
    for key, path in sent:
        if path is not None and not _can_be_sent(path):
            raise AlignsecError(
                f"config: {key} {path}: what is sent to jobs must lie below the run's folder, by a relative "
                "path of letters, digits and / . _ - + only: move it there"
                + (", or set images.address" if key == "images.path" else "")
            )


def _can_be_sent(path: str) -> bool:
    """Whether a path survives HTCondor's lists and the plugin's, and lies below the run's folder."""
    parts = Path(path).parts
    return re.fullmatch(r"[A-Za-z0-9/._+-]+", path) is not None and ".." not in parts and path[0] not in "/-"


def job_length(hours: float | None, lengths: Mapping[str, float]) -> str:
    """The shortest class that the estimated hours fit in, with a tenth to spare.

    A job of unknown length gets the shortest and one that fits in none the longest: it goes on from its
    ledger.
    """
    if hours is None:
        return next(iter(lengths))
    return next((name for name, limit in lengths.items() if hours <= 0.9 * limit), list(lengths)[-1])


def deadline(limit_hours: float) -> int:
    """Seconds after which a job stops by itself: early enough to hand over what it has."""
    return int(max(0.95 * limit_hours, limit_hours - 0.5) * 3600)


@dataclass(frozen=True)
class Machine:
    """What a job asks of the machine that runs it, at its first attempt; memory and disk grow with each.

    Parameters
    ----------
    memory_mb, gpu_memory_mb : in MB; of a GPU, 0 for any
    disk_mb : beside the image and, three times their size, the packs
    hours : of a GPU job, estimated, from the wildcards; None where unknown
    wanted : from the wildcards, whether the job will need its GPU, as one of a model that preflight excludes
        does not; None: it will
    """

    memory_mb: int
    disk_mb: int
    gpu: bool = False
    gpu_memory_mb: int = 0
    hours: Callable[[Any], float | None] | None = None
    wanted: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Packs:
    """Archives that a job's images are in.

    Parameters
    ----------
    of : from the wildcards, the archives (`alignsec.images.packs.covering`)
    address : where HTCondor fetches them from; None: they are sent from where they are (`path`)
    sent : from the rule's inputs, all other files that go to the job
    """

    of: Callable[[Any], Sequence[Mapping[str, Any]]]
    address: str | None
    sent: Callable[[Any], Sequence[str]]


@dataclass(frozen=True)
class Travel:
    """What goes to a job and what comes back, beside the inputs and outputs of its rule.

    Parameters
    ----------
    inputs : files that every job needs
    returned : files that come back when it ends
    state : from the wildcards, the file (relative to the run's folder) that must survive the job: its ledger
    packs : where the job's images are packed
    """

    inputs: Sequence[str] = ()
    returned: Sequence[str] = ()
    state: Callable[[Any], str] | None = None
    packs: Packs | None = None


def commands(site: Site, machine: Machine, travel: Travel, versions: str) -> dict[str, Any]:
    """Resources of one rule; `versions`: of this side, which the job compares with its own.

    Returns
    -------
    Resource name -> value or function of ``wildcards`` (and ``attempt``), as Snakemake takes them
    """
    packs = travel.packs

    def disk(wildcards: Any, attempt: int) -> str:
        packed = sum(e["bytes"] for e in packs.of(wildcards)) / 1e6 if packs else 0
        return f"{site.image_mb + int(machine.disk_mb + 3 * packed) * attempt}MB"

    found: dict[str, Any] = {
        "request_memory": lambda wildcards, attempt: f"{machine.memory_mb * attempt}MB",
        "request_disk": disk,
        "classad_AlignsecVersions": versions,
        "classad_AlignsecLastAttempt": lambda wildcards, attempt: attempt >= site.attempts,
        # the job's own line to the access point, for the ledger
        "classad_WantIOProxy": True,
        # of a machine that went silent, until the job is started elsewhere
        "htcondor_submit_job_lease_duration": 1200,
    }
    if not site.shared:
        found |= _transfers(site, travel)
    if travel.state is not None:
        found["classad_AlignsecState"] = travel.state
        # where the line is not to be had, the job checkpoints by this exit status instead
        found["htcondor_submit_checkpoint_exit_code"] = CHECKPOINT
        found["classad_TransferCheckpoint"] = travel.state
    if machine.gpu:
        asked = _gpu(site, machine, resumable=travel.state is not None)
        found |= {k: v if machine.wanted is None else _only(machine.wanted, v) for k, v in asked.items()}
    return found


def _only(wanted: Callable[[Any], bool], value: Any) -> Callable[[Any], Any]:
    """A resource that is none where the job does not want it; Snakemake drops such a one."""

    def given(wildcards: Any) -> Any:
        if not wanted(wildcards):
            return None
        return value(wildcards) if callable(value) else value

    return given


def _transfers(site: Site, travel: Travel) -> dict[str, Any]:
    """What is sent and brought back where no file system is shared."""
    always = [*travel.inputs, *site.send]
    found: dict[str, Any] = {
        "htcondor_transfer_input_files": ",".join(dict.fromkeys(always)),
        "htcondor_transfer_output_files": ",".join(travel.returned),
    }
    packs = travel.packs
    if packs is None:
        return found
    address, name = packs.address, "path" if packs.address is None else "name"
    found["classad_AlignsecStaged"] = lambda wildcards: (
        " ".join(f"{e[name]}={e['sha256']}" for e in packs.of(wildcards)) or None
    )
    if address is None:
        found["htcondor_transfer_input_files"] = lambda wildcards: ",".join(
            dict.fromkeys([*always, *(e["path"] for e in packs.of(wildcards))])
        )
        return found
    # the whole list, as the plugin would change an address that it is given (`file:///` to `file:/`); with
    # the image, which HTCondor puts at the end of a list that it makes itself
    image = [site.image] if site.image and not site.image.startswith("docker:") else []
    place = address.rstrip("/")
    found["classad_TransferInput"] = lambda wildcards, input: ",".join(
        [*packs.sent(input), *site.send, *(f"{place}/{e['name']}" for e in packs.of(wildcards)), *image]
    )
    return found


def _gpu(site: Site, machine: Machine, resumable: bool) -> dict[str, Any]:
    """A device, and where the pool has classes of job lengths, the one that the job's hours fit in."""
    found: dict[str, Any] = {"request_gpus": 1}
    if machine.gpu_memory_mb:
        found["gpus_minimum_memory"] = machine.gpu_memory_mb
    if site.capability:
        # as text: Snakemake rounds a number up to the next whole one
        found["gpus_minimum_capability"] = site.capability
    if not site.lengths:
        return found

    def length(wildcards: Any) -> str:
        return job_length(machine.hours(wildcards) if machine.hours else None, site.lengths)

    found |= {
        "classad_WantGPULab": True,
        "classad_GPUJobLength": length,
        "classad_is_resumable": resumable,
        "allowed_job_duration": lambda wildcards: int(site.lengths[length(wildcards)] * 3600),
    }
    if resumable:
        found |= {
            "classad_AlignsecDeadline": lambda wildcards: deadline(site.lengths[length(wildcards)]),
            "max_retries": RESTARTS,
            "retry_until": f"ExitCode =!= {AGAIN}",
        }
    return found


def versions() -> str:
    """What both sides of a job must have in common: Snakemake's version, and alignsec's version and code."""
    import hashlib
    from importlib import metadata

    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    code = digest.hexdigest()[:12]
    return f"snakemake {metadata.version('snakemake')}, alignsec {metadata.version('alignsec')} ({code})"
