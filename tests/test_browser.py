import re
import threading

import pytest
from appliance import png, wait_for
from browser import (
    cells_png,
    expect_text,
    ready,
    serving,
    settings_for,
    shoot,
)
from reviewed import show_result

from device.camera.simulated import SimulatedCamera
from device.jobs.relabelling import Change
from device.web.login import setup_code

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PASSWORD = "correct horse battery"


def test_set_up_log_in_and_out_on_a_network_address(tmp_path, open_page):
    with serving(settings_for(tmp_path, host="0.0.0.0")) as served:
        page = open_page(f"{served.url}/history")
        open_page.watched[0].forgive("/setup")
        open_page.watched[0].forgive("/login")
        assert page.url.endswith("/setup")
        shoot(page, "set-up")
        for code, password in (("XXXX-XXXX-XXXX", PASSWORD), (setup_code(served.store), PASSWORD)):
            page.get_by_label("Set-up code").fill(code)
            page.get_by_label("New password").fill(password)
            page.get_by_label("Repeat the password").fill(password)
            page.get_by_role("button", name="Set the password").click()
            if code.startswith("XXXX"):
                expect_text(page, "[role=alert]", re.compile("code is wrong"))
        ready(page)
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto(f"{served.url}/status")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect_text(page, "[role=alert]", re.compile("wrong"))
        shoot(page, "log-in")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        assert page.url.endswith("/status")
        ready(page)
        page.goto(served.url)
        page.get_by_role("button", name="Capture and count").click()
        page.locator("#latest .value").wait_for()
        assert served.latest().status == "done"
        page.close()


def test_one_press_gives_a_count(counted, open_page):
    page = open_page(counted.url)
    ready(page)
    page.locator("#preview[data-state=live]").wait_for()
    page.get_by_label("Sample name").fill("mouse 3, slice 1")
    page.get_by_role("button", name="Capture and count").click()
    page.locator("#latest .about", has_text="mouse 3, slice 1").wait_for()
    row = counted.latest()
    assert (row.origin, row.sample, row.status) == ("capture", "mouse 3, slice 1", "done")
    expect_text(page, "#latest .value", re.compile(rf"^{row.corrected_count}\b"))
    page.wait_for_timeout(500)
    shoot(page, "capture-1920")


def test_settings_of_the_camera_are_set_and_a_wrong_one_is_explained(counted, open_page):
    page = open_page(counted.url)
    open_page.watched[0].forgive("/api/v1/camera")
    page.locator("[name=gain]").fill("2")
    expect_text(page, "#camera-note", re.compile("gain 2"))
    assert counted.service.camera.status.gain == 2
    page.locator("[name=gain]").fill("9000")
    expect_text(page, "#camera-note", re.compile("9000"))
    assert counted.service.camera.status.gain == 2
    page.locator("[name=gain]").fill("1")
    expect_text(page, "#camera-note", re.compile("gain 1"))


def test_a_press_during_another_exposure_is_refused_in_words(tmp_path, open_page, monkeypatch):
    exposed, take = threading.Event(), SimulatedCamera.capture

    def slow(camera, average_frames=1):
        assert exposed.wait(200)
        return take(camera, average_frames)

    monkeypatch.setattr(SimulatedCamera, "capture", slow)
    with serving(settings_for(tmp_path)) as served:
        page = open_page(served.url)
        open_page.watched[0].forgive("/api/v1/captures")
        ready(page)
        served.service.camera.capture()
        page.get_by_role("button", name="Capture and count").click()
        page.locator("#refusal:not([hidden])").wait_for()
        assert (
            page.locator("#refusal").inner_text().startswith("Not captured: A capture is running")
        )
        shoot(page, "press-refused")
        page.close()
        exposed.set()


