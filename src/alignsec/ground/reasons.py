"""Why a model is left out of a study: a fixed list, so that reasons can be counted.

Imports nothing heavy: the process that supervises a plugin knows it as well.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple


class Kind(NamedTuple):
    """What an exclusion of one kind means, and whether another attempt may succeed."""

    meaning: str
    transient: bool = False


# A reason is one of these, or one of these and ": " and details.
KINDS: dict[str, Kind] = {
    "not in registry": Kind("the installed package has no model of this name"),
    "missing package": Kind("the plugin imports a package that is not installed; it is named"),
    "import error": Kind(
        "the plugin, or the code that it fetches, raises an error of its own while it loads"
    ),
    "module error": Kind(
        "what a module offers beside its forward pass (eval, parameters, …) raises an error"
    ),
    "weights unavailable": Kind("a file of weights or code cannot be fetched", transient=True),
    "weights damaged": Kind("the file of weights is no state dict"),
    "weights of another network": Kind("the state dict does not fit the network"),
    "quantised weights": Kind("weights in integers: no gradient reaches the pixels through them"),
    "unsafe weights": Kind("the file of weights holds pickled objects, which loading it would execute"),
    "no classifier": Kind("what the model returns is no finite (N, classes) logits"),
    "head of N": Kind("the classes are not the thousand of ImageNet, or not those of the images"),
    "video model": Kind("the model takes clips and has no preprocessing of still images"),
    "non-affine preprocessing": Kind("the model's input is no per-channel affine map of pixels"),
    "forward error": Kind("the forward pass raises an error"),
    "autograd error": Kind("the gradient of the loss with respect to the pixels cannot be computed"),
    "zero gradients": Kind("the gradient of the loss with respect to the pixels is zero, or not finite"),
    "side effects": Kind("the plugin changes what is not its own; zoo.side_effects: allow takes it"),
    "flagged": Kind("preflight found what zoo.exclude_flags excludes"),
    "images do not fit": Kind("the channels or labels of the images are not the model's"),
    "crashed": Kind("the process that held the model ended by itself"),
    "out of memory": Kind("the memory limit was reached", transient=True),
    "timeout": Kind("the time limit was reached", transient=True),
    "device fault": Kind("the device failed, not the model; it and its host are named", transient=True),
    "killed": Kind("the process that held the model was killed from outside", transient=True),
}

FLAGS: dict[str, str] = {
    "at chance": "clean accuracy on the sample is not above chance",
    "label order suspect": "at chance, while the predictions would fit another order of the classes",
    "stochastic": "logits differ between forward passes: attacked with AutoAttack's version rand",
    "probabilities": "the outputs are probabilities, not logits: gradients may vanish",
    "duplicate weights": "another model of the study has the same weights",
    "batch dependent": "logits of an image depend on the others in its batch, and so does every verdict",
    "several outputs": "the module returns several tensors: that with the study's number of classes is taken",
    "below expected": "clean accuracy is below what is published for these weights, by more than chance",
    "accuracy gap": "clean accuracy is above Brain-Score's own ImageNet top-1, by more than chance",
}


def kind_of(reason: str) -> str:
    """The kind of a reason: the longest entry of `KINDS` that it starts with (N in `head of N` is a number).

    Raises
    ------
    KeyError
        The reason is not of the list: a bug of ours.
    """
    found = [k for k in KINDS if reason.startswith(k.removesuffix(" N"))]
    if not found:
        raise KeyError(f"reason {reason!r} is not of the list in alignsec/ground/reasons.py")
    return max(found, key=len)


class Excluded(Exception):
    """A model that cannot be evaluated: a fact about the model, which the study records and goes on.

    Parameters
    ----------
    reason : why, for ``excluded.csv``: a kind of `KINDS`, then details
    transient : whether another attempt may succeed; None: as the kind says
    """

    def __init__(self, reason: str, transient: bool | None = None) -> None:
        if transient is None:
            transient = KINDS[kind_of(reason)].transient
        super().__init__(reason, transient)  # all arguments, so that it survives pickling
        self.reason, self.transient = reason, transient

    @property
    def kind(self) -> str:
        """Which of `KINDS` the reason is."""
        return kind_of(self.reason)

    def __str__(self) -> str:
        return self.reason


def message(error: BaseException) -> str:
    """What an error says, whatever its type: a plugin's may fail to, or say what no file can hold.

    >>> message(ValueError("a path \\udcff"))
    'a path ?'
    """
    try:
        return str(error).encode("utf-8", "replace").decode("utf-8")
    except Exception:  # noqa: BLE001 - its own `__str__` is third-party code too
        return ""


def told(error: BaseException, longest: int = 200) -> str:
    """An error in a line: its type, and the first line of what it says.

    >>> told(ValueError("no such thing\\nand more"))
    'ValueError: no such thing'
    """
    lines = [line.strip() for line in message(error).splitlines() if line.strip()] or [""]
    # TorchScript says what was wrong at the end of its own traceback
    first = lines[-1] if "TorchScript interpreter" in lines[0] else lines[0]
    first = "".join(c if c.isprintable() else " " for c in first)
    return f"{type(error).__name__}: {first[:longest]}".removesuffix(": ")


def out_of_memory(error: BaseException) -> bool:
    """Whether this is an allocation that failed, on any device; `torch` is not imported to ask."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = message(error).lower()
    # the libraries of a device say it as their status
    status = ("alloc_failed", "allocation_failed")
    words = ("out of memory", "not enough memory", "can't allocate memory", *status)
    return isinstance(error, RuntimeError) and any(w in text for w in words)


