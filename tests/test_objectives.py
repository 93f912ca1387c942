"""Objectives: kept in a list, chosen for an assay or an upload, and kept with every result."""

import io

import msgspec
import numpy as np
import pytest
import tifffile
from appliance import SMALL_CAMERA, make_service, make_settings, png, wait_for
from click.testing import CliRunner
from conftest import FakeSegmenter, draw_discs

from device.batch.replay import past_of_count, past_of_file, replay
from device.cli import cli
from device.config import WatchSettings
from device.counting.assay import MAX_OBJECTIVE_CHARS, Assay, Objective
from device.errors import ConflictError, InputError, NotFoundError
from device.jobs.intake import CountOptions
from device.jobs.recounting import Again
from device.store import open_store
from device.watch import plans_from_settings
from device.web import create_app

pytestmark = pytest.mark.usefixtures("each_database")

TWENTY = Objective(name="20x/0.75", pixel_size_um=0.65)
FORTY = Objective(name="40x", pixel_size_um=0.325)


@pytest.fixture
def store(service):
    for objective in (TWENTY, FORTY):
        service.store.objectives.save(objective, "ann")
    return service.store


@pytest.fixture
def client(service, store):
    return create_app(service).test_client()


def sized_tiff(pixel_size_um: float) -> bytes:
    """Three discs in a file that says how large a pixel is."""
    stream = io.BytesIO()
    image = draw_discs((120, 400), [(60, 60, 37), (160, 60, 37), (260, 60, 37)])
    metadata = {"axes": "YX", "PhysicalSizeX": pixel_size_um, "PhysicalSizeY": pixel_size_um}
    tifffile.imwrite(stream, image.astype(np.uint8), ome=True, metadata=metadata)
    return stream.getvalue()


def count(service, data=None, **options):
    """A finished count of an image that says nothing of its pixels."""
    row = service.counter.intake.accept(
        png(3) if data is None else data, "a.tif", "upload", CountOptions(**options)
    )
    wait_for(lambda: service.store.counts.get(row.id).status == "done")
    return service.store.counts.get(row.id), service.store.result(row.id)


def flags(result):
    return {flag.code for flag in result.flags}


@pytest.mark.sqlite
def test_what_wins_is_the_file_then_the_objective_then_the_assay(service, store):
    store.assays.save(Assay(name="mine", objective="20x/0.75"), "ann")
    sizes = {}
    for name, data, options in (
        ("assay", None, {"assay": "mine"}),
        ("objective", None, {"assay": "mine", "objective": "40x"}),
        ("file", sized_tiff(0.325), {"assay": "mine", "objective": "40x"}),
        ("nothing", None, {}),
    ):
        _, result = count(service, data, **options)
        sizes[name] = result.pixel_size_um, result.taken.pixel_size_from
    assert sizes["assay"] == (0.65, "assay")
    assert sizes["objective"] == (0.325, "objective")
    assert sizes["file"] == (pytest.approx(0.325), "OME header")
    assert sizes["nothing"] == (None, "")


@pytest.mark.sqlite
def test_a_result_keeps_its_objective_and_replay_says_same_after_a_change(service, store, tmp_path):
    row, result = count(service, objective="40x")
    assert result.objective == row.settings.objective == FORTY
    store.objectives.save(msgspec.structs.replace(FORTY, pixel_size_um=0.3), "bob")
    store.objectives.remove("40x")
    assert replay(past_of_count(store, row.id), FakeSegmenter()).differences == ()
    path = tmp_path / "a.png.result.json"
    path.write_bytes(msgspec.json.encode(result))
    (tmp_path / "a.tif").write_bytes(png(3))
    assert replay(past_of_file(path, tmp_path / "a.tif"), FakeSegmenter()).differences == ()


@pytest.mark.sqlite
def test_a_relabelled_count_keeps_its_objective(service, store):
    from device.jobs.relabelling import Change

    row, _ = count(service, objective="40x")
    row = service.counter.relabeller.store(row.id, Change(threshold=0.4))
    result = store.result(row.id)
    assert (result.objective, result.pixel_size_um) == (FORTY, 0.325)
    assert replay(past_of_count(store, row.id), FakeSegmenter()).differences == ()


