"""Counting by a density that is learned from dots: the maps, the split, and the protocol on a few synthetic frames."""

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from device.errors import InputError
from trainer.cli import cli
from trainer.frames.dots import density_map, read_dotted

CELL_PX = 11.0


def write_frame(folder, name, seed, cells):
    """Blurred discs that may lie on each other, and the dots in their middles."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(96 * 96)[:cells]
    dots = np.stack([places % 96, places // 96], axis=1)
    rows, columns = np.mgrid[:96, :96]
    image = np.zeros((96, 96, 3), np.uint8)
    light = sum(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 20.0) for x, y in dots)
    image[..., 2] = np.minimum(20 + 120 * light, 255)
    marks = np.zeros((96, 96, 3), np.uint8)
    marks[dots[:, 1], dots[:, 0], 0] = 255
    folder.mkdir(exist_ok=True)
    Image.fromarray(image).save(folder / f"{name}cell.png")
    Image.fromarray(marks).save(folder / f"{name}dots.png")
    return dots


def test_dots_are_read_where_they_were_marked(tmp_path):
    marked = write_frame(tmp_path, "001", 1, 7)
    (dotted,) = read_dotted(tmp_path)
    assert sorted(map(tuple, dotted.dots)) == sorted(map(tuple, marked))


def test_missing_dots_and_dots_of_another_frame_are_said(tmp_path):
    with pytest.raises(InputError, match="no frame"):
        read_dotted(tmp_path)
    write_frame(tmp_path, "001", 1, 7)
    Image.new("RGB", (50, 60)).save(tmp_path / "001dots.png")
    with pytest.raises(InputError, match="differ in size"):
        read_dotted(tmp_path)
    (tmp_path / "001dots.png").unlink()
    with pytest.raises(InputError, match="no dots"):
        read_dotted(tmp_path)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_a_density_sums_to_the_cells_even_at_the_edge_and_peaks_at_the_dots(scale):
    dots = np.array([[0.0, 0.0], [39.0, 20.0], [20.0, 10.0], [20.0, 11.0]])
    shape = round(30 * scale), round(40 * scale)
    density = density_map(dots, shape, scale, 2.0 * scale)
    assert density.shape == shape
    assert density.min() >= 0
    assert density.sum() == pytest.approx(4, abs=1e-4)
    alone = density_map(dots[2:3], shape, scale, 2.0 * scale)
    row, column = np.unravel_index(alone.argmax(), shape)
    assert abs((row + 0.5) / scale - 10.5) <= 0.5 / scale + 0.01
    assert abs((column + 0.5) / scale - 20.5) <= 0.5 / scale + 0.01


def test_a_split_keeps_its_test_frames_however_many_are_trained_on():
    from trainer.experiments.density import split

    few, others = split(200, 32, 100, repetition=3)
    more, same = split(200, 50, 100, repetition=3)
    assert others == same
    assert few == more[:32]
    assert not set(more) & set(others)
    assert len(set(more)), len(set(others)) == (50, 100)
    assert split(200, 32, 100, repetition=4)[1] != others
    with pytest.raises(InputError, match="others to count"):
        split(100, 50, 60, repetition=0)


def in_blocks(planes):
    """(n, h, w) summed over blocks of four by four pixels."""
    count, height, width = planes.shape
    return planes.reshape(count, height // 4, 4, width // 4, 4).sum(axis=(2, 4))


def test_crops_turn_image_and_density_alike():
    from trainer.fitting.density import UNIT, DensityRecipe, Plane, make_batch

    image = np.random.default_rng(1).integers(0, 255, (40, 56, 3)).astype(np.uint8)
    density = in_blocks(image[None, ..., 0].astype(np.float32) / 255)[0]
    recipe = DensityRecipe(cell_diameter_px=CELL_PX, crop_px=64, batch=16)
    images, densities = make_batch([Plane(image, density)], recipe, np.random.default_rng(2))
    assert images.shape == (16, 40, 40, 3)
    assert in_blocks(images[..., 0]) == pytest.approx(densities[..., 0] / UNIT, rel=1e-4)
    assert len({one.tobytes() for one in images}) > 8


@pytest.mark.timeout(300)
def test_the_protocol_is_trained_counted_resumed_and_printed(tmp_path, monkeypatch):
    from trainer.experiments import density

    frames, results = tmp_path / "frames", tmp_path / "results"
    for number in range(6):
        write_frame(frames, f"{number:03d}", number, 12)
    options = ("--cell-diameter", CELL_PX, "--frames", 2, "--frames", 3, "--test", 2,
               "--repetition", 0, "--steps", 5, "--out", tmp_path / "out", "--results", results)  # fmt: skip
    command = ["density", str(frames), *map(str, options)]
    said = CliRunner().invoke(cli, command)
    assert said.exit_code == 0, said.output
    assert "2 frames, repetition 0" in said.output
    trial = msgspec.json.decode((results / "2-3-0.json").read_bytes(), type=density.Trial)
    assert trial.cells == (12, 12)
    assert np.isfinite(trial.counted).all()
    table = said.output[said.output.index("| trained on") :]
    assert f"{np.abs(trial.errors).mean():.2f}" in table.splitlines()[-1]
    (results / "2-3-0.json").unlink()
    again = CliRunner().invoke(cli, command)
    assert "frames, repetition" not in again.output
    assert again.output.endswith(table)  # counted again with the weights that were kept
    other = CliRunner().invoke(cli, [*command, "--steps", "6"])
    assert "other settings" in str(other.exception)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_overlapping_cells_are_learned_from_dots(tmp_path):
    from trainer.fitting.density import DensityCounter, DensityRecipe, fit_density, fit_line

    for number in range(10):
        write_frame(tmp_path, f"{number:03d}", number, 10 + 4 * number)
    dotted = read_dotted(tmp_path)
    recipe = DensityRecipe(cell_diameter_px=CELL_PX, steps=150, crop_px=96)
    model = fit_density(dotted[::2], recipe, 1, None, print)
    count = fit_line(DensityCounter(model, recipe), dotted[::2])
    unseen = dotted[1::2]
    errors = [count(one.frame) - len(one.dots) for one in unseen]
    assert np.abs(errors).mean() < 4  # 14 to 46 cells; the mean of all would be 13 off
