"""Fixtures and fakes that several rooms share."""

import hashlib
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings

from device.counting.card import (
    Confidence,
    CountStatistics,
    DataSource,
    Metrics,
    ModelCard,
    NormalFrame,
    Normalisation,
    ObjectFeature,
    Postprocessing,
    Range,
    Tiling,
)
from device.counting.labelling.regions import Regions, group_pixels
from device.counting.records import Frame
from device.models.card import load_card
from device.models.interpreter import interpreter_class

# How long an example takes says more about the machine than about the code.
hypothesis_settings.register_profile("fluocount", deadline=None)
hypothesis_settings.load_profile("fluocount")

DATA_DIR = Path(os.environ.get("FLUOCOUNT_DATA", Path(__file__).parents[2] / "shared" / "data"))

# A frame like those of the calibration.
USUAL = CountStatistics(
    contrast=60.0,
    background=10.0,
    noise=0.3,
    sharpness=0.33,
    green_share=0.43,
    blue_share=0.04,
    saturated_share=0.0,
    cell_size_ratio=1.0,
    covered_share=0.01,
)


def make_confidence(**changes) -> Confidence:
    """Probability is the score, nothing is flagged; any field can be replaced."""
    unjudged = Range(low=None, high=None)
    confidence = Confidence(
        fitted_on="nothing",
        frames=1,
        coverage=None,
        candidate_threshold=0.2,
        least_probability=0.0,
        lone_peak=0.0,
        intercept=0.0,
        score=ObjectFeature(mean=0.0, sd=1.0, coefficient=1.0),
        size=ObjectFeature(mean=0.0, sd=1.0, coefficient=0.0),
        contrast=ObjectFeature(mean=0.0, sd=1.0, coefficient=0.0),
        brightness=ObjectFeature(mean=0.0, sd=1.0, coefficient=0.0),
        detail=ObjectFeature(mean=0.0, sd=1.0, coefficient=0.0),
        blob=ObjectFeature(mean=0.0, sd=1.0, coefficient=0.0),
        frame_sd=0.0,
        normal_frame=NormalFrame(**dict.fromkeys(NormalFrame.__struct_fields__, unjudged)),
    )
    return msgspec.structs.replace(confidence, **changes)


UNMEASURED = Metrics(
    on="nothing", frames=0, cells=0, f1=0, precision=0, recall=0, mae=0, medae=0, mean_iou=0
)


def make_card(**changes) -> ModelCard:
    """A valid card of a model that works at full scale; any field can be replaced."""
    card = ModelCard(
        name="fake",
        version="0",
        architecture="brightness",
        view="colour",
        diameter_reader=None,
        sha256="0" * 64,
        tiling=Tiling(stride_px=8, receptive_field_px=0, margin_px=8, max_tile_px=512 * 512),
        normalisation=Normalisation(
            input_scale=1 / 255, input_zero_point=-128, output_scale=1 / 256, output_zero_point=-128
        ),
        cell_diameter_px=37.0,
        frame_cell_diameter_px=37.0,
        threshold=0.5,
        postprocessing=Postprocessing(
            min_area_ratio=0.2,
            max_hole_ratio=0.5,
            peak_distance_ratio=0.5,
            smoothing_ratio=0.06,
            min_peak=0.0,
        ),
        confidence=make_confidence(),
        metrics=(UNMEASURED,),
        training_data=(DataSource(name="none", frames=0, licence="none"),),
        trained_for="tests",
        gmac_per_frame=0.0,
        git_commit="",
        trained_on="2026-01-01",
    )
    return msgspec.structs.replace(card, **changes)


class FakeSegmenter:
    """Brightness is probability: exact, instant and without a model file."""

    def __init__(self, card: ModelCard | None = None) -> None:
        self.card = card or make_card()
        self.tiles: list[tuple[int, int]] = []

    def __call__(self, tile: np.ndarray) -> np.ndarray:
        self.tiles.append(tile.shape[:2])
        return tile.max(axis=2)


def tensor_types(model: Path) -> set[type]:
    """Types of all tensors of a .tflite, of every stage."""
    interpreter = interpreter_class()(model_path=str(model))
    stages = max(1, len(load_card(model).tiling.stages))
    details = [interpreter.get_tensor_details(stage) for stage in range(stages)]
    return {tensor["dtype"] for stage in details for tensor in stage}


