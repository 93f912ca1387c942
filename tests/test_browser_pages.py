import csv
import io
import os
import re
import zipfile
from pathlib import Path

import pytest
from appliance import png
from browser import (
    PATIENCE_MS,
    PHONE,
    WIDE,
    ImageOnCanvas,
    expect_text,
    ready,
    serving,
    settings_for,
    shoot,
)
from reviewed import behind_login, log_in

from device.models.card import available_models
from device.store import Filter

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PAGES = {"capture": "/", "upload": "/upload", "history": "/history", "status": "/status"}
README_PICTURE = Path(__file__).parents[1] / "docs" / "images" / "page.png"
NAMELESS = """() => [...document.querySelectorAll("input, select, textarea, button, a[href], canvas")]
    .filter((one) => one.type !== "hidden" && one.getAttribute("aria-hidden") !== "true")
    .filter((one) => !(one.labels?.length || one.textContent.trim() || one.getAttribute("aria-label")))
    .map((one) => one.outerHTML.slice(0, 120))"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def rows(counted):
    return counted.store.counts.search(Filter())


@pytest.fixture
def history(counted, open_page):
    page = open_page(f"{counted.url}/history")
    page.locator(".history-row").nth(2).wait_for()
    return page


def download(page, button: str) -> bytes:
    with page.expect_download() as caught:
        page.get_by_role("button", name=button, exact=True).click()
    return Path(caught.value.path()).read_bytes()


def test_the_chosen_counts_are_exported_as_table_and_archive(history):
    history.get_by_role("checkbox", name="Select mouse 1").first.check()
    history.get_by_role("checkbox", name="Select mouse 2").check()
    expect_text(history, "#selection-summary", "2 of 3 selected")
    lines = list(csv.DictReader(io.StringIO(download(history, "CSV (2)").decode("utf-8-sig"))))
    assert {line["sample"] for line in lines} == {"mouse 1", "mouse 2"}
    assert len(lines) == 2
    with zipfile.ZipFile(io.BytesIO(download(history, "ZIP (2)"))) as archive:
        assert archive.testzip() is None
        assert any(name.endswith("cells.csv") for name in archive.namelist())


def test_history_filters_by_sample_and_plots_what_is_shown(counted, history):
    history.locator("#counts-plot circle").nth(2).wait_for(state="attached")
    assert history.locator("#counts-plot circle").count() == 3
    cells = sum(row.count for row in rows(counted))
    expect_text(history, "#sizes-note", re.compile(f"^{cells} cells"))
    shoot(history, "history-1920")
    history.get_by_label("Sample or file").fill("OUSE 2")
    history.locator("#counts-plot circle").nth(1).wait_for(state="detached")
    assert history.locator(".history-row").count() == 1


_OVERLAPS = """async (script) => {
    const { sizesPlot, countsPlot } = await import(script);
    const home = document.querySelector("#sizes-plot");
    const crowded = [];
    for (let most = 8; most < 400; most = Math.ceil(most * 1.07)) {
        const sizes = sizesPlot(Array.from({ length: 200 }, (_, at) => (most * at) / 200), "px");
        const counts = countsPlot([1, most * 30].map((count, id) => ({ id: String(id), image: "a", count })));
        for (const plot of [sizes, counts]) {
            home.replaceChildren(plot);
            const texts = [...plot.querySelectorAll("text")];
            const boxes = texts.map((one) => [one.textContent, one.getBoundingClientRect()]);
            for (const [first, a] of boxes) {
                for (const [second, b] of boxes) {
                    const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
                    if (a !== b && !apart) crowded.push(`${first} and ${second}, up to ${most}`);
                }
            }
        }
    }
    return crowded;
}"""


def test_no_label_of_a_plot_runs_into_another(history):
    sheet = history.locator("script[src*='history.js']").get_attribute("src")
    history.locator("#sizes-plot svg").wait_for()
    assert history.evaluate(_OVERLAPS, sheet.replace("history.js", "plots.js")) == []


def test_a_count_is_kept_and_another_deleted_after_a_question(counted, history):
    history.get_by_role("button", name="Keep mouse 2").click()
    history.locator(".keep[aria-pressed=true]").wait_for()
    assert [row.sample for row in rows(counted) if row.keep] == ["mouse 2"]
    extra = counted.hand_in(png(2), "extra.png", sample="extra")
    history.reload()
    for answer, left in (("Keep them", True), ("Delete", False)):
        history.get_by_role("checkbox", name="Select extra").check()
        history.get_by_role("button", name="Delete", exact=True).click()
        expect_text(history, "#confirm-title", "Delete 1 count?")
        history.get_by_role("dialog").get_by_role("button", name=answer).click()
        if not left:
            history.get_by_role("checkbox", name="Select extra").wait_for(state="detached")
        else:
            history.get_by_role("checkbox", name="Select extra").uncheck()
        assert (extra.id in [row.id for row in rows(counted)]) is left


@pytest.mark.parametrize("size", [PHONE, WIDE], ids=["360", "1920"])
def test_every_page_fits_and_every_control_has_a_name(counted, open_page, size):
    addresses = PAGES | {"result": f"/counts/{rows(counted)[0].id}"}
    page = open_page("about:blank", size, has_touch=size is PHONE)
    for name, address in addresses.items():
        page.goto(counted.url + address)
        ready(page)
        page.wait_for_timeout(800)
        assert page.evaluate(OVERFLOW) <= 0, name
        assert page.evaluate(NAMELESS) == [], name
        shoot(page, f"page-{name}-{size['width']}")
        shoot(page, f"page-{name}-{size['width']}-whole", full=True)


def test_status_tells_model_disk_and_clock(counted, open_page):
    page = open_page(f"{counted.url}/status")
    expect_text(page, "#card-clock .reading", "agrees with this browser")
    expect_text(page, "#card-model .reading", "fake 0")
    expect_text(page, "#card-problems .reading", "None")
    assert "free" in page.locator("#card-disk").inner_text()


@pytest.mark.parametrize("size", [PHONE, WIDE], ids=["360", "1920"])
def test_an_instrument_is_administered_on_the_page(tmp_path, open_page, size):
    with behind_login(tmp_path) as served:
        page = open_page("about:blank", size)
        log_in(page, served)
        page.goto(f"{served.url}/administration")
        page.locator("#person-name").fill("Ada")
        page.locator("#person-password").fill("a long password")
        page.get_by_role("button", name="Add this person").click()
        page.locator("#people li", has_text="Ada").wait_for()
        page.get_by_label("Name of the program").fill("plate reader")
        page.get_by_role("button", name="Create a token").click()
        token = page.locator("#token-made .token").inner_text()
        assert served.store.access.token_name(token) == "plate reader"
        page.locator("#settings dt", has_text="max_upload_mb = 200").wait_for()
        with page.expect_download() as caught:
            page.get_by_role("link", name="Settings and database").click()
        assert b"manifest.json" in Path(caught.value.path()).read_bytes()
        page.get_by_role("button", name="Check now").click()
        page.locator("#verdicts li", has_text="count: works").wait_for()
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(NAMELESS) == []
        shoot(page, f"administration-{size['width']}", full=True)
        page.locator("header form button[aria-label='Log out']").click()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_label("Password").fill("a long password")
        page.get_by_role("button", name="Log in").click()
        page.goto(f"{served.url}/administration")
        page.locator("#refused", has_text="Only an administrator").wait_for()
        assert page.get_by_label("Present password").is_visible()
        assert page.locator("#restart, #tokens, #settings").count() == 0


def test_the_theme_is_dark_and_stays_as_chosen(counted, open_page):
    page = open_page(f"{counted.url}/status")
    background = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    assert sum(int(part) for part in dark[4:-1].split(",")) < 60
    page.get_by_role("button", name="Light or dark").click()
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    assert page.evaluate(background) == light
    ready(page)
    shoot(page, "status-light")


@pytest.mark.skipif(
    "FLUOCOUNT_README_PICTURE" not in os.environ,
    reason="makes docs/images/page.png anew only where FLUOCOUNT_README_PICTURE is set",
)
def test_picture_of_the_page_for_the_readme(tmp_path, open_page):
    assert available_models(), "the picture must show a count of a shipped model"
    settings = settings_for(tmp_path, width_px=1600, height_px=1200)
    with serving(settings, shipped_model=True) as served:
        page = open_page(served.url, {"width": 1440, "height": 900})
        ready(page)
        page.get_by_label("Sample name").fill("simulated neurons")
        page.get_by_role("button", name="Capture and count").click()
        page.locator("#latest .value").wait_for()
        ready(page)
        page.wait_for_timeout(4000)
        README_PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=README_PICTURE)
        page.close()


def test_a_number_that_is_not_possible_is_said_and_the_old_one_stays(counted, open_page):
    page = open_page(f"{counted.url}/upload")
    page.get_by_text("Count settings").click()
    field = page.get_by_label("Threshold")
    field.fill("0.4")
    field.blur()
    field.fill("7")
    field.blur()
    expect_text(
        page,
        "#options-note",
        "Threshold 7 is not possible: a number from 0.01 to 0.99 is expected. It stays at 0.4.",
    )
    assert field.input_value() == "0.4"
    field.fill("0.6")
    field.blur()
    page.locator("#options-note").wait_for(state="hidden")


def test_the_best_focus_begins_anew_when_the_light_changes(counted, open_page):
    from playwright.sync_api import expect

    page = open_page(counted.url)
    ready(page)
    trace = page.locator("#focus-trace path").nth(1)
    expect(trace).to_have_attribute("d", re.compile(r"(L.*){3}"), timeout=PATIENCE_MS)
    page.get_by_label("Exposure").fill("50")
    expect(trace).to_have_attribute("d", re.compile(r"^[^L]*(L[^L]*){0,2}$"), timeout=PATIENCE_MS)


def test_contrast_and_channel_change_what_is_shown_and_the_probability_has_a_legend(
    counted, open_page
):
    page = open_page(f"{counted.url}/counts/{counted.latest().id}")
    open_page.watched[-1].forgive("willReadFrequently")  # this test reads, the page does not
    page.locator("#automatic-count strong").wait_for()
    for layer in ("Outlines", "Doubtful"):
        page.get_by_role("button", name=layer, exact=True).click()
    sums = """() => { const c = document.querySelector("#canvas"); const sum = [0, 0, 0];
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        for (let at = 0; at < d.length; at += 4) for (let k = 0; k < 3; k += 1) sum[k] += d[at + k];
        return sum; }"""

    def shown() -> list[int]:
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        return page.evaluate(sums)

    whole = shown()
    assert whole[0] > whole[2]
    page.get_by_label("Displayed channel").select_option("red")
    red = shown()
    assert red[0] == red[1] == red[2] == pytest.approx(whole[0], rel=0.02)
    page.get_by_label("Displayed channel").select_option("all")
    page.get_by_label("Display contrast").fill("0.5")
    assert 0 < shown()[0] < whole[0]
    assert not page.locator("#probability-legend").is_visible()
    page.get_by_role("button", name="Probability", exact=True).click()
    page.locator("#probability-legend").wait_for()
    shoot(page, "result-display")


def test_a_line_across_a_cell_gives_the_diameter_and_one_along_a_scale_bar_the_pixel(
    counted, open_page
):
    row = counted.latest()
    page = open_page(f"{counted.url}/counts/{row.id}")
    page.locator("#automatic-count strong").wait_for()
    image = ImageOnCanvas(page, row.width, row.height)
    page.keyboard.press("l")
    image.click(100, 100)
    image.click(130, 140)
    expect_text(page, "#measure-reading strong", re.compile(r"^(49|50|51)[\d.]* px$"))
    page.get_by_role("button", name="use as cell diameter").click()
    measured = float(page.locator("#again-diameter").input_value())
    assert measured == pytest.approx(50, abs=1)
    shoot(page, "result-measure")
    page.get_by_label("This is a scale bar: its length").fill("25")
    page.get_by_role("button", name="Save the size of a pixel").click()
    expect_text(page, "#measure-note", re.compile(r"^Saved: 0\.[45]\d* µm per pixel in the assay"))
    assay = counted.store.assays.get(page.locator("#again-assay").input_value())
    assert assay.pixel_size_um == pytest.approx(25 / measured, rel=0.01)


def test_the_first_run_is_guided_and_counts_the_sample_image(tmp_path, open_page):
    with serving(settings_for(tmp_path)) as served:
        page = open_page(served.url, PHONE)
        page.get_by_role("heading", name="The first count in five steps").wait_for()
        shoot(page, "first-run-360", full=True)
        page.get_by_role("button", name="Count the sample image").click()
        page.wait_for_url("**/counts/*")
        page.locator("#automatic-count strong").wait_for()
        assert served.latest().image == "sample.jpg"
        page.goto(served.url)
        page.locator("#latest .about", has_text="sample image").wait_for()
        assert not page.locator("#guide").is_visible()
        page.close()


SHIFTS = """window.shifted = 0; new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted += one.value;
}).observe({ type: "layout-shift", buffered: true });"""


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_what_arrives_later_does_not_push_a_page_around(counted, open_page, size):
    page = open_page("about:blank", size)
    page.add_init_script(SHIFTS)
    for address in (*PAGES.values(), f"/counts/{counted.latest().id}"):
        page.goto(f"{counted.url}{address}")
        page.locator("#readiness:not([data-level=unknown])").wait_for()
        page.wait_for_load_state("networkidle") if address != "/" else page.wait_for_timeout(1500)
        shifted = page.evaluate("window.shifted")
        # 0.1 is what Google's Web Vitals call good.
        assert shifted < 0.1, address


def test_the_header_fits_every_width(counted, open_page):
    """No word is broken, nothing is pushed out of the window."""
    page = open_page(counted.url)
    for width in (320, 360, 600, 861, 900, 1024, 1130, 1200, 1300, 1366, 1920):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        lines = (
            "[...document.querySelectorAll('.tabs span')].map((one) => one.getClientRects().length)"
        )
        assert set(page.evaluate(lines)) == {1}, width


FULL_HEADER = """() => {
    const words = {camera: "simulated", queue: "counting, 12 waiting", model: "dapi-mouse-liver 12"};
    for (const [name, text] of Object.entries(words))
        document.querySelector(`[data-indicator=${name}] em`).textContent = text;
    document.getElementById("readiness").textContent = "Ready to upload";
    const lines = (one) => one.offsetHeight / parseFloat(getComputedStyle(one).fontSize);
    const broken = [...document.querySelectorAll(".indicator b, .indicator em")].filter((one) => lines(one) > 2);
    const spilled = [...document.querySelectorAll("#readiness")].filter((one) => one.scrollWidth > one.clientWidth);
    return [...broken, ...spilled].map((one) => one.textContent);
}"""


def test_the_longest_words_of_the_header_fit_every_width(counted, open_page):
    page = open_page(counted.url)
    for width in (320, 360, 600, 861, 1024, 1131, 1280, 1366, 1440, 1581, 1920):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate(FULL_HEADER) == [], width
        assert page.evaluate(OVERFLOW) <= 0, width
