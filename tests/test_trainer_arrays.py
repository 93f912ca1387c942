"""Weight maps, augmentation, matching, data sets and splits: numpy only."""

import csv

import msgspec
import numpy as np
import pytest
from annotated import discs, write_pair
from conftest import DATA_DIR
from PIL import Image

from device.assays.matching import centroids, match
from device.errors import InputError
from trainer.fitting.runs import Phase
from trainer.fitting.sampling import (
    Pool,
    Prefetch,
    batches,
    draw_chances,
    make_batch,
    make_pool,
    scale_at,
)
from trainer.frames.augment import Augment, Layers, crop, grid_centres
from trainer.frames.datasets import archive_split, load_source, paper_test_names, read_archive
from trainer.frames.objects import find_small, mask_objects, part_touching
from trainer.frames.sources import Source
from trainer.frames.splits import fold_numbers, train_and_test, validation_part
from trainer.frames.weightmaps import crowding_map, object_border, pixel_weights
from trainer.scores.matching import merge_within_targets

QUIET = Augment(
    rotate=False, flip=False, zoom=0, stretch=0, elastic=0, gamma=0, gain=0, colour=0, offset=0,
    noise=0, blur=0, sharpen=0,
)  # fmt: skip


def literal_crowding(labels, sigma):
    total = np.zeros(labels.shape)
    for number in range(1, labels.max() + 1):
        border = np.argwhere(object_border(labels == number))
        for y in range(labels.shape[0]):
            for x in range(labels.shape[1]):
                d2 = ((border - (y, x)) ** 2).sum(axis=1).min()
                total[y, x] += np.exp(-d2 / (2 * sigma**2))
    return total


def test_crowding_map_equals_the_literal_sum_over_objects():
    labels = discs((40, 50), (10, 10, 5), (12, 24, 6), (30, 48, 7))
    assert np.abs(crowding_map(labels, 4.0) - literal_crowding(labels, 4.0)).max() < 3 * 4e-4


def test_crowding_is_highest_between_touching_cells():
    labels = discs((60, 80), (30, 25, 10), (30, 47, 10))
    found = crowding_map(labels, 6.0)
    assert found[30, 36] > 1.5 > found[30, 14]


def test_small_objects_and_their_rim_are_found_among_larger_ones():
    labels = np.zeros((60, 120), np.int32)
    for number, x in enumerate((20, 50, 80), start=1):
        labels[20:40, x : x + 20] = number
    labels[5:10, 5:10] = 4
    expected = np.zeros(labels.shape, bool)
    expected[4:11, 4:11] = True
    np.testing.assert_array_equal(find_small(labels), expected)
    assert not find_small(np.where(labels == 4, 0, labels)).any()
    assert not find_small(np.zeros((5, 5), np.int32)).any()


def test_weights_take_the_class_weight_and_the_map():
    weights = pixel_weights(np.array([1.0, 0.0]), np.array([0.5, 0.0], np.float32), 1.0, 1.5)
    assert weights == pytest.approx([1.5, 1.5])


def test_twelve_crops_of_a_full_frame_cover_it_and_overlap():
    centres = grid_centres(1200, 1600, 512)
    assert len(centres) == 12
    seen = np.zeros((1200, 1600), int)
    for y, x in centres.astype(int):
        seen[y - 256 : y + 256, x - 256 : x + 256] += 1
    assert seen.min() >= 1
    assert seen.max() > 1


def layers_of(labels, image=None):
    if image is None:
        image = np.dstack([(labels > 0) * 200.0] * 3)
    stack = np.dstack([image, labels > 0, crowding_map(labels, 5.0)]).astype(np.float32)
    return Layers(stack, 1.0, centroids(labels))


