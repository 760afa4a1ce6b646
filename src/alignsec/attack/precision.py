"""In which precision float32 is computed: exactly, or on a GPU in TF32.

PyTorch lets convolutions run in TF32 and matrix products not, and has two interfaces to say otherwise, of
which the older, `allow_tf32`, raises once the newer, `fp32_precision`, disagrees with it. Models read the
older one (`torch.backends.cudnn.flags`, compilers). So the newer is what decides here, operation by
operation, and the older is made to agree; afterwards both are as they were.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from alignsec.study.request import SearchPrecision


def _operations() -> list[tuple[Any, str]]:
    b: Any = torch.backends
    on_gpu = [(o, "tf32") for o in (b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn)]
    return on_gpu + [(o, "ieee") for o in (b.mkldnn.matmul, b.mkldnn.conv, b.mkldnn.rnn)]


def _legacy() -> tuple[str | None, bool | None]:
    """What the older interface says of matrix products and of cuDNN; None where it cannot say."""
    matmul: str | None = None
    cudnn: bool | None = None
    with contextlib.suppress(RuntimeError):  # the two interfaces were mixed before
        matmul = torch.get_float32_matmul_precision()
    with contextlib.suppress(RuntimeError):
        cudnn = torch.backends.cudnn.allow_tf32
    return matmul, cudnn


@contextlib.contextmanager
def arithmetic(precision: SearchPrecision) -> Iterator[None]:
    """Float32 operations of this precision: TF32 is for a GPU's, on a CPU they are exact.

    >>> with arithmetic(SearchPrecision.TF32), exact():
    ...     torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    ('ieee', 'ieee')
    """
    reduced = precision is SearchPrecision.TF32
    before, (matmul, cudnn) = [(o, o.fp32_precision) for o, _ in _operations()], _legacy()
    torch.set_float32_matmul_precision("high" if reduced else "highest")
    torch.backends.cudnn.allow_tf32 = reduced
    for operation, fastest in _operations():
        operation.fp32_precision = fastest if reduced else "ieee"
    try:
        yield
    finally:
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if cudnn is not None:
            torch.backends.cudnn.allow_tf32 = cudnn
        for operation, was in before:
            operation.fp32_precision = was


def exact() -> contextlib.AbstractContextManager[None]:
    """The precision of the last word on an adversarial: that of float32 itself."""
    return arithmetic(SearchPrecision.FLOAT32)
