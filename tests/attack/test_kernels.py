"""The attacks with a radius and a target per row, against the authors' code on one image at a time.

The networks here sum products row by row, so that an image's logits do not depend on its company and what is
compared is equal bit by bit.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyautoattack import AutoAttack
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from alignsec.attack import screen as cheap
from alignsec.attack.draws import digests, generator
from alignsec.attack.judge import Answer, Judge, Rows
from alignsec.attack.square import Square
from alignsec.study.request import Attack, AttackRequest

NORMS = ("Linf", "L2")
SQUARES = 150  # queries of Square in these tests: four window sizes


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alignsec.attack.square.QUERIES", SQUARES)


class Rowwise(nn.Module):
    """Two layers whose sums run over one row at a time."""

    def __init__(self, shape: Sequence[int], classes: int, seed: int = 0) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(seed)
        self.first = torch.randn(6, int(np.prod(shape)), generator=made)
        self.second = torch.randn(classes, 6, generator=made)
        self.calls: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(x.detach().clone())
        hidden = torch.tanh((x.flatten(1)[:, None] - 0.5).mul(self.first).sum(2))
        return hidden[:, None].mul(self.second).sum(2)


def made(
    shape: tuple[int, int, int], classes: int, n: int = 5, seed: int = 0
) -> tuple[Rowwise, Tensor, Tensor]:
    model = Rowwise(shape, classes, seed).eval()
    x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))
    return model, x, model(x).argmax(1)


def judge(model: nn.Module, norm: str, classes: int, seed: int = 3) -> Judge:
    asked = AttackRequest(norm=norm, version="custom", attacks=tuple(Attack), seed=seed)
    return Judge(model, asked, "cpu", classes)


class BatchDraws:
    """What the authors' Square draws, by image: stripes of its own, windows from a stream begun anew."""

    def __init__(self, marks: Sequence[bytes], seed: int) -> None:
        self.marks, self.seed = marks, seed
        self.stream = torch.Generator().manual_seed(seed)

    def choice(self, shape: Sequence[int]) -> Tensor:
        if len(shape) == 4 and shape[-1] > 1:
            own = [generator(m, self.seed, "square").uniform(-1, 1, tuple(shape[1:])) for m in self.marks]
            return torch.from_numpy(np.sign(np.stack(own)).astype(np.float32))
        shared = [1, *shape[1:]] if len(shape) == 4 else list(shape)
        return torch.sign(2 * torch.rand(shared, generator=self.stream) - 1)

    def integer(self, low: int = 0, high: int = 1, shape: Sequence[int] = (1,)) -> Tensor:
        return (low + (high - low) * torch.rand(list(shape), generator=self.stream)).long()


def authors(
    model: nn.Module, name: str, x: Tensor, y: Tensor, epsilon: float, rank: int | None, norm: str, seed: int
) -> Tensor:
    """The authors' own single run with one radius, at the draws of the images."""
    reference = AutoAttack(model, norm=norm, eps=epsilon, seed=seed, version="standard", device="cpu")
    marks = digests(x)
    if name.startswith("fab"):
        reference.fab.target_class = rank
        return reference.fab.attack_single_run(x, y, is_targeted=rank is not None)
    if name == "square":
        square, own = reference.square, BatchDraws(marks, seed)
        square.n_queries = SQUARES
        square.random_choice, square.random_int = own.choice, own.integer
        return square.perturb(x, y)
    apgd = reference.apgd
    if rank is not None:
        apgd = reference.apgd_targeted
        apgd.y_target = model(x).sort(dim=1)[1][:, -rank]
    else:
        apgd.loss = name.removeprefix("apgd-")
    apgd.init_hyperparam(x)
    call = name if rank is None else f"{name}:{rank}"
    start = []
    for mark, image in zip(marks, x, strict=True):
        rng = generator(mark, seed, call)
        t = rng.uniform(-1, 1, image.shape) if norm == "Linf" else rng.standard_normal(image.shape)
        start.append(t / (np.abs(t).max() if norm == "Linf" else np.linalg.norm(t)))
    begun = x + epsilon * torch.from_numpy(np.stack(start).astype(np.float32))
    _, standing, _, adversarial = apgd.attack_single_run(x, y, x_init=begun)
    return torch.where(standing.bool()[:, None, None, None], x, adversarial)


def rows(
    x: Tensor, y: Tensor, at: Sequence[int], radii: Sequence[float], ranks: Sequence[int] | None
) -> Rows:
    marks = digests(x)
    wanted = None if ranks is None else torch.tensor(ranks)
    return Rows(x[at], y[at], [marks[i] for i in at], torch.tensor(radii), wanted)