def test_without_a_camera_the_page_says_so_and_uploads_work(tmp_path, open_page):
    import msgspec

    from device.config import CameraSettings

    settings = msgspec.structs.replace(settings_for(tmp_path), camera=CameraSettings(kind="none"))
    with serving(settings) as served:
        page = open_page(served.url)
        expect_text(page, "[data-indicator=camera] em", "none")
        assert page.locator("#capture").is_disabled()
        shoot(page, "no-camera")
        page.goto(f"{served.url}/upload")
        page.locator("#files").set_input_files({"name": "a.png", "mimeType": "", "buffer": png(3)})
        expect_text(page, ".upload-row .outcome strong", "3")
        page.close()


def test_three_uploads_of_which_one_is_broken(counted, open_page):
    page = open_page(f"{counted.url}/upload")
    open_page.watched[0].forgive("/api/v1/counts")
    expect_text(page, "#limits", re.compile("TIFF.*200 MB per file"))
    shoot(page, "upload-empty")
    page.get_by_label("Sample name for all files").fill("three")
    files = {"one.png": cells_png(11), "broken.png": cells_png(12)[:900], "two.png": cells_png(13)}
    page.locator("#files").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files.items()]
    )
    expect_text(page, "#upload-summary", "2 of 3 counted, 1 failed")
    broken = page.locator(".upload-row", has_text="broken.png")
    assert "broken.png" in broken.locator(".state").inner_text()
    assert broken.get_by_role("button", name="Try again").is_visible()
    for name in ("one.png", "two.png"):
        row = page.locator(".upload-row", has_text=name)
        link = row.get_by_role("link").get_attribute("href")
        stored = counted.store.counts.get(link.rsplit("/", 1)[1])
        assert row.locator("strong").inner_text() == str(stored.count)
        assert stored.sample == "three"
    shoot(page, "upload-1920")


def test_sliders_label_again_at_once_and_store_only_when_told(counted, count, open_page):
    page = open_page("about:blank")
    show_result(page, counted, count)
    page.locator("#threshold").fill("0.9")
    expect_text(page, "#numbers", re.compile("not saved yet"))
    wished = (
        counted.service.require_counter()
        .relabeller.preview(count.id, Change(threshold=0.9))
        .result.count
    )
    assert wished != count.count
    expect_text(page, "#automatic-count strong", str(wished))
    assert counted.store.counts.get(count.id).count == count.count
    shoot(page, "result-slider-1920")
    page.get_by_role("button", name="Discard", exact=True).click()
    expect_text(page, "#automatic-count strong", str(count.count))
    page.locator("#threshold").fill("0.9")
    page.get_by_role("button", name="Keep these settings").click()
    page.locator("#trial").wait_for(state="hidden")
    assert counted.store.counts.get(count.id).count == wished


def close_polygon(page, image, *corners: tuple[int, int]) -> None:
    page.keyboard.press("p")
    for corner in corners:
        image.click(*corner)
    page.wait_for_timeout(400)
    page.keyboard.press("c")


def test_a_polygon_counts_the_centres_inside(counted, count, open_page):
    page = open_page("about:blank")
    image = show_result(page, counted, count)
    close_polygon(page, image, (100, 60), (560, 60), (560, 420), (100, 420))
    cells = counted.store.result(count.id).cells
    inside = sum(100 < cell.x < 560 and 60 < cell.y < 420 for cell in cells)
    assert 0 < inside < len(cells)
    expect_text(page, "#polygon-count", str(inside))
    page.keyboard.press("3")
    shoot(page, "result-polygon-1920")
    # With a name it stays: after a reload, in the numbers after a correction, and on paper.
    page.get_by_label("Keep it as a region named").fill("CA1")
    page.get_by_role("button", name="Keep the region").click()
    expect_text(page, "#region-list strong", f"{inside} cells")
    cell = next(cell for cell in cells if 100 < cell.x < 560 and 60 < cell.y < 420)
    counted.store.corrections.remove(count.id, counted.store.result(count.id), cell.id, "Ada")
    expect_text(page, "#region-list strong", f"{inside - 1} cells")
    page.reload()
    expect_text(page, "#region-list strong", f"{inside - 1} cells")
    page.get_by_label("Name of the region").fill("CA3")
    page.get_by_label("Name of the region").press("Enter")
    wait_for(lambda: counted.store.counts.get(count.id).regions[0].name == "CA3")
    shoot(page, "result-region-1920")
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.keyboard.press("Control+p")
    page.wait_for_function("() => window.printed")
    assert f"CA3: {inside - 1} cells" in page.locator("#print-sheet").text_content()
    page.get_by_role("button", name="Remove the region CA3").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.locator("#region-list li").wait_for(state="detached")
    assert counted.store.counts.get(count.id).regions == ()


