"""Dots, crosses and coloured lettering that people and programs draw on pictures; cells never pass for them."""

import io
import itertools

import msgspec
import numpy as np
import pytest
import scipy
from forms import pillow, tiff
from PIL import Image, ImageDraw, ImageFont

from device.counting.confidence.flags import file_flags
from device.counting.pipeline import count_frame
from device.counting.records import CountSettings
from device.imageio import decode_frame
from device.imageio.annotations import find_annotations, find_drawings
from device.models.card import find_model
from device.models.interpreter import load_segmenter
from device.synthetic import SyntheticSettings, make_frame, vary_settings
from tests.drawings import KINDS, bar
from tests.marks import Trial, rows, trials, tried

SETTINGS = SyntheticSettings(width_px=420, height_px=320, cells=4, faint_cells=2, filaments=2)
PLAIN = make_frame(8, SETTINGS)
IMAGE = PLAIN.frame.image
PLACES = [(40, 40), (201, 60), (380, 42), (43, 222), (377, 281), (205, 290)]
COLOURS = ["red", "lime", "blue", "cyan", "magenta", "yellow", "orange", "white"]


def dot(draw, x, y, colour, radius=6):
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def cross(draw, x, y, colour, reach=8):
    draw.line((x - reach, y, x + reach, y), fill=colour, width=2)
    draw.line((x, y - reach, x, y + reach), fill=colour, width=2)


def ring(draw, x, y, colour, radius=9):
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)


def triangle(draw, x, y, colour, reach=8):
    draw.polygon([(x, y - reach), (x - reach, y + reach), (x + reach, y + reach)], fill=colour)


def stamp(draw, colour, size):
    font = ImageFont.load_default(size)
    draw.text((8, 6), "2026-03-04 12:33", fill=colour, font=font)


def drawn(draw_it, image=IMAGE):
    picture = Image.fromarray(image)
    draw_it(ImageDraw.Draw(picture))
    return np.asarray(picture)


def marked(mark, colour, image=IMAGE, places=PLACES):
    return drawn(lambda draw: [mark(draw, x, y, colour) for x, y in places], image)


def photograph(image, quality):
    return pillow(image, "JPEG", quality=quality)


def covered(frame, image):
    """Part of what was drawn that is left out."""
    changed = (np.abs(image.astype(int) - IMAGE) > 60).any(axis=2)
    return 0.0 if frame.ignored is None else frame.ignored[changed].mean()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("mark", [dot, cross, ring, triangle])
def test_marks_of_any_colour_are_left_out(mark, colour):
    image = marked(mark, colour)
    frame = decode_frame(pillow(image, "PNG"), "a.png")
    assert frame.taken.ignored_for == ("annotations",)
    assert covered(frame, image) == 1
    assert frame.ignored.mean() < 0.05


@pytest.mark.parametrize("quality", [60, 80, 95])
@pytest.mark.parametrize("colour", ["red", "magenta", "yellow", "white"])
@pytest.mark.parametrize("mark", [dot, cross])
def test_so_are_marks_in_a_photograph(mark, colour, quality):
    image = marked(mark, colour)
    frame = decode_frame(photograph(image, quality), "a.jpg")
    assert frame.taken.ignored_for == ("annotations",)
    assert covered(frame, image) > 0.8
    assert frame.ignored.mean() < 0.05


@pytest.mark.parametrize("quality", [60, 80, 95])
@pytest.mark.parametrize("size", [24, 36])
@pytest.mark.parametrize("colour", ["red", "orange", "magenta", "white"])
def test_lettering_in_colour_in_a_photograph_is_left_out(colour, size, quality):
    image = drawn(lambda draw: stamp(draw, colour, size))
    frame = decode_frame(photograph(image, quality), "a.jpg")
    assert frame.taken.ignored_for == ("annotations",)
    assert covered(frame, image) > 0.8
    assert frame.ignored.mean() < 0.12


@pytest.mark.parametrize("quality", [75, 85, 95])
@pytest.mark.parametrize("colour", ["red", "magenta", "yellow", "white", "cyan"])
@pytest.mark.parametrize("text", ["A", "20x", "50 µm", "t=5"])
def test_so_is_a_letter_or_two(text, colour, quality):
    font = ImageFont.load_default(32)
    image = drawn(lambda draw: draw.text((250, 120), text, fill=colour, font=font))
    frame = decode_frame(photograph(image, quality), "a.jpg")
    assert frame.taken.ignored_for == ("annotations",)
    assert covered(frame, image) > 0.7
    assert frame.ignored.mean() < 0.03


