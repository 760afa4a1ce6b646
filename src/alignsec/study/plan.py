"""The plan file of a study (``analysis.plan``): what is fixed before any correlation is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import file_hash
from alignsec.study.config import checked

WITHOUT, WITH, ONLY = "without", "with", "only"  # adversarially trained networks


@dataclass(frozen=True)
class PlanFile:
    """What a plan file says; without one, the defaults.

    Attributes
    ----------
    margin : smallest correlation of interest
    primary : kind of target -> its primary target, of the kinds for which the file names one
    sensitivity : targets estimated beside the primary ones
    control : column that every target is seen net of; None: clean accuracy of the target's own source
    floors : target or source -> accuracy under attack up to which a model is at the floor
    identities : admitted to the primary rows
    adversarially_trained : `WITHOUT`, `WITH` or `ONLY`: which networks the primary rows have
    one_per_network : the primary rows have one of the models that are the same network
    exclude : model -> why it is in no analysis but that of every row
    sha256 : of the file; None without one
    """

    margin: float = 0.3
    primary: Mapping[str, str] = field(default_factory=dict)
    sensitivity: tuple[str, ...] = ()
    control: str | None = None
    floors: Mapping[str, float] = field(default_factory=dict)
    identities: tuple[str, ...] = ("same weights",)
    adversarially_trained: str = WITHOUT
    one_per_network: bool = True
    exclude: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None


def schema() -> dict[str, Any]:
    """The JSON schema of a plan file."""
    import yaml

    path = resources.files("alignsec.study") / "plan.schema.yaml"
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def read(path: Path | None) -> PlanFile:
    """The plan file at `path`; of None, that of a study without one.

    Raises
    ------
    AlignsecError
        The file is missing, no YAML, or has an unknown key, a value of the wrong type, or a model that it
        excludes twice. The message names file and key.
    """
    import yaml

    if path is None:
        return PlanFile()
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AlignsecError(f"{path}: not a readable plan file ({error}): set analysis.plan") from error
    if given is not None and not isinstance(given, dict):
        raise AlignsecError(f"{path}: expected are keys and values, as in config/published/plan.yaml")
    said = checked(given or {}, schema(), str(path))
    models = [entry["model"] for entry in said["exclude"]]
    if twice := next((m for m in models if models.count(m) > 1), None):
        raise AlignsecError(f"{path}: exclude names {twice!r} twice: keep one reason")
    return PlanFile(
        margin=said["margin"],
        primary={kind: target for kind, target in said["primary"].items() if target is not None},
        sensitivity=tuple(said["sensitivity"]),
        control=said["control"],
        floors=said["floors"],
        identities=tuple(said["rows"]["identities"]),
        adversarially_trained=said["rows"]["adversarially_trained"],
        one_per_network=said["rows"]["one_per_network"],
        exclude={entry["model"]: entry["reason"] for entry in said["exclude"]},
        sha256=file_hash(path),
    )
