"""Kept adversarials checked by a forward pass, anywhere: no attack and none of its code has a say in it.

Of every image that a table calls broken there must be one, inside [0, 1], inside the ball and misclassified.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alignsec.ground import isolation
from alignsec.ground.errors import AlignsecError
from alignsec.ground.tables import read
from alignsec.study import layout, sheet
from alignsec.study.catalogue import SOURCES
from alignsec.study.layout import Layout, adversarials_of
from alignsec.study.records import OK, read_status
from alignsec.zoo import running

ROUNDING = 1e-6  # of clean + perturbation in float32
BATCH = 64


class Check(NamedTuple):
    """What became of the kept adversarials of one model on one shard; all but `kept` should be none.

    Parameters
    ----------
    kept : how many there are
    absent : verdicts "broken" whose image has none
    outside : verdicts "broken" whose adversarial is further away than their epsilon
    illegal : adversarials outside [0, 1]
    right : adversarials that the model classifies rightly
    """

    model: str
    shard: str
    kept: int
    absent: int
    outside: int
    illegal: int
    right: int

    @property
    def holds(self) -> bool:
        """Whether every verdict "broken" is proven."""
        return not (self.absent or self.outside or self.illegal or self.right)


def line(found: Check) -> str:
    """A check in a line."""
    what = f"{found.model}, shard {found.shard}: {found.kept} adversarials"
    if found.holds:
        return f'{what}: all in [0, 1], in their balls and misclassified; every verdict "broken" has one'
    return (
        f'{what}: {found.illegal} outside [0, 1], {found.right} classified rightly; of the verdicts "broken" '
        f"{found.absent} have none and {found.outside} one outside the ball"
    )


def check(row: running.ModelRow, shard: Path, verdicts: Path, norm: str) -> list[int]:
    """The counts of `Check`, of one model and shard, here; the adversarials lie beside `verdicts`."""
    import numpy as np
    import torch

    from alignsec.attack.known import tolerance
    from alignsec.attack.precision import exact
    from alignsec.attack.screen import size
    from alignsec.attack.verdicts import REPEATS

    manifest, table = read(shard, "images"), read(verdicts, "attack")
    ready = running.prepare(row, manifest)
    place = "cuda" if torch.cuda.is_available() else "cpu"
    model = running.moved(ready.model, place).eval()
    distance: dict[str, float] = {}
    illegal = right = 0
    repeats = 1 if ready.report["deterministic"] else REPEATS
    for index, delta in _kept(adversarials_of(verdicts)):
        for at in np.split(np.arange(len(index)), range(BATCH, len(index), BATCH)):
            clean = torch.from_numpy(ready.pixels[index[at]]).float()
            moved = clean + torch.from_numpy(delta[at].astype(np.float32))
            adversarial = moved.clamp(0, 1)
            illegal += int(((moved - adversarial).abs().flatten(1).amax(1) > ROUNDING).sum())
            far = size(adversarial - clean, norm)
            distance |= {manifest["image"].iloc[i]: float(d) for i, d in zip(index[at], far, strict=True)}
            labels = torch.as_tensor(ready.labels[index[at]]).to(place)
            with torch.no_grad(), exact():
                votes = sum(model(adversarial.to(place)).argmax(1) == labels for _ in range(repeats))
            right += sum(2 * int(v) > repeats for v in votes)
    broken = table[table["correct"] & ~table["robust"]]
    absent = outside = 0
    for image, epsilon in zip(broken["image"], broken["epsilon"], strict=True):
        absent += image not in distance
        outside += distance.get(image, 0.0) > epsilon + tolerance(epsilon, norm)
    return [len(distance), absent, outside, illegal, right]


def _kept(path: Path) -> Iterator[tuple[Any, Any]]:
    """Positions and perturbations (N, C, H, W), those of float16 and those that need float32."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        for prefix in ("", "exact_"):
            if len(index := arrays[f"{prefix}image"]):
                yield index, arrays[f"{prefix}delta"]


def _in_child(shard: Path, verdicts: Path, norm: str, **row: Any) -> list[int]:
    return check(running.ModelRow(**row), shard, verdicts, norm)


def of_study(folder: Path, config: Mapping[str, Any], models: Sequence[str] = ()) -> Iterator[Check]:
    """Check what a study run in `folder` kept, a model and shard at a time, each in a process of its own.

    Parameters
    ----------
    config : resolved
    models : names; none: every model of the sheet that was attacked

    Raises
    ------
    AlignsecError
        Nothing was kept, a name is not the sheet's, or a model does not load any more.
    """
    files = Layout(folder / layout.of_study(config["study"]).root)
    rows = {str(r["model"]): r for r in sheet.read(config["zoo"]["sheet"]).to_dict("records")}
    if unknown := [m for m in models if m not in rows]:
        raise AlignsecError(f"{config['zoo']['sheet']}: no model {unknown[0]!r}")
    found = False
    for model in models or rows:
        row = rows[model]
        weights = files.models.weights(model) if SOURCES[row["source"]].trained else None
        for shard in layout.shard_names(config["images"]["count"], config["attack"]["images_per_shard"]):
            table, status = files.models.attack(model, shard), files.models.attack_status(model, shard)
            if (
                not status.is_file()
                or read_status(status)["status"] != OK
                or not adversarials_of(table).is_file()
            ):
                continue
            found = True
            given = {
                "name": model, "source": row["source"], "spec": row["spec"] or model, "weights": weights,
                "preflight": files.models.preflight(model), "shard": files.images(shard), "verdicts": table,
                "norm": config["attack"]["norm"],
            }  # fmt: skip
            # paths in the tables are meant from where the study runs
            stands = {"ALIGNSEC_FOLDER": str(folder.resolve())}
            plain = {k: isolation.plain(v) for k, v in given.items()}
            done = isolation.call(_in_child, plain, environment=stands)
            if done.excluded is not None:
                raise AlignsecError(f"{model}: its adversarials cannot be checked: {done.excluded.reason}")
            yield Check(model, shard, *done.value)
    if not found:
        raise AlignsecError(
            f"{files.root}: no adversarials are kept here: set attack.keep to true, and have the attacks run "
            "again (snakemake --forcerun attack)"
        )
