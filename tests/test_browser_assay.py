"""A laboratory's own assay, made and taught on the page alone: no command line, the real model."""

import re

import msgspec
import numpy as np
import pytest
from browser import (
    PATIENCE_MS,
    expect_text,
    expect_value,
    serving,
    settings_for,
    shoot,
)
from dapi import NUCLEUS_PX, dapi_frame
from reviewed import show_result
from test_installed_models import real

from device.counting.assay import Assay, Exposure
from device.counting.reading import Reading
from device.models.package import pack_model

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

NAME = "DAPI mouse 20x"
FRAMES = {f"slice {seed}.tif": dapi_frame(seed, nuclei=8, blurred=5) for seed in range(6)}
SIXTH = "slice 5.tif"


def test_a_new_assay_is_made_and_taught_and_counts_a_sixth_image_better(tmp_path, open_page):
    with serving(settings_for(tmp_path), shipped_model=True) as served:
        page = open_page(f"{served.url}/assays")
        _make_assay(page)
        _upload(page, served)
        before = {row.image: row for row in served.store.counts.search()}
        assert set(before) == set(FRAMES)
        for name in FRAMES:
            if name != SIXTH:
                _remove_blurred(page, served, before[name], FRAMES[name])
        _teach(page, served)
        after = _count_again(page, served, before[SIXTH])
        truth = len(FRAMES[SIXTH].nuclei)
        assert abs(after.count - truth) < abs(before[SIXTH].count - truth)
        assert served.store.result(after.id).taken.channel == "DAPI"
        assert served.store.counts.get(before[SIXTH].id).count == before[SIXTH].count
        page.close()


def _make_assay(page):
    page.locator("#assay").select_option("DAPI nuclei")
    expect_text(page, "#assay-about", re.compile("DAPI|nuclei"))
    page.locator("#new-name").fill(NAME)
    page.locator("#new-channel").fill("DAPI")
    page.locator("#new-diameter-px").fill(str(NUCLEUS_PX))
    page.get_by_role("button", name="Save as a new assay").click()
    expect_text(page, "#assay-note", re.compile("version 1, is saved"))
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    shoot(page, "assay-made")


def _upload(page, served):
    page.goto(f"{served.url}/upload")
    page.locator("#assay").select_option(NAME)
    page.locator("#files").set_input_files(
        [
            {"name": name, "mimeType": "image/tiff", "buffer": made.ome_tiff}
            for name, made in FRAMES.items()
        ]
    )
    expect_text(page, "#upload-summary", re.compile("^6 of 6 counted"))
    shoot(page, "assay-uploaded")


def _remove_blurred(page, served, row, made):
    image = show_result(page, served, row)
    result = served.store.result(row.id)
    blurred = [
        cell
        for cell in result.cells
        if min(np.hypot(cell.x - x, cell.y - y) for x, y in made.nuclei) > NUCLEUS_PX / 2
    ]
    assert blurred
    page.get_by_role("radio", name="Remove").click()
    for cell in blurred:
        image.click(cell.x, cell.y)
    expect_text(page, "#corrected-count strong", str(row.count - len(blurred)))
    page.locator("#corrections-state").wait_for(state="hidden")
    shoot(page, f"assay-corrected-{row.image.removesuffix('.tif').replace(' ', '-')}")


def _teach(page, served):
    page.goto(f"{served.url}/assays")
    page.locator("#assay").select_option(NAME)
    page.get_by_role("button", name="Teach from my corrections").click()
    page.get_by_role("button", name="Accept").wait_for(timeout=5 * PATIENCE_MS)
    expect_text(page, "#teach-text", re.compile("counted better"))
    shoot(page, "assay-taught", full=True)
    page.get_by_role("button", name="Accept").click()
    expect_text(page, "#assay-note", re.compile("version 2, is saved"))
    page.locator("#toasts", has_text="New images are counted with it").wait_for()


def _count_again(page, served, row):
    show_result(page, served, row)
    page.locator("#again-assay").select_option(NAME)
    page.locator("#again-form").get_by_role("button", name="Count again").click()
    page.wait_for_url(lambda url: row.id not in url)
    page.locator("#automatic-count strong").wait_for()
    after = served.latest()
    expect_text(page, "#automatic-count strong", str(after.count))
    shoot(page, "assay-sixth")
    return served.store.counts.get(after.id)


