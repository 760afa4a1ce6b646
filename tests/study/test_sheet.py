"""The model sheet: what is read, and what of a row is told before anything runs."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.study import catalogue, config, sheet

HEADER = "\t".join(sheet.COLUMNS) + "\n"


def test_sheet_round_trip_keeps_names_to_the_letter(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [[" a/b c", "demo", "arch=mlp", "f", ""], ["b", "brainscore", "", "g", "n"]], columns=sheet.COLUMNS
    )
    sheet.write(frame, tmp_path / "m.tsv")
    pd.testing.assert_frame_equal(sheet.read(tmp_path / "m.tsv"), frame)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("model\tsource\n", "header"),
        (HEADER, "a header and no row"),
        (HEADER + "a\tbrainscore\na\tbrainscore\n", "m.tsv:3: model 'a' is already on line 2"),
        (HEADER + "a\tnowhere\n", "m.tsv:2: source 'nowhere'"),
        (HEADER + " \tbrainscore\n", "no name"),
    ],
)
def test_sheet_errors(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "m.tsv").write_text(body)
    with pytest.raises(AlignsecError, match=message):
        sheet.read(tmp_path / "m.tsv")


def test_every_row_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_text(
        HEADER
        + "fine\ttorchvision\tResNet18_Weights.IMAGENET1K_V1\n"
        + "a\ttorchvision\tresnet18\n"
        + "resnet18:x\ttimm\t\n"
        + "c\tfactory\tourlab.cifar\n"
        + "d\tdemo\tarch=cnm\n"
        + "d\tnowhere\n"
        + "unknown to the library only\ttimm\tresnet18x\n"
        + "x" * 300
        + "\tbrainscore\n"
    )
    with pytest.raises(AlignsecError) as caught:
        sheet.read(tmp_path / "m.tsv")
    told = str(caught.value).splitlines()
    assert told[0] == "7 faults in the model sheet:"
    found = [line.removeprefix(f"{tmp_path}/m.tsv:") for line in told[1:]]
    assert found[:6] == [
        "3: torchvision spec 'resnet18' of model 'a': write a weights enum of torchvision.models, such as "
        "ResNet50_Weights.IMAGENET1K_V2",
        "4: timm spec 'resnet18:x' of model 'resnet18:x': write a name of timm.list_models(pretrained=True), "
        "such "
        "as resnet50.a1_in1k, or hf_hub:owner/name",
        "5: factory spec 'ourlab.cifar' of model 'c': write package.module:function, such as ourlab:cifar",
        "6: demo spec 'arch=cnm' of model 'd': unknown arch 'cnm': did you mean cnn? valid are mlp, cnn, "
        "resnet, mixer, depthwise, vgg, densenet, inception, transformer, bag",
        "7: model 'd' is already on line 6: remove one row",
        "7: source 'nowhere' is not one of brainscore, torchvision, timm, factory, demo",
    ]
    assert found[6].startswith("9: the name 'xxx") and "too long" in found[6]


def test_optional_columns_are_kept_in_the_order_given(tmp_path: Path) -> None:
    head = "\t".join([*sheet.COLUMNS, *sheet.OPTIONAL])
    (tmp_path / "m.tsv").write_text(f"{head}\na\tbrainscore\t\t\tn\ts\tw\tp\n")
    frame = sheet.read(tmp_path / "m.tsv")
    assert list(frame.columns) == [c.name for c in sheet.DECLARED]
    given = ["a", "brainscore", "", "a", "n", "s", "w", "p"]
    assert frame.iloc[0].tolist() == given + [""] * (len(sheet.DECLARED) - len(given))
    swapped = "\t".join([*sheet.COLUMNS, "expected_top1", "series"])
    (tmp_path / "m.tsv").write_text(f"{swapped}\na\tbrainscore\t\t\t\t0.76\ts\n")
    assert sheet.read(tmp_path / "m.tsv").loc[0, ["series", "expected_top1"]].tolist() == ["s", "0.76"]
    (tmp_path / "m.tsv").write_text(f"{swapped}\na\tbrainscore\t\t\t\t76.1\ts\nb\tbrainscore\n")
    with pytest.raises(
        AlignsecError, match=r"m.tsv:2: expected_top1 '76\.1' is no share of images: write 0\.945"
    ):
        sheet.read(tmp_path / "m.tsv")
    early = "\t".join(["series", *sheet.COLUMNS])
    (tmp_path / "m.tsv").write_text(f"{early}\na\tbrainscore\n")
    with pytest.raises(AlignsecError, match=f"m.tsv:1: the header must be {', '.join(sheet.COLUMNS)}"):
        sheet.read(tmp_path / "m.tsv")


def test_the_page_of_the_configuration_tells_every_column() -> None:
    page = config.markdown()
    for column in sheet.DECLARED:
        assert f"| `{column.name}` | {'yes' if column.required else 'no'} | {column.meaning} |" in page


@pytest.mark.parametrize("name", catalogue.SOURCES)
def test_every_source_of_the_catalogue_loads_and_reads_specs(name: str) -> None:
    module = import_module(catalogue.SOURCES[name].module)
    assert catalogue.imported(catalogue.SOURCES[name]) is module
    assert callable(module.load)
    good = {
        "brainscore": "any name: it may be registered",
        "torchvision": "ResNet50_Weights.IMAGENET1K_V2",
        "timm": "resnet50.a1_in1k",
        "factory": "package.module:function",
        "demo": "arch=cnn",
    }
    assert catalogue.problem(name, good[name]) is None
    if name != "brainscore":
        assert catalogue.problem(name, "no, such spec")


@pytest.mark.parametrize("name", catalogue.CLUSTERS)
def test_every_cluster_of_the_catalogue_has_its_class(name: str) -> None:
    assert callable(catalogue.cluster(name).Cluster)


def test_reading_a_sheet_imports_no_library_of_models(tmp_path: Path) -> None:
    rows = [
        "a\tbrainscore\t",
        "b\ttorchvision\tA_Weights.B",
        "c\ttimm\tx",
        "d\tfactory\ta:b",
        "e\tdemo\tarch=mlp",
    ]
    (tmp_path / "m.tsv").write_text(HEADER + "".join(f"{r}\n" for r in rows))
    code = (
        "import sys; from alignsec.study import sheet\n"
        f"assert len(sheet.read({str(tmp_path / 'm.tsv')!r})) == 5\n"
        "print(sorted({'torch', 'torchvision', 'timm', 'scipy', 'brainscore_vision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
