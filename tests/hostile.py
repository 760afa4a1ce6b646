"""Factories of modules that break what a torch module promises, and what preflight is to make of each
(`REASONS`).
"""

import os
import shutil
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from alignsec.ground.child import note
from alignsec.ground.errors import AlignsecError
from tests.children import daemon
from tests.misbehaving import Net

REASONS: dict[str, str] = {}  # factory -> regular expression of its reason; "" where it can be attacked


def ends(reason: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def keep(factory: Callable[[], Any]) -> Callable[[], Any]:
        REASONS[factory.__name__] = reason
        return factory

    return keep


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


class Own(BaseException):
    pass


def throws(error: BaseException) -> Any:
    raise error


def with_(**methods: Any) -> nn.Module:
    """A network with some of its methods replaced."""
    return type("Changed", (Net,), methods)()


# ---- what is unusual and can be attacked -------------------------------------------------------------------


def _told(module: Any) -> nn.Module:
    """TorchScript keeps no attributes of the class."""
    module.input_size, module.channels = Net.input_size, Net.channels
    return module


@ends("")
def script() -> nn.Module:
    return _told(torch.jit.script(Net()))


@ends("")
def traced() -> nn.Module:
    return _told(torch.jit.trace(Net(), torch.rand(2, 1, 8, 8)))


@ends("")
def frozen() -> nn.Module:
    return _told(torch.jit.freeze(torch.jit.script(Net().eval())))


@ends("forward error: RuntimeError: (RuntimeError: )?mat1 and mat2 shapes cannot be multiplied")
def script_that_says_no_size() -> nn.Module:
    return torch.jit.script(Net())


@ends("")
def parallel() -> nn.Module:
    return nn.DataParallel(Net())


@ends("")
def extra_state() -> nn.Module:
    return with_(get_extra_state=lambda self: object(), set_extra_state=lambda self, state: None)


@ends("")
def wants_gradients() -> nn.Module:
    def forward(self: Net, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            return self.linear(x.flatten(1))

    return with_(forward=forward)


@ends("")
def deletes_the_ssl_context() -> nn.Module:
    del ssl._create_default_https_context
    return Net()


@ends("")
def removes_its_folder() -> nn.Module:
    shutil.rmtree(Path.cwd())
    return Net()


@ends("")
def closes_its_output() -> nn.Module:
    sys.stdout.close()
    sys.stderr = None  # type: ignore[assignment]
    return Net()


@ends("")
def closes_its_descriptors() -> nn.Module:
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    return Net()


@ends("")
def forks() -> nn.Module:
    os.fork()
    return Net()


@ends("")
def leaves_a_daemon() -> nn.Module:
    note(daemon=daemon("program without an environment"))
    return Net()


@ends(r"side effects: printed 9[5-9]\.\d MiB")
def floods() -> nn.Module:
    line = b"x" * 999_999 + b"\n"
    for _ in range(100):
        os.write(1, line)
    return Net()


@ends("crashed: the process ended with exit status 0 and no result")
def becomes_a_daemon() -> nn.Module:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(600)
    return Net()


# ---- errors of every type, at every place ------------------------------------------------------------------


@ends("import error: AlignsecError: our own type")
def raises_our_error() -> nn.Module:
    return throws(AlignsecError("our own type"))


@ends("import error: Mute$")
def raises_without_a_word() -> nn.Module:
    return throws(Mute())


@ends(r"import error: ValueError: half a character \? and a bell  $")
def raises_what_no_file_can_hold() -> nn.Module:
    return throws(ValueError("half a character \udcff and a bell \x07\nmore"))


@ends(r"crashed: it raised KeyboardInterrupt$")
def interrupts() -> nn.Module:
    return throws(KeyboardInterrupt())


@ends("crashed: it raised Own: bye")
def raises_a_base_exception() -> nn.Module:
    return throws(Own("bye"))


@ends("import error: .*returned NoneType, not a torch module")
def returns_nothing() -> None:
    return None


@ends("import error: its channels is 'three'")
def counts_in_words() -> nn.Module:
    return with_(channels="three")


@ends(r"import error: its input_size is \(8, -8\)")
def is_of_negative_size() -> nn.Module:
    return with_(input_size=(8, -8))


@ends(r"import error: its input_size is 8\.5")
def is_of_half_a_size() -> nn.Module:
    return with_(input_size=8.5)


@ends("import error: RuntimeError: look elsewhere")
def hides_its_attributes() -> nn.Module:
    return with_(channels=property(lambda self: throws(RuntimeError("look elsewhere"))))


@ends("module error: ValueError: always training")
def refuses_to_be_evaluated() -> nn.Module:
    return with_(eval=lambda self: throws(ValueError("always training")))


@ends("module error: SystemExit: 4")
def exits_when_trained() -> nn.Module:
    return with_(train=lambda self, mode=True: sys.exit(4))


@ends("module error: TypeError: none of yours")
def hides_its_parameters() -> nn.Module:
    def parameters(self: Net, recurse: bool = True) -> Iterator[nn.Parameter]:
        return throws(TypeError("none of yours"))

    return with_(parameters=parameters)


@ends("module error: KeyError: 'no state'")
def has_no_state() -> nn.Module:
    return with_(state_dict=lambda self, *a, **k: throws(KeyError("no state")))


@ends("module error: .*uninitialized")
def is_lazy() -> nn.Module:
    net = Net()
    net.linear = nn.LazyLinear(10)  # type: ignore[assignment]
    return net


@ends("module error: NotImplementedError: Cannot copy out of meta tensor")
def has_no_weights() -> nn.Module:
    return Net().to("meta")


@ends("module error: TypeError: descriptor 'clear'")
def resets_what_it_is_not() -> nn.Module:
    return with_(reset=dict.clear)


@ends("module error: ZeroDivisionError: no reset")
def resets_by_division() -> nn.Module:
    return with_(reset=property(lambda self: throws(ZeroDivisionError("no reset"))))


@ends("out of memory$")
def forgets_beyond_memory() -> nn.Module:
    return with_(reset=lambda self: None, forward=lambda self, x: throws(MemoryError()))


@ends("forward error: SystemExit: 3")
def exits_when_called() -> nn.Module:
    return with_(forward=lambda self, x: sys.exit(3))


@ends("crashed: it raised KeyboardInterrupt")
def interrupts_when_called() -> nn.Module:
    return with_(forward=lambda self, x: throws(KeyboardInterrupt()))


@ends("forward error: Mute$")
def fails_without_a_word() -> nn.Module:
    return with_(forward=lambda self, x: throws(Mute()))


@ends("forward error: RecursionError")
def calls_itself() -> nn.Module:
    return with_(forward=lambda self, x: self(x))


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, error: BaseException) -> torch.Tensor:
        ctx.error = error
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return throws(ctx.error)


def _no_way_back(error: BaseException) -> nn.Module:
    def forward(self: Net, x: torch.Tensor) -> torch.Tensor:
        return _Backward.apply(self.linear(x.flatten(1)), error)

    return with_(forward=forward)


@ends("autograd error: KeyError: 'no way back'")
def fails_backward() -> nn.Module:
    return _no_way_back(KeyError("no way back"))


@ends("autograd error: SystemExit: 5")
def exits_backward() -> nn.Module:
    return _no_way_back(SystemExit(5))


@ends("autograd error: forward error: ValueError: no gradients here")
def fails_with_gradients_only() -> nn.Module:
    def forward(self: Net, x: torch.Tensor) -> torch.Tensor:
        return throws(ValueError("no gradients here")) if x.requires_grad else self.linear(x.flatten(1))

    return with_(forward=forward)


# ---- outputs that are no logits ----------------------------------------------------------------------------


def _gives(change: Callable[[torch.Tensor], Any]) -> nn.Module:
    return with_(forward=lambda self, x: change(self.linear(x.flatten(1))))


@ends("no classifier: the output is a ndarray without logits")
def gives_an_array() -> nn.Module:
    return _gives(lambda z: np.asarray(z.detach()))


@ends("no classifier: the output is a list without logits")
def gives_a_list_of_itself() -> nn.Module:
    def endless(z: torch.Tensor) -> list[Any]:
        out: list[Any] = []
        out.append(out)
        return out

    return _gives(endless)


@ends("forward error: OSError: no logits today")
def gives_what_cannot_be_looked_at() -> nn.Module:
    shy = type("Shy", (), {"logits": property(lambda self: throws(OSError("no logits today")))})
    return _gives(lambda z: shy())


@ends("no classifier: an output of shape .*complex64")
def gives_complex_numbers() -> nn.Module:
    return _gives(lambda z: z.to(torch.complex64))


@ends("forward error: ")
def gives_what_lies_nowhere() -> nn.Module:
    return _gives(lambda z: z.to("meta"))


@ends("forward error: ")
def gives_sparse_logits() -> nn.Module:
    return _gives(lambda z: z.to_sparse())


def _by_call(change: Callable[[int, torch.Tensor], torch.Tensor]) -> nn.Module:
    calls = []

    def forward(self: Net, x: torch.Tensor) -> torch.Tensor:
        calls.append(0)
        return change(len(calls), self.linear(x.flatten(1)))

    return with_(forward=forward)


@ends("no classifier: 10 logits, and 9 of the same images again")
def loses_a_class_for_once() -> nn.Module:
    return _by_call(lambda n, z: z[:, :9] if n == 3 else z)


@ends("no classifier: the logits are not finite")
def is_finite_once() -> nn.Module:
    return _by_call(lambda n, z: z if n == 1 else z * float("nan"))


@ends(r"no classifier: an output of shape \(8, 9\) for 8 images")
def has_fewer_classes_for_a_batch() -> nn.Module:
    return _gives(lambda z: z[:, :9] if len(z) > 2 else z)


@ends(r"no classifier: the logits of [1-9]\d* of 16 images are not finite")
def overflows_on_some_images() -> nn.Module:
    def forward(self: Net, x: torch.Tensor) -> torch.Tensor:
        z = self.linear(x.flatten(1))
        # digits are mostly black, random images are not
        return z.masked_fill((x.mean((1, 2, 3)) < 0.3)[:, None], float("nan"))

    return with_(forward=forward)


@ends("forward error: ValueError: two at most")
def takes_two_images_at_most() -> nn.Module:
    return _gives(lambda z: z if len(z) < 3 else throws(ValueError("two at most")))


# ---- preprocessing of files (`FILES`: on images that are files) --------------------------------------------

FILES: dict[str, str] = {}


def sees(reason: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def keep(factory: Callable[[], Any]) -> Callable[[], Any]:
        FILES[factory.__name__] = reason
        return factory

    return keep


def _with_preprocess(preprocess: Any) -> nn.Module:
    net = Net()
    net.preprocess = preprocess
    return net


@sees("images do not fit: the model has no preprocessing of image files")
def has_no_preprocessing() -> nn.Module:
    return Net()


@sees("images do not fit: .*: TypeError: 'str' object is not callable")
def names_its_preprocessing() -> nn.Module:
    return _with_preprocess("centre crop")


@sees("images do not fit: .*: SystemExit: 6")
def exits_at_an_image() -> nn.Module:
    return _with_preprocess(lambda paths: sys.exit(6))


@sees("out of memory")
def has_no_memory_for_images() -> nn.Module:
    return _with_preprocess(lambda paths: throws(MemoryError()))


@sees(r"images do not fit: .*: ValueError: an array of shape \(1, 1, 8, 8\) of 3 images")
def looks_at_one_image_only() -> nn.Module:
    return _with_preprocess(lambda paths: np.zeros((1, 1, 8, 8)))


@sees(r"images do not fit: .*: ValueError: an array of shape \(3,\) of 3 images")
def sees_numbers() -> nn.Module:
    return _with_preprocess(lambda paths: np.zeros(len(paths)))


@sees("images do not fit: .*: ValueError: could not convert string to float")
def sees_words() -> nn.Module:
    return _with_preprocess(lambda paths: [os.fspath(p) for p in paths])


@sees("images do not fit: they have 1 channels of 4 × 4, the model takes 1 of 8 × 8")
def sees_small_images() -> nn.Module:
    return _with_preprocess(lambda paths: np.zeros((len(paths), 1, 4, 4)))


@sees("images do not fit: pixels from -2 to -2, expected are 0 to 1")
def normalises_by_itself() -> nn.Module:
    return _with_preprocess(lambda paths: np.full((len(paths), 1, 8, 8), -2.0))


@sees("images do not fit: pixels from nan to nan, expected are 0 to 1")
def sees_nothing() -> nn.Module:
    return _with_preprocess(lambda paths: np.full((len(paths), 1, 8, 8), np.nan))
