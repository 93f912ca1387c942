"""An image is looked at before it is counted: its cells are measured by drawing, on the page of uploads."""

import re

import pytest
from accessible import check, lost_focus, nameless
from browser import (
    PHONE,
    GlowSegmenter,
    ImageOnCanvas,
    expect_text,
    serving,
    settings_for,
    shoot,
)
from conftest import make_card
from dapi import dapi_frame

from device.models.card import find_model, load_card

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

FRAMES = {f"slice {seed}.tif": dapi_frame(seed, nuclei=12, blurred=0) for seed in (1, 2)}
FILES = [
    {"name": name, "mimeType": "image/tiff", "buffer": made.ome_tiff}
    for name, made in FRAMES.items()
]
SIZES = {"360": PHONE, "1366": {"width": 1366, "height": 768}, "1920": {"width": 1920, "height": 1080}}  # fmt: skip

BEHIND = "() => { for (const one of document.querySelectorAll('.shell-header, .upload')) one.hidden = true; }"


class Estimating(GlowSegmenter):
    """Estimates the size of cells as the shipped models do."""

    def __init__(self) -> None:
        reader = load_card(find_model("fast")).diameter_reader
        super().__init__(make_card(diameter_reader=reader))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looked")
    with serving(settings_for(folder), segmenter=Estimating) as found:
        yield found


def look_at(page, files, channel="DAPI"):
    """Choose images that are to be looked at first; wait for the picture with its circles."""
    page.get_by_label("Show me the first image").check()
    page.locator("#upload-options summary").click()
    page.locator("#channel").fill(channel)
    page.locator("#files").set_input_files(files)
    page.locator("#look[data-circles]").wait_for()
    return ImageOnCanvas(page, 320, 240, "#look-canvas")


def circles(page) -> int:
    return int(page.locator("#look").get_attribute("data-circles"))


def test_a_line_across_a_cell_is_the_size_that_the_images_are_counted_with(served, open_page):
    before = served.store.counts.number()
    page = open_page(f"{served.url}/upload")
    image = look_at(page, FILES)
    expect_text(page, "#look-from", re.compile("^Estimated, "))
    assert circles(page) >= 6
    x, y = FRAMES["slice 1.tif"].nuclei[0]
    image.click(x - 12, y)
    image.click(x + 12, y)
    expect_text(page, "#look-from", re.compile("^Your line"))
    drawn = float(page.locator("#look-diameter").input_value())
    assert drawn == pytest.approx(24, abs=0.7)
    expect_text(page, "#look-reading", f"{drawn:.1f} px")
    assert served.store.counts.number() == before
    page.get_by_role("button", name="Count 2 images").click()
    expect_text(page, "#upload-summary", re.compile("^2 of 2 counted"))
    for row in served.store.counts.search(limit=2):
        assert row.settings.cell_diameter_px == drawn
        result = served.store.result(row.id)
        assert (result.cell_diameter_px, result.cell_diameter_from) == (drawn, "set")


def test_channel_and_size_are_kept_as_an_assay_that_the_images_are_counted_with(served, open_page):
    page = open_page(f"{served.url}/upload", SIZES["1366"])
    open_page.watched[-1].forgive("/api/v1/looks")
    page.get_by_label("Show me the first image").check()
    page.locator("#assay").select_option("DAPI nuclei")
    page.locator("#files").set_input_files(FILES)
    page.locator("#look-message", has_text="1 FITC, 2 DAPI").wait_for()
    page.locator("#look-channel").fill("DAPI")
    page.locator("#look-channel").press("Enter")
    page.locator("#look[data-circles]").wait_for()
    image = ImageOnCanvas(page, 320, 240, "#look-canvas")
    x, y = FRAMES["slice 1.tif"].nuclei[0]
    image.click(x - 11, y)
    image.click(x + 11, y)
    drawn = float(page.locator("#look-diameter").input_value())
    page.get_by_text("Keep this as an assay").click()
    for name, said in (
        ("DAPI nuclei", "already"),
        ("DAPI drawn", "DAPI drawn, version 1, is saved"),
    ):
        page.get_by_label("Name of the assay").fill(name)
        page.locator("#look-keep-form").get_by_role("button", name="Save").click()
        page.locator("#look-keep-note", has_text=said).wait_for()
    expect_text(page, "#look-from", "As the assay DAPI drawn says.")
    assert page.get_by_role("button", name="Count 2 images").is_visible()
    shoot(page, "look-kept")
    page.get_by_role("button", name="Count 2 images").click()
    expect_text(page, "#upload-summary", re.compile("^2 of 2 counted"))
    kept = served.store.assays.get("DAPI drawn")
    assert (kept.reading.channel, kept.cell_diameter_px, kept.cell_diameter_um) == (
        "DAPI",
        drawn,
        None,
    )
    assert served.store.assays.get("DAPI nuclei").version == 1
    for row in served.store.counts.search(limit=2):
        result = served.store.result(row.id)
        assert (result.assay.name, result.cell_diameter_px) == ("DAPI drawn", drawn)
        assert result.taken.channel == "DAPI"
    assert page.locator("#assay").input_value() == "DAPI drawn"