def regions_of(labels: np.ndarray) -> Regions:
    """The objects of a label image in the order of their numbers."""
    inside = np.flatnonzero(labels)
    objects, _ = group_pixels(inside, labels.ravel()[inside], labels.shape)
    return objects


def make_frame(image: np.ndarray, **changes) -> Frame:
    """A frame around an array; grey becomes three channels."""
    channels = 3
    if image.ndim == 2:
        image, channels = np.broadcast_to(image[..., None], (*image.shape, 3)), 1
    defaults = {"source": "test.png", "sha256": hashlib.sha256(image.tobytes()).hexdigest()}
    return Frame(image=image, channels=channels, **{**defaults, **changes})


def draw_discs(shape: tuple[int, int], discs: list[tuple[float, float, float]]) -> np.ndarray:
    """uint8 (H, W): 255 inside any of the discs (x, y, diameter), else 0."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape, dtype=np.uint8)
    for x, y, diameter in discs:
        image[(columns - x) ** 2 + (rows - y) ** 2 <= (diameter / 2) ** 2] = 255
    return image


@pytest.fixture
def fake_segmenter() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def service(tmp_path):
    """A whole appliance on a fresh data folder: a small simulated camera, brightness for a model."""
    from appliance import make_service

    service = make_service(tmp_path / "data")
    service.start()
    yield service
    service.stop()


_FOLDERS = {"tmp_path", "tmp_path_factory"}


def pytest_collection_modifyitems(items):
    """What is about the SQLite file itself, or has no data folder, does not run a second time with PostgreSQL."""
    items[:] = [item for item in items if not _needs_another_database(item)]


def _needs_another_database(item) -> bool:
    values = item.callspec.params if hasattr(item, "callspec") else {}
    alone = item.get_closest_marker("sqlite") or not set(item.fixturenames) & _FOLDERS
    return bool(alone) and values.get("each_database") == "postgresql"


@pytest.fixture(scope="session")
def postgres():
    """A real PostgreSQL for the whole run; tests that ask for it are skipped where there is none."""
    import postgresql

    with postgresql.running_or_skipped() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def each_database(request):
    """Every data folder has its counts in its file, then in a PostgreSQL database of its own."""
    if request.param == "sqlite":
        yield request.param
        return
    from device.store import Store

    server, real = request.getfixturevalue("postgres"), Store.__init__

    def begin(self, data_dir, settings):
        database = server.database_of(data_dir)
        real(self, data_dir, msgspec.structs.replace(settings, database=database))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "__init__", begin)
        yield request.param


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images; tests that ask for it are skipped where it is absent."""
    if not DATA_DIR.is_dir():
        pytest.skip(f"no real images at {DATA_DIR}; set FLUOCOUNT_DATA")
    return DATA_DIR


@pytest.fixture
def version_1(tmp_path):
    from annotated import write_pair

    from trainer.frames.datasets import paper_test_names

    held_out = sorted(paper_test_names())[:2]
    for name in (*held_out, "1.png", "2.png", "3.png"):
        write_pair(tmp_path, name[:-4], "all_images/images", "all_masks/masks")
    return tmp_path


@pytest.fixture
def version_2(tmp_path):
    from annotated import write_pair

    for part, names in (("trainval", "abc"), ("test", "de")):
        for name in names:
            write_pair(tmp_path / "yellow" / part, name)
    return tmp_path


@pytest.fixture
def factory(monkeypatch):
    """gpiozero's mock pins."""
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    from gpiozero import Device

    before, Device.pin_factory = Device.pin_factory, None
    Device.ensure_pin_factory()
    yield Device.pin_factory
    Device.pin_factory.close()
    Device.pin_factory = before


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A watched folder that is looked at often."""
    from watched import Bench

    monkeypatch.setattr("device.watch.folder.TICK_S", 0.02)
    bench = Bench(tmp_path)
    yield bench
    bench.worker.stop()
    bench.store.close()


@pytest.fixture(scope="module")
def browser():
    from browser import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def open_page(browser):
    from browser import page_opener

    with page_opener(browser) as opener:
        yield opener


@pytest.fixture
def page(open_page):
    return open_page("about:blank")


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """An appliance with three counts of two samples."""
    from browser import three_counts

    with three_counts(tmp_path_factory.mktemp("counted")) as served:
        yield served


@pytest.fixture
def count(counted):
    """A fresh count, so that tests do not meet each other's corrections."""
    from browser import cells_png

    return counted.hand_in(cells_png(7), "fresh.png", sample="fresh")
