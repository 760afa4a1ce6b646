"""What every model source delivers: one module from [0, 1] pixels to logits, or the reason why not."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from alignsec.ground.errors import AlignsecError
from alignsec.ground.reasons import Excluded, not_the_models, theirs, told

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alignsec.zoo.loading import Trace

__all__ = ["Excluded", "PixelModel"]

# What libraries of spiking and recurrent networks call the method that forgets the state of the last input.
_RESETS = ("reset", "reset_state", "reset_states", "reset_mem", "reset_hidden")
_REPEATABLE = 1e-4  # of logits, as the reference's check for randomised models
_DEEPEST = 8  # of outputs inside outputs; a list may hold itself


class PixelModel(nn.Module):
    """A classifier with its preprocessing inside: (N, C, H, W) float pixels in [0, 1] -> (N, K) logits.

    An attack perturbs what goes in here, so its epsilon is one of pixels whatever the normalisation.

    Parameters
    ----------
    module : takes normalised images
    mean, std : per channel, or one value for all channels, in units of [0, 1] pixels
    input_size : side, or (height, width), of the images that the model expects
    label_offset : number of leading logits to drop (1 for a head with a background class)
    classes : number of logits to keep after those; None: all
    unwrap : look for the logits in an output object (``.logits``, ``["logits"]``; of several tensors that
        whose width is of `widths`) and give them their two axes; otherwise the module's output is passed on
        as it is
    frame_axis : where the module wants an axis of length one for time, or None
    arguments : keyword arguments of every call of the module

    Attributes
    ----------
    preprocess : image files to pixels (N, C, H, W) in [0, 1], by the model's own resize and crop; None where
        the model takes arrays only
    geometry : names the resize and crop: equal for models that see the same pixels of the same file; None
        where there is no `preprocess`
    round_trip : image files to the largest error, in pixel units, of the normalised pixels against the
        model's own preprocessing; None where there is no `preprocess`
    trace : what loading did, where `alignsec.zoo.load` made the model
    expected : clean top-1 accuracy published for these weights, and by whom; None where that is not known
    widths : how many logits the study's classes may have, to tell them from other outputs of the module
    picked : which of several outputs was taken, in words, once there was such a forward pass

    Raises
    ------
    AlignsecError
        A std that is not positive, mean and std of different lengths, or a negative label offset.
    """

    mean: Tensor
    std: Tensor
    preprocess: "Callable[[Sequence[Path]], npt.NDArray[np.float32]] | None" = None
    geometry: str | None = None
    round_trip: "Callable[[Sequence[Path]], float] | None" = None
    trace: "Trace | None" = None
    expected: tuple[float, str] | None = None
    widths: tuple[int, ...] = ()
    picked: str | None = None

    def __init__(
        self,
        module: nn.Module,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        input_size: int | tuple[int, int] = 224,
        label_offset: int = 0,
        unwrap: bool = True,
        frame_axis: int | None = None,
        arguments: Mapping[str, Any] | None = None,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean or not all(s > 0 for s in std):
            raise AlignsecError(
                f"mean {tuple(mean)} and std {tuple(std)}: give one of each per channel, std > 0"
            )
        if label_offset < 0:
            raise AlignsecError(f"label_offset {label_offset} is negative: it counts logits to drop")
        self.module = module
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.input_size, self.label_offset, self.unwrap = input_size, label_offset, unwrap
        self.classes = classes
        self.frame_axis, self.arguments = frame_axis, dict(arguments or {})
        self.resets: list[Callable[[], Any]] = []

    @property
    def height_width(self) -> tuple[int, int]:
        """`input_size` as a pair."""
        size = self.input_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def normalise(self, x: Tensor) -> Tensor:
        """Pixels in [0, 1] to what the module was trained on; same shape."""
        return (x - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) of pixels (N, C, H, W) in [0, 1]; `Excluded` if the module fails."""
        z = self.normalise(x)
        if self.frame_axis is not None:
            z = z.unsqueeze(self.frame_axis)
        try:
            for reset in self.resets:
                reset()
            output = self.module(z, **self.arguments)
            if self.unwrap:
                output, said = _logits(output, len(x), self.widths)
                output = _two_axes(output, len(x))
                self.picked = self.picked or said
            # a slice of everything would still cost autograd a copy per step
            if self.label_offset or self.classes is not None:
                end = None if self.classes is None else self.label_offset + self.classes
                output = output[:, self.label_offset : end]
        except (Exception, SystemExit) as error:
            # a smaller batch may fit: that is for the caller to say
            if isinstance(error, Excluded) or not_the_models(error):
                raise
            raise Excluded(f"forward error: {told(error)}") from error
        logits: Tensor = output
        return logits

    def adapt(self) -> None:
        """Make the module fit for an attack: float32, parameters frozen, no memory of the last input.

        Half precision becomes single: the verdict of an attack is never below float32. A module that keeps a
        state between calls (spiking networks) is reset before each where its reset methods are seen to make
        repeated forwards equal and to leave the weights alone.

        Raises
        ------
        Excluded
            "module error": the module does not let itself be evaluated, frozen or reset.
        """
        with theirs("module error"):
            self.module.eval()
            self.eval()
            # one by one: a TorchScript module refuses the method that does it for all
            for parameter in self.module.parameters():
                parameter.requires_grad_(False)
            tensors = (*self.module.parameters(), *self.module.buffers())
            if any(t.is_floating_point() and t.dtype != torch.float32 for t in tensors):
                self.module.float()
            if candidates := _reset_methods(self.module):
                self.resets = self._proven(candidates)

    @torch.no_grad()
    def _proven(self, candidates: list[Callable[[], Any]]) -> list[Callable[[], Any]]:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(1, self.mean.numel(), *self.height_width, generator=generator)
        state = self.module.state_dict()
        before = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}
        try:
            first, second = self(x), self(x)
            if bool((first - second).abs().max() <= _REPEATABLE):
                return []
            self.resets = candidates
            first, second = self(x), self(x)
        except Excluded:  # preflight will say what is wrong with it
            self.resets = []
            return []
        after = self.module.state_dict()
        kept = {k for k, _ in self.module.named_parameters()}
        if not all(torch.equal(before[k], after[k]) for k in kept & set(before)):
            # it draws new weights: not what was looked for
            self.module.load_state_dict(before)
            return []
        return candidates if bool((first - second).abs().max() <= _REPEATABLE) else []


