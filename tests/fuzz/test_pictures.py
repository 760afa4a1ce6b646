"""Damaged images, archives and arrays: each is read or refused with a message, by its number alone.

``ALIGNSEC_FUZZ_IMAGES=500 pytest tests/fuzz/test_pictures.py`` tries more.
"""

import io
import os
import random
import tarfile
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alignsec.ground.errors import AlignsecError
from alignsec.images import archives, parquet, shards, sources
from alignsec.images.pixels import load
from tests.fuzz.mutations import _bytes

Picture = tuple[str, str, bytes]  # source, file name, content


def picture(rng: random.Random) -> bytes:
    out = io.BytesIO()
    mode, kind = rng.choice(
        [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"),
         ("I;16", "PNG"), ("1", "PNG"), ("P", "GIF"), ("RGB", "WEBP"), ("RGB", "BMP"), ("RGB", "TIFF"),
         ("RGB", "EPS"), ("RGB", "PPM")]
    )  # fmt: skip
    Image.linear_gradient("L").resize((16, 12)).convert(mode).save(out, kind)
    return out.getvalue()


def archive(rng: random.Random) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=rng.choice(["w", "w:gz"])) as tar:  # type: ignore[call-overload]
        for name in ("in/ape/1.png", "in/cat/2.jpg", "in/classes.txt"):
            content = b"ape\ncat\n" if name.endswith("txt") else picture(random.Random(rng.choice([0, 3])))
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def arrays(rng: random.Random) -> bytes:
    out = io.BytesIO()
    x = np.random.default_rng(0).random((4, 3, 5, 6)).astype(rng.choice([np.float16, np.float32, np.float64]))
    y = np.arange(4).astype(rng.choice([np.int64, np.uint8, np.int16]))
    save = rng.choice([np.savez, np.savez_compressed])
    save(out, **{"images": x, rng.choice(["labels", "labels", "labels", "label"]): y})
    return out.getvalue()


def table(rng: random.Random) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    rows = [
        {"bytes": picture(random.Random(0)), "path": "x"},
        {"bytes": rng.choice([None, b"x", picture(rng)])},
    ]
    pq.write_table(pa.table({"image": rows, "label": [0, rng.choice([-1, 1, 1, 1])]}), out)
    return out.getvalue()


def case(number: int) -> Picture:
    rng = random.Random(number)
    source, name, make = rng.choice(
        [("folders", "x.jpg", picture), ("folders", "x.tar.gz", archive), ("npz", "x.npz", arrays),
         ("parquet", "x.parquet", table)]
    )  # fmt: skip
    content = make(rng)
    for _ in range(rng.choice([0, 1, 1, 2])):
        content = _bytes(content, rng)
    return source, name, content


def read(source: str, path: Path) -> None:
    for cached in (sources.files_of, sources.arrays, archives.members, parquet._starts, parquet._group):
        cached.cache_clear()
    place = str(path.parent.parent if path.suffix == ".jpg" else path)
    frame = shards.cut(source, place, 0, shards.size(source, place), 0)
    load(frame, lambda paths: np.stack([_small(p) for p in paths]))


def _small(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image.resize((4, 4)), dtype=np.float32).transpose(2, 0, 1) / 255


@pytest.mark.timeout(120)
def test_no_damaged_image_ends_in_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    became: Counter[str] = Counter()
    wrong = []
    count = int(os.environ.get("ALIGNSEC_FUZZ_IMAGES", "60"))
    for number in range(count):
        source, name, content = case(number)
        path = tmp_path / str(number) / "cat" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        try:
            read(source, path)
            became["read"] += 1
        except AlignsecError as error:
            became["refused"] += 1
            if not 0 < len(str(error)) < 5000 or name not in str(error):
                wrong.append(f"case {number} ({name}): message {str(error)[:300]!r}")
        except BaseException:  # noqa: BLE001 -- whatever else comes out is the finding
            wrong.append(f"case {number} ({name}): {traceback.format_exc(limit=-3)}")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:30])
    # a fuzz whose every file is refused, or read, tries nothing
    assert min(became["read"], became["refused"]) > count // 10, became
