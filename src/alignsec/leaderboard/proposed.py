"""What a reviewed table, plugins and names propose to a person: families, series, a model sheet."""

import re
from typing import TYPE_CHECKING

from alignsec.leaderboard.metadata import Statement
from alignsec.leaderboard.plugins import wanted, weights_source
from alignsec.leaderboard.registry import plugin_folder
from alignsec.study import covariates

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
    # the checkpoint of resnet50_robust_l2_eps3, to the byte (docs/covariates.md)
    (r"resnet|^imagenet_l2_3_0$", "resnet"),
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


def propose_sheet(
    merged: "pd.DataFrame",
    reviewed: "pd.DataFrame | None" = None,
    said: "pd.DataFrame | None" = None,
) -> "pd.DataFrame":
    """A model sheet of every merged model, for a person to review.

    `evidence` says where each cell comes from: the reviewed table with its own evidence, else the plugin's
    ``metadata.yaml`` with key and status, else the name. Nothing else is guessed. Series are proposed from
    the names; `weights` (where they are fetched from) and `packages` (what the plugin imports that is not
    installed here) are read from the plugin's source, which is not run.

    Parameters
    ----------
    merged : table of kind ``merged``
    reviewed : covariates by model (`study.covariates.read`)
    said : what plugins say of their models (`leaderboard.metadata.read`)
    """
    import pandas as pd

    folders = [plugin_folder(str(plugin)) for plugin in merged["plugin"]]
    known = {} if reviewed is None else covariates.by_model(reviewed)
    stated: dict[str, list[Statement]] = {}
    if said is not None:
        for model, _, *statement in said.itertuples(index=False):
            stated.setdefault(str(model), []).append(Statement(*map(str, statement)))
    proposed = pd.DataFrame(
        {
            "model": merged["model"],
            "source": "brainscore",
            "spec": merged["model"],
            "note": "",
            "series": [propose_series(m) for m in merged["model"]],
            "weights": [weights_source(f) for f in folders],
            "packages": [", ".join(wanted(f)) for f in folders],
        }
    )
    cells = [_covariates(m, known.get(m), stated.get(m, [])) for m in merged["model"]]
    proposed = proposed.join(pd.DataFrame(cells, columns=covariates.COLUMNS[1:], index=proposed.index))
    return proposed.sort_values(["family", "series", "model"], ignore_index=True)


def _covariates(model: str, reviewed: "dict[str, str] | None", said: list[Statement]) -> dict[str, str]:
    """Family and covariates of a model, with evidence of each."""
    if reviewed is not None:
        return {**reviewed, "evidence": f"reviewed; {reviewed['evidence']}"}
    cells = dict.fromkeys(covariates.COLUMNS[1:], covariates.UNKNOWN) | {"family": propose_family(model)}
    evidence = ["family: name"]
    for name, value, key, status in said:
        # of supervision and lineage a person makes the training
        if name in covariates.CELLS and covariates.fault(name, value) is None:
            cells[name] = value
        elif name not in ("supervision", "lineage"):
            continue
        shown = "" if name in covariates.CELLS else f" {value}"
        evidence.append(f"{name}:{shown} metadata {key}{f' ({status})' if status else ''}")
    return {**cells, "evidence": "; ".join(evidence)}
