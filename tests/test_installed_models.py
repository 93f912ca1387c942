"""Models of one's own: only what is whole and counts here as it did elsewhere is installed; shipped names stay."""

import hashlib
import io
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from appliance import make_service, make_settings, png, wait_for
from click.testing import CliRunner
from conftest import draw_discs, make_card, make_frame

from device.commands.model import command
from device.counting.assay import Assay
from device.counting.records import Taken
from device.errors import ConflictError, InputError, ModelError, NotFoundError
from device.jobs.intake import CountOptions
from device.jobs.models import list_models, remove_model
from device.jobs.segmenters import Segmenters
from device.models import card as cards
from device.models.auto import model_names, open_model
from device.models.card import find_model, installed_models, load_card, use_installed
from device.models.installing import install, remove
from device.models.package import Package, Proof, pack_model, read_package, unpack_model
from device.models.trial import Counted
from device.store.backup import write_backup
from device.store.restore import restore_backup
from device.web import create_app


@pytest.fixture(autouse=True)
def _folder_is_forgotten(monkeypatch):
    monkeypatch.setattr(cards, "_installed", [])


@pytest.fixture
def trusting(monkeypatch):
    """The trial itself is tested apart: it starts an interpreter."""
    trial = Counted(9, 9, "own")
    monkeypatch.setattr("device.models.installing.try_model", lambda *_: trial)


def package(name="mine", tflite=b"network", **changes):
    card = make_card(name=name, sha256=hashlib.sha256(tflite).hexdigest())
    return Package(msgspec.structs.replace(card, **changes), tflite)


def real(name="mine", **proof):
    """The model for any stain under another name, with a frame and what it counts there."""
    path = find_model("any")
    discs = [(40 + 70 * column, 40 + 70 * row, 30) for row in range(3) for column in range(3)]
    frame = make_frame(draw_discs((220, 220), discs), taken=Taken(full_scale=255))
    claim = {"count": 9, "cell_diameter_px": 30.0, "width": 220, "height": 220}
    told = Proof(**{**claim, "channels": 1, "full_scale": 255, **proof})
    card = msgspec.structs.replace(load_card(path), name=name)
    return Package(card, path.read_bytes(), told, frame)


def test_a_model_comes_out_of_its_file_as_it_was():
    sent = real()
    found = unpack_model(pack_model(sent), "mine.zip")
    assert (found.card, found.tflite, found.proof) == (sent.card, sent.tflite, sent.proof)
    assert np.array_equal(found.frame.image, sent.frame.image)


@pytest.mark.slow
def test_an_installed_model_counts_by_name_until_it_is_removed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = use_installed(Path())  # a relative path, as people give them
    assert install(real(), folder) == Counted(9, 9, "own")
    assert installed_models() == ["mine"]
    assert model_names()[-1] == "mine"
    assert open_model("mine", 1).card.name == "mine"
    assert sorted(one.name for one in folder.iterdir()) == ["mine.json", "mine.tflite"]
    remove("mine", folder)
    with pytest.raises(ModelError, match="no model called 'mine'"):
        find_model("mine")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (real(count=20), "counts 9 cells here in the frame in which it counted 20"),
        (package(), "cannot be run here"),
    ],
)
def test_what_does_not_count_here_is_not_installed(tmp_path, bad, sentence):
    folder = use_installed(tmp_path)
    with pytest.raises(InputError, match=sentence):
        install(bad, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["fast", "any", "auto", "../mine", "Mine", "", "a/b", ".x"])
def test_shipped_names_and_no_names_are_refused(tmp_path, trusting, name):
    folder = use_installed(tmp_path / "data")
    with pytest.raises(InputError, match=r"never replaced|cannot be the name"):
        install(package(name), folder)
    assert list(tmp_path.rglob("*.tflite")) == []


def entries(sent, **changed):
    source = zipfile.ZipFile(io.BytesIO(pack_model(sent)))
    kept = {name: source.read(name) for name in source.namelist()} | changed
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name, data in kept.items():
            if data is not None:
                target.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zip",
        pack_model(package())[:-30],
        entries(package(), **{"mine.tflite": b"another network"}),
        entries(package(), **{"mine.json": b"{}"}),
        entries(package(), **{"mine.json": b"[" * 100_000}),
        entries(package(), **{"mine.json": None}),
        entries(package(), **{"../evil.txt": b"x"}),
        entries(package(), **{"other.tflite": b"x"}),
        entries(package(), **{"proof.json": b"{}", "proof.tif": b"x"}),
        entries(real(), **{"proof.tif": b"no image"}),
    ],
    ids=range(11),
)
def test_a_damaged_or_strange_file_is_refused_in_words(data):
    with pytest.raises(InputError, match=r"mine\.zip"):
        unpack_model(data, "mine.zip")


