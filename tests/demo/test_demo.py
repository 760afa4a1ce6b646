"""The demo study: digits, small networks trained by rules, and the leaderboard measured on them."""

import csv
import io
import math
import pickle
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from alignsec.analysis import families
from alignsec.demo import architectures, specs
from alignsec.demo import benchmarks as demo_benchmarks
from alignsec.demo import networks as demo
from alignsec.ground.digits import digits
from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import export
from alignsec.study import kinds as reviewed
from alignsec.study import sheet
from alignsec.study.layout import Models
from alignsec.zoo.pixel_model import Excluded, PixelModel

SHEET = Path(__file__).parents[2] / "config" / "demo" / "models.tsv"
LEAVES = [b for names in demo_benchmarks.CATEGORIES.values() for b in names]
CNN = "arch=cnn,training=standard,seed=1"
ROBUST = "arch=cnn,training=adversarial,strength=0.1,seed=1"
PLANTED, ABSENT = "Planted2026.gradient-on-ink", "Absent2026.untrained-rdm"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for i, spec in enumerate((CNN, ROBUST)):
        paths[spec] = folder / f"{i}.pt"
        accuracy = demo.train(spec, paths[spec], seed=0)
        assert accuracy["test_accuracy"] > 0.9 and accuracy["train_accuracy"] > 0.9
    return paths


@pytest.fixture(scope="module")
def measured(trained: dict[str, Path]) -> dict[str, float]:
    return scores(CNN, trained[CNN])


def scores(spec: str, weights: Path, seed: int = 0) -> dict[str, float]:
    return demo_benchmarks.measure(demo.load(spec, weights), demo.untrained(spec, seed))


# ---- digits and sheet --------------------------------------------------------------------------------------


def test_digits_are_pixels_and_the_splits_are_disjoint() -> None:
    train_x, train_y, test_x, test_y = digits()
    assert train_x.shape == (1000, 1, 8, 8) and test_x.shape == (797, 1, 8, 8)
    assert train_x.dtype == np.float32 and train_y.dtype == np.int64 and len(train_y) == 1000
    assert train_x.min() == 0 and train_x.max() == 1
    seen, attacked = ({image.tobytes() for image in x} for x in (train_x, test_x))
    assert len(seen) == 1000 and len(attacked) == 797 and not seen & attacked
    assert set(train_y) == set(test_y) == set(range(10))
    np.testing.assert_array_equal(digits()[2], test_x)


def test_sheet_of_the_demo_is_valid_and_varied() -> None:
    rows = sheet.read(SHEET)
    found = [specs.parse_spec(s) for s in rows["spec"]]
    assert len(rows) == len(set(found)) and set(rows["source"]) == {"demo"}
    assert rows["family"].tolist() == [s.arch for s in found]
    assert {s.training for s in found} >= {"standard", "noise", "blur", "adversarial"}
    assert len({s.strength for s in found if s.training == "adversarial"}) == 2
    assert any("/" in name and " " in name for name in rows["model"])
    assert any(":" in name for name in rows["model"]) and not all(n.isascii() for n in rows["model"])
    adversarial = [s.training == "adversarial" for s in found]
    assert adversarial == (rows["training"] == "adversarial").tolist()
    # enough of both for intervals and tests, and what is planted lies within every family
    sizes = rows["family"].value_counts().to_numpy()
    assert len(rows) >= 26 and len(sizes) >= 8 and families.objection(sizes, interval=True) == ""
    for _, part in rows.groupby("family"):
        assert {"standard", "adversarial"} <= {specs.parse_spec(s).training for s in part["spec"]}


def test_every_benchmark_of_the_demo_has_a_kind() -> None:
    kinds = reviewed.read(SHEET.with_name("kinds.tsv"))
    areas = {
        b: "V1" if category == "neural" else category
        for category, names in demo_benchmarks.CATEGORIES.items()
        for b in names
    }
    assert dict(zip(kinds["benchmark"], kinds["area"], strict=True)) == areas
    # what is planted and what is absent are claims of their own
    for one in (PLANTED, ABSENT):
        kind = kinds.loc[kinds["benchmark"] == one, "kind"].item()
        assert (kinds["kind"] == kind).sum() == 1


# ---- specs -------------------------------------------------------------------------------------------------