def every(name: str, classes: int, n: int) -> tuple[list[int], list[int] | None]:
    """Each image in one row; with a targeted attack in one row for each of its classes."""
    if name not in ("apgd-t", "fab-t"):
        return list(range(n)), None
    ranks = list(range(2, classes + 1))
    return [i for i in range(n) for _ in ranks], ranks * n


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", [a.value for a in Attack])
def test_a_row_goes_through_what_the_authors_code_does_to_its_image_alone(
    name: str, norm: str, classes: int
) -> None:
    if classes < {"apgd-t": 4, "apgd-dlr": 3}.get(name, 2):
        pytest.skip("this loss ranks more classes than there are")
    model, x, y = made((3, 7, 6), classes, n=3)
    at, ranks = every(name, classes, 3)
    unit = 0.02 if norm == "Linf" else 0.4
    radii = [unit * (0.02, 2, 20)[k % 3] for k in range(len(at))]
    found = judge(model, norm, classes).attack(name, rows(x, y, at, radii, ranks)).candidates
    wanted = [
        authors(model, name, x[[i]], y[[i]], e, ranks[k] if ranks else None, norm, seed=3)
        for k, (i, e) in enumerate(zip(at, radii, strict=True))
    ]
    assert torch.equal(found, torch.cat(wanted))
    fell = model(found).argmax(1) != y[at]
    assert fell.any() and (not fell.all() or name.startswith("fab"))  # or the test would show little


@pytest.mark.parametrize("name", [a.value for a in Attack])
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_rows_answer_depends_on_no_company_and_no_order(name: str, data: Any) -> None:
    norm, classes = data.draw(st.sampled_from(NORMS)), data.draw(st.sampled_from([2, 3, 10]))
    if classes < {"apgd-t": 4, "apgd-dlr": 3}.get(name, 2):
        return
    model, x, y = made(
        (1, 4, 5) if norm == "Linf" else (2, 5, 5), classes, seed=data.draw(st.integers(0, 99))
    )
    largest = 0.25 if norm == "Linf" else 2.0
    row = st.tuples(st.integers(0, 4), st.floats(2**-12, largest, width=32), st.integers(2, classes))
    drawn = data.draw(st.lists(row, min_size=1, max_size=6))
    at, radii, ranks = ([r[k] for r in drawn] for k in range(3))
    asked = judge(model, norm, classes)

    def answer(chosen: Sequence[int]) -> Answer:
        wanted = [ranks[k] for k in chosen] if name in ("apgd-t", "fab-t") else None
        return asked.attack(name, rows(x, y, [at[k] for k in chosen], [radii[k] for k in chosen], wanted))

    whole = answer(range(len(drawn)))
    order = data.draw(st.permutations(range(len(drawn))))
    mixed, alone = answer(order), [answer([k]) for k in range(len(drawn))]
    assert torch.equal(mixed.candidates, whole.candidates[list(order)])
    assert torch.equal(torch.cat([a.candidates for a in alone]), whole.candidates)
    if name == "apgd-ce":
        assert whole.highest_loss is not None
        assert torch.equal(torch.cat([a.highest_loss for a in alone]), whole.highest_loss)  # type: ignore[misc]
    if not name.startswith("fab"):
        inside = cheap.size(whole.candidates - x[at], norm) <= torch.tensor(radii) * (1 + 1e-5) + 1e-6
        assert inside.all()
    assert (whole.candidates >= 0).all() and (whole.candidates <= 1).all()


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (2, 11, 9), (3, 32, 32)])
@pytest.mark.parametrize("norm", NORMS)
def test_square_asks_the_model_what_the_authors_code_asks(norm: str, shape: tuple[int, int, int]) -> None:
    model, x, y = made(shape, 4, n=1)
    epsilon = 1e-3  # the image stands, so that all queries are asked
    authors(model, "square", x, y, epsilon, None, norm, seed=3)
    theirs = model.calls[2:-1]  # without its looks at the clean image and at what it found
    model.calls = []
    judge(model, norm, 4).attack("square", rows(x, y, [0], [epsilon], None))
    assert len(theirs) == len(model.calls) == SQUARES + 1
    assert all(torch.equal(a, b) for a, b in zip(theirs, model.calls, strict=True))


def test_margins_are_the_authors() -> None:
    logits, labels = torch.randn(50, 7), torch.randint(0, 7, (50,))
    square = AutoAttack(lambda _: logits.clone(), version="standard").square
    gap, loss = square.margin_and_loss(torch.zeros(50, 1, 1, 1), labels)
    assert torch.equal(-cheap.margin(logits, labels), gap) and torch.equal(gap, loss)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 3), (1, 4, 9), (2, 14, 14), (1, 12, 40)])
@pytest.mark.parametrize("norm", NORMS)
def test_square_works_on_images_of_any_size(norm: str, shape: tuple[int, int, int]) -> None:
    """The authors' code divides by zero below 5 pixels, and its start reaches beyond images of some sizes."""
    model, x, y = made(shape, 3)
    found = judge(model, norm, 3).attack("square", rows(x, y, range(5), [0.2] * 5, None)).candidates
    moved = cheap.size(found - x, norm)
    assert (moved <= 0.2 * (1 + 1e-5) + 1e-6).all()
    assert ((model(found).argmax(1) != y) == (moved > 0)).all()


def test_square_goes_on_where_a_clean_prediction_has_moved() -> None:
    model, x, y = made((1, 6, 6), 3)
    y = y.clone()
    y[0] = (y[0] + 1) % 3
    found = judge(model, "Linf", 3).attack("square", rows(x, y, range(5), [1e-4] * 5, None)).candidates
    assert int(model(found).argmax(1)[0]) != int(y[0])
    assert torch.equal(found[1:], x[1:])


