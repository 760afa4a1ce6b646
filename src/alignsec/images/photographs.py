"""ImageNet-C's corruptions of photographs, by a kept port of its authors' code (`imagecorruptions-imaug`).

The port has the published constants of all but `elastic_transform`, which is made here. It differs from what
made ImageNet-C's files in that motion blur (snow's as well) is its own rather than ImageMagick's, and frost
draws of six textures (scaled by 1.1) rather than five.
"""

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
            f"robustness.corruptions: {name} of photographs needs imagecorruptions-imaug ({error}): install "
            "the extra `attack`"
        ) from error
    levels = np.ascontiguousarray((image * 255).round().astype(np.uint8).transpose(1, 2, 0))
    if name == "elastic_transform":
        found = _elastic_transform(levels, severity, np.random.default_rng(seed))
    else:
        options = {"seed": seed % 2**32} if name in OWN_SEED else {}
        before = np.random.get_state()  # noqa: NPY002 -- what the library draws from
        try:
            np.random.seed(seed % 2**32)  # noqa: NPY002
            found = imagecorruptions.corrupt(levels, severity=severity, corruption_name=name, **options)
        finally:
            np.random.set_state(before)  # noqa: NPY002
    colour = np.asarray(found, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    return colour if len(image) == colour.shape[0] else colour.mean(0, keepdims=True)


# pixels: largest displacement before smoothing, standard deviation of the smoothing, shift of three corners
ELASTIC = (
    (244 * 2, 244 * 0.7, 244 * 0.1),
    (244 * 2, 244 * 0.08, 244 * 0.2),
    (244 * 0.05, 244 * 0.01, 244 * 0.02),
    (244 * 0.07, 244 * 0.01, 244 * 0.02),
    (244 * 0.12, 244 * 0.01, 244 * 0.02),
)


def _elastic_transform(
    levels: "npt.NDArray[np.uint8]", severity: int, rng: "np.random.Generator"
) -> "npt.NDArray[np.uint8]":
    """ImageNet-C's elastic transform of (H, W, C) grey levels: a random affine map, then a smooth bend.

    The library's is another one, with no affine map and weaker displacements.
    """
    import cv2
    import numpy as np
    from scipy.ndimage import gaussian_filter, map_coordinates

    strength, sigma, shift = ELASTIC[severity - 1]
    height, width, channels = levels.shape
    across = np.array([height // 2, width // 2], dtype=np.float32)
    reach = min(height, width) // 3
    corners = across + np.float32(reach) * np.array([[1, 1], [1, -1], [-1, -1]], dtype=np.float32)
    moved = (corners + rng.uniform(-shift, shift, corners.shape)).astype(np.float32)
    image = cv2.warpAffine(
        (levels / 255).astype(np.float32),
        cv2.getAffineTransform(corners, moved),
        (width, height),
        borderMode=cv2.BORDER_REFLECT_101,
    ).reshape(height, width, channels)
    right, down = (
        strength * gaussian_filter(rng.uniform(-1, 1, (height, width)), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    )
    rows, columns = np.mgrid[:height, :width]
    bent = [
        map_coordinates(image[..., i], (rows + down, columns + right), order=1, mode="reflect")
        for i in range(channels)
    ]
    whole: npt.NDArray[np.uint8] = (np.clip(np.stack(bent, -1), 0, 1) * 255).astype(np.uint8)
    return whole
