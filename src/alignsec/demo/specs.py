"""What a spec of a demo network says: ``arch=cnn,training=noise,strength=0.2,seed=3``. Imports no torch."""

from collections.abc import Collection
from dataclasses import dataclass, fields

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import closest

# `alignsec.demo.architectures` builds them
ARCHITECTURES = ("mlp", "cnn", "resnet", "mixer", "depthwise", "vgg", "densenet", "inception", "transformer",
                 "bag")  # fmt: skip
TRAININGS: dict[
    str, tuple[str, float, float] | None
] = {  # training: what `strength` is, its default and its largest sensible value
    "standard": None,
    "noise": ("standard deviation of Gaussian noise, in [0, 1] pixels", 0.2, 1.0),
    "blur": ("standard deviation of a Gaussian blur, in pixels", 1.0, 4.0),
    "adversarial": ("L-infinity radius of PGD, in [0, 1] pixels", 0.1, 0.5),
    "labelsmooth": ("probability mass spread over all classes", 0.2, 0.9),
}
_LONGEST_SEED = 18  # digits


@dataclass(frozen=True)
class Spec:
    """A parsed spec; `strength` is 0 where the training has none."""

    arch: str
    training: str = "standard"
    strength: float = 0.0
    seed: int = 0


def parse_spec(spec: str) -> Spec:
    """Parse ``key=value`` pairs separated by commas; only `arch` is required.

    Raises
    ------
    AlignsecError
        An unknown, repeated or malformed key or value; the message names the nearest or the valid ones.

    Examples
    --------
    >>> parse_spec("arch=cnn,training=noise,seed=3")
    Spec(arch='cnn', training='noise', strength=0.2, seed=3)
    """
    try:
        return _parsed(spec)
    except AlignsecError as error:
        raise AlignsecError(f"demo spec {spec!r}: {error}") from None


def problem(spec: str) -> str | None:
    """What is wrong with a spec; None where nothing is.

    >>> problem("arch=cnn,trainin=noise")
    "unknown key 'trainin': did you mean training? valid are arch, training, strength, seed"
    """
    try:
        _parsed(spec)
    except AlignsecError as error:
        return str(error)
    return None


def _parsed(spec: str) -> Spec:
    keys = [f.name for f in fields(Spec)]
    given: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in spec.split(","))):
        key, separator, value = (t.strip() for t in part.partition("="))
        if not separator or not value:
            raise AlignsecError(f"{part!r} is not of the form key=value")
        _known("key", key, keys)
        if key in given:
            raise AlignsecError(f"{key!r} is given twice")
        given[key] = value
    if "arch" not in given:
        raise AlignsecError(f"it names no arch: add arch= and one of {', '.join(ARCHITECTURES)}")
    arch = _known("arch", given["arch"], ARCHITECTURES)
    training = _known("training", given.get("training", "standard"), TRAININGS)
    seed = given.get("seed", "0")
    if not seed.isdecimal() or len(seed) > _LONGEST_SEED:
        raise AlignsecError(f"seed {seed!r} is not a whole number from 0 up")
    rule = TRAININGS[training]
    if rule is None:
        if "strength" in given:
            raise AlignsecError(f"training={training} has no strength: remove it")
        return Spec(arch, training, 0.0, int(seed))
    meaning, default, largest = rule
    try:
        strength = float(given.get("strength", default))
    except ValueError:
        strength = float("nan")
    if not 0 < strength <= largest:
        raise AlignsecError(
            f"strength {given['strength']!r} is not above 0 and at most {largest:g} ({meaning})"
        )
    return Spec(arch, training, strength, int(seed))


def _known(what: str, value: str, valid: Collection[str]) -> str:
    if value not in valid:
        near, similarity = closest(value, valid)[0]
        hint = f"did you mean {near}? " if similarity >= 0.5 else ""
        raise AlignsecError(f"unknown {what} {value!r}: {hint}valid are {', '.join(valid)}")
    return value