@pytest.mark.parametrize("every", [1, 7, 64, 1000])
@pytest.mark.parametrize("norm", NORMS)
def test_how_often_square_looks_changes_nothing_but_its_passes(norm: str, every: int) -> None:
    model, x, y = made((3, 7, 6), 10, n=8)
    asked = judge(model, norm, 10)
    batch = rows(x, y, range(8), [0.02 * k if norm == "Linf" else 0.2 * k for k in range(1, 9)], None)
    whole = asked.attack("square", batch).candidates
    asked.square.every = every
    model.calls = []
    assert torch.equal(asked.attack("square", batch).candidates, whole)
    spent = [len(c) for c in model.calls]
    assert spent == sorted(spent, reverse=True)
    sizes = [len(set(spent[1 + k : 1 + k + every])) for k in range(0, len(spent) - 1, every)]
    assert set(sizes) == {1}  # images leave between blocks of so many steps only


# ---- the host waits


class Waits(TorchDispatchMode):
    """Counts what makes a host wait for a GPU: values read, and indices that only the values tell."""

    READ = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique", "equal", "allclose")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        by_mask = name.startswith(("index", "_index")) and any(
            isinstance(i, Tensor) and i.dtype == torch.bool
            for group in args[1:2]
            if isinstance(group, list | tuple)
            for i in group
        )
        self.count += by_mask or name.startswith(self.READ)
        return function(*args, **(kwargs or {}))


def waits(work: Callable[[], object]) -> int:
    with Waits() as mode:
        work()
    return mode.count


def test_what_counts_as_waiting() -> None:
    x = torch.tensor([1.0, 2.0])
    assert waits(lambda: bool(x.sum() > 0)) == waits(lambda: x.sum().item()) == waits(lambda: x[x > 1]) == 1
    assert waits(lambda: (x > 1).nonzero()) == waits(lambda: float(x[0])) == 1

    def put() -> None:
        x[x > 5] = 0.0

    assert waits(put) == 1
    assert waits(lambda: x[torch.tensor([0])] + x[:1] + torch.where(x > 1, x, 0.0)[:1]) == 0


@pytest.mark.parametrize("norm", NORMS)
def test_square_waits_once_in_64_steps(norm: str) -> None:
    model, x, y = made((3, 7, 6), 10, n=8)
    square = Square(judge(model, norm, 10).reference.square, norm, 0, every=64)
    radii = torch.full((8,), 0.02)
    square.search(model, x, y, digests(x), radii)  # the windows' forms are made once
    asked = waits(lambda: square.search(model, x, y, digests(x), radii))
    assert 1 <= asked <= -(-SQUARES // 64)


@pytest.mark.parametrize("norm", NORMS)
def test_a_screen_waits_once_a_look(norm: str) -> None:
    model, x, y = made((3, 7, 6), 10, n=8)
    model.calls = []
    looked = waits(
        lambda: cheap.screen(model, x, y, torch.full((8,), 1e-3), norm, cheap.Ascent(slots=3, repack=4))
    )
    assert len(model.calls) == 4 * looked == 36  # three pools of ten steps, in looks of four


@pytest.mark.parametrize(("name", "most"), [("apgd-ce", 6), ("apgd-t", 6), ("fab-t", 25)])
@pytest.mark.parametrize("norm", NORMS)
def test_how_often_the_authors_loops_wait(name: str, most: int, norm: str) -> None:
    """At most so often a step, as docs/attack.md says."""
    model, x, y = made((3, 7, 6), 10)
    asked = judge(model, norm, 10)
    at = range(5)
    batch = rows(x, y, at, [0.05] * 5, [2, 3, 4, 5, 6] if name.endswith("-t") else None)
    count = waits(lambda: asked.attack(name, batch))
    assert 1 <= count / 100 <= most


# ---- the screen


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    norm=st.sampled_from(NORMS),
    seed=st.integers(0, 99),
    radii=st.lists(st.floats(2**-12, 0.5, width=32), min_size=5, max_size=5),
    slots=st.integers(1, 5),
    repack=st.integers(1, 5),
)
def test_a_pool_of_images_in_balls_of_their_own(
    norm: str, seed: int, radii: list[float], slots: int, repack: int
) -> None:
    model, x, y = made((2, 4, 3), 4, seed=seed)
    how = cheap.Ascent(slots=slots, repack=repack)
    candidates, found = cheap.screen(model, x, y, torch.tensor(radii), norm, how)
    for i, radius in enumerate(radii):
        alone, fell = cheap.screen(model, x[[i]], y[[i]], radius, norm, cheap.Ascent(repack=1))
        assert torch.equal(candidates[[i]], alone) and torch.equal(found[[i]], fell)
    assert ((model(candidates).argmax(1) != y) | ~found).all()
    assert (cheap.size(candidates - x, norm) <= torch.tensor(radii) * (1 + 1e-5) + 1e-6).all()
