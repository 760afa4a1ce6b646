"""What of a study one selection of models gives to the test of kinds: scores, target, control."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alignsec.analysis import control as controlled
from alignsec.analysis import design, maxt
from alignsec.ground.errors import AlignsecError
from alignsec.study import targets as naming

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.intp]

_LEAVES = 16  # at a time
RARE = 5  # models: values of a covariate that fewer have are one value


@dataclass(frozen=True)
class Options:
    """How `claims` estimates.

    Parameters
    ----------
    images : number of images of each value, a row per model (index) and a column per target; None: exact
    same_images : are target and control counted on the same images; None: where their numbers agree
    flips, seed : of the sign-flip test
    held : covariates that are held fixed beside the control, as `design.matrix` takes them
    """

    images: "pd.DataFrame | None" = None
    same_images: bool | None = None
    flips: int = 10_000
    seed: int = 0
    held: Sequence[str] = ()


@dataclass(frozen=True)
class Taken:
    """The scores of the models of one selection that have the target."""

    x: "Floats"  # (L, n), NaN where a model has none
    y: "Floats"  # (n,)
    family: "Ints"  # (n,), 0 to F - 1
    control: controlled.Control | None
    clusters: "Ints"  # (n,), super-families, 0 to S - 1; -1 where not known
    cluster_names: Sequence[str] = field(default_factory=list)
    held: "Floats | None" = None  # (n, k) covariates, held fixed beside the control

    def counts(self, x: "Floats") -> "Ints":
        """(F, L) models that are correlated over."""
        import numpy as np

        have = np.isfinite(x) & (True if self.control is None else np.isfinite(self.control.value))
        each = self.family == np.arange(self.family.max() + 1)[:, None]
        found: Ints = each.astype(int) @ have.T.astype(int)
        return found

    def leafwise(self, x: "Floats", **options: Any) -> "Floats":
        """Correlations of leaves with the target, see `control.leafwise`."""
        import numpy as np

        given = {"control": self.control, "covariates": self.held} | options
        # every leaf is held once for every family, with every column that is held fixed
        parts = [x[i : i + _LEAVES] for i in range(0, len(x), _LEAVES)]
        return np.concatenate(
            [controlled.leafwise(part, self.y, self.family, **given) for part in parts], axis=1
        )

    def scores(self, x: "Floats", rho: "Floats") -> maxt.Scores:
        """Scores of families given the control; `rho`: of `leafwise`."""
        if self.control is None:
            return maxt.scores(x, self.y, self.family, None, self.held)
        found = maxt.scores(x, self.y, self.family, self.control.value, self.held)
        if self.control.images is None:
            return found
        plain = self.leafwise(x, control=controlled.Control(self.control.value))
        return maxt.corrected(found, rho, plain, self.counts(x))

    @property
    def used(self) -> float:
        """Degrees of freedom of the control beyond a straight line's, and of covariates between families."""
        more = 0.0 if self.held is None else design.between(self.held, self.family)
        return more + (0 if self.control is None else controlled.bends(len(self.y)) - 1)


def take(
    part: "pd.DataFrame",
    leaves: "pd.DataFrame",
    target: str,
    control: str | None,
    covariates: "pd.DataFrame | None",
    options: Options,
) -> Taken | None:
    """The models that have target, control and covariates; None where there are none, or the target is
    constant."""
    import numpy as np
    import pandas as pd

    def values(frame: "pd.DataFrame", column: str) -> "Floats":
        numbers: Floats = frame[column].to_numpy(dtype="float64", na_value=np.nan)
        return numbers

    have = np.isfinite(values(part, target))
    if control is not None:
        have &= np.isfinite(values(part, control))
    held = None
    if options.held:
        if covariates is None:
            raise AlignsecError(f"to hold {', '.join(options.held)} fixed, give a table of covariates")
        told = covariates.set_index("model").reindex(part["model"])
        have &= np.isfinite(design.matrix(told, options.held)[0]).all(1)
        held = design.matrix(told[have], options.held, RARE)[0]
    part = part[have]
    if len(part) < 3 or np.ptp(values(part, target)) == 0:
        return None
    family = np.unique(part["family"].to_numpy(dtype=str), return_inverse=True)[1]
    x = np.stack([values(part, str(b)) for b in leaves["benchmark"]])
    x[~np.isfinite(x)] = np.nan
    known = pd.DataFrame() if options.images is None else options.images.reindex(part["model"])
    given = None
    if control is not None:
        counted = {c: values(known, c) for c in (control, target) if c in known and known[c].notna().any()}
        agree = len(counted) == 2 and bool((counted[control] == counted[target]).all())
        same = naming.is_of_correct(target) and (
            agree if options.same_images is None else options.same_images
        )
        given = controlled.Control(values(part, control), counted.get(control), same and control in counted)
    clusters, names = np.full(len(part), -1), []
    if covariates is not None:
        of = covariates.set_index("model")["architecture"].reindex(part["model"])
        clusters, named = pd.factorize(of)
        names = [str(n) for n in named]
    return Taken(x, values(part, target), family, given, clusters, names, held)


def images_of(robustness: "pd.DataFrame") -> "pd.DataFrame":
    """Images behind each value of a table of kind ``robustness``: a row per model, a column per target."""
    return robustness.pivot(index="model", columns="target", values="n").astype(float)
