"""Covariates as columns of numbers."""

import numpy as np
import pandas as pd
import pytest

from alignsec.analysis import design
from alignsec.analysis.control import Control, leafwise
from alignsec.ground.errors import AlignsecError


def test_texts_become_indicators_of_all_values_but_the_commonest() -> None:
    training = ["standard", "adversarial", None, "standard", "CLIP", "CLIP", "standard"]
    frame = pd.DataFrame({"training": training, "input_size": [224.0, 224, np.nan, 224, 288, 336, 64]})
    found, names = design.matrix(frame, ["training", "input_size", "adversarial"])
    wanted = pd.get_dummies(frame["training"].fillna("unknown")).drop(columns="standard").astype(float)
    assert set(names) == {f"training: {c}" for c in wanted} | {"input_size", "adversarial"}
    for name, column in zip(names, found.T, strict=True):
        value = wanted.get(name.removeprefix("training: "), np.log10(frame["input_size"]))
        np.testing.assert_array_equal(column, value)
    assert design.matrix(frame, [])[0].shape == (7, 0)
    assert set(design.matrix(frame, ["training"], least=2)[1]) == {"training: CLIP", "training: other"}
    with pytest.raises(AlignsecError, match=r"covariate 'size' is no column .*\(training, input_size\)"):
        design.matrix(frame, ["size"])


def test_an_effect_that_adversarially_trained_networks_carry_is_gone_once_training_is_held_fixed() -> None:
    rng = np.random.default_rng(0)
    n = 240
    family, special = np.arange(n) % 24, rng.random(n) < 0.15
    x, y = rng.standard_normal((2, n)) + 4 * special
    z = rng.standard_normal(n)
    frame = pd.DataFrame({"training": np.where(special, "adversarial", "standard")})
    without = leafwise(x[None], y, family, Control(z))[0, 0]
    held = leafwise(x[None], y, family, Control(z), design.matrix(frame, ["adversarial"])[0])[0, 0]
    assert without > 0.3 and abs(held) < 0.15