def _reset_methods(module: nn.Module) -> list[Callable[[], Any]]:
    import inspect

    found: list[Callable[[], Any]] = []
    for part in module.modules():
        for name in _RESETS:
            method = getattr(part, name, None)
            if not inspect.ismethod(method):
                continue
            needed = [
                p
                for p in inspect.signature(method).parameters.values()
                if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            ]
            if not needed:
                found.append(method)
    return found


def _logits(output: Any, n: int, widths: Sequence[int]) -> tuple[Tensor, str | None]:
    """The logits of `n` images in what a module returns, and in words which of several tensors they are."""
    for _ in range(_DEEPEST):
        if isinstance(output, Tensor):
            return output, None
        # before tuple and mapping: a Hugging Face output is both, and its first entry may be the loss
        if isinstance(getattr(output, "logits", None), Tensor):
            output = output.logits
        elif isinstance(output, Mapping) and "logits" in output:
            output = output["logits"]
        elif isinstance(output, Mapping | tuple | list) and len(output) == 1:
            (output,) = output.values() if isinstance(output, Mapping) else output
        else:
            break
    if isinstance(output, Tensor):
        return output, None
    if tensors := _tensors(output, _DEEPEST):
        return _chosen(tensors, n, widths)
    raise Excluded(f"no classifier: the output is a {type(output).__name__} without logits")


def _tensors(output: Any, depth: int) -> list[Tensor]:
    """Tensors of floats with axes in nested tuples, lists and mappings, in order."""
    if isinstance(output, Tensor):
        return [output] if output.ndim and output.is_floating_point() else []
    if isinstance(getattr(output, "logits", None), Tensor):
        return [output.logits]
    if not depth or not isinstance(output, Mapping | tuple | list):
        return []
    parts = output.values() if isinstance(output, Mapping) else output
    return [t for part in parts for t in _tensors(part, depth - 1)]


def _chosen(tensors: list[Tensor], n: int, widths: Sequence[int]) -> tuple[Tensor, str | None]:
    """The one of several tensors that can be logits of `n` images, and of several such the one of a known
    width.
    """
    shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
    flat = [(i, _two_axes(t, n)) for i, t in enumerate(tensors)]
    able = [(i, t) for i, t in flat if t.ndim == 2 and len(t) == n]
    if len(able) > 1:
        able = [(i, t) for i, t in able if t.shape[1] in widths]
        if len(able) != 1:
            remedy = "" if able else ", or set num_classes on the module"
            raise Excluded(
                f"no classifier: several outputs may be the logits, of shapes {shapes}: have forward return "
                f"the logits alone{remedy}"
            )
    index, logits = able[0] if able else flat[0]
    said = None if len(tensors) == 1 else f"number {index + 1} of {len(tensors)}, of shapes {shapes}"
    return logits, said


def _two_axes(logits: Tensor, n: int) -> Tensor:
    """(N, K) from outputs that keep axes of length one, or drop that of a single image."""
    if logits.ndim == 1 and n == 1:
        logits = logits[None]
    while logits.ndim > 2:
        spare = [a for a in range(logits.ndim - 1, -1, -1) if logits.shape[a] == 1 and (a or n > 1)]
        if not spare:
            break
        logits = logits.squeeze(spare[0])
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
