import numpy as np
import pytest
from conftest import FakeSegmenter, draw_discs, make_card, make_frame

from device.counting import blocks
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings


def crowded(seed, height=700, width=900):
    rng = np.random.default_rng(seed)
    discs = [
        (rng.uniform(0, width), rng.uniform(0, height), rng.uniform(12, 30)) for _ in range(150)
    ]
    levels = rng.integers(90, 255, (height, width), dtype=np.uint8)
    return make_frame(np.minimum(draw_discs((height, width), discs), levels))


@pytest.mark.parametrize("exclude_border", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("seed", [1, 2])
def test_blocks_find_the_same_cells_as_one_pass(seed, scale, exclude_border, monkeypatch):
    frame = crowded(seed)
    card = make_card(cell_diameter_px=20.0 * scale, frame_cell_diameter_px=20.0)
    settings = CountSettings(threshold=0.6, exclude_border=exclude_border)
    whole = count_frame(frame, FakeSegmenter(card), settings)
    monkeypatch.setattr(blocks, "LARGE_FRAME_PX", 1000)
    monkeypatch.setattr(blocks, "CORE_PX", 250)
    monkeypatch.setattr(blocks, "MARGIN_DIAMETERS", 12)
    parts = count_frame(frame, FakeSegmenter(card), settings)

    def places(cells):
        return sorted((cell.bbox, cell.area_px, cell.mean_intensity, cell.score) for cell in cells)

    assert whole.result.count > 40
    assert places(parts.result.cells) == places(whole.result.cells)
    assert [cell.id for cell in parts.result.cells] == list(range(1, whole.result.count + 1))
    np.testing.assert_array_equal(parts.labels > 0, whole.labels > 0)
    for cell in parts.result.cells:
        x0, y0, x1, y1 = cell.bbox
        assert (parts.labels[y0:y1, x0:x1] == cell.id).sum() == cell.area_px
    assert abs(parts.result.interval[0] - whole.result.interval[0]) <= 1
    ids = [cell.id for cell in parts.result.doubtful if cell.id > parts.result.count]
    assert ids == list(range(parts.result.count + 1, parts.result.count + 1 + len(ids)))
