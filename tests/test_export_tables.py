import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.counting.records import Cell, CountResult, Flag, ModelRef, Taken
from device.export.corrected import Corrections, added_ids, corrected_count, remaining_labels
from device.export.tables import Kept, cells_csv, counts_header, counts_row, csv_lines, csv_text

finite = st.floats(min_value=0, max_value=1e5, allow_nan=False)


@st.composite
def cells(draw, cell_id, channels):
    numbers = st.tuples(*[finite] * channels)
    return Cell(
        id=cell_id,
        x=draw(finite),
        y=draw(finite),
        area_px=draw(st.integers(1, 10**6)),
        equivalent_diameter_px=draw(finite),
        bbox=draw(st.tuples(*[st.integers(0, 5000)] * 4)),
        mean_intensity=draw(numbers),
        max_intensity=draw(numbers),
        score=draw(st.floats(0, 1)),
        probability=draw(st.floats(0, 1)),
    )


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@st.composite
def results(draw):
    channels = draw(st.sampled_from([1, 3]))
    count = draw(st.integers(0, 4))
    return CountResult(
        image=draw(names),
        image_sha256="ab" * 32,
        count=count,
        cells=tuple(draw(cells(index + 1, channels)) for index in range(count)),
        doubtful=tuple(draw(cells(count + 1, channels)) for _ in range(draw(st.integers(0, 1)))),
        interval=(max(0, count - 1), count + 2),
        flags=(Flag(code="dark", text="The frame is dark."),),
        model=ModelRef(name="fast", version="1.0", sha256="cd" * 32),
        threshold=0.5,
        cell_diameter_px=30.0,
        min_area_px=draw(finite),
        width=draw(st.integers(1, 5000)),
        height=draw(st.integers(1, 5000)),
        channels=channels,
        pixel_size_um=draw(st.none() | st.floats(0.01, 10)),
    )


def read(text):
    return pd.read_csv(
        io.StringIO(text),
        dtype={"image": str},
        keep_default_na=False,
        na_values={"area_px": [""]},
    )


@given(results())
def test_pandas_reads_the_stored_cells_back(result):
    table = read(cells_csv(result))

    assert len(table) == result.count
    for row, cell in zip(table.to_dict("records"), result.cells, strict=True):
        assert row["image"] == csv_text(result.image)
        assert (row["id"], row["origin"]) == (cell.id, "automatic")
        assert (row["x_px"], row["y_px"]) == (cell.x, cell.y)
        assert row["area_px"] == cell.area_px
        assert row["equivalent_diameter_px"] == cell.equivalent_diameter_px
        assert tuple(row[f"bbox_{edge}_px"] for edge in ("x0", "y0", "x1", "y1")) == cell.bbox
        assert (row["score"], row["probability"]) == (cell.score, cell.probability)
        suffixes = [""] if result.channels == 1 else ["_red", "_green", "_blue"]
        assert tuple(row[f"mean_intensity{name}"] for name in suffixes) == cell.mean_intensity
        assert tuple(row[f"max_intensity{name}"] for name in suffixes) == cell.max_intensity


@given(results())
def test_micrometres_are_there_exactly_where_the_pixel_size_is_known(result):
    table = read(cells_csv(result))

    known = result.pixel_size_um is not None
    assert ("area_um2" in table.columns) == known
    if known:
        for row, cell in zip(table.to_dict("records"), result.cells, strict=True):
            assert row["area_um2"] == pytest.approx(cell.area_px * result.pixel_size_um**2)
            assert row["x_um"] == pytest.approx(cell.x * result.pixel_size_um)


@given(results(), st.data())
def test_the_table_has_as_many_lines_as_the_corrected_count(result, data):
    removed = data.draw(st.frozensets(st.integers(1, 5)))
    added = data.draw(st.lists(st.tuples(finite, finite), max_size=3))
    corrections = Corrections(added=tuple(added), removed=removed)

    table = read(cells_csv(result, corrections=corrections))

    assert len(table) == corrected_count(result, corrections)
    assert table["id"].is_unique
    people = table[table["origin"] == "added"]
    assert list(zip(people["x_px"], people["y_px"], strict=True)) == added
    assert list(people["id"]) == added_ids(result, corrections)
    assert not set(table[table["origin"] == "automatic"]["id"]) & removed


KEPT = Kept(sample="+dox", notes="two lines;\nhere", exposure_s=0.1, gain=2.5)


