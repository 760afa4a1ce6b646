"""What an attack is asked, in one frozen dataclass: configuration, rule, verb, job and engine pass it on.

It lies with the study and not with the attack because a rule needs it (rule files import `alignsec.study`
only): its canonical JSON is what decides whether an attack runs again. An option of the attack stands in two
places, in the schema of the configuration and here; a test compares them.
"""

import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeVar

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest
from alignsec.study import epsilon
from alignsec.study.epsilon import Norm

Choice = TypeVar("Choice", bound=StrEnum)


class Version(StrEnum):
    """AutoAttack's versions."""

    STANDARD = "standard"
    RAND = "rand"
    CUSTOM = "custom"


class Attack(StrEnum):
    """The reference's attacks, one restart each."""

    APGD_CE = "apgd-ce"
    APGD_DLR = "apgd-dlr"
    APGD_T = "apgd-t"
    FAB = "fab"
    FAB_T = "fab-t"
    SQUARE = "square"


class Precision(StrEnum):
    """Precisions of the screen."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class SearchPrecision(StrEnum):
    """Precisions of the judge's search on a GPU."""

    FLOAT32 = "float32"
    TF32 = "tf32"


# The attacks of a version, in the order in which they run; those of version custom are named.
VERSIONS = {
    Version.STANDARD: (Attack.APGD_CE, Attack.APGD_T, Attack.FAB_T, Attack.SQUARE),
    Version.RAND: (Attack.APGD_CE, Attack.APGD_DLR),
}


def _means(meaning: str, *, verdicts: bool = True) -> dict[str, Any]:
    """Of a field: what it means, and whether it changes verdicts."""
    return {"meaning": meaning, "verdicts": verdicts}


