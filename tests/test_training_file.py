"""The training file: what a person corrected comes out of it as it was, and nothing else is read as one."""

import io
import zipfile

import msgspec
import numpy as np
import pytest
import tifffile
from appliance import Lab, png
from click.testing import CliRunner
from PIL import Image

from device.commands.export import command
from device.counting.assay import Assay
from device.errors import InputError
from device.export import trainingfile
from device.export.trainingfile import MANIFEST, read_frames, read_manifest
from device.store.records import Edit
from device.web import create_app


class CorrectedLab(Lab):
    """Three counts of one assay: one corrected, one reviewed, one that nobody looked at; and one of another assay."""

    def __init__(self, root):
        super().__init__(root / "data")
        self.store.assays.save(Assay(name="mine", model="fast", pixel_size_um=0.5), "ann")
        self.corrected = self.count(png(3), "a/b.png")
        self.reviewed = self.count(png(2, shade=250), "b.png")
        self.untouched = self.count(png(4, shade=240), "c.png")
        self.other = self.count(png(5, shade=230), "d.png", assay="default")
        result = self.store.result(self.corrected)
        self.store.corrections.remove(self.corrected, result, 2, "ann")
        self.store.corrections.add(self.corrected, result, 300.0, 90.5, "ann")
        self.store.counts.edit(self.reviewed, Edit(reviewed_by="ann"))

    def count(self, data, name, assay="mine"):
        return self.counted(data, name, assay=assay).id

    def export(self, *options):
        return CliRunner().invoke(command, ["--data-dir", str(self.data_dir), *map(str, options)])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = CorrectedLab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.service.stop()


@pytest.fixture(scope="module")
def file(lab, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "mine.zip"
    done = lab.export("--training", path, "--assay", "mine")
    assert done.exit_code == 0, done.output
    return path


def test_what_was_corrected_or_reviewed_comes_out_as_it_was(lab, file):
    first, second = read_frames(file)
    assert (first.about.image, second.about.image) == ("a/b.png", "b.png")
    assert first.about.counted == 3
    assert first.about.outlines == 2
    assert first.about.dots == ((300.0, 90.5),)
    assert first.about.cells == 3
    assert second.about.cells == second.about.outlines == 2
    stored = np.asarray(Image.open(io.BytesIO(png(3))))
    assert np.array_equal(first.frame.image[..., 0], stored)
    assert first.frame.channels == 1
    gone = next(cell for cell in lab.store.result(lab.corrected).cells if cell.id == 2)
    kept = [cell for cell in lab.store.result(lab.corrected).cells if cell.id != 2]
    assert first.labels[round(gone.y), round(gone.x)] == 0
    assert {first.labels[round(cell.y), round(cell.x)] for cell in kept} == {1, 2}
    assert first.about.pixel_size_um == 0.5
    manifest = read_manifest(file)
    assert manifest.assay == lab.store.assays.get("mine")


def test_with_dots_alone_no_outline_is_in_the_file(lab, tmp_path):
    path = tmp_path / "dots.zip"
    assert lab.export("--training", path, "--assay", "mine", "--dots").exit_code == 0
    first, _ = read_frames(path)
    assert first.about.outlines == 0
    assert first.about.cells == 3
    assert not first.labels.any()
    assert not [name for name in zipfile.ZipFile(path).namelist() if name.startswith("labels")]


def test_samples_of_16_bits_stay_so(lab, tmp_path):
    random = np.random.default_rng(1)
    pixels = random.integers(0, 4096, (90, 120)).astype(np.uint16)
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels)
    count_id = lab.count(stream.getvalue(), "deep.tif")
    path = tmp_path / "deep.zip"
    assert lab.export("--training", path, count_id).exit_code == 0
    (only,) = read_frames(path)
    assert only.frame.image.dtype == np.uint16
    assert np.array_equal(only.frame.image[..., 0], pixels)
    assert only.frame.full_scale == lab.store.result(count_id).taken.full_scale


