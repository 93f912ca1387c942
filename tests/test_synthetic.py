import os
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from device.errors import InputError
from device.synthetic import (
    SyntheticSettings,
    expose,
    make_frame,
    make_scene,
    vary_settings,
)
from device.synthetic.sample import SETTINGS, Sample, write_sample

SMALL = SyntheticSettings(width_px=400, height_px=300, cell_diameter_px=9.5)


def changed(base=SMALL, **changes):
    return msgspec.structs.replace(base, **changes)


def components(labels):
    return ndimage.label(labels > 0, np.ones((3, 3)))[1]


def test_same_seed_gives_the_same_pixels_and_another_seed_others():
    first, again, other = make_frame(5, SMALL), make_frame(5, SMALL), make_frame(6, SMALL)
    assert np.array_equal(first.frame.image, again.frame.image)
    assert np.array_equal(first.labels, again.labels)
    assert first.frame.sha256 == again.frame.sha256
    assert first.frame.sha256 != other.frame.sha256
    assert not np.array_equal(first.labels, other.labels)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), cells=st.integers(0, 40), clumping=st.sampled_from([0.0, 0.5, 1.0])
)
def test_labels_hold_exactly_the_cells_asked_for_and_none_touches_another(seed, cells, clumping):
    made = make_frame(seed, changed(cells=cells, clumping=clumping))
    assert made.count == cells
    assert set(np.unique(made.labels)) == set(range(cells + 1)) | {0}
    assert components(made.labels) == cells
    assert made.labels.dtype == np.int32
    assert made.labels.shape == made.frame.image.shape[:2] == (300, 400)


@pytest.mark.parametrize("diameter_px", [6.0, 19.0, 38.0])
def test_cell_diameter_is_the_median_of_what_is_drawn(diameter_px):
    size = round(26 * diameter_px)
    base = SyntheticSettings(width_px=size, height_px=size, cell_diameter_px=diameter_px)
    areas = np.concatenate(
        [
            np.bincount(make_frame(s, changed(base, cells=20, clumping=0)).labels.ravel())[1:]
            for s in range(6)
        ]
    )
    assert np.median(np.sqrt(4 * areas / np.pi)) == pytest.approx(diameter_px, rel=0.1)


def test_cells_are_brighter_than_what_surrounds_them_and_yellow():
    made = make_frame(3, changed(cells=25))
    image = made.frame.image.astype(float)
    for cell in range(1, made.count + 1):
        inside = made.labels == cell
        red, green, blue = image[inside].mean(axis=0)
        assert red > 4 * np.median(image[..., 0][made.labels == 0])
        assert 0.6 * red < green < red
        assert blue < 0.2 * red


def test_faint_cells_add_light_but_no_label():
    without = make_scene(4, changed(cells=0, faint_cells=0, filaments=0, debris=0))
    with_faint = make_scene(4, changed(cells=0, faint_cells=30, filaments=0, debris=0))
    assert without.stain.max() == 0
    assert with_faint.stain.max() > 0.05
    assert with_faint.labels.max() == with_faint.count == 0


@pytest.mark.parametrize("name", ["filaments", "debris", "strips"])
def test_clutter_adds_light_but_no_label(name):
    nothing = {"cells": 0, "faint_cells": 0, "filaments": 0, "debris": 0}
    scene = make_scene(4, changed(**(nothing | {name: 20})))
    assert scene.stain.max() > 0.1
    assert scene.labels.max() == 0


def test_no_cell_lies_beyond_the_edge_of_the_tissue():
    for seed in range(5):
        scene = make_scene(seed, changed(tissue_edge=True, cells=15, unevenness=0))
        dark = scene.background < 0.2 * scene.background.max()
        assert 0.02 < dark.mean() < 0.6
        assert np.mean(scene.labels[dark] > 0) < 0.02


def test_exposure_brightens_until_it_saturates_and_darkens_to_nothing():
    scene = make_scene(1, SMALL)
    means = [
        expose(scene, changed(exposure=e, hot_pixels=0), 1).astype(float).mean()
        for e in (0.0, 0.2, 1.0, 5.0, 50.0)
    ]
    assert means == sorted(means)
    assert means[0] < 1
    bright = expose(scene, changed(exposure=300.0), 1)
    assert np.mean(bright[..., 0] == 255) > 0.9
    assert np.mean(expose(scene, SMALL, 1)[..., 0] == 255) < 0.01


def test_gain_brightens_signal_and_noise_alike_where_exposure_gains_on_the_noise():
    flat = changed(
        cells=0,
        faint_cells=0,
        filaments=0,
        debris=0,
        hot_pixels=0,
        unevenness=0.0,
        background=0.03,
        black_level=0.0,
    )
    scene = make_scene(1, flat)

    def relative_noise(**changes):
        one, other = (
            expose(scene, changed(flat, **changes), s)[..., 0].astype(float) for s in (1, 2)
        )
        return (one - other).std() / one.mean()

    assert relative_noise(gain=4.0) == pytest.approx(relative_noise(), rel=0.25)
    assert relative_noise(exposure=4.0) < 0.7 * relative_noise()