def test_marks_on_deep_grey_data_are_left_out():
    deep = IMAGE.max(axis=2).astype(np.uint16) * 16
    deep += np.random.default_rng(0).integers(0, 16, deep.shape, np.uint16)
    for x, y in PLACES:
        deep[y - 5 : y + 6, x - 5 : x + 6] = 4095
    frame = decode_frame(tiff(deep), "a.tif")
    assert all(frame.ignored[y, x] for x, y in PLACES)


def test_marks_add_no_cells():
    segmenter = load_segmenter(find_model("fast"), 2)

    def count(data):
        return count_frame(decode_frame(data, "a"), segmenter, CountSettings()).result

    plain = count(pillow(IMAGE, "PNG")).count
    for data in (
        pillow(marked(dot, "red"), "PNG"),
        pillow(marked(dot, "white"), "PNG"),
        photograph(marked(dot, "orange"), 85),
        photograph(marked(cross, "yellow"), 85),
        photograph(drawn(lambda draw: stamp(draw, "red", 30)), 85),
    ):
        result = count(data)
        assert abs(result.count - plain) <= 1
        assert "annotations" in [flag.code for flag in result.flags]


def test_two_alike_are_chance():
    assert find_annotations(marked(dot, "white", places=PLACES[:2])) is None


@pytest.mark.parametrize("colour", ["red", "lime", "blue", "cyan", "magenta"])
@pytest.mark.parametrize("mark", [dot, triangle])
def test_one_mark_in_a_colour_of_its_own_is_left_out(mark, colour):
    noise = np.random.default_rng(5).integers(4, 12, IMAGE.shape, np.uint8)
    image = np.maximum(IMAGE, noise)
    found = find_annotations(marked(mark, colour, image, [(205, 290)]))
    assert found[290, 205]
    assert np.count_nonzero(found) < 600


@pytest.mark.parametrize("offset", [0, 20])
def test_saturated_cells_of_a_second_stain_are_no_marks(offset):
    """Their colour is a full one and equal throughout, and a stretched picture has a background of zero."""
    random = np.random.default_rng(6)
    rows, columns = np.mgrid[:200, :300]
    stains = random.normal(10, 3, (3, 200, 300))
    for stain, level, radius, places in (
        (1, 50, 16, [(40, 40), (100, 80), (160, 50), (60, 160), (140, 220), (40, 260)]),
        (0, 150, 6, [(120, 150), (25, 110)]),
    ):
        for y, x in places:
            away = np.hypot(rows - y, columns - x) - radius
            stains[stain] += random.normal(level, level / 4, away.shape) / (1 + np.exp(2 * away))
    image = np.clip((stains.transpose(1, 2, 0) - offset) * 4, 0, 255).astype(np.uint8)
    assert find_annotations(image) is None


def test_equal_discs_without_any_noise_are_no_marks():
    """Somebody's simulated cells; no sensor gives two equal neighbours everywhere."""
    image = np.zeros((200, 300, 3), np.uint8)
    marks = marked(dot, (255, 200, 10), image, [(40, 40), (100, 60), (200, 120), (250, 40)])
    assert find_annotations(marks) is None
    assert find_annotations(marks, lossy=True) is None


@pytest.mark.parametrize("exposure", [1.0, 8.0])
@pytest.mark.parametrize("seed", [4, 12, 83, 205, 209])
def test_nothing_is_found_in_photographs_of_cells(seed, exposure):
    settings = vary_settings(seed, SyntheticSettings(width_px=500, height_px=375))
    settings = msgspec.structs.replace(settings, exposure=exposure)
    image = make_frame(seed, settings).frame.image
    for quality in (60, 85, 95):
        stream = io.BytesIO(photograph(image, quality))
        found = find_drawings(np.asarray(Image.open(stream)), lossy=True)
        assert found.certain is None
        assert found.possible is None