def test_a_polygon_that_crosses_itself_says_so_and_cannot_be_kept(counted, count, open_page):
    page = open_page("about:blank")
    image = show_result(page, counted, count)
    close_polygon(page, image, (100, 60), (560, 420), (560, 60), (100, 420))
    page.locator("#polygon-reading", has_text="cross each other").wait_for()
    assert not page.locator("#region-form").is_visible()


def test_cells_are_added_removed_and_undone_with_name_and_time(counted, count, open_page):
    page = open_page("about:blank")
    image = show_result(page, counted, count)
    page.get_by_label("Your name", exact=True).fill("AB")
    page.get_by_role("radio", name="Remove").click()
    cell = counted.store.result(count.id).cells[0]
    image.click(cell.x, cell.y)
    expect_text(page, "#corrected-count strong", str(count.count - 1))
    page.get_by_role("radio", name="Add").click()
    image.click(30, 570)
    image.click(770, 30)
    expect_text(page, "#corrected-count strong", str(count.count + 1))
    expect_text(page, "#automatic-count strong", str(count.count))
    page.locator("#corrected-count", has_text="by AB, today").wait_for()
    shoot(page, "result-corrected-1920")
    page.get_by_role("button", name="Undo last correction").click()
    expect_text(page, "#corrected-count strong", str(count.count))
    page.get_by_role("radio", name="Remove").click()
    image.click(30, 570)
    expect_text(page, "#corrected-count strong", str(count.count - 1))
    # Clicks are drawn at once; this disappears when the last of them is stored.
    page.locator("#corrections-state").wait_for(state="hidden")
    log = counted.store.corrections.of(count.id)
    assert [(one.action, one.who, one.undone_s is None) for one in log] == [
        ("remove", "AB", True),
        ("add", "AB", False),
        ("add", "AB", False),
    ]


def test_hovering_shows_the_measures_of_a_cell(counted, count, open_page):
    page = open_page("about:blank")
    image = show_result(page, counted, count)
    cell = counted.store.result(count.id).cells[2]
    page.mouse.move(*image.at(cell.x, cell.y))
    page.locator("#tip:not([hidden])").wait_for()
    tip = page.locator("#tip").inner_text()
    assert f"Cell {cell.id}" in tip
    assert f"{cell.area_px:,} px²" in tip
    page.keyboard.press("5")
    page.wait_for_timeout(400)
    shoot(page, "result-probability-1920")


def test_the_keyboard_alone_zooms_moves_and_adds(counted, count, open_page):
    page = open_page("about:blank")
    show_result(page, counted, count)
    page.locator("#canvas").focus()
    fitted = page.locator("#zoom-value").inner_text()
    page.keyboard.press("+")
    # The next frame that the browser draws shows it.
    changed = "before => document.querySelector('#zoom-value').innerText !== before"
    page.wait_for_function(changed, arg=fitted)
    page.keyboard.press("0")
    expect_text(page, "#zoom-value", fitted)
    for key in ("a", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect_text(page, "#corrected-count strong", str(count.count + 1))
    page.locator("#corrections-state").wait_for(state="hidden")
    added = counted.store.corrections.of(count.id)[-1]
    assert added.y == pytest.approx(count.height / 2, abs=1)
    assert count.width / 2 < added.x < count.width
    shoot(page, "result-keyboard")