def test_spec_defaults() -> None:
    assert specs.parse_spec("arch=mlp") == specs.Spec("mlp", "standard", 0.0, 0)
    assert specs.parse_spec(" seed=3 , arch=cnn,training=noise,strength=0.3") == specs.Spec(
        "cnn", "noise", 0.3, 3
    )
    assert specs.parse_spec("arch=cnn,training=adversarial").strength == 0.1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "names no arch: add arch= and one of mlp, cnn"),
        ("arch", "'arch' is not of the form key=value"),
        ("arch=", "not of the form"),
        ("arch=cnn,arch=mlp", "'arch' is given twice"),
        ("arch=cnn,trainin=noise", "unknown key 'trainin': did you mean training\\?"),
        ("arch=resnet50", "unknown arch 'resnet50': did you mean resnet\\? valid are mlp, cnn"),
        ("arch=cnn,training=adversary", "unknown training 'adversary': did you mean adversarial\\?"),
        ("arch=cnn,training=zzz", "unknown training 'zzz': valid are standard"),
        ("arch=cnn,seed=-1", "seed '-1' is not a whole number"),
        ("arch=cnn,seed=1.5", "seed '1.5'"),
        ("arch=cnn,strength=0.1", "training=standard has no strength"),
        ("arch=cnn,training=noise,strength=0", "strength '0' is not above 0"),
        ("arch=cnn,training=noise,strength=much", "strength 'much'"),
        ("arch=cnn,training=adversarial,strength=8", "at most 0.5"),
        ("arch=cnn,training=noise,strength=nan", "strength 'nan'"),
    ],
)
def test_bad_specs(spec: str, message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        specs.parse_spec(spec)
    # as a sheet tells it, with the row
    assert re.search(message, specs.problem(spec) or "")


def test_every_architecture_of_the_specs_is_built() -> None:
    assert tuple(architectures.ARCHITECTURES) == specs.ARCHITECTURES


# ---- training and loading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["arch=mlp,training=noise,seed=5", "arch=resnet,training=blur,seed=5"])
def test_training_is_reproducible_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.setattr(demo, "EPOCHS", 2)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    for name, seed, chosen in (("a", 0, spec), ("b", 0, spec), ("c", 1, spec), ("d", 0, spec[:-1] + "6")):
        torch.rand(3)  # the caller's random state must not matter
        demo.train(chosen, tmp_path / name, seed=seed)
    a, b, c, d = ((tmp_path / name).read_bytes() for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3
    assert torch.get_num_threads() == threads
    torch.set_rng_state(state)
    before = torch.rand(1)
    torch.set_rng_state(state)
    demo.train(spec, tmp_path / "e", seed=0)
    assert torch.equal(torch.rand(1), before)
    assert sorted(p.name for p in tmp_path.iterdir()) == list("abcde")  # no temporary file stays


def test_a_network_is_the_same_trained_alone_and_among_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "EPOCHS", 1)
    chosen = [
        f"arch=resnet,training={t},seed={i}" for i, t in enumerate(("noise", "adversarial", "standard"))
    ]
    alone, among, reverse = (
        [tmp_path / f"{i} {when}" for i in range(3)] for when in ("alone", "among", "back")
    )
    for spec, out in zip(chosen, alone, strict=True):
        demo.train(spec, out, seed=3)
    assert len(list(demo.train_each(chosen, among, seed=3))) == 3
    assert len(list(demo.train_each(chosen[::-1], reverse[::-1], seed=3))) == 3
    content = [[p.read_bytes() for p in paths] for paths in (alone, among, reverse)]
    assert content[0] == content[1] == content[2] and len(set(content[0])) == 3


def test_a_training_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def inputs(model: PixelModel, x: torch.Tensor, y: object, spec: specs.Spec, *_: object) -> torch.Tensor:
        if spec.training == "noise":
            raise RuntimeError("no noise today")
        return x

    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "_inputs", inputs)
    rows = pd.DataFrame(
        [[t, "demo", f"arch=mlp,training={t}", "mlp", ""] for t in ("noise", "blur")], columns=sheet.COLUMNS
    )
    outs = [Models(tmp_path).weights(m) for m in rows["model"]]
    for out in outs:
        out.parent.mkdir()
    said = list(demo.train_each(list(rows["spec"]), outs, seed=0))
    assert said[0] == "training failed: RuntimeError: no noise today" and isinstance(said[1], dict)
    with pytest.raises(
        Excluded, match="weights damaged: training failed: RuntimeError: no noise today: del"
    ) as e:
        demo.load(rows["spec"][0], outs[0])
    assert not e.value.transient
    # the other is measured, and stands alone on the leaderboard
    board = demo_benchmarks.measure_all(rows, tmp_path, seed=0)
    assert [line.partition(",")[0] for line in board.splitlines()] == ["model_name", "blur"]


