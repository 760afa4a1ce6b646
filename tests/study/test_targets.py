"""Names of targets: what they say of measure, norm, setting and source."""

import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.study.targets import (
    by_kind,
    clean,
    conditional,
    control_of,
    is_mean,
    kind,
    label,
    ladders,
    mean_name,
    middle,
    parts,
    radius,
    robust,
    source_of,
    with_source,
)

NAMES = [
    "robust_top1@2/255",
    "robust_top1@L2:0.5",
    "pgd_top1@0.5/255[testbed]",
    "pgd_top1@L2:mean[testbed]",
    "clean_top1[testbed]",
    "shift_top1@imagenet-a[timm]",
    "corruption_top1@mean[testbed]",
    "corruption_top1@gaussian_noise-3",
    "median_distance@L2",
    "my own",
    "odd [name",
]


@pytest.mark.parametrize("target", NAMES)
def test_a_source_is_put_on_and_taken_off_without_a_trace(target: str) -> None:
    assert source_of(with_source(target, "RobustBench 1.1")) == "RobustBench 1.1"
    assert with_source(with_source(target, "x"), source_of(target)) == target
    assert parts(with_source(target, "x"))[:3] == parts(target)[:3]


@pytest.mark.parametrize("source", ["", "a]b", "[a"])
def test_a_source_that_could_not_be_read_again_is_refused(source: str) -> None:
    with pytest.raises(AlignsecError, match="source"):
        with_source("clean_top1", source)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("robust_top1@1/255", "adversarial Linf"),
        ("robust_top5@Linf:1/255", "adversarial Linf"),
        ("robust_given_correct@1/255", "adversarial Linf"),
        ("pgd_top1@l2:0.5[testbed]", "adversarial L2"),
        ("robust_top1@L2:mean", "adversarial L2"),
        ("robust_top1@L1:12", "adversarial L1"),
        ("median_distance", "adversarial Linf"),
        ("median_distance@L2[a]", "adversarial L2"),
        ("clean_top1@imagenet-a-classes[timm]", "clean"),
        ("shift_top5@sketch", "shift"),
        ("corruption_top1@mean", "corruption"),
        ("my own", "other"),
        ("my_robust_top1@1/255", "other"),
    ],
)
def test_each_target_is_of_one_kind(target: str, expected: str) -> None:
    assert kind(target) == expected


def test_kinds_are_listed_with_every_norm_before_shifts_and_clean_accuracy_last() -> None:
    given = ["clean_top1", "x", "shift_top1@a", "robust_top1@L1:1", "pgd_top1@L2:1", "robust_top1@1/255"]
    assert list(by_kind(given)) == [
        "adversarial Linf", "adversarial L2", "adversarial L1", "shift", "clean", "other",
    ]  # fmt: skip
    assert sorted(t for found in by_kind(given).values() for t in found) == sorted(given)


def test_a_set_of_some_classes_is_seen_net_of_clean_accuracy_on_these_classes() -> None:
    columns = [
        "clean_top1[timm]",
        "clean_top1@imagenet-a-classes[timm]",
        "clean_top1@imagenet-a-classes[testbed]",
    ]
    assert control_of("shift_top1@imagenet-a[timm]", columns) == "clean_top1@imagenet-a-classes[timm]"
    # of all classes, and of a source that did not measure it
    assert control_of("shift_top1@sketch[timm]", columns) == "clean_top1[timm]"
    assert control_of("shift_top1@imagenet-a", [*columns, "clean_top1"]) == "clean_top1"
    assert control_of("clean_top1@imagenet-a-classes[timm]", columns) is None


def test_the_control_is_the_clean_accuracy_of_the_same_source_and_of_no_other() -> None:
    columns = ["clean_top1", "clean_top5", "clean_top1[testbed]", "clean_top1@imagenet-a-classes[timm]"]
    assert control_of("robust_top1@1/255", columns) == "clean_top1"
    assert control_of("robust_top5@1/255", columns) == "clean_top5"
    assert control_of("pgd_top1@2/255[testbed]", columns) == "clean_top1[testbed]"
    assert control_of("pgd_top5@2/255[testbed]", columns) == "clean_top1[testbed]"
    assert control_of("shift_top1@sketch[timm]", columns) is None
    assert control_of("clean_top1[testbed]", columns) is None
    assert clean(columns) == ["clean_top1", "clean_top5", "clean_top1[testbed]"]


def test_no_ladder_mixes_norms_attacks_or_sources() -> None:
    targets = [
        "pgd_top1@L2:0.5[testbed]", "pgd_top1@2/255[testbed]", "pgd_top1@0.5/255[testbed]",
        "robust_top1@mean", "robust_top1@4/255", "robust_top1@1/255", "robust_top1@4/255[robustbench]",
        "clean_top1",
        "robust_top5@1/255", "pgd_top1@2/255",
    ]  # fmt: skip
    assert ladders(targets) == [
        ["robust_top1@1/255", "robust_top1@4/255"],
        ["robust_top1@4/255[robustbench]"],
        ["pgd_top1@2/255"],
        ["pgd_top1@0.5/255[testbed]", "pgd_top1@2/255[testbed]"],
        ["pgd_top1@L2:0.5[testbed]"],
    ]
    assert robust(targets) == ladders(targets)[0]
    assert robust(["clean_top1", "mine"]) == ["clean_top1", "mine"]


def test_the_target_with_room_for_one_is_the_mean_else_the_middle_epsilon_off_the_floor() -> None:
    three = ["robust_top1@1/255", "robust_top1@2/255", "robust_top1@4/255"]
    assert middle(three) == "robust_top1@2/255"
    assert middle([*three, "robust_top1@mean", "pgd_top1@mean[testbed]"]) == "robust_top1@mean"
    # a mean of another attack is not what these epsilons are about
    assert middle([*three, "pgd_top1@mean[testbed]"]) == "robust_top1@2/255"
    assert middle(["clean_top1", "pgd_top1@L2:mean[a]"]) == "pgd_top1@L2:mean[a]"
    floor = {"robust_top1@2/255": 0.25, "robust_top1@4/255": 1.0}
    assert middle(three, floor) == "robust_top1@1/255"
    assert middle(three, dict.fromkeys(three, 1.0)) == "robust_top1@2/255"


def test_a_mean_is_no_epsilon_and_no_share_of_images() -> None:
    assert mean_name("robust_top1@L2:0.5") == "robust_top1@L2:mean"
    assert is_mean("pgd_top1@L2:mean[testbed]")
    assert is_mean("corruption_top1@mean")
    assert not is_mean("robust_top1@1/255")
    assert radius("robust_top1@mean[a]") is None
    assert radius("pgd_top1@0.5/255[testbed]") == pytest.approx(0.5 / 255)
    assert conditional("robust_top1@mean") is None
    assert conditional("robust_top1@L2:0.5[a]") == "robust_given_correct@L2:0.5[a]"
    assert conditional("pgd_top1@1/255") is None


def test_labels_say_what_attacked_and_whose_number_it_is() -> None:
    assert [label(t) for t in NAMES] == [
        "AutoAttack top-1, ε = 2/255",
        "AutoAttack top-1, L2 ε = 0.5",
        "PGD top-1, ε = 0.5/255 (testbed)",
        "PGD top-1, L2 mean over ε (testbed)",
        "clean top-1 (testbed)",
        "top-1, imagenet-a (timm)",
        "corruptions, mean (testbed)",
        "gaussian noise, severity 3",
        "median distance, L2",
        "my own",
        "odd [name",
    ]
    assert len({label(t) for t in NAMES}) == len(NAMES)