@given(results())
def test_a_line_of_counts_csv_fits_its_header(result):
    corrections = Corrections(added=((1.0, 2.0),))
    text = csv_lines([counts_header(), counts_row(result, corrections=corrections, kept=KEPT)])

    (row,) = csv.DictReader(io.StringIO(text, newline=""))

    assert int(row["count"]) == result.count
    assert int(row["corrected_count"]) == result.count + 1
    assert (int(row["interval_low"]), int(row["interval_high"])) == result.interval
    assert row["flags"] == "dark"
    assert row["image_sha256"] == result.image_sha256
    assert row["sample"] == "'+dox"
    assert row["notes"] == "two lines; here"
    assert (float(row["exposure_s"]), float(row["gain"])) == (0.1, 2.5)
    assert float(row["min_area_px"]) == pytest.approx(result.min_area_px, rel=1e-5)
    assert all(len(row[name]) < 14 for name in ("cell_diameter_px", "threshold", "min_area_px"))
    assert (row["pixel_size_um"] == "") == (result.pixel_size_um is None)
    assert (row["cells_per_mm2"] == "") == (result.pixel_size_um is None)


def sized_result(**changes):
    fields = {
        "image": "a.png",
        "image_sha256": "",
        "count": 0,
        "cells": (),
        "interval": (0, 0),
        "model": ModelRef(name="m", version="1", sha256=""),
        "threshold": 0.5,
        "cell_diameter_px": 30,
        "min_area_px": 1,
        "width": 1000,
        "height": 2000,
        "pixel_size_um": 0.5,
    }
    return CountResult(**(fields | changes))


@pytest.mark.parametrize("aspect", [1.0, 2.0])
def test_the_density_is_per_square_millimetre(aspect):
    """The pixel size is that of the square pixel of the same area, whatever their shape."""
    added = Corrections(added=tuple((float(n), 0.0) for n in range(7)))
    result = sized_result(taken=Taken(pixel_aspect=aspect))

    row = dict(zip(counts_header(), counts_row(result, corrections=added), strict=True))

    assert float(row["cells_per_mm2"]) == 14.0  # 7 cells on 0.5 mm x 1 mm


@pytest.mark.parametrize(
    ("text", "field"),
    [("=1+1", "'=1+1"), ("+dox", "'+dox"), ("a\nb", "a b"), ("a=b", "a=b"), ("", "")]
    + [("a=b;c", "a=b;c"), ("µm 5", "µm 5"), ("a - b", "a - b"), ("①", "①")]
    + [(text, f"'{text}") for text in (" =1", "＝1", "＋1", "－1", "＠a", "﹦1", "\u2212 1")]
    + [(text, f"'{text}") for text in ("\ufeff=1", "\u200b=1", "\u3000＝1", "\u202e@a")]
    + [("\t=1", "' =1"), ("\r\n=1", "'  =1"), ("a;=1.png", "a;'=1.png"), ("; =1", ";' =1")],
)
def test_free_text_is_one_line_and_no_formula(text, field):
    assert csv_text(text) == field


def test_removed_cells_leave_the_label_image():
    labels = np.array([[1, 1, 0], [2, 0, 3]], dtype=np.int32)

    remaining = remaining_labels(labels, Corrections(removed=frozenset({1, 3})))

    assert remaining.tolist() == [[0, 0, 0], [2, 0, 0]]
    assert remaining.dtype == np.int32
    assert remaining_labels(labels, Corrections()) is labels


def test_pandas_reads_the_times_of_summer_and_winter():
    times = ["2026-07-01T12:00:00.250+02:00", "2026-12-01T12:00:00+01:00", ""]
    rows = [counts_row(sized_result(), kept=Kept(counted_at=time)) for time in times]
    table = pd.read_csv(
        io.StringIO(csv_lines([counts_header(), *rows])), parse_dates=["counted_utc"]
    )
    assert table["counted_utc"].tolist()[:2] == [
        pd.Timestamp("2026-07-01 10:00:00"),
        pd.Timestamp("2026-12-01 11:00:00"),
    ]
    assert pd.isna(table["counted_utc"][2])


def test_every_column_is_documented():
    text = (Path(__file__).parents[1] / "docs" / "export.md").read_text(encoding="utf-8")
    for column in counts_header():
        assert f"`{column}`" in text, column
    header = cells_csv(sized_result()).split("\r\n", 1)[0].split(",")
    for column in header:
        general = column.removesuffix("_red").removesuffix("_green").removesuffix("_blue")
        assert f"`{general}`" in text or general.startswith("bbox_"), column