def test_nothing_is_trained_where_the_files_are_too_few_or_a_spec_is_bad(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match="2 specs and 1 files"):
        list(demo.train_each([CNN, ROBUST], [tmp_path / "w.pt"], seed=0))
    with pytest.raises(AlignsecError, match="unknown arch"):
        list(demo.train_each([CNN, "arch=cnm"], [tmp_path / "w.pt", tmp_path / "x.pt"], seed=0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arch", "training"),
    [(a, "adversarial") for a in specs.ARCHITECTURES] + [("cnn", t) for t in specs.TRAININGS],
)
def test_every_architecture_and_every_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: str, training: str
) -> None:
    monkeypatch.setattr(demo, "EPOCHS", 1)
    spec = f"arch={arch},training={training}"
    demo.train(spec, tmp_path / "w.pt", seed=0)
    model = demo.load(spec, tmp_path / "w.pt")
    x = torch.from_numpy(digits()[2][:4])
    logits = model(x)
    assert logits.shape == (4, 10) and bool(torch.isfinite(logits).all())
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert model.input_size == 8
    # one image at a time gives what a batch gives: nothing depends on the batch
    torch.testing.assert_close(torch.cat([model(image[None]) for image in x]), logits)


def test_adversarial_training_makes_robust(trained: dict[str, Path]) -> None:
    _, _, x, y = (torch.from_numpy(a[:200]) for a in digits())
    robust = {}
    for spec, path in trained.items():
        model = demo.load(spec, path)
        attacked = demo.pgd(model, x, y, 0.1, 20, torch.Generator().manual_seed(0))
        assert float((attacked - x).abs().max()) <= 0.1 + 1e-6
        assert float(attacked.min()) >= 0 and float(attacked.max()) <= 1
        robust[spec] = float((model(attacked).argmax(1) == y).float().mean())
    assert robust[ROBUST] > robust[CNN] + 0.1


def test_missing_weights_are_a_transient_exclusion(tmp_path: Path) -> None:
    with pytest.raises(Excluded, match="weights unavailable") as caught:
        demo.load(CNN, tmp_path / "none.pt")
    assert caught.value.transient and caught.value.reason == "weights unavailable"