def test_the_page_gives_the_same_file(lab, file):
    client = create_app(lab.service).test_client()
    answer = client.get("/api/v1/assays/mine/training.zip")
    assert answer.status_code == 200
    theirs = zipfile.ZipFile(io.BytesIO(answer.data))
    ours = zipfile.ZipFile(file)
    assert {name: ours.read(name) for name in ours.namelist()} == {
        name: theirs.read(name) for name in theirs.namelist()
    }
    refused = client.get("/api/v1/assays/DAPI%20nuclei/training.zip")
    assert refused.status_code == 400
    assert "correct some images" in refused.json["error"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "by their assay"),
        (("--all",), "--assay or by their ids"),
        (("--assay", "DAPI nuclei"), "correct some images first"),
        (("--assay", "no such"), "no such"),
    ],
)
def test_what_cannot_be_exported_says_why(lab, tmp_path, options, sentence):
    path = tmp_path / "none.zip"
    done = lab.export("--training", path, *options)
    assert done.exit_code != 0
    assert sentence in str(done.exception)
    assert not path.exists()


def test_frames_of_two_assays_are_not_mixed(lab, tmp_path):
    done = lab.export("--training", tmp_path / "x.zip", lab.corrected, lab.other)
    assert "different assays are not mixed" in str(done.exception)


def rewritten(file, path, change=None, extra=None, manifest=None):
    """A copy with entries changed by name, others added, and the manifest edited."""
    source = zipfile.ZipFile(file)
    entries = {name: source.read(name) for name in source.namelist()} | (extra or {})
    if manifest is not None:
        content = msgspec.json.decode(entries[MANIFEST])
        manifest(content)
        entries[MANIFEST] = msgspec.json.encode(content)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in (entries | (change or {})).items():
            if data is not None:
                target.writestr(name, data)
    return path


def tiff(samples):
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples)
    return stream.getvalue()


def set_frame(**values):
    return lambda content: content["frames"][0].update(values)


@pytest.mark.parametrize(
    "damage",
    [
        {"extra": {"../outside.txt": b"x"}},
        {"extra": {"frames/0003.tif": b"x"}},
        {"change": {"frames/0001.tif": None}},
        {"change": {"frames/0001.tif": b"no image"}},
        {"change": {"frames/0001.tif": tiff(np.zeros((5, 5), np.uint8))}},
        {"change": {"frames/0001.tif": bytes(2_000_000)}},
        {"change": {"labels/0001.tif": tiff(np.full((120, 400), 9, np.uint16))}},
        {"change": {MANIFEST: b"{}"}},
        {"change": {MANIFEST: b"[" * 100_000}},
        {"manifest": lambda content: content.update(format="fluocount training 9")},
        {"manifest": set_frame(width=10**9)},
        {"manifest": set_frame(sample_bits=12)},
        {"manifest": set_frame(sha256="../../x")},
        {"manifest": set_frame(cell_diameter_px=-1.0)},
    ],
)
def test_nothing_else_is_read_as_a_training_file(file, tmp_path, damage):
    path = rewritten(file, tmp_path / "bad.zip", **damage)
    with pytest.raises(InputError, match="cannot be used as a training file"):
        list(read_frames(path))
    assert [one.name for one in tmp_path.iterdir()] == ["bad.zip"]


def test_a_frame_of_unbelievable_size_is_refused_before_it_is_unpacked(file, tmp_path, monkeypatch):
    monkeypatch.setattr(trainingfile, "MAX_BYTES", 100_000)
    monkeypatch.setattr(trainingfile, "decode_plane", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(InputError, match="too large"):
        list(read_frames(file))


def test_half_a_file_is_no_file(file, tmp_path):
    path = tmp_path / "half.zip"
    path.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match="no ZIP, or damaged"):
        read_manifest(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path / "absent.zip")
