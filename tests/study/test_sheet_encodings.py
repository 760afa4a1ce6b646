"""Model sheets as spreadsheets save them."""

from pathlib import Path

import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.study import sheet

TEXT = (
    "model\tsource\tspec\tfamily\tnote\nréseau\ttorchvision\tResNet50_Weights.IMAGENET1K_V2\tresnet\tgrößer\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_sheet_reads_the_same_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "m.tsv").write_bytes(TEXT.encode(encoding))
    assert sheet.read(tmp_path / "m.tsv")[["model", "note"]].to_numpy().tolist() == [["réseau", "größer"]]


def test_a_sheet_that_is_no_text_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    for content, message in (
        (b"\x00\x01\x02\xff\xfe\xfd" * 9, "binary data"),
        (b"PK\x03\x04\0\0", "damaged spreadsheet"),
    ):
        path.write_bytes(content)
        with pytest.raises(AlignsecError, match=message):
            sheet.read(path)
