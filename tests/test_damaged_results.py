"""What is damaged on the disk costs its own count only; nothing that a browser sends is a mistake of the program."""

import csv
import io
import zipfile

import numpy as np
import pytest
import tifffile
from appliance import make_service, png, wait_for
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from device.commands.export import command as export_command
from device.web import create_app
from device.web.login import _local

API = "/api/v1"
FORMATS = ("cells.csv", "labels.tiff", "rois.zip", "cells.geojson")
DOWNLOADS = (
    *FORMATS,
    "image",
    "image.jpg",
    "overlay.png",
    "overlay.jpg",
    "outlines.png",
    "relabel",
)


class Lab:
    """Three done counts behind a client."""

    def __init__(self, data_dir) -> None:
        self.service = make_service(data_dir)
        self.service.start()
        self.client = create_app(self.service).test_client()
        self.data_dir = data_dir
        accept = self.service.counter.intake.accept
        names = ("α-tubulin.png", "second.png", "third.png")
        self.ids = [
            accept(png(2 + n, shade=250 - n), name, "upload").id for n, name in enumerate(names)
        ]
        wait_for(lambda: all(self.state(one)["status"] == "done" for one in self.ids))

    def state(self, count_id):
        return self.client.get(f"{API}/counts/{count_id}").json

    def folder(self, number=0):
        return self.data_dir / "results" / self.ids[number]

    def get(self, name, number=0):
        return self.client.get(f"{API}/counts/{self.ids[number]}/{name}".rstrip("/"))


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.service.stop()


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A lab that no test changes."""
    lab = Lab(tmp_path_factory.mktemp("still"))
    yield lab
    lab.service.stop()


def table(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", FORMATS)
def test_downloads_carry_names_of_every_alphabet(still, name):
    answer = still.get(name)
    assert answer.status_code == 200
    header = answer.headers["Content-Disposition"]
    assert f"filename*=UTF-8''%CE%B1-tubulin.{name}" in header
    header.encode("latin-1")


def write_labels(path, shape=(120, 400), value=0):
    tifffile.imwrite(path, np.full(shape, value, np.uint16), photometric="minisblack")


DAMAGES = {
    "labels.tiff": {
        "empty": lambda path: path.write_bytes(b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
        "text": lambda path: path.write_text("nothing"),
        "header only": lambda path: path.write_bytes(b"II*\0" + b"\xff" * 60),
        "no page": lambda path: path.write_bytes(b"II*\0\0\0\0\0"),
        "other shape": lambda path: write_labels(path, (12, 40)),
        "three planes": lambda path: write_labels(path, (3, 120, 400)),
        "no cells": lambda path: write_labels(path),
        "other cells": lambda path: write_labels(path, value=60000),
        "folder": lambda path: (path.unlink(), path.mkdir()),
        "gone": lambda path: path.unlink(),
    },
    "result.json": {
        "empty": lambda path: path.write_bytes(b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
        "nested": lambda path: path.write_bytes(b"[" * 200_000),
        "other": lambda path: path.write_text("{}"),
        "bytes": lambda path: path.write_bytes(b'{"image": "\xff\xfe"}'),
        "gone": lambda path: path.unlink(),
    },
    "probability.png": {
        "empty": lambda path: path.write_bytes(b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[:60]),
        "other shape": lambda path: Image.new("L", (20, 20)).save(path),
        "gone": lambda path: path.unlink(),
    },
    "original": {
        "gone": lambda path: path.unlink(),
        "cut": lambda path: path.write_bytes(path.read_bytes()[:60]),
        "other image": lambda path: path.write_bytes(png(1, (400, 400))),
    },
}


@pytest.mark.parametrize(
    ("name", "damage"), [(name, kind) for name, kinds in DAMAGES.items() for kind in kinds]
)
def test_a_damaged_file_is_said_and_costs_only_itself(lab, name, damage):
    path = lab.folder() / ("original.png" if name == "original" else f"1/{name}")
    DAMAGES[name][damage](path)
    for download in (*DOWNLOADS, ""):
        answer = lab.get(download)
        assert answer.status_code in (200, 400, 404, 409), download
        assert answer.status_code == 200 or len(answer.json["error"]) > 20
        assert lab.get(download, 1).status_code == 200, download

    lines = table(lab.client.get(f"{API}/counts.csv").text)
    assert [(line["id"], line["count"]) for line in lines] == list(zip(lab.ids, "234", strict=True))
    flagged = ["damaged_files" in line["flags"] for line in lines]
    assert flagged == [name == "result.json", False, False]

    answer = lab.client.post(f"{API}/exports", json={"ids": lab.ids, "format": "zip"})
    assert answer.status_code == 200
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    assert len(table(archive.read("counts.csv").decode())) == 3
    if damage == "gone":
        assert "is missing" in archive.read("problems.txt").decode()

    out = lab.data_dir / "out"
    asked = ["--format", "labels", "--format", "counts", "--format", "rois", "--out", str(out)]
    outcome = CliRunner().invoke(export_command, ["--all", "--data-dir", str(lab.data_dir), *asked])
    needed = name in ("labels.tiff", "result.json")
    assert outcome.exit_code == int(needed), outcome.output
    assert len(list(out.glob("*.rois.zip"))) == 3 - needed


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b'{"keep": ' + b"7" * 9000 + b"}"]
)
def test_json_that_python_cannot_read_is_a_mistake_of_the_client(still, body):
    for method, address in (
        ("PATCH", f"{API}/counts/{still.ids[0]}"),
        ("POST", f"{API}/exports"),
        ("POST", f"{API}/counts/{still.ids[0]}/relabel"),
        ("POST", f"{API}/counts/{still.ids[0]}/corrections"),
        ("POST", f"{API}/captures"),
        ("PATCH", f"{API}/camera"),
    ):
        answer = still.client.open(
            address, method=method, data=body, content_type="application/json"
        )
        assert 400 <= answer.status_code < 500, (method, address, answer.text)


@given(st.text(max_size=20))
def test_where_a_login_leads_is_always_a_line_of_this_page(target):
    for start in ("", "/", "//", "/\\", "http://", "/a\r\nSet-Cookie: b=c"):
        found = _local(start + target)
        assert found.startswith("/")
        assert not found.startswith(("//", "/\\"))
        assert found.isprintable()
        assert "\\" not in found
