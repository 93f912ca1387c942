"""Reviewing one image after the other by keyboard alone."""

import re

import pytest
from appliance import wait_for
from browser import PHONE, cells_png, expect_text, shoot
from reviewed import held, show_result

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def test_a_list_is_reviewed_by_keyboard_alone(counted, open_page):
    first, second = (
        counted.hand_in(cells_png(seed), f"slice {seed}.png", sample="to review") for seed in (7, 8)
    )
    doubtful = counted.store.result(first.id).doubtful
    assert len(doubtful) > 2
    page = open_page(f"{counted.url}/history?search=to+review&state=unreviewed")
    page.locator(".history-row .about a").nth(1).click()
    expect_text(page, "#automatic-count strong", str(first.count))
    keys = page.keyboard
    keys.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    shoot(page, "keys")
    keys.press("Escape")
    page.get_by_role("dialog", name="Keys").wait_for(state="hidden")
    page.locator("#next-doubtful:enabled").wait_for()
    keys.press("n")  # to the first one
    expect_text(page, "#announcer", re.compile("likely a cell"))
    for verdict in ("y", "n"):
        keys.press(verdict)
    said = wait_for(lambda: len(held(counted, first)) == 2 and held(counted, first), 60, "verdicts")
    assert {one.cell_id for one in said} == {cell.id for cell in doubtful[:2]}
    keys.press("Control+z")
    wait_for(lambda: len(held(counted, first)) == 1, 60, "the undoing")
    # Of the two only the confirmation holds now, which changes no count.
    expect_text(page, "#corrected-count strong", "–")
    shoot(page, "review-1920")
    keys.press("m")
    page.locator("#reviewed[aria-pressed=true]").wait_for()
    assert counted.store.counts.get(first.id).reviewed_s is not None
    page.locator("#next-image[href]").wait_for()
    keys.press("]")
    page.wait_for_url(f"**/counts/{second.id}?**")
    expect_text(page, "#automatic-count strong", str(second.count))
    page.get_by_role("link", name="List").click()
    page.locator(".history-row").wait_for()
    assert page.locator(".history-row .about a").inner_text() == "to review"
    assert page.locator(".history-row").count() == 1


def test_a_count_is_printed_on_one_sheet(counted, open_page):
    row = counted.hand_in(cells_png(7), "printed.png", sample="printed")
    counted.store.corrections.remove(row.id, counted.store.result(row.id), 1, "AB")
    # Nobody gave a name: "page" is what the instrument notes.
    counted.store.corrections.remove(row.id, counted.store.result(row.id), 2, "page")
    page = open_page("about:blank")
    show_result(page, counted, row)
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.keyboard.press("Control+p")
    page.wait_for_function("() => window.printed")
    page.emulate_media(media="print")
    sheet = page.locator("#print-sheet").inner_text()
    assert f"{row.count - 2} cells" in sheet
    assert f"2 corrections by AB, someone; automatic {row.count}" in sheet
    assert "today" not in sheet
    natural = page.locator("#print-sheet img").evaluate(
        "one => [one.naturalWidth / one.naturalHeight, one.width / one.height]"
    )
    assert natural[0] == pytest.approx(natural[1], rel=0.02)
    shoot(page, "print", full=True)
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1


def test_the_review_fits_a_telephone(counted, open_page):
    row = counted.hand_in(cells_png(7), "narrow.png")
    page = open_page("about:blank", PHONE, has_touch=True)
    show_result(page, counted, row)
    page.get_by_role("button", name="Next doubtful").tap()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    shoot(page, "review-360")
