"""The models: where they come from, what loading them takes, whether they can be attacked, and why not."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignsec.ground.reasons import Excluded
    from alignsec.zoo.pixel_model import PixelModel
    from alignsec.zoo.sources import load

__all__ = ["Excluded", "PixelModel", "load"]


def __getattr__(name: str) -> Any:
    # imported when asked for: half of this package's verbs do without torch's four seconds
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from alignsec.ground.reasons import Excluded
    from alignsec.zoo.pixel_model import PixelModel
    from alignsec.zoo.sources import load

    return {"Excluded": Excluded, "PixelModel": PixelModel, "load": load}[name]