def test_a_card_of_another_name_is_refused(tmp_path):
    (tmp_path / "other.tflite").write_bytes(b"network")
    (tmp_path / "other.json").write_bytes(msgspec.json.encode(package().card))
    with pytest.raises(InputError, match="the name that its card gives"):
        read_package(tmp_path / "other.tflite")


def test_another_model_of_a_known_name_does_not_replace_it(tmp_path, trusting):
    folder = use_installed(tmp_path)
    install(package(), folder)
    install(package(), folder)  # the same again changes nothing
    with pytest.raises(ConflictError, match="remove it first"):
        install(package(tflite=b"another"), folder)
    assert find_model("mine").read_bytes() == b"network"


def test_a_new_model_under_an_old_name_is_seen_at_once(tmp_path, trusting):
    folder = use_installed(tmp_path)
    settings = make_settings(tmp_path)
    opened = Segmenters(settings.counting)
    install(package(), folder)
    before = opened.card("mine")
    remove("mine", folder)
    install(package(tflite=b"another"), folder)
    assert opened.card("mine").sha256 != before.sha256


@pytest.fixture
def service(tmp_path, trusting):
    service = make_service(tmp_path / "data")
    yield service
    service.stop()


def test_what_is_used_is_not_removed(service):
    install(package(), use_installed(service.settings.data_dir))
    service.store.assays.save(Assay(name="DAPI 20x", model="mine"), "ann")
    waiting = service.counter.intake.accept(png(), "a.png", "upload", CountOptions(model="mine"))
    mine = list_models(service.store, service.settings)[-1]
    assert mine.used_by == ("the assay DAPI 20x", "1 image(s) that wait to be counted")
    with pytest.raises(ConflictError, match="used by the assay DAPI 20x"):
        remove_model("mine", service.store, service.settings)
    service.store.assays.save(Assay(name="DAPI 20x", model="any"), "ann")
    service.counter.worker.start()
    wait_for(lambda: service.store.counts.get(waiting.id).status == "done")
    remove_model("mine", service.store, service.settings)
    assert installed_models() == []
    with pytest.raises(ConflictError, match="comes with fluocount"):
        remove_model("fast", service.store, service.settings)
    with pytest.raises(NotFoundError, match="no installed model"):
        remove_model("mine", service.store, service.settings)


def test_the_page_installs_lists_and_removes(service):
    client = create_app(service).test_client()

    def send(data, name="mine.zip"):
        return client.post("/api/v1/models", data={"model": (io.BytesIO(data), name)})

    refused = send(b"no zip")
    assert refused.status_code == 400
    assert "contains no model" in refused.json["error"]
    assert send(pack_model(package("fast"))).status_code == 400
    done = send(pack_model(package()))
    assert done.status_code == 201
    assert done.json["models"][-1] | {"trained_on": ""} == {
        "name": "mine", "version": "0", "trained_for": "tests", "trained_on": "", "shipped": False, "used_by": [],
    }  # fmt: skip
    assert "mine" in client.get("/api/v1/status").json["models"]
    assert client.delete("/api/v1/models/fast").status_code == 409
    assert client.delete("/api/v1/models/mine").status_code == 200
    assert client.delete("/api/v1/models/mine").status_code == 404


def test_the_command_installs_lists_and_removes(tmp_path, trusting):
    def run(*options):
        return CliRunner().invoke(command, ["--data-dir", str(tmp_path / "data"), *options])

    path = tmp_path / "mine.zip"
    path.write_bytes(pack_model(package()))
    assert "mine 0 is installed: 9 cells in its own frame of 9" in run("install", str(path)).output
    assert "mine 0 (installed, trained on 2026-01-01)" in run("list").output
    assert "mine is removed" in run("remove", "mine").output
    assert "mine" not in run("list").output
    assert isinstance(run("install", str(tmp_path / "absent.zip")).exception, InputError)


def test_a_backup_holds_the_installed_models(tmp_path, service):
    data = service.settings.data_dir
    install(package(), use_installed(data))
    write_backup(tmp_path / "all.tar", data, None)
    other = tmp_path / "other"
    restore_backup(tmp_path / "all.tar", other, None)
    use_installed(other)
    assert load_card(find_model("mine")).sha256 == package().card.sha256