def test_damaged_weights_are_excluded(tmp_path: Path, trained: dict[str, Path]) -> None:
    whole = trained[CNN].read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for raw in (b"", b"junk", whole[: len(whole) // 2], whole[100:], bytes(flipped)):
        (tmp_path / "w.pt").write_bytes(raw)
        with pytest.raises(Excluded, match="weights damaged") as caught:
            demo.load(CNN, tmp_path / "w.pt")
        assert not caught.value.transient


@pytest.mark.parametrize("content", [{"a": torch.zeros(1)}, torch.zeros(2), [1, 2], {1: 2}, {"a": "b"}, None])
def test_other_files_of_torch_are_excluded(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(Excluded, match="another network than arch=cnn"):
        demo.load(CNN, tmp_path / "w.pt")


def test_weights_of_another_architecture_are_excluded(trained: dict[str, Path]) -> None:
    for arch in set(specs.ARCHITECTURES) - {"cnn"}:
        with pytest.raises(Excluded, match=f"another network than arch={arch}"):
            demo.load(f"arch={arch}", trained[CNN])


class _Dangerous:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.touched,)


def test_loading_never_runs_code_from_the_file(tmp_path: Path) -> None:
    torch.save({"a": _Dangerous(tmp_path / "touched")}, tmp_path / "w.pt")
    with pytest.raises(Excluded, match="weights damaged"):
        demo.load(CNN, tmp_path / "w.pt")
    assert not (tmp_path / "touched").exists()
    torch.load(tmp_path / "w.pt", weights_only=False)
    assert (tmp_path / "touched").exists()  # the file would have


# ---- PixelModel --------------------------------------------------------------------------------------------


class _Returns(nn.Module):
    """Gives its input's channel means as logits, packed by `pack`."""

    def __init__(self, pack: object) -> None:
        super().__init__()
        self.pack = pack

    def forward(self, x: torch.Tensor) -> object:
        return self.pack(x.mean((2, 3)))  # type: ignore[operator]


class _Output(OrderedDict):  # type: ignore[type-arg]
    """A Hugging Face output: a mapping with attributes, the loss first."""

    @property
    def logits(self) -> torch.Tensor:
        return self["logits"]  # type: ignore[no-any-return]


PACKS = {
    "tensor": lambda z: z,
    "attribute": lambda z: _Output(loss=torch.zeros(()), logits=z),
    "dict": lambda z: {"other": None, "logits": z},
    "tuple": lambda z: (z, None),
    "list": lambda z: [z],
    "nested": lambda z: ({"logits": z}, None),
}


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_pixel_model_normalises_unwraps_and_shifts_labels(pack: object) -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    x = torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    expected = (x.mean((2, 3)) - torch.tensor(mean)) / torch.tensor(std)
    model = PixelModel(_Returns(pack), mean, std, input_size=(4, 6))
    torch.testing.assert_close(model(x), expected)
    shifted = PixelModel(_Returns(pack), mean, std, input_size=(4, 6), label_offset=1)
    torch.testing.assert_close(shifted(x), expected[:, 1:])
    assert model.input_size == (4, 6)
    assert model.mean.numel() == model.std.numel() == 3


def test_pixel_model_statistics_move_with_the_model_and_pass_gradients() -> None:
    model = PixelModel(_Returns(PACKS["tensor"]), (0.5,), (0.25,), input_size=8).double()
    assert model.mean.dtype == torch.float64
    x = torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)  # one value serves all channels
    assert model(x).tolist() == [[-2.0] * 3]
    model(x).sum().backward()
    assert x.grad is not None and bool((x.grad == 1).all())  # 1 / (4 pixels x 0.25)


def test_pixel_model_refuses() -> None:
    module = _Returns(PACKS["tensor"])
    for mean, std in (((0.0,), (0.0,)), ((0.0,), (1.0, 1.0)), ((), ()), ((0.0,), (float("nan"),))):
        with pytest.raises(AlignsecError, match="std > 0"):
            PixelModel(module, mean, std, input_size=8)
    with pytest.raises(AlignsecError, match="label_offset -1"):
        PixelModel(module, input_size=8, label_offset=-1)
    for nothing in ("text", (), {"loss": 1}):
        with pytest.raises(Excluded, match="no classifier") as caught:
            PixelModel(_Returns(lambda z, n=nothing: n), input_size=8)(torch.zeros(1, 1, 2, 2))
        assert not caught.value.transient
    assert PixelModel(_Returns(lambda z: "as it is"), input_size=8, unwrap=False)(torch.zeros(1, 1, 2, 2))


def test_an_exclusion_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(Excluded("out of memory", transient=True)))
    assert (again.reason, again.transient, str(again)) == ("out of memory", True, "out of memory")
    assert not Excluded("no classifier").transient


# ---- benchmarks --------------------------------------------------------------------------------------------


def test_every_benchmark_is_measured_and_repeats(
    trained: dict[str, Path], measured: dict[str, float]
) -> None:
    assert list(measured) == LEAVES and len(LEAVES) >= 12
    assert all(len(names) >= 4 for names in demo_benchmarks.CATEGORIES.values())
    assert all(isinstance(v, float) and -1 <= v <= 1 for v in measured.values())
    assert scores(CNN, trained[CNN]) == measured
    other = scores(ROBUST, trained[ROBUST])
    assert all(other[b] != measured[b] for b in set(LEAVES) - {"Digits2026-top1", ABSENT})


def test_clean_accuracy_is_the_test_splits(trained: dict[str, Path], measured: dict[str, float]) -> None:
    _, _, x, y = (torch.from_numpy(a) for a in digits())
    accuracy = (demo.load(CNN, trained[CNN])(x).argmax(1) == y).double().mean()
    assert measured["Digits2026-top1"] == pytest.approx(float(accuracy))
    assert measured["Digits2026.noise-top1"] < measured["Digits2026-top1"]


def test_scores_depend_on_the_weights(measured: dict[str, float]) -> None:
    torch.manual_seed(0)
    untrained = PixelModel(architectures.ARCHITECTURES["cnn"](), (demo.MEAN,), (demo.STD,), input_size=8)
    untrained.eval().requires_grad_(False)
    scored = demo_benchmarks.measure(untrained, untrained)
    assert all(scored[b] != measured[b] for b in LEAVES)
    assert scored["Digits2026-top1"] < 0.4 < measured["Digits2026-top1"]
    assert scored["Observer2026.confidence"] < measured["Observer2026.confidence"]


