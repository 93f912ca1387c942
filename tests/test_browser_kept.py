"""What a person clicked, typed or added is never lost and never overwritten."""

import io
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from appliance import wait_for
from browser import cells_png, expect_text, shoot
from PIL import Image
from reviewed import PASSWORD, behind_login, free_places, held, log_in, show_result, slow_line

from device.export.pictures import ADDED_RGB, REMOVED_RGB

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def test_clicks_made_fast_on_a_slow_line_are_all_stored_in_order(counted, count, page):
    image = show_result(page, counted, count)
    page.get_by_role("radio", name="Add").click()
    places = free_places(counted, count, 6)
    with slow_line(page, 300):
        for place in places:
            page.mouse.click(*image.at(*place))
            page.wait_for_timeout(250)
        # Drawn and counted at once, long before the last is stored.
        expect_text(page, "#corrected-count strong", str(count.count + 6))
        page.locator("#corrections-state").wait_for(state="hidden")
    stored = [(one.x, one.y) for one in held(counted, count)]
    assert np.abs(np.array(stored) - np.array(places)).max() < 3


def test_corrections_without_a_connection_wait_and_are_sent_later(counted, count, page, open_page):
    for part in ("/corrections", "/api/v1/"):
        open_page.watched[-1].forgive(part)
    image = show_result(page, counted, count)
    page.get_by_role("radio", name="Add").click()
    page.context.set_offline(True)
    for place in free_places(counted, count, 2):
        image.click(*place)
    expect_text(page, "#corrections-state-text", re.compile("2 corrections are not saved yet"))
    expect_text(page, "#corrected-count strong", str(count.count + 2))
    shoot(page, "corrections-waiting")
    assert not held(counted, count)
    page.context.set_offline(False)
    page.locator("#corrections-state").wait_for(state="hidden")
    assert len(held(counted, count)) == 2


def test_corrections_that_wait_survive_a_reload(counted, count, page, open_page):
    open_page.watched[-1].forgive("/api/v1/")
    image = show_result(page, counted, count)
    page.get_by_role("radio", name="Add").click()
    page.route("**/corrections", lambda route: route.abort())
    image.click(*free_places(counted, count, 1)[0])
    expect_text(page, "#corrections-state-text", re.compile("1 correction is not saved yet"))
    page.unroute("**/corrections")
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    wait_for(lambda: len(held(counted, count)) == 1, what="the correction")


def test_an_answer_that_is_lost_does_not_count_a_cell_twice(counted, count, page, open_page):
    open_page.watched[-1].forgive("/corrections")
    image = show_result(page, counted, count)
    page.get_by_role("radio", name="Add").click()

    def lose_answer(route):
        route.fetch()
        route.abort()

    page.route("**/corrections", lose_answer, times=1)
    image.click(*free_places(counted, count, 1)[0])
    page.locator("#corrections-state").wait_for(state="hidden")
    assert len(held(counted, count)) == 1
    expect_text(page, "#corrected-count strong", str(count.count + 1))


def test_a_cell_that_is_counted_is_not_added_again(counted, count, page, open_page):
    open_page.watched[-1].forgive("/corrections")
    image = show_result(page, counted, count)
    cell = max(counted.store.result(count.id).cells, key=lambda one: one.area_px)
    page.get_by_role("radio", name="Add").click()
    image.click(cell.x, cell.y)
    expect_text(page, ".toasts p", re.compile(f"Cell {cell.id} is counted here already"))
    assert not held(counted, count)
    expect_text(page, "#corrected-count strong", "–")
    # A removed cell comes back whole instead.
    page.get_by_role("radio", name="Remove").click()
    image.click(cell.x, cell.y)
    expect_text(page, "#corrected-count strong", str(count.count - 1))
    page.get_by_role("radio", name="Add").click()
    image.click(cell.x, cell.y)
    expect_text(page, "#corrected-count strong", "–")
    assert not held(counted, count)


def test_undo_and_redo_by_key(counted, count, page):
    image = show_result(page, counted, count)
    page.get_by_role("radio", name="Add").click()
    for place in free_places(counted, count, 2):
        image.click(*place)
    expect_text(page, "#corrected-count strong", str(count.count + 2))
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect_text(page, "#corrected-count strong", "–")
    page.keyboard.press("Control+y")
    expect_text(page, "#corrected-count strong", str(count.count + 1))
    page.locator("#corrections-state").wait_for(state="hidden")
    assert len(held(counted, count)) == 1


def test_a_note_is_saved_when_the_page_is_left_at_once(counted, count, page):
    show_result(page, counted, count)
    page.get_by_label("Notes").fill("left cortex, layer 2")
    page.goto(f"{counted.url}/status")
    wait_for(
        lambda: counted.store.counts.get(count.id).notes == "left cortex, layer 2", what="the note"
    )