def test_the_form_shows_what_an_assay_holds_and_changes_nothing_else(tmp_path, open_page):
    held = Assay(
        name="mine",
        reading=Reading(channel="DAPI", z=2, full_scale=4095, offset=100),
        objective="not of the list",
        pixel_size_um=0.5,
        cell_diameter_um=9.0,
        threshold=0.4,
        least_probability=0.3,
        min_area_px=20.0,
        exclude_border=True,
        exposure=Exposure(exposure_s=0.25, gain=2.0, red_gain=1.5),
    )
    with serving(settings_for(tmp_path)) as served:
        served.store.assays.save(held, "ann")
        page = open_page(f"{served.url}/assays", {"width": 1366, "height": 768})
        page.locator("#assay").select_option("mine")
        expect_value(page, "#new-name", "mine")
        page.locator("#assay-form summary").click()
        page.get_by_label("Blue gain").fill("1.25")
        page.get_by_label("Exposure").fill("300")
        page.get_by_role("button", name="Save as version 2").click()
        expect_text(page, "#assay-note", "mine, version 2, is saved.")
        exposure = msgspec.structs.replace(held.exposure, exposure_s=0.3, blue_gain=1.25)
        expected = msgspec.structs.replace(held, exposure=exposure, version=2)
        assert served.store.assays.get("mine") == expected
        page.get_by_label("Cell diameter in pixels").fill("18")
        page.get_by_label("Threshold").fill("")
        page.locator("#new-name").fill("other")
        page.get_by_role("button", name="Save as a new assay").click()
        expect_text(page, "#assay-note", "other, version 1, is saved.")
        other = served.store.assays.get("other")
        assert (other.cell_diameter_px, other.cell_diameter_um) == (18, None)
        assert (other.threshold, other.exclude_border) == (None, True)
        expect_text(page, "#assay-versions", re.compile("^Version 1: today"))
        shoot(page, "assay-form", full=True)
        page.close()


def test_an_answer_that_comes_late_does_not_fill_the_form_of_another_assay(tmp_path, open_page):
    with serving(settings_for(tmp_path)) as served:
        served.store.assays.save(Assay(name="mine"), "ann")
        page = open_page(f"{served.url}/assays", {"width": 1366, "height": 768})
        expect_value(page, "#new-name", "default")
        late = []
        page.route("**/api/v1/assays/mine", lambda route: late.append(route))
        page.locator("#assay").select_option("mine")
        page.locator("#assay-form[inert]").wait_for(state="attached")
        page.locator("#assay").select_option("default")
        page.locator("#assay-form:not([inert])").wait_for(state="attached")
        with page.expect_response("**/api/v1/assays/mine"):
            late[0].continue_()
        page.evaluate("() => new Promise(requestAnimationFrame)")
        expect_value(page, "#new-name", "default")
        page.close()


def test_a_model_is_installed_used_and_removed_on_the_page(tmp_path, open_page):
    with serving(settings_for(tmp_path)) as served:
        page = open_page(f"{served.url}/assays")
        open_page.watched[0].forgive("/api/v1/models")
        page.locator("#assay").select_option("DAPI nuclei")
        page.locator("#model-list li").first.wait_for()
        file = {"name": "x.zip", "mimeType": "application/zip", "buffer": b"no zip"}
        page.locator("#model-file").set_input_files(file)
        expect_text(page, "#model-note", re.compile("contains no model"))
        page.locator("#model-file").set_input_files(file | {"buffer": pack_model(real())})
        expect_text(page, "#model-note", re.compile("is installed"))
        page.locator("#model-choice").select_option("mine")
        page.get_by_role("button", name="Use it").click()
        expect_text(page, "#model-note", "DAPI nuclei counts with mine now.")
        expect_text(page, "#model-list li:last-child", re.compile("Used by the assay DAPI nuclei"))
        assert served.store.assays.get("DAPI nuclei").model == "mine"
        shoot(page, "models")
        page.locator("#model-choice").select_option("any")
        page.get_by_role("button", name="Use it").click()
        page.locator("#model-list").get_by_role("button", name="Remove").click()
        expect_text(page, "#model-note", "mine is removed.")
        assert served.store.assays.get("DAPI nuclei").version == 3
        page.close()
