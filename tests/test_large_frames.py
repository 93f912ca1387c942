"""8000 x 8000 within 700 MB, from the file to the results."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

ROOT = Path(__file__).parents[1]
SIDE_PX = 8000

COUNT = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from device.batch.items import Item, count_item
from device.bench.protocol import peak_memory_mb
from device.counting.records import CountSettings
from device.models.estimate import estimate
from device.batch.folder import folder_writer
from device.imageio.header import read_header
image, model = Path(sys.argv[1]), sys.argv[2]
if model.startswith("fake"):
    from conftest import FakeSegmenter, make_card
    diameter = 37.0 if model == "fake-full" else 9.25
    segmenter = FakeSegmenter(make_card(cell_diameter_px=diameter))
else:
    from device.models.card import find_model
    from device.models.interpreter import load_segmenter
    segmenter = load_segmenter(find_model(model), 2)
# c-resunet works at full size: at its own diameter the frame itself is shown to it, at an estimated one a copy.
settings = CountSettings(cell_diameter_px=37.0 if model == "c-resunet" else None)
with image.open("rb") as file:
    promised = estimate(read_header(file, image.name), segmenter.card, settings)
outcome = count_item(
    Item(image, image.name), segmenter, settings, write=folder_writer(image.parent / "out")
)
from device import sandbox
decoding_mb = sandbox.peak_memory_mb()
print(outcome.counted.result.count, peak_memory_mb(), decoding_mb, promised.memory_mb)
"""


def write_grid(path: Path, kind: str) -> int:
    """Discs of 37 px every 160 px on dark noise; returns their number."""
    from PIL import Image

    rng = np.random.default_rng(1)
    patch = rng.integers(5, 25, (160, 160, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:160, :160]
    patch[(rows - 80) ** 2 + (columns - 80) ** 2 <= 18.5**2] = (240, 180, 20)
    image = np.tile(patch, (SIDE_PX // 160, SIDE_PX // 160, 1))
    if kind == "png":
        Image.fromarray(image).save(path, compress_level=1)
    else:
        tifffile.imwrite(path, image)
    return (SIDE_PX // 160) ** 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("model", "kind"),
    [("fake-full", "png"), ("fake-quarter", "tif"), ("fast", "png"), ("c-resunet", "tif")],
)
def test_the_largest_frame_is_counted_within_700_mb(model, kind, tmp_path):
    """Files are decoded in a process of their own: what decoding takes does not depend on the model."""
    if not model.startswith("fake") and not (ROOT / f"device/models/{model}.tflite").exists():
        pytest.skip(f"{model} is not shipped in this tree")
    path = tmp_path / f"large.{kind}"
    cells = write_grid(path, kind)
    script = COUNT.format(root=str(ROOT), tests=str(ROOT / "tests"))
    command = [sys.executable, "-c", script, str(path), model]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, peak_mb, decoding_mb, promised_mb = (float(word) for word in done.stdout.split()[-4:])
    if model.startswith("fake"):
        assert count == cells
    assert peak_mb < 700
    # The two peaks do not come at the same time, and both hold the samples, which they share.
    assert peak_mb < promised_mb < 1.6 * (peak_mb + decoding_mb)
    assert (tmp_path / "out" / f"large.{kind}.overlay.jpg").stat().st_size > 10_000