def test_permuted_training_labels_change_the_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: dict[str, float]
) -> None:
    train_x, train_y, test_x, test_y = digits()
    permuted = np.random.default_rng(0).permutation(train_y)
    monkeypatch.setattr(demo, "digits", lambda: (train_x, permuted, test_x, test_y))
    assert demo.train(CNN, tmp_path / "w.pt", seed=0)["test_accuracy"] < 0.3
    scored = scores(CNN, tmp_path / "w.pt")
    # of a dozen scores one may come out alike by chance, and which one differs between processors
    moved = [b for b in LEAVES if abs(scored[b] - measured[b]) > 0.005]
    assert len(moved) >= len(LEAVES) - 2, set(LEAVES) - set(moved)  # the absent effect never moves
    assert scored[ABSENT] == measured[ABSENT]
    for benchmark in demo_benchmarks.CATEGORIES["engineering"]:
        assert scored[benchmark] < measured[benchmark]


def test_observer_errs_and_sees_in_every_condition() -> None:
    test_y = digits()[3]
    for name, evidence in demo_benchmarks.observer().items():
        assert 0.5 < (evidence.argmax(1) == test_y).mean() < 0.97, name


def test_error_consistency_by_hand() -> None:
    # 10 trials, right on 8 and 6, both right on 5, both wrong on 1: observed 6/10, expected .48 + .08 = .56
    a = np.array([1] * 8 + [0] * 2, dtype=bool)
    b = np.array([1] * 5 + [0] * 3 + [1] + [0], dtype=bool)
    assert demo_benchmarks.error_consistency(a, b) == pytest.approx((0.6 - 0.56) / 0.44)
    assert demo_benchmarks.error_consistency(a, a) == pytest.approx(1)
    assert math.isnan(demo_benchmarks.error_consistency(np.ones(4, bool), np.ones(4, bool)))


def test_rdm_by_hand() -> None:
    features = np.array([[1.0, 2, 3], [2, 4, 6], [3, 2, 1]])
    np.testing.assert_allclose(demo_benchmarks.rdm(features), [0, 2, 2], atol=1e-12)


def test_gradient_on_ink_by_hand() -> None:
    # logits are pixels 0, 1 and 2, so a margin's gradient is 1 at the label's pixel and -1 at the runner-up's
    pixels = torch.tensor([[3.0, 1, 0, 0], [1, 2, 0, 2], [1, 0, 5, 4]]) / 5
    model = PixelModel(nn.Sequential(nn.Flatten(), _First(3)), (0.0,), (1.0,), input_size=2)
    images, labels = pixels.reshape(3, 1, 2, 2).numpy(), np.array([0, 0, 2])
    expected = [(3 + 1) / 10, (1 + 2) / 10, (5 + 1) / 10]
    for i, share in enumerate(expected):
        found = demo_benchmarks.gradient_on_ink(model, images[i : i + 1], labels[i : i + 1])
        assert found == pytest.approx(share, rel=1e-6)
    assert demo_benchmarks.gradient_on_ink(model, images, labels) == pytest.approx(0.4, rel=1e-6)


class _First(nn.Module):
    """The first `count` of the inputs."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, : self.count]


def test_the_planted_benchmark_follows_adversarial_training(
    trained: dict[str, Path], measured: dict[str, float]
) -> None:
    assert scores(ROBUST, trained[ROBUST])[PLANTED] > 1.05 * measured[PLANTED]


def test_the_absent_benchmark_knows_nothing_of_the_training(
    tmp_path: Path, trained: dict[str, Path], measured: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    # both are drawn from one seed, so they were the same network before
    assert scores(ROBUST, trained[ROBUST])[ABSENT] == measured[ABSENT]
    assert scores(CNN, trained[CNN], seed=1)[ABSENT] != measured[ABSENT]
    # and what stands for the network before its training is that
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "RATE", 1e-30)
    demo.train(CNN, tmp_path / "w.pt", seed=4)
    before, after = demo.untrained(CNN, 4).state_dict(), demo.load(CNN, tmp_path / "w.pt").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_of_all_the_demos_networks_the_planted_effect_is_found_and_the_absent_one_is_not(
    tmp_path: Path,
) -> None:
    """With networks of another seed than the demo's, and PGD in place of AutoAttack."""
    rows = sheet.read(SHEET)
    outs = [tmp_path / f"{i}.pt" for i in rows.index]
    assert all(isinstance(a, dict) for a in demo.train_each(list(rows["spec"]), outs, seed=1))
    models = [demo.load(spec, out) for spec, out in zip(rows["spec"], outs, strict=True)]
    _, _, x, y = (torch.from_numpy(a[:200]) for a in digits())
    robust = [
        (m(demo.pgd(m, x, y, 0.1, 40, torch.Generator().manual_seed(0))).argmax(1) == y)
        .double()
        .mean()
        .item()
        for m in models
    ]
    table = pd.DataFrame([scores(s, out, seed=1) for s, out in zip(rows["spec"], outs, strict=True)])
    family = pd.factorize(rows["family"])[0]
    signs = families.Signs(10_000, 0)
    found = {
        b: families.estimate(table[b].to_numpy(), np.array([robust]), family, signs)
        for b in (PLANTED, ABSENT)
    }
    assert found[PLANTED].low[0] > 0 and found[PLANTED].p[0] < 0.01
    assert found[ABSENT].low[0] < 0 < found[ABSENT].high[0] and found[ABSENT].p[0] > 0.05