def test_another_noise_seed_shows_the_same_view():
    scene = make_scene(1, SMALL)
    one, other = expose(scene, SMALL, 1).astype(float), expose(scene, SMALL, 2).astype(float)
    assert not np.array_equal(one, other)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97


def test_hot_pixels_stay_where_they_are_in_the_dark():
    dark = changed(exposure=0.0, hot_pixels=12)
    one, other = make_frame(1, dark).frame.image, make_frame(2, dark).frame.image
    bright = one > 60
    assert 1 <= bright.sum() <= 12
    assert np.array_equal(bright, other > 60)


def test_more_than_eight_bits_are_uint16_with_that_full_scale():
    made = make_frame(1, changed(bits=12, exposure=20.0))
    assert made.frame.image.dtype == np.uint16
    assert made.frame.bits == 12
    assert made.frame.image.max() == 4095


def test_blur_softens_the_picture_and_leaves_the_labels():
    sharp, soft = make_frame(1, SMALL), make_frame(1, changed(blur_px=4.0))
    assert np.array_equal(sharp.labels, soft.labels)
    detail = [ndimage.laplace(m.frame.image[..., 0].astype(float)).var() for m in (sharp, soft)]
    assert detail[1] < 0.5 * detail[0]


def test_more_cells_than_fit_are_refused_with_a_sentence():
    with pytest.raises(InputError, match="500 cells do not fit into 64 x 64"):
        make_frame(1, SyntheticSettings(width_px=64, height_px=64, cell_diameter_px=20, cells=500))


def test_smallest_frame():
    made = make_frame(1, SyntheticSettings(width_px=32, height_px=32, cell_diameter_px=6, cells=1))
    assert made.frame.image.shape == (32, 32, 3)
    assert made.count == 1


def test_varied_settings_are_reproducible_and_span_what_real_frames_show():
    drawn = [vary_settings(seed, SMALL) for seed in range(300)]
    assert drawn[7] == vary_settings(7, SMALL)
    cells = np.array([each.cells for each in drawn])
    assert 0.05 < np.mean(cells == 0) < 0.3
    assert 5 <= np.median(cells) <= 20
    assert 40 <= cells.max() <= 75
    assert {each.width_px for each in drawn} == {400}
    assert (
        min(each.background for each in drawn) < 0.02 < 0.2 < max(each.background for each in drawn)
    )


def test_varied_frames_can_all_be_drawn():
    for seed in range(12):
        made = make_frame(seed, vary_settings(seed, SMALL))
        assert components(made.labels) == made.count


def test_a_full_frame_costs_little_processor_time():
    start = time.process_time()
    make_frame(1)
    assert time.process_time() - start < 3


@pytest.fixture
def data_dir():
    folder = Path(os.environ.get("FLUOCOUNT_DATA", "../shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no real images in {folder}: set FLUOCOUNT_DATA")
    return folder


def cell_statistics(image, mask):
    labels, number = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    kept = [i + 1 for i in range(number) if areas[i] > 0.1 * np.median(areas)]
    means = np.array([image[labels == i].mean(axis=0) for i in kept])
    away = ~ndimage.binary_dilation(mask, iterations=10)
    smooth = image - ndimage.gaussian_filter(image, (2, 2, 0))
    return {
        "red": np.median(means[:, 0]),
        "green / red": np.median(means[:, 1] / means[:, 0]),
        "blue / red": np.median(means[:, 2] / means[:, 0]),
        "area": np.median(areas[[i - 1 for i in kept]]),
        "background": np.mean(image[away][:, 0]),
        "noise": np.median(np.abs(smooth[..., 0][away])),
    }


@pytest.mark.data
def test_defaults_resemble_the_real_yellow_frames(data_dir: Path):

    real = []
    for path in sorted((data_dir / "fnc_yellow_full" / "images").iterdir()):
        mask = next((data_dir / "fnc_yellow_full" / "masks").glob(path.stem + "*"))
        image = np.asarray(Image.open(path).convert("RGB"), float)
        real.append(cell_statistics(image, np.asarray(Image.open(mask).convert("L")) > 127))
    made = [make_frame(seed) for seed in range(2)]
    drawn = [cell_statistics(m.frame.image.astype(float), m.labels > 0) for m in made]
    for name in real[0]:
        low, high = min(r[name] for r in real), max(r[name] for r in real)
        assert 0.6 * low <= np.mean([d[name] for d in drawn]) <= 1.6 * high, name


def read_sample(picture):
    """The record beside a sample picture."""
    return msgspec.json.decode(picture.with_suffix(".json").read_bytes(), type=Sample)


def test_shipped_sample_is_what_its_settings_draw(tmp_path):
    shipped = Path(__file__).parents[1] / "device" / "samples" / "neurons.jpg"
    again = write_sample(tmp_path)
    assert read_sample(shipped) == read_sample(again)
    assert read_sample(shipped).count == SETTINGS.cells == 24
    assert shipped.stat().st_size < 1_000_000
    one, other = (np.asarray(Image.open(path), float) for path in (shipped, again))
    assert one.shape == (1200, 1600, 3)
    # Other releases of numpy and Pillow may round a pixel differently.
    assert np.abs(one - other).mean() < 0.5
