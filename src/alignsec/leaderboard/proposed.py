"""What names and plugins' sources propose to a person: families, series, a model sheet."""

import re
from typing import TYPE_CHECKING

from alignsec.leaderboard.plugins import wanted, weights_source
from alignsec.leaderboard.registry import plugin_folder

if TYPE_CHECKING:
    import pandas as pd

# Name pattern -> family; the first that matches decides. Variants of one lineage are not independent models.
_FAMILIES = [
    (r"^vone", "vone"),
    (r"^realnet", "realnet"),
    (r"^yudixie", "yudixie"),
    (r"^effnetb1|_avge\d", "effnetb1_riedel"),
    (
        r"^(tau|convlstm|predrnn|mim|mvit_v|selavi|simvp|mc3_|r2plus1d|r3d_|s3d$|x3d|i3d|timesformer|slowfast)",
        "temporal",
    ),
    (r"clip", "vitclip"),
    (r"antialiased", "other:antialiased"),
    (r"alexnet", "alexnet"),
    (r"^bit-", "bit"),
    (r"convnext", "convnext"),
    (r"cornet", "cornet"),
    (r"^cvt", "cvt"),
    (r"deit", "deit"),
    (r"densenet", "densenet"),
    (r"grcnn", "grcnn"),
    (r"hmax|^pixels$", "hmax"),
    (r"inception|xception", "inception"),
    (r"mobilenet|mobilevit|nasnet_mobile", "mobilenet"),
    (r"nasnet", "nasnet"),
    (r"efficientnet", "efficientnet"),
    (r"resnext|res2net", "resnext"),
    (r"shufflenet", "shufflenet"),
    (r"swin", "swin"),
    (r"vgg(?!-sound)", "vgg"),
    (r"resnet", "resnet"),
    (r"vit", "vit"),
]


def propose_family(model: str) -> str:
    """A family guessed from the name, for a person to review; ``other:<first word>`` where nothing fits.

    >>> propose_family("resnet50_tutorial"), propose_family("bagnet17")
    ('resnet', 'other:bagnet')
    """
    name = model.strip().lower()
    for pattern, family in _FAMILIES:
        if re.search(pattern, name):
            return family
    return "other:" + (re.match(r"[a-z]+|.", name) or ["unnamed"])[0]


def propose_series(model: str) -> str:
    """The architecture line of a name: lower case, numbers as ``#``: sizes and seeds of one line meet.

    >>> propose_series("ResNet-18_seed3")
    'resnet-#_seed#'
    """
    return re.sub(r"\d+", "#", model.lower())


def propose_sheet(merged: "pd.DataFrame", source: str = "installed") -> "pd.DataFrame":
    """A model sheet of every merged model, for a person to review.

    Families and series are proposed from the names; `weights` (where they are fetched from) and `packages`
    (what the plugin imports that is not installed here) are read from the plugin's source, which is not run.
    """
    import pandas as pd

    folders = [plugin_folder(str(plugin), source) for plugin in merged["plugin"]]
    return pd.DataFrame(
        {
            "model": merged["model"],
            "source": "brainscore",
            "spec": merged["model"],
            "family": [propose_family(m) for m in merged["model"]],
            "note": "",
            "series": [propose_series(m) for m in merged["model"]],
            "weights": [weights_source(f) for f in folders],
            "packages": [", ".join(wanted(f)) for f in folders],
        }
    ).sort_values(["family", "series", "model"], ignore_index=True)