@pytest.mark.sqlite
def test_a_contradiction_is_flagged(service, store):
    store.assays.save(Assay(name="mine", objective="20x/0.75"), "ann")
    _, fits = count(service, sized_tiff(0.66), objective="20x/0.75")
    assert "pixel_size" not in flags(fits)
    _, other = count(service, sized_tiff(0.325), objective="20x/0.75")
    assert "the objective 20x/0.75 has 0.65" in " ".join(flag.text for flag in other.flags)
    # The assay was made for other pixels than the objective that was chosen makes.
    _, mixed = count(service, assay="mine", objective="40x")
    assert "the assay mine was made for 0.65" in " ".join(flag.text for flag in mixed.flags)


@pytest.mark.sqlite
def test_a_diameter_in_micrometres_is_counted_with_the_objective(service, store):
    store.assays.save(Assay(name="um", cell_diameter_um=13), "ann")
    with pytest.raises(InputError, match="how large a pixel is"):
        service.counter.intake.accept(png(3), "a.png", "upload", CountOptions(assay="um"))
    _, result = count(service, assay="um", objective="40x")
    assert result.cell_diameter_px == pytest.approx(40)


def test_an_assay_takes_the_pixel_size_of_its_objective_and_follows_it(service, store):
    first = store.assays.save(Assay(name="mine", objective="20X/0.75"), "ann")
    assert (first.objective, first.pixel_size_um) == ("20x/0.75", 0.65)
    with pytest.raises(
        InputError, match=r"0\.5 µm per pixel, but the list of objectives says 0\.65"
    ):
        store.assays.save(msgspec.structs.replace(first, pixel_size_um=0.5), "ann")
    changed = store.objectives.save(msgspec.structs.replace(TWENTY, pixel_size_um=0.6), "bob")
    assert [(one.name, one.version, one.pixel_size_um) for one in changed] == [("mine", 2, 0.6)]
    changed = store.objectives.rename("20x/0.75", "twenty", "bob")
    assert [(one.version, one.objective) for one in changed] == [(3, "twenty")]
    assert store.assays.get("mine", 1) == first
    assert store.assays.versions("mine")[0].who == "bob"
    store.objectives.rename("twenty", "20x/0.75", "bob")
    store.assays.save(msgspec.structs.replace(first, pixel_size_um=None, threshold=0.4), "ann")
    back = store.assays.restore("mine", 1, "ann")
    assert (back.version, back.threshold, back.pixel_size_um) == (6, None, 0.6)  # that of today


def test_an_objective_that_is_needed_stays(store):
    store.assays.save(Assay(name="mine", objective="40x"), "ann")
    with pytest.raises(ConflictError, match="used by mine"):
        store.objectives.remove("40X")
    store.assays.save(Assay(name="mine"), "ann")
    store.objectives.remove("40X")
    with pytest.raises(NotFoundError, match=r"the list has: 20x/0\.75"):
        store.objectives.get("40x")


@pytest.mark.sqlite
def test_counting_again_keeps_the_objective_or_takes_another(service, store):
    row, _ = count(service, objective="40x")
    store.assays.save(Assay(name="other", cell_diameter_px=30), "ann")
    recounter = service.counter.recounter
    kept = recounter.recount([row], Again(assay="other")).accepted[0]
    changed = recounter.recount([row], Again(objective="20x/0.75")).accepted[0]
    assert (kept.settings.objective, changed.settings.objective) == (FORTY, TWENTY)


def test_the_same_key_counts_once_also_after_the_objective_was_measured_again(service, store):
    options = CountOptions(objective="40x", once_key="client:1")
    first, _ = count(service, **msgspec.structs.asdict(options))
    store.objectives.save(msgspec.structs.replace(FORTY, pixel_size_um=0.3), "bob")
    assert service.counter.intake.accept(png(3), "a.tif", "upload", options).id == first.id
    other = msgspec.structs.replace(options, objective="20x/0.75")
    with pytest.raises(ConflictError):
        service.counter.intake.accept(png(3), "a.tif", "upload", other)


