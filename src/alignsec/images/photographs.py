"""ImageNet-C's corruptions of photographs, by a kept copy of its authors' code (`imagecorruptions-imaug`)."""

from typing import TYPE_CHECKING

from alignsec.ground.errors import AlignsecError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# the fifteen of the benchmark, then its four for validation
NAMES = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
    "speckle_noise", "gaussian_blur", "spatter", "saturate",
)  # fmt: skip
LEAST = 64  # height and width in pixels; the constants are for photographs of 224
OWN_SEED = ("impulse_noise", "glass_blur")  # take a seed and do not look at NumPy's global one


def is_photograph(image: "npt.NDArray[np.float32]") -> bool:
    """Whether pixels (C, H, W) are grey or colour, and as large as a photograph."""
    return image.shape[0] in (1, 3) and min(image.shape[-2:]) >= LEAST


def corrupt(
    image: "npt.NDArray[np.float32]", name: str, severity: int, seed: int
) -> "npt.NDArray[np.float32]":
    """Corrupted copy of one photograph (C, H, W) float32 in [0, 1], in whole grey levels as ImageNet-C's are.

    The bytes depend on the arguments only: NumPy's global generator, which most of the library draws from, is
    set by `seed` and put back. ImageNet-C's own files are also JPEGs of quality 85, which these are not.

    Raises
    ------
    AlignsecError
        The library is not installed.
    """
    import numpy as np

    try:
        import imagecorruptions
    except ImportError as error:
        raise AlignsecError(
            f"robustness.corruptions: {name} of photographs needs imagecorruptions-imaug ({error}): install the "
            "extra `attack`"
        ) from error
    levels = np.ascontiguousarray((image * 255).round().astype(np.uint8).transpose(1, 2, 0))
    options = {"seed": seed % 2**32} if name in OWN_SEED else {}
    before = np.random.get_state()  # noqa: NPY002 -- what the library draws from
    try:
        np.random.seed(seed % 2**32)  # noqa: NPY002
        found = imagecorruptions.corrupt(levels, severity=severity, corruption_name=name, **options)
    finally:
        np.random.set_state(before)  # noqa: NPY002
    rgb: npt.NDArray[np.float32] = np.asarray(found, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    return rgb if len(image) == 3 else rgb.mean(0, keepdims=True)