def test_a_note_typed_before_the_count_has_arrived_is_saved(counted, count, page):
    asked, typed = threading.Event(), []

    def answer_late(route) -> None:
        """The instrument answers only after the person has typed."""
        if not typed:
            typed.append(route)
            asked.set()
        else:
            route.continue_()

    page.route(f"**/api/v1/counts/{count.id}", answer_late)
    page.goto(f"{counted.url}/counts/{count.id}")
    page.get_by_label("Notes").fill("layer 5")
    wait_for(lambda: page.evaluate("1") and asked.is_set(), what="the page's question")
    typed[0].continue_()
    wait_for(lambda: page.evaluate("1") and counted.store.counts.get(count.id).notes == "layer 5")
    assert page.get_by_label("Notes").input_value() == "layer 5"


def test_a_late_answer_does_not_hide_why_an_image_cannot_be_shown(counted, page, open_page):
    open_page.watched[-1].forgive("/api/v1/counts/")
    damaged = counted.hand_in(cells_png(7), "damaged.png")
    counted.store.product(damaged.id, "outlines.png").unlink()
    first = []

    def answer_the_first_late(route) -> None:
        if first:
            route.continue_()
        else:
            first.append(route)

    address = f"{counted.url}/api/v1/counts/{damaged.id}"
    page.route(address, answer_the_first_late)
    page.goto(f"{counted.url}/counts/{damaged.id}")
    expect_text(page, "#viewer-message", re.compile("outlines"))
    with page.expect_response(address):
        first[0].continue_()
    page.wait_for_load_state("networkidle")
    expect_text(page, "#viewer-message", re.compile("outlines"))


def test_two_tabs_edit_different_fields_and_both_stay(counted, count, page, open_page):
    open_page.watched[-1].forgive("/api/v1/counts/")
    show_result(page, counted, count)
    other = open_page(f"{counted.url}/counts/{count.id}")
    other.get_by_label("Notes").fill("from the other tab")
    expect_text(other, "#notes-state", "saved")
    page.get_by_label("Name", exact=True).fill("mouse 9")
    expect_text(page, "#notes-state", "saved")
    row = counted.store.counts.get(count.id)
    assert (row.sample, row.notes) == ("mouse 9", "from the other tab")


def test_two_tabs_that_edit_one_field_ask_which_text_stays(counted, count, page, open_page):
    open_page.watched[-1].forgive("/api/v1/counts/")
    show_result(page, counted, count)
    others = iter([lambda: counted.store.counts.edit(count.id, _edit("theirs"))])

    def overtake(route) -> None:
        """The other tab saves while this one's note is on its way."""
        if route.request.method == "PATCH":
            next(others, lambda: None)()
        route.continue_()

    page.route(f"**/api/v1/counts/{count.id}", overtake)
    page.get_by_label("Notes").fill("mine")
    expect_text(page, "#notes-clash-text", re.compile("theirs"))
    shoot(page, "notes-clash")
    assert counted.store.counts.get(count.id).notes == "theirs"
    page.get_by_role("button", name="Keep mine").click()
    expect_text(page, "#notes-state", "saved")
    assert counted.store.counts.get(count.id).notes == "mine"


def _edit(notes: str):
    from device.store import Edit

    return Edit(notes=notes)


def test_the_downloaded_pictures_show_the_corrections(counted, count, page):
    show_result(page, counted, count)
    automatic = _download(page, "overlay.png")
    result = counted.store.result(count.id)
    cell = max(result.cells, key=lambda one: one.area_px)
    counted.store.corrections.remove(count.id, result, cell.id, "AB")
    x, y = free_places(counted, count, 1)[0]
    counted.store.corrections.add(count.id, result, float(x), float(y), "AB")
    corrected = _download(page, "overlay.png")
    assert tuple(automatic[round(cell.y), round(cell.x)]) != REMOVED_RGB
    assert tuple(corrected[round(cell.y), round(cell.x)]) == REMOVED_RGB
    radius = round(result.cell_diameter_px / 2)
    around = corrected[y, x + radius - 2 : x + radius + 3]
    assert ADDED_RGB in [tuple(pixel) for pixel in around]
    for name in ("overlay.jpg", "labels.tiff"):
        assert _download(page, name) is not None


def _download(page, name: str) -> np.ndarray:
    with page.expect_download() as caught:
        page.locator(f"[data-file='{name}']").click()
    data = Path(caught.value.path()).read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with behind_login(tmp_path_factory.mktemp("locked")) as served:
        yield served


def test_a_session_that_ends_while_typing_loses_nothing(locked, page, open_page):
    open_page.watched[-1].forgive("/")  # every 401 is on the console
    row = locked.hand_in(cells_png(7), "fresh.png")
    log_in(page, locked)
    show_result(page, locked, row)
    # The page asks every second: once it has noticed, its dialog takes what is typed.
    page.get_by_label("Notes").fill("typed at the end")
    locked.end_sessions()
    dialog = page.get_by_role("dialog", name="Log in again")
    dialog.get_by_label("Password").fill("wrong")
    dialog.get_by_role("button", name="Log in").click()
    expect_text(page, "dialog [role=alert]", re.compile("wrong"))
    shoot(page, "log-in-again")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Log in").click()
    expect_text(page, "#notes-state", "saved")
    assert locked.store.counts.get(row.id).notes == "typed at the end"
