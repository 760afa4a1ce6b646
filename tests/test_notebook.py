"""The notebook runs from top to bottom, and what it shows is kept small."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "first_hour.ipynb"
LARGEST = 200_000  # bytes


def test_its_outputs_are_small_and_name_no_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < LARGEST
    assert "/home/" not in text and "/tmp/" not in text and "Traceback" not in text


@pytest.mark.workflow
def test_it_runs_from_top_to_bottom(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("ALIGNSEC_MIRROR", str(data_dir))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(cell.outputs for cell in cells)
    said = "".join(str(output) for cell in cells for output in cell.outputs)
    assert "of 16 kinds of human-likeness" in said and "image/png" in said and "it can be attacked" in said