# ---- leaderboard -------------------------------------------------------------------------------------------

NAMES = ["plain", "lab/cnn noise", 'quoted "x", with comma', " padded ε"]


@pytest.fixture
def board() -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(0)
    values = {
        name: dict(zip(LEAVES, rng.uniform(-0.05, 1, len(LEAVES)).tolist(), strict=True)) for name in NAMES
    }
    values["plain"][LEAVES[1]] = float("nan")
    return values


def test_leaderboard_is_the_published_format(board: dict[str, dict[str, float]]) -> None:
    text = demo_benchmarks.leaderboard(board)
    header, *rows = csv.reader(io.StringIO(text), strict=True)
    expected = ["model_name", "average_vision"]
    for category, names in demo_benchmarks.CATEGORIES.items():
        expected += [f"{category}_vision", *names]
    meta = {"model_id", "rank", "layers"}
    assert [h for h in header if h not in meta] == expected and meta < set(header)
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["model_name"] for row in table] == NAMES
    assert [row["model_id"] for row in table] == ["1", "2", "3", "4"]
    assert table[0][LEAVES[1]] == "X"
    for row, scored in zip(table, board.values(), strict=True):
        for leaf in LEAVES:
            assert (
                row[leaf] == "X" if math.isnan(scored[leaf]) else float(row[leaf]) == round(scored[leaf], 4)
            )
        parent = {}
        for category, names in demo_benchmarks.CATEGORIES.items():
            children = [0.0 if row[n] == "X" else float(row[n]) for n in names]
            parent[category] = float(row[f"{category}_vision"])
            assert parent[category] == pytest.approx(sum(children) / len(children), abs=5.1e-5)
        mean = (parent["neural"] + parent["behavior"]) / 2
        assert float(row["average_vision"]) == pytest.approx(mean, abs=5.1e-5)
    best_first = sorted(table, key=lambda row: int(row["rank"]))
    averages = [float(row["average_vision"]) for row in best_first]
    assert averages == sorted(averages, reverse=True) and best_first[0]["rank"] == "1"


def test_leaderboard_is_read_back_with_its_tree(tmp_path: Path, board: dict[str, dict[str, float]]) -> None:
    for i in range(10):  # enough models for the tree to be derived from the numbers alone
        board[f"more {i}"] = dict(
            zip(LEAVES, np.random.default_rng(i + 1).uniform(0, 1, len(LEAVES)).tolist(), strict=True)
        )
    (tmp_path / "board.csv").write_text(demo_benchmarks.leaderboard(board), encoding="utf-8")
    parsed = export.parse(tmp_path / "board.csv")
    rows = parsed.benchmarks.set_index("benchmark")
    for category, names in demo_benchmarks.CATEGORIES.items():
        assert set(rows.loc[list(names), "parent"]) == {f"{category}_vision"}
        assert set(rows.loc[list(names), "category"]) == {category}
    assert rows.index[rows["is_leaf"].to_numpy(bool)].tolist() == LEAVES
    assert parsed.scores["model"].drop_duplicates().tolist() == list(board)
    assert not parsed.warnings and not parsed.duplicates
    failed = parsed.scores[parsed.scores["status"] == "failed"]
    assert failed[["model", "benchmark"]].to_numpy().tolist() == [["plain", LEAVES[1]]]