@dataclass(frozen=True)
class AttackRequest:
    """What an attack is asked; checked when it is made.

    Epsilons are kept as written (``"1/255"``); floats are taken too. Texts of the enumerations may stand for
    them.

    Raises
    ------
    AlignsecError
        No epsilon, an impossible one or one twice, an unknown norm, version, attack or precision, attacks
        without version custom or the other way round, top5 with version rand, a batch of no images.

    Examples
    --------
    >>> asked = AttackRequest(epsilons=("1/255", 0.5), norm="L2", batch_size=8)
    >>> asked.to_json(), asked.manner()
    ('{"epsilons":["1/255","0.5"],"norm":"L2"}', '{"batch_size":8}')
    >>> AttackRequest.from_json(asked.to_json(), asked.manner()) == asked
    True
    """

    epsilons: tuple[str, ...] = field(
        default=("1/255",), metadata=_means('Radius in [0, 1] pixel units, as "1/255" or "0.001".')
    )
    norm: Norm = field(default=Norm.LINF, metadata=_means("Norm of the perturbation."))
    version: Version = field(default=Version.STANDARD, metadata=_means("AutoAttack's version."))
    attacks: tuple[Attack, ...] = field(default=(), metadata=_means("Attack of version custom, in order."))
    ladder: bool = field(default=True, metadata=_means("Share work between epsilons."))
    top5: bool = field(default=False, metadata=_means("Is the label among the five largest logits, too?"))
    precision: SearchPrecision = field(
        default=SearchPrecision.FLOAT32, metadata=_means("Precision of the search on a GPU.")
    )
    screen_precision: Precision = field(
        default=Precision.FLOAT32, metadata=_means("Precision of the screen.")
    )
    seed: int = field(default=0, metadata=_means("Seed of every random draw; an image has its own draws."))
    batch_size: int | None = field(
        default=None, metadata=_means("Images per batch; by default as many as fit.", verdicts=False)
    )
    keep: bool = field(
        default=False, metadata=_means("Keep each image's smallest adversarial.", verdicts=False)
    )

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("epsilons", tuple(e if isinstance(e, str) else repr(float(e)) for e in self.epsilons))
        put("norm", _one_of(Norm, self.norm, "norm"))
        put("version", _one_of(Version, self.version, "attack version"))
        put("attacks", tuple(_one_of(Attack, a, "attack") for a in self.attacks))
        put("precision", _one_of(SearchPrecision, self.precision, "precision"))
        put("screen_precision", _one_of(Precision, self.screen_precision, "screen_precision"))
        for name in ("ladder", "top5", "keep"):
            if not isinstance(getattr(self, name), bool):
                raise AlignsecError(f"{name} {getattr(self, name)!r} is neither true nor false")
        put("seed", _whole(self.seed, "seed", 0))
        if self.batch_size is not None:
            put("batch_size", _whole(self.batch_size, "batch_size", 1))
        epsilon.check(self.epsilons, self.norm)
        self._check_attacks()

    def _check_attacks(self) -> None:
        if self.version is Version.CUSTOM and not self.attacks:
            raise AlignsecError(f"version custom needs a list of attacks: {', '.join(Attack)}")
        if self.version is not Version.CUSTOM and self.attacks:
            raise AlignsecError(
                f"version {self.version} has its own attacks: name others with version custom"
            )
        if len(set(self.attacks)) != len(self.attacks):
            raise AlignsecError(f"an attack is named twice: {', '.join(self.attacks)}")
        if self.top5 and self.version is Version.RAND:
            raise AlignsecError(
                "top5 is not defined for version rand: its adversarials are judged by repeated evaluation"
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "AttackRequest":
        """A request of some of its fields; `AlignsecError` names the nearest to an unknown one."""
        names = [f.name for f in fields(cls)]
        for name in options:
            if name not in names:
                near = closest(str(name), names)[0][0]
                raise AlignsecError(f"an attack has no option {name!r}: did you mean {near!r}?")
        return cls(**options)

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "AttackRequest":
        """What the `attack` section and the `seed` of a resolved configuration ask."""
        given = {**config["attack"], "seed": config["seed"]}
        return cls(**{f.name: given[f.name] for f in fields(cls)})

    @classmethod
    def from_json(cls, *texts: str, **more: Any) -> "AttackRequest":
        """A request of JSON objects of fields, and of `more` fields; what a later one says stands."""
        options: dict[str, Any] = {}
        for text in texts:
            try:
                given = json.loads(text)
            except ValueError as error:
                raise AlignsecError(f"request {text!r} is no JSON: {error}") from error
            if not isinstance(given, dict):
                raise AlignsecError(f"request {text!r} is no JSON object of an attack's options")
            options |= given
        return cls.of(options | more)

    def to_json(self) -> str:
        """Canonical JSON of the fields that change verdicts.

        One at its default is left out, so that an option that is added later changes no text.
        """
        return self._json(verdicts=True)

    def manner(self) -> str:
        """The same of the fields that change no verdict."""
        return self._json(verdicts=False)

    def _json(self, verdicts: bool) -> str:
        told = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.metadata["verdicts"] is verdicts and getattr(self, f.name) != f.default
        }
        return json.dumps(told, sort_keys=True, separators=(",", ":"))

    def for_stochastic(self) -> "AttackRequest":
        """What is asked of a model whose logits differ between forward passes: version rand."""
        return replace(self, version=Version.RAND, attacks=(), top5=False)

    @property
    def stochastic(self) -> bool:
        """Whether a verdict is the majority of repeated evaluations."""
        return self.version is Version.RAND

    @property
    def run(self) -> tuple[Attack, ...]:
        """The attacks, in the order in which they run."""
        return VERSIONS.get(self.version, self.attacks)

    @cached_property
    def radii(self) -> tuple[float, ...]:
        """The epsilons as floats, ascending."""
        return tuple(sorted(epsilon.parse(e) for e in self.epsilons))


def _one_of(kind: type[Choice], value: Any, what: str) -> Choice:
    try:
        return kind(value)
    except ValueError as error:
        raise AlignsecError(f"{what} {value!r} is not one of {', '.join(kind)}") from error


def _whole(value: Any, what: str, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise AlignsecError(f"{what} {value!r} is not a whole number") from error
    if number < least or isinstance(value, bool):
        raise AlignsecError(f"{what} {value!r} is not a whole number of {least} or above")
    return number