def test_the_estimate_is_taken_for_each_image(served, open_page):
    page = open_page(f"{served.url}/upload")
    look_at(page, FILES)
    first = page.locator("#look-reading").inner_text()
    page.get_by_label("Cell diameter in pixels of these").fill("60")
    expect_text(page, "#look-from", re.compile("^As typed"))
    page.get_by_role("button", name="Take the estimate").click()
    expect_text(page, "#look-reading", first)
    page.get_by_role("button", name="Show the next image").click()
    expect_text(page, "#look-name", "slice 2.tif")
    expect_text(page, "#look-from", re.compile("^Estimated, "))
    page.get_by_role("button", name="Count 2 images").click()
    expect_text(page, "#upload-summary", re.compile("^2 of 2 counted"))
    for row in served.store.counts.search(limit=2):
        assert row.settings.cell_diameter_px is None
        assert served.store.result(row.id).cell_diameter_from == "estimated"


def test_cancel_uploads_nothing_and_a_bad_image_says_why(served, open_page):
    before = served.store.counts.number()
    page = open_page(f"{served.url}/upload")
    open_page.watched[-1].forgive("/api/v1/looks")
    look_at(page, FILES)
    page.keyboard.press("Escape")
    page.locator("#toasts", has_text="Nothing was uploaded").wait_for()
    page.locator("#files").set_input_files({**FILES[0], "buffer": b"no image"})
    page.locator("#look-message", has_text="slice 1.tif").wait_for()
    page.get_by_role("button", name="Cancel", exact=True).click()
    assert served.store.counts.number() == before
    assert page.locator("#upload-rows li").count() == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_look_fits_every_width_and_is_for_everybody(served, open_page, theme):
    wrong = {}
    for name, size in SIZES.items():
        touch = {"has_touch": True, "is_mobile": True} if size is PHONE else {}
        page = open_page("about:blank", size, **touch)
        page.add_init_script(f"localStorage.setItem('fluocount-theme', '{theme}')")
        page.goto(f"{served.url}/upload")
        look_at(page, FILES)
        found = [*check(page, "faint"), *check(page, "unsound"), *nameless(page)]
        if touch:
            page.evaluate(BEHIND)  # nobody can hit it
            found += check(page, "small")
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append("wider than the window")
        inside = page.evaluate(
            "() => { const look = document.getElementById('look'); return look.scrollWidth <= look.clientWidth; }"
        )
        found += [] if inside else ["the dialog scrolls to the side"]
        shoot(page, f"look-{name}-{theme}")
        wrong |= {name: found} if found else {}
    assert wrong == {}
    assert lost_focus(page) == []


def test_an_objective_is_measured_along_a_scale_and_chosen(served, open_page):
    page = open_page(f"{served.url}/upload")
    image = look_at(page, FILES)
    page.get_by_text("Measure an objective instead").click()
    image.click(40, 200)
    image.click(240, 200)
    expect_text(page, "#look-diameter", "")
    page.get_by_label("This is a scale bar: its length").fill("100")
    page.get_by_label("Objective of the list, or a new one").fill("20x/0.75")
    page.get_by_role("button", name="Save the size of a pixel").click()
    expect_text(
        page, "#look-notes", re.compile(r"0\.5\d* µm per pixel, says the objective 20x/0\.75")
    )
    expect_text(page, "#look-scale-note", re.compile(r"^Saved: 20x/0\.75 has 0\.\d+ µm per pixel"))
    shoot(page, "look-objective")
    page.get_by_role("button", name="Count 2 images").click()
    expect_text(page, "#upload-summary", re.compile("^2 of 2 counted"))
    measured = served.store.objectives.get("20x/0.75")
    assert measured.pixel_size_um == pytest.approx(0.5, rel=0.02)
    for row in served.store.counts.search(limit=2):
        assert served.store.result(row.id).objective == measured


def test_objectives_are_kept_on_the_page_of_assays_and_assays_follow(served, open_page):
    page = open_page(f"{served.url}/assays")
    open_page.watched[-1].forgive("/api/v1/objectives")
    page.locator("#objective-name").fill("40x")
    page.locator("#objective-size").fill("0.3")
    page.get_by_role("button", name="Add", exact=True).click()
    expect_text(page, "#objective-note", "40x is added.")
    page.locator("#new-objective").select_option("40x")
    page.locator("#new-name").fill("DAPI 40x")
    page.get_by_role("button", name="Save as a new assay").click()
    expect_text(page, "#assay-note", re.compile("version 1, is saved"))
    assert served.store.assays.get("DAPI 40x").pixel_size_um == 0.3
    page.get_by_role("button", name="Remove 40x").click()
    expect_text(page, "#objective-note", re.compile("used by DAPI 40x"))
    page.get_by_role("button", name="Micrometres per pixel of 40x").click()
    page.get_by_label("Micrometres per pixel of 40x").last.fill("0.325")
    page.locator("#objective-list form").get_by_role("button", name="Save").click()
    expect_text(page, "#objective-note", "40x is changed. These assays follow: DAPI 40x.")
    expect_text(page, "#assay-values", re.compile(r"Objective40xPixel size0\.325 µm"))
    page.get_by_role("button", name="New name of 40x").click()
    page.locator("#objective-list form input").fill("40x/1.3 oil")
    page.locator("#objective-list form").get_by_role("button", name="Save").click()
    expect_text(page, "#objective-note", re.compile("40x is renamed"))
    assay = served.store.assays.get("DAPI 40x")
    assert (assay.version, assay.objective, assay.pixel_size_um) == (3, "40x/1.3 oil", 0.325)
    shoot(page, "objectives", full=True)