def test_objectives_over_the_api(client, store):
    def ask(path, **form):
        return client.post(f"/api/v1/objectives{path}", json=form)

    store.assays.save(Assay(name="mine", objective="40x"), "ann")
    listed = client.get("/api/v1/objectives").json["objectives"]
    assert [(one["name"], one["pixel_size_um"], one["used_by"]) for one in listed] == [
        ("20x/0.75", 0.65, []),
        ("40x", 0.325, ["mine"]),
    ]
    assert ask("", name=" 10x  air ", pixel_size_um=1.3).json["objectives"][0]["name"] == "10x air"
    assert ask("", name="40x", pixel_size_um=0.33).json["changed"] == ["mine"]
    assert ask("/rename", name="40x", new_name="40x/1.3 oil").json["changed"] == ["mine"]
    for answer, status, words in (
        (ask("", name="20X/0.75", pixel_size_um=1, new=True), 409, "already"),
        (
            ask("", name="20x", pixel_size_um=0),
            400,
            "size of a pixel must be from 0.01 µm to 20 µm",
        ),
        (ask("", name="  ", pixel_size_um=1), 400, "needs a name"),
        (ask("/rename", name="20x/0.75", new_name="10X AIR"), 409, "already"),
        (ask("/rename", name="none", new_name="x"), 404, "no objective 'none'"),
        (ask("/remove", name="40x/1.3 oil"), 409, "used by mine"),
    ):
        assert answer.status_code == status
        assert words.lower() in answer.json["error"].lower()
    assert [one["name"] for one in ask("/remove", name="10x air").json["objectives"]] == [
        "20x/0.75",
        "40x/1.3 oil",
    ]


@pytest.mark.sqlite
def test_an_upload_names_its_objective(client, service, store):
    def send(path, **form):
        return client.post(f"/api/v1{path}", data={"image": (io.BytesIO(png(3)), "a.png"), **form})

    seen = send("/looks", objective="40x").json
    assert (seen["pixel_size_um"], seen["pixel_size_from"]) == (0.325, "objective")
    accepted = send("/counts", objective="40x").json["id"]
    wait_for(lambda: store.counts.get(accepted).status == "done")
    assert client.get(f"/api/v1/counts/{accepted}").json["objective"]["name"] == "40x"
    again = send("/counts", objective="20x/0.75").json["earlier"]["differs"]
    assert again == [
        "objective: 20x/0.75 with 0.65 µm per pixel, before 40x with 0.325 µm per pixel"
    ]
    assert send("/counts", objective="none").status_code == 404
    store.assays.save(Assay(name="mine"), "ann")
    differs = send("/counts", objective="20x/0.75", assay="mine").json["earlier"]["differs"]
    assert differs == ["assay: mine, version 1, before default, version 1"]


@pytest.mark.sqlite
def test_a_watched_folder_has_an_objective_and_waits_while_it_is_missing(bench):
    bench.store.objectives.save(FORTY, "ann")
    bench.image("a.png", 1)
    watch = bench.watch(objective="40X")
    watch.start()
    wait_for(lambda: bench.images() == ["a.png"])
    bench.store.objectives.remove("40x")
    bench.image("b.png", 2)
    wait_for(lambda: "no objective '40X'" in (watch.state.problem or ""))
    bench.store.objectives.save(msgspec.structs.replace(FORTY, pixel_size_um=0.3), "bob")
    wait_for(lambda: bench.images() == ["a.png", "b.png"])
    watch.stop()
    sizes = {row.image: bench.store.result(row.id) for row in bench.store.counts.search()}
    assert {name: one.pixel_size_um for name, one in sizes.items()} == {
        "a.png": 0.325,
        "b.png": 0.3,
    }
    assert bench.lines("errors.csv") == []


@pytest.mark.sqlite
def test_the_folders_of_the_settings_have_objectives(tmp_path):
    folders = tuple(str(tmp_path / name) for name in ("20x", "40x"))
    watch = WatchSettings(folders=folders, objectives={folders[1]: "40x"})
    settings = msgspec.structs.replace(make_settings(tmp_path), watch=watch)
    assert [plan.options().objective for plan in plans_from_settings(settings)] == [None, "40x"]


