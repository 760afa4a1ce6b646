"""The plan file: what it may say, and what is answered where it says something else."""

from pathlib import Path

import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.ground.hashes import file_hash
from alignsec.study import plan

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "published" / "plan.yaml"


def written(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_and_with_an_empty_one_the_rules_are_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, "# nothing\n")
    found = plan.read(path)
    assert found.sha256 == file_hash(path) and plan.read(None).sha256 is None
    assert vars(found) | {"sha256": None} == vars(plan.read(None)) == vars(plan.PlanFile())


def test_everything_that_a_file_says_arrives(tmp_path: Path) -> None:
    found = plan.read(
        written(
            tmp_path,
            "margin: 0.2\nprimary: {adversarial L2: 'pgd_top1@L2:0.5'}\nsensitivity: [clean_top5]\n"
            "control: ImageNet-top1\nfloors: {testbed: 0.09}\n"
            "rows: {identities: [likely], adversarially_trained: only, one_per_network: false}\n"
            "exclude: [{model: a, reason: broken}]\n",
        )
    )
    assert (found.margin, found.control, found.floors) == (0.2, "ImageNet-top1", {"testbed": 0.09})
    assert found.primary == {"adversarial L2": "pgd_top1@L2:0.5"} and found.sensitivity == ("clean_top5",)
    assert (found.identities, found.adversarially_trained) == (("likely",), "only")
    assert not found.one_per_network and found.exclude == {"a": "broken"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("marign: 0.2", "unknown key marign: did you mean margin"),
        ("margin: 1.2", "margin: 1.2 is greater than or equal to the maximum"),
        ("primary: {adversarial: clean_top1}", "unknown key primary.adversarial: did you mean primary.adver"),
        ("rows: {adversarially_trained: never}", r"rows.adversarially_trained: 'never' is not one of"),
        ("rows: {identities: [same]}", r"rows.identities.0: 'same' is not one of"),
        ("floors: {testbed: 9}", "floors.testbed: 9 is greater than"),
        ("exclude: [{model: a}]", "exclude.0: 'reason' is a required property"),
        ("exclude: [{model: a, reason: x}, {model: a, reason: y}]", "exclude names 'a' twice"),
        ("- a", "expected are keys and values"),
        ("a: [", "not a readable plan file"),
    ],
)
def test_a_slip_is_answered_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(AlignsecError, match=said) as told:
        plan.read(path)
    assert str(told.value).startswith(str(path))


def test_a_file_that_is_not_there_is_told_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"none\.yaml: not a readable plan file.*set analysis\.plan"):
        plan.read(tmp_path / "none.yaml")


def test_the_published_studys_plan_is_one() -> None:
    found = plan.read(SHIPPED)
    assert found.margin == 0.3 and found.adversarially_trained == "without" and found.one_per_network
