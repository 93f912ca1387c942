"""Watch, export and replay as a person types them, with the shipped model."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from roifile import ImagejRoi
from test_export_outlines import labels_from_geojson, labels_from_rois

from device.models.card import available_models

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "device" / "samples" / "neurons.jpg"


def fluocount(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from device.cli import main; main()", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=280
    )


@pytest.mark.slow
@pytest.mark.skipif(not available_models(), reason="no model is shipped yet")
def test_watch_export_replay(tmp_path):
    folder, data = tmp_path / "in", ("--data-dir", tmp_path / "data")
    folder.mkdir()
    shutil.copy(SAMPLE, folder)

    watched = fluocount("watch", folder, "--once", *data, cwd=tmp_path)
    assert watched.returncode == 0, watched.stderr
    with (folder / "fluocount" / "counts.csv").open(newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert int(line["count"]) > 0

    formats = ["--format", "rois", "--format", "labels", "--format", "geojson"]
    exported = fluocount("export", line["id"], *formats, "--out", "out", *data, cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    (tiff,) = (tmp_path / "out").glob("*.ome.tif")
    labels = tifffile.imread(tiff).astype(np.int32)
    assert labels.max() == int(line["count"])
    (rois,) = (tmp_path / "out").glob("*.rois.zip")
    np.testing.assert_array_equal(labels_from_rois(ImagejRoi.fromfile(rois), labels.shape), labels)
    (outlines,) = (tmp_path / "out").glob("*.geojson")
    np.testing.assert_array_equal(labels_from_geojson(outlines.read_bytes(), labels.shape), labels)

    again = fluocount("replay", line["id"], *data, cwd=tmp_path)
    assert (again.stdout, again.returncode) == (f"same: {line['count']} cells\n", 0)
    other = fluocount("replay", line["id"], "--threshold", "0.9", *data, cwd=tmp_path)
    assert "settings: threshold is 0.9" in other.stdout
    assert other.returncode == 1