@pytest.fixture
def calibrated(tmp_path):
    """A service whose camera has a pixel size of its own, in the settings."""
    camera = msgspec.structs.replace(SMALL_CAMERA, pixel_size_um=0.65)
    service = make_service(tmp_path / "data", camera=camera)
    service.start()
    service.store.objectives.save(FORTY, "ann")
    wait_for(lambda: service.camera.status.state == "ready")
    yield service
    service.stop()


@pytest.mark.sqlite
def test_a_capture_names_its_objective_which_wins_over_the_camera_s_setting(calibrated):
    client = create_app(calibrated).test_client()

    def capture(**form):
        taken = client.post("/api/v1/captures", json=form)
        assert taken.status_code == 202
        wait_for(lambda: calibrated.store.counts.get(taken.json["id"]).status == "done")
        return calibrated.store.result(taken.json["id"])

    plain, named = capture(), capture(objective="40x")
    assert plain.pixel_size_um == pytest.approx(0.65, rel=1e-3)
    assert (named.pixel_size_um, named.objective) == (0.325, FORTY)
    assert "pixel_size" not in flags(named)
    before = calibrated.store.counts.number()
    refused = client.post("/api/v1/captures", json={"objective": "63x"})
    assert (refused.status_code, calibrated.store.counts.number()) == (404, before)
    assert "no objective '63x'" in refused.json["error"]


@pytest.mark.sqlite
def test_a_name_has_one_limit(client, store):
    longest = "x" * MAX_OBJECTIVE_CHARS
    for name, status in ((longest, 200), (longest + "x", 400)):
        form = {"name": name, "pixel_size_um": 1}
        assert client.post("/api/v1/objectives", json=form).status_code == status
    assert f'id="objective-name" maxlength="{MAX_OBJECTIVE_CHARS}"' in client.get("/assays").text
    saved = store.assays.save(Assay(name="mine", objective=longest), "ann")
    assert saved.pixel_size_um == 1


@pytest.mark.sqlite
def test_objectives_on_the_command_line(tmp_path):
    config, image = tmp_path / "fluocount.toml", tmp_path / "a.png"
    config.write_text(f'[storage]\ndata_dir = "{tmp_path / "data"}"\n')
    image.write_bytes(png(3))

    def run(*words):
        return CliRunner().invoke(cli, [*words, "--config", str(config)])

    def objective(*words):
        return CliRunner().invoke(cli, ["objective", "--config", str(config), *words])

    assert "no list of objectives" in str(run("count", str(image), "--objective", "20x").exception)
    assert objective("set", "20x", "0.65").exit_code == 0
    assert objective("set", "20x", "0").exit_code == 2
    assert objective("rename", "20x", "20x air").exit_code == 0
    assert objective("list").output == "20x air  0.65 µm per pixel\n"
    done = run("count", str(image), "--objective", "20X air", "--json", "--model", "fast")
    result = msgspec.json.decode(done.stdout.splitlines()[0])
    assert (result["objective"]["name"], result["pixel_size_um"]) == ("20x air", 0.65)
    out = ("--out", str(tmp_path / "out"), "--resume", "--model", "fast")
    for name, was_there in (("20x air", False), ("20x air", True), ("40x", False)):
        objective("set", "40x", "0.325")
        written = tmp_path / "out" / "a.png.result.json"
        before = written.stat().st_mtime_ns if written.exists() else None
        assert run("count", str(image), "--objective", name, *out).exit_code == 0
        assert (written.stat().st_mtime_ns == before) == was_there
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.png").write_bytes(png(2))
    watch = ("watch", str(folder), "--once", "--settle", "0.05", "--model", "fast", "--objective")
    assert "no objective '63x'" in str(run(*watch, "63x").exception)
    assert run(*watch, "40x").exit_code == 0
    written = msgspec.json.decode((folder / "fluocount" / "b.png.result.json").read_bytes())
    assert (written["objective"]["name"], written["pixel_size_um"]) == ("40x", 0.325)
    for name in ("20x air", "40x"):
        assert objective("remove", name).exit_code == 0
    assert open_store(make_settings(tmp_path / "data").storage).objectives.all() == []