# As torch begins what the driver of a device or one of its libraries reports (in its c10/cuda/CUDAException.h
# and ATen/cuda/Exceptions.h) …
_REPORTED = re.compile(
    r"\b((CUDA|HIP)( driver| unknown)? error|cu(DNN|FFT|SOLVER|SPARSE|DSS)( Frontend)? error"
    r"|CUDA driver initialization failed|NVML_SUCCESS)\b",
    re.IGNORECASE,
)
# … and what of it is about that which was asked of the device: no other one would do it either
_ASKED_WRONGLY = (
    "device-side assert", "invalid argument", "invalid configuration argument", "too many resources",
    "_not_supported", "_invalid_value", "_bad_param",
)  # fmt: skip


def device_fault(error: BaseException) -> bool:
    """Whether the device failed, and not the code that ran on it; `torch` is not imported to ask.

    An error that a model's code made of one, or raised while it handled one, is one as well.

    >>> device_fault(RuntimeError("CUDA error: uncorrectable ECC error encountered"))
    True
    >>> device_fault(RuntimeError("CUDA error: device-side assert triggered"))
    False
    """
    return any(_is_fault(one) for one in chain(error))


def _is_fault(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and not out_of_memory(error) and tells_fault(message(error))


def tells_fault(text: str) -> bool:
    """Whether a text reports that the device failed, as torch words it."""
    return _REPORTED.search(text) is not None and not any(w in text.lower() for w in _ASKED_WRONGLY)


def may_be_memory(error: BaseException) -> bool:
    """Whether a library of the device reports what it also reports where it finds no memory for itself."""
    text = message(error).lower()
    return device_fault(error) and ("_internal_error" in text or "_not_initialized" in text)


def not_the_models(error: BaseException) -> bool:
    """Whether no code of a model is to blame, whatever raised it: memory ran out, or the device failed."""
    return out_of_memory(error) or device_fault(error)


def chain(error: BaseException) -> list[BaseException]:
    """The error, what it was raised from, and what it was raised while handling."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and all(one is not f for f in found):
        found.append(one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return found


@contextlib.contextmanager
def memory_excludes() -> Iterator[None]:
    """An allocation that failed inside becomes `Excluded`; every other error passes."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise Excluded("out of memory") from error


@contextlib.contextmanager
def theirs(kind: str) -> Iterator[None]:
    """Around code of a model's own, and nothing else: what it raises becomes `Excluded` of this kind.

    `sys.exit` too; an allocation that failed becomes "out of memory", a fault of the device "device fault". A
    user's Ctrl-C passes: a plugin that raises one is ended with its process (`alignsec.ground.isolation`).
    """
    try:
        yield
    except Excluded:
        raise
    except (Exception, SystemExit) as error:
        if out_of_memory(error):
            raise Excluded("out of memory") from error
        raise Excluded(f"{'device fault' if device_fault(error) else kind}: {told(error)}") from error
