"""Which precision the search runs in, whatever a plugin has said of it before; on a CPU, settings alone."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from alignsec.attack import evaluate_robustness
from alignsec.attack.precision import arithmetic, exact
from alignsec.study.request import SearchPrecision

B = torch.backends
OPERATIONS = (B.cuda.matmul, B.cudnn.conv, B.cudnn.rnn, B.mkldnn.matmul, B.mkldnn.conv, B.mkldnn.rnn)


def older() -> tuple[bool, bool, str]:
    """Raises where the two interfaces disagree."""
    return B.cuda.matmul.allow_tf32, B.cudnn.allow_tf32, torch.get_float32_matmul_precision()


def newer() -> list[str]:
    return [o.fp32_precision for o in OPERATIONS]


def allow_matmul() -> None:
    B.cuda.matmul.allow_tf32 = True


def forbid_cudnn() -> None:
    B.cudnn.allow_tf32 = False


def everywhere() -> None:
    B.fp32_precision = "tf32"


def cpu_bfloat16() -> None:
    B.mkldnn.fp32_precision = "bf16"


def one_operation() -> None:
    B.cudnn.conv.fp32_precision = "ieee"


def both() -> None:
    forbid_cudnn()
    B.cudnn.conv.fp32_precision = "tf32"


def nothing() -> None: ...


def high() -> None:
    torch.set_float32_matmul_precision("high")


def medium() -> None:
    torch.set_float32_matmul_precision("medium")


PLUGINS = [nothing, high, medium, allow_matmul, forbid_cudnn, everywhere, cpu_bfloat16, one_operation, both]


def apart(how: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own: what a plugin sets cannot always be read, and so not undone."""
    with multiprocessing.get_context(how).Pool(1) as pool:
        return pool.apply_async(work, arguments).get(120)


def settings(plugin: Callable[[], None]) -> dict[str, Any]:
    plugin()
    before, seen = newer(), {}
    try:
        readable: Any = older()
    except RuntimeError:
        readable = None
    for chosen in SearchPrecision:
        with arithmetic(chosen):
            seen[chosen] = newer(), older()
            with exact():
                seen[f"exact in {chosen}"] = newer(), older()
            assert newer() == seen[chosen][0]
            with B.cudnn.flags(enabled=False):
                pass
        assert newer() == before
        assert readable is None or older() == readable
    return seen


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugins_settings_do_not_matter_and_are_as_they_were_afterwards(plugin: Callable[[], None]) -> None:
    seen = apart("fork", settings, plugin)
    ieee, reduced = ["ieee"] * 6, ["tf32"] * 3 + ["ieee"] * 3  # on a CPU nothing is reduced
    assert seen["tf32"] == (reduced, (True, True, "high"))
    for name in ("float32", "exact in float32", "exact in tf32"):
        assert seen[name] == (ieee, (False, False, "highest")), name


def test_settings_come_back_after_an_error() -> None:
    before = newer(), older()
    with pytest.raises(KeyError), arithmetic(SearchPrecision.TF32), exact():
        raise KeyError
    assert (newer(), older()) == before


class Notes(nn.Module):
    """Notes the precision of each call, and touches cuDNN's flags as models do."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, str]] = []

    def forward(self, x: Tensor) -> Tensor:
        with B.cudnn.flags(enabled=False):
            pixel = x.flatten(1).mean(1)
        self.seen.append((x.requires_grad, B.cuda.matmul.fp32_precision))
        return torch.stack([0.53 - pixel, pixel - 0.53], 1)


def attacked(plugin: Callable[[], None]) -> dict[str, tuple[set[tuple[bool, str]], Any]]:
    torch.set_num_threads(1)
    plugin()
    x = torch.full((1, 1, 2, 2), 0.5)
    options: dict[str, Any] = {"version": "custom", "attacks": ["apgd-ce"], "device": "cpu"}
    found = {}
    for precision in SearchPrecision:
        model = Notes().eval()
        table = evaluate_robustness(model, x, [0], [0.01, 0.1], precision=precision, **options)
        assert table["robust"].tolist() == [True, False]
        found[precision.value] = set(model.seen), table.attrs["cost"]["precision"]
    return found


@pytest.mark.parametrize("plugin", [nothing, both])
def test_the_search_runs_in_the_precision_asked_for_and_the_last_word_in_float32(
    plugin: Callable[[], None],
) -> None:
    # autograd does not work in the fork of a process that has used it
    found = apart("spawn", attacked, plugin)
    seen, said = found["tf32"]
    assert {p for graded, p in seen if graded} == {"tf32"} and (False, "ieee") in seen
    assert said == "float32"  # a CPU has no other
    assert {p for _, p in found["float32"][0]} == {"ieee"}