@pytest.mark.slow
@pytest.mark.parametrize("quality", [60, 75, 85, 95])
def test_nothing_is_found_in_photographs_of_real_frames(data_dir, quality):
    found, possible = [], []
    folders = [sorted(folder.glob("images/*.png")) for folder in data_dir.iterdir()]
    for path in itertools.chain(*folders):
        with Image.open(path) as picture:
            grey = picture.mode in ("1", "L", "I", "I;16")
            if picture.mode.startswith("I"):
                continue
            image = np.asarray(picture.convert("L" if grey else "RGB"))
        again = np.asarray(Image.open(io.BytesIO(photograph(image, quality))))
        drawings = find_drawings(again, lossy=True)
        found += [path.name] * (drawings.certain is not None)
        possible.append(drawings.possible is not None)
    assert found == []
    assert np.mean(possible) < 0.01


def test_the_table_of_marks_tells_found_from_silently_wrong():
    bars = [Trial(bar, "white", suffix, 1) for suffix in ("png", "tif", "jpg")]
    outcomes = [
        tried(trial) for trial in (*bars, *(Trial(kind, "white", "png", 0) for kind in KINDS))
    ]
    assert all(outcome.found for outcome in outcomes[:3])
    assert outcomes[0] == tried(bars[0])
    assert len(set(trials(2))) == 2 * 5 * len(KINDS)
    *lines, total = rows(outcomes)
    assert len(lines) == len(KINDS) + 2
    values = [
        [one.found for one in outcomes],
        [one.flagged for one in outcomes],
        [one.flagged or one.right for one in outcomes],
        [one.silent for one in outcomes],
    ]
    assert total[3:] == [len(outcomes), *(f"{np.mean(each):.0%}" for each in values)]


SMOOTH = {
    "dot": lambda draw: draw.ellipse((400, 400, 480, 480), fill=255),
    "letter": lambda draw: draw.text((400, 400), "B", fill=255, font=ImageFont.load_default(80)),
    "cross": lambda draw: draw.line((380, 400, 480, 400, 480, 300), fill=255, width=9),
    "ring": lambda draw: draw.ellipse((380, 380, 500, 500), outline=255, width=9),
}
"""At four times the size, so that their edges are smoothed."""


def smoothed(draw_it):
    layer = Image.new("L", (4 * IMAGE.shape[1], 4 * IMAGE.shape[0]))
    draw_it(ImageDraw.Draw(layer))
    return np.asarray(layer.reduce(4)) / 255


@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("mark", SMOOTH)
def test_white_of_16_bits_does_not_hide_the_cells_of_12(mark, offset):
    opaque = smoothed(SMOOTH[mark])
    deep = IMAGE.max(axis=2).astype(float) * 15 + offset
    deep += np.random.default_rng(0).uniform(0, 16, deep.shape)
    image = np.round(deep * (1 - opaque) + 65535 * opaque).astype(np.uint16)
    frame = decode_frame(tiff(image), "a.tif")
    assert frame.taken.full_scale == 4095
    codes = {flag.code for flag in file_flags(frame.taken)}
    assert codes & {"annotations", "possible_annotations"}


@pytest.mark.parametrize("sigma_px", [0.6, 1, 2])
def test_a_cell_far_brighter_than_all_others_is_no_mark(sigma_px):
    rows, columns = np.mgrid[:200, :300]
    disc = scipy.ndimage.gaussian_filter(
        (np.hypot(rows - 90, columns - 120) < 9).astype(float), sigma_px
    )
    noise = np.random.default_rng(2).normal(900, 100, disc.shape)
    image = np.clip(noise + 200_000 * disc, 0, 65535).astype(np.uint16)
    assert find_annotations(image) is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("mark", [dot, triangle])
def test_a_lone_white_mark_is_said_and_not_left_out(mark, suffix):
    x, y = 205, 290
    image = marked(mark, "white", np.dstack([IMAGE.max(axis=2)] * 3), [(x, y)])
    frame = decode_frame(
        tiff(image[..., 0].astype(np.uint16) * 16) if suffix == "tif" else pillow(image, "PNG"),
        "a",
    )
    assert frame.ignored is None
    [place] = frame.taken.maybe_drawn
    assert np.hypot(place[0] - x, place[1] - y) < 4
    [flag] = [one for one in file_flags(frame.taken) if one.code == "possible_annotations"]
    assert f"x {place[0]} y {place[1]}" in flag.text