def test_a_quiet_crop_is_the_cut_out():
    layers = layers_of(discs((64, 64), (30, 30, 8)))
    image, target, crowding = crop(
        layers, np.array([31.5, 31.5]), 32, QUIET, np.random.default_rng(0)
    )
    assert np.allclose(image * 255, layers.stack[16:48, 16:48, :3], atol=0.51)
    assert np.array_equal(target[..., 0], layers.stack[16:48, 16:48, 3])
    assert np.allclose(crowding[..., 0], layers.stack[16:48, 16:48, 4], atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_geometry_moves_image_and_target_alike(seed):
    layers = layers_of(discs((90, 90), (40, 40, 14), (60, 66, 10)))
    settings = Augment(
        gamma=0, gain=0, colour=0, offset=0, noise=0, blur=0, sharpen=0, elastic=1.0, elastic_px=3.0
    )
    image, target, _ = crop(
        layers, np.array([45.0, 45.0]), 64, settings, np.random.default_rng(seed)
    )
    same = (image[..., 0] > 100 / 255) == (target[..., 0] > 0)
    assert same.mean() > 0.998  # 255 steps of brightness decide a few border pixels


def test_intensity_changes_leave_the_target_alone_and_stay_in_range():
    layers = layers_of(discs((64, 64), (30, 30, 8)))
    settings = Augment(rotate=False, flip=False, zoom=0, stretch=0, elastic=0, noise=0.3, gain=2.0)
    for seed in range(6):
        image, target, _ = crop(
            layers, np.array([31.5, 31.5]), 32, settings, np.random.default_rng(seed)
        )
        assert np.array_equal(target[..., 0], layers.stack[16:48, 16:48, 3])
        assert image.min() >= 0
        assert image.max() <= 1


def test_haze_is_smooth_and_adds_light_only():
    layers = Layers(np.zeros((96, 96, 3), np.float32), 1.0, np.zeros((0, 2)))
    hazy = msgspec.structs.replace(QUIET, haze=0.5)
    rng = np.random.default_rng(1)
    images = [crop(layers, np.array([48.0, 48.0]), 64, hazy, rng)[0][..., 0] for _ in range(30)]
    brightest = np.array([image.max() for image in images])
    assert 0.2 < (brightest > 0.02).mean() < 0.6
    assert brightest.max() <= 0.5
    for image in images:
        assert np.abs(np.diff(image, axis=0)).max() < 0.05


def test_matching_is_one_to_one_nearest_and_strictly_under_the_radius():
    targets = np.array([[0.0, 0.0], [0.0, 60.0], [300.0, 0.0]])
    detections = np.array([[0.0, 30.0], [0.0, 100.0], [300.0, 50.0]])
    found = match(detections, targets, 50.0)
    assert found.pairs == ((0, 0), (1, 1))
    assert found.missed == (2,)
    assert found.wrong == (2,)


@pytest.mark.parametrize(("detections", "targets"), [(0, 0), (0, 3), (3, 0)])
def test_matching_with_nothing_on_a_side(detections, targets):
    found = match(np.zeros((detections, 2)), np.ones((targets, 2)), 50.0)
    assert found.pairs == ()
    assert len(found.missed) == targets
    assert len(found.wrong) == detections


def test_detections_inside_one_target_merge_and_others_stay():
    target = discs((60, 60), (20, 20, 12))
    detections = np.array([[15.0, 20.0], [25.0, 20.0], [50.0, 50.0]])
    assert merge_within_targets(detections, target).tolist() == [[50.0, 50.0], [20.0, 20.0]]


def test_crumbs_are_not_objects_and_diagonal_pixels_connect():
    mask = discs((60, 60), (15, 15, 10), (45, 45, 10)) > 0
    mask[50, 5] = True
    diagonal = np.eye(12, dtype=bool)
    assert mask_objects(mask).max() == 2
    assert mask_objects(diagonal).max() == 1
    assert mask_objects(np.zeros((5, 5), bool)).max() == 0


def test_touching_labels_are_parted():
    labels = np.zeros((20, 20), np.int32)
    labels[5:15, 2:10], labels[5:15, 10:18] = 1, 2
    assert mask_objects(part_touching(labels)).max() == 2


@pytest.mark.parametrize(("layout", "train"), [("version_1", 3), ("version_2", 3)])
def test_both_archives_split_as_published(layout, train, request):
    root = request.getfixturevalue(layout)
    source = Source(kind="fnc_v1", name="FNC", licence="CC BY-SA 4.0")
    parts = {part: list(read_archive(source, root, part, 38.0)) for part in ("train", "test")}
    assert len(parts["train"]) == train
    assert len(parts["test"]) == 2
    assert all(example.count == 1 and example.scale == 16 for example in parts["test"])
    assert not {e.name for e in parts["train"]} & {e.name for e in parts["test"]}


def test_the_paper_held_out_seventy_names():
    assert len(paper_test_names()) == 70


def test_a_folder_that_is_no_archive_is_named(tmp_path):
    with pytest.raises(InputError, match="neither version 1"):
        archive_split(tmp_path)


def test_an_image_without_mask_is_named(tmp_path):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png has no partner"):
        load_source(Source(kind="pairs", name="x", licence="x"), tmp_path, 38.0, 1)


def test_label_images_and_the_scale_by_diameter(tmp_path):
    write_pair(tmp_path, "a", circles=((30, 30, 10), (30, 51, 10)))
    (tmp_path / "labels").mkdir()
    labels = discs((75, 100), (30, 30, 10), (30, 51, 10)).astype(np.uint16)
    Image.fromarray(labels * 300).save(tmp_path / "labels" / "a.png")
    source = Source(kind="labels", name="x", licence="x", scale="diameter")
    (example,) = load_source(source, tmp_path, 40.0, 1)
    assert example.scale == pytest.approx(2.0, rel=0.03)
    assert example.count == 2


@pytest.fixture
def reduced(tmp_path):
    rows = [("a", "", 0), ("b", "", 1), ("c", "", 2), ("d", "a.png", 0), ("e", "", 3), ("f", "", 1)]
    for name, _, cells in rows:
        circles = [(15, 12 + 25 * number, 8) for number in range(cells)]
        write_pair(tmp_path, name, circles=circles)
    with (tmp_path / "index.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "width", "height", "cells", "kind", "same_frame_as"])
        writer.writerows([name, 100, 75, n, "whole_frame", twin] for name, twin, n in rows)
    source = Source(kind="reduced", name="r", licence="x", held_out=True)
    return load_source(source, tmp_path, 38.0, 1)


def test_folds_keep_twins_together_and_cover_every_frame(reduced):
    folds = fold_numbers(reduced, 3, seed=5)
    assert folds == fold_numbers(reduced, 3, seed=5)
    assert set(folds) == set("abcdef")
    assert folds["a"] == folds["d"]
    tested = [e.name for fold in range(3) for e in train_and_test(reduced, folds, fold)[1]]
    assert sorted(tested) == list("abcdef")


def test_validation_frames_are_not_trained_on(reduced):
    train, watched = validation_part(reduced, 0.3, seed=1)
    assert not {e.group for e in train} & {e.group for e in watched}
    assert len(train) + len(watched) == len(reduced)
    assert validation_part(reduced, 0.0, seed=1) == (reduced, [])


def test_crowds_and_named_frames_are_drawn_more_often(reduced):
    source = Source(kind="reduced", name="r", licence="x", share=2.0)
    phase = Phase(sources=(source,), crowd_bonus=0.5, oversample={"a": 4.0})
    chance = dict(zip([e.name for e in reduced], draw_chances(reduced, phase), strict=True))
    assert sum(chance.values()) == pytest.approx(1)
    assert chance["e"] > chance["c"] > chance["b"] == chance["f"]
    assert chance["a"] == pytest.approx(4 * chance["d"])


def test_batches_depend_on_seed_and_step_only(reduced):
    phase = Phase(sources=(), batch=2, crop_px=32)
    pool = make_pool(reduced, phase, 0.25)
    stream = batches(pool, phase, seed=3, first_step=0)
    first, second = next(stream), next(stream)
    resumed = next(batches(pool, phase, seed=3, first_step=1))
    assert first[0].shape == (2, 32, 32, 3)
    assert first[1].shape == (2, 32, 32, 2)
    assert np.array_equal(second[0], resumed[0])
    assert not np.array_equal(first[0], second[0])


def test_a_phase_goes_through_its_scales_and_cells_shrink_with_them():
    phase = Phase(
        sources=(), batch=8, crop_px=64, cell_share=1.0, scales=(0.5, 1.0), epochs=3, epoch_steps=2,
        augment=QUIET,
    )  # fmt: skip
    assert [scale_at(phase, step) for step in range(7)] == [0.5] * 3 + [1.0] * 4
    mask = discs((300, 300), (150, 150, 6)) > 0
    stack = np.dstack([mask * 200, mask * 200, mask * 0, mask, mask * 0]).astype(np.float32)
    pool = Pool([Layers(stack, 1.0, np.array([[150.0, 150.0]]))], np.ones(1))
    coarse, fine = (
        make_batch(pool, phase, np.random.default_rng(1), scale)[1][..., 0].sum() / phase.batch
        for scale in phase.scales
    )
    assert fine == pytest.approx(mask.sum(), rel=0.05)
    assert coarse == pytest.approx(mask.sum() / 4, rel=0.1)


def test_an_error_in_the_prefetching_thread_reaches_the_caller():
    phase = Phase(sources=(), batch=2, crop_px=32)
    broken = Pool([], np.zeros(0))
    with Prefetch(lambda: batches(broken, phase, 1, 0)) as ahead, pytest.raises(ValueError):  # noqa: PT011
        ahead.next()


@pytest.mark.data
@pytest.mark.skipif(not DATA_DIR.is_dir(), reason="the real images (FLUOCOUNT_DATA) are absent")
def test_the_reduced_frames_hold_the_cells_of_their_index():
    source = Source(kind="reduced", path="fnc_yellow_reduced", name="r", licence="x")
    examples = load_source(source, DATA_DIR, 38.0, 1)
    with (DATA_DIR / "fnc_yellow_reduced" / "index.csv").open() as stream:
        cells = {row["name"]: int(row["cells"]) for row in csv.DictReader(stream)}
    wrong = [e.name for e in examples if e.count != cells[e.name]]
    # fnc_038 alone keeps two crumbs of 9 and 14 px beside cells of 270 px in the index.
    assert wrong == ["fnc_038"]
    assert len({e.group for e in examples}) == 38
