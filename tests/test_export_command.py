import csv
import io
import json
import zipfile

import numpy as np
import pytest
import tifffile
from appliance import Lab, png
from click.testing import CliRunner
from roifile import ImagejRoi

from device.commands.export import command
from device.errors import ConflictError, InputError, NotFoundError
from device.export.stored import stored_labels


class ExportLab(Lab):
    """A data folder with three counts: two of sample A, one of those corrected, one of none."""

    def __init__(self, root):
        super().__init__(root / "data")
        self.out = root / "out"
        self.rows = [
            self._count(2, "mouse 1.png", "A"),
            self._count(3, "mouse/2.png", "A"),
            self._count(0, "blank.png", ""),
        ]
        result = self.store.result(self.rows[1].id)
        self.store.corrections.remove(self.rows[1].id, result, 2, "me")
        self.store.corrections.add(self.rows[1].id, result, 300.0, 90.0, "me")
        self.store.corrections.add(self.rows[1].id, result, 320.0, 90.0, "me")
        self.store.corrections.undo(self.rows[1].id, "me")

    def _count(self, cells, name, sample):
        return self.counted(png(cells, shade=250 - len(name)), name, sample=sample)

    def export(self, *options):
        return CliRunner().invoke(command, ["--data-dir", str(self.data_dir), *options])

    def table(self, text):
        return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = ExportLab(tmp_path_factory.mktemp("export"))
    yield lab
    lab.service.stop()


def test_the_table_goes_to_the_terminal(lab):
    outcome = lab.export("--all")

    lines = lab.table(outcome.stdout)
    assert [line["image"] for line in lines] == ["mouse 1.png", "mouse/2.png", "blank.png"]
    assert [(line["count"], line["corrected_count"]) for line in lines] == [
        ("2", "2"),
        ("3", "3"),
        ("0", "0"),
    ]
    assert [line["id"] for line in lines] == [row.id for row in lab.rows]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--sample", "A"), [0, 1]),
        (("--since", "2001-01-01"), [0, 1, 2]),
        (("--until", "2001-01-01"), []),
        (("--kept",), []),
        (("--all", "--sample", "A"), [0, 1]),
    ],
)
def test_filters(lab, options, expected):
    lines = lab.table(lab.export(*options).stdout)

    assert [line["id"] for line in lines] == [lab.rows[index].id for index in expected]


def test_every_format_of_a_corrected_count(lab, tmp_path):
    formats = ["counts", "cells", "rois", "labels", "geojson", "archive"]
    options = [word for name in formats for word in ("--format", name)]

    outcome = lab.export(lab.rows[1].id, "--out", str(tmp_path / "out"), *options)

    assert outcome.exit_code == 0, outcome.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "000002-2.cells.csv",
        "000002-2.geojson",
        "000002-2.labels.ome.tif",
        "000002-2.rois.zip",
        "counts.csv",
        "counts.zip",
    ]
    read = {path.name.split(".", 1)[1]: path for path in (tmp_path / "out").glob("0*")}
    cells = lab.table(read["cells.csv"].read_text())
    assert [(cell["id"], cell["origin"]) for cell in cells] == [
        ("1", "automatic"),
        ("3", "automatic"),
        ("4", "added"),
    ]
    labels = stored_labels(lab.store, lab.rows[1].id)
    kept = np.where(labels == 2, 0, labels)
    np.testing.assert_array_equal(tifffile.imread(read["labels.ome.tif"]), kept)
    assert [roi.name for roi in ImagejRoi.fromfile(read["rois.zip"])] == ["00001", "00003", "00004"]
    assert len(json.loads(read["geojson"].read_bytes())["features"]) == 3
    with zipfile.ZipFile(tmp_path / "out/counts.zip") as archive:
        assert archive.testzip() is None
        assert "000002-2/original.png" in archive.namelist()


def test_the_cells_csv_equals_the_stored_cells(lab, tmp_path):
    lab.export(lab.rows[0].id, "--format", "cells", "--out", str(tmp_path))

    (path,) = tmp_path.glob("*.cells.csv")
    stored = lab.store.result(lab.rows[0].id).cells
    for line, cell in zip(lab.table(path.read_text()), stored, strict=True):
        assert (float(line["x_px"]), float(line["y_px"])) == (cell.x, cell.y)
        assert int(line["area_px"]) == cell.area_px
        assert float(line["score"]) == cell.score


def test_nothing_selected_is_refused(lab):
    for options in ([], [lab.rows[0].id, "--all"], [lab.rows[0].id, "--sample", "A"]):
        outcome = lab.export(*options)
        assert isinstance(outcome.exception, InputError)
        assert "--all" in str(outcome.exception)


def test_an_unknown_id_is_refused(lab):
    assert isinstance(lab.export("0123").exception, NotFoundError)


def test_an_unfinished_count_is_refused(lab):
    lab.service.counter.worker.stop()
    row = lab.service.counter.intake.accept(png(1, shade=99), "late.png", "upload")
    try:
        outcome = lab.export(row.id)
        assert isinstance(outcome.exception, InputError | ConflictError)
        assert "queued" in str(outcome.exception)
        assert len(lab.table(lab.export("--all").stdout)) == 3
    finally:
        lab.store.queue.cancel(row.id)
        lab.store.counts.delete(row.id)


def test_files_need_a_folder(lab):
    assert "--out" in str(lab.export("--all", "--format", "rois").exception)


def test_a_missing_store_is_not_made(tmp_path):
    outcome = CliRunner().invoke(command, ["--all", "--data-dir", str(tmp_path / "no")])

    assert isinstance(outcome.exception, InputError)
    assert "There are no stored counts" in str(outcome.exception)
    assert not (tmp_path / "no").exists()
