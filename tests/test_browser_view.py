"""The image of a result moves, zooms and goes to other monitors: always sharp, always where a click is read."""

import base64
import io

import numpy as np
import pytest
from browser import ImageOnCanvas
from PIL import Image
from reviewed import show_result

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def drawn(page) -> np.ndarray:
    """What the canvas shows, (height, width, 3), once nothing moves any more."""
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.locator("#canvas").screenshot()))
    return np.asarray(picture.convert("RGB"), dtype=int)


def test_a_moved_image_looks_as_if_painted_anew(counted, count, open_page):
    page = open_page("about:blank", {"width": 700, "height": 600})
    show_result(page, counted, count)
    page.locator("#canvas").focus()
    # Through the margin that is painted in advance, out of it, through a zoom, and through long ones at a stretch.
    for keys in (
        ["+"] * 4 + ["ArrowRight"] * 3,
        ["ArrowLeft"] * 9,
        ["-", "-", "ArrowDown"],
        ["0"] + ["+"] * 6,
        ["-"] * 8,
    ):
        for key in keys:
            page.keyboard.press(key)
        moved = drawn(page)
        for _ in range(2):
            page.keyboard.press("2")
        anew = drawn(page)
        # What moves goes by whole dots, what is painted anew also lies between them.
        assert np.abs(moved - anew).mean() < 4
        page.keyboard.press("2")
        assert np.abs(drawn(page) - anew).mean() > 0.1  # without outlines
        page.keyboard.press("2")


def held(page) -> np.ndarray:
    """As `drawn`; a screenshot would end the zoom of the browser."""
    page.wait_for_timeout(300)
    address = page.evaluate("document.querySelector('#canvas').toDataURL()")
    data = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)


def test_a_zoom_of_the_browser_leaves_the_image_under_the_clicks(counted, count, open_page):
    page = open_page("about:blank", {"width": 700, "height": 600})
    show_result(page, counted, count)
    page.locator("#canvas").focus()
    for _ in range(4):
        page.keyboard.press("+")
    drawn(page)
    denser = {"width": 560, "height": 480, "deviceScaleFactor": 1.25, "mobile": False}
    page.context.new_cdp_session(page).send("Emulation.setDeviceMetricsOverride", denser)
    kept = held(page)
    for _ in range(2):
        page.keyboard.press("2")
    assert np.abs(kept - held(page)).mean() < 4


def test_a_window_on_another_monitor_is_as_sharp_as_that_one(counted, count, open_page):
    page = open_page("about:blank", {"width": 1000, "height": 600})
    show_result(page, counted, count)
    # The canvas keeps its size, so that nothing but the dots per pixel tells of the other monitor.
    page.locator("#canvas").evaluate("""canvas => {
        canvas.style.setProperty("width", "500px", "important");
        canvas.style.setProperty("height", "300px", "important");
    }""")
    page.locator("#canvas[width='500']").wait_for()
    session = page.context.new_cdp_session(page)
    for density in (2, 1.5):  # there, and to a third one
        # Chromium evaluates its media queries only when an emulated window changes its size as well.
        denser = {"width": 1000 + int(density), "height": 600, "deviceScaleFactor": density}
        session.send("Emulation.setDeviceMetricsOverride", {**denser, "mobile": False})
        page.locator(f"#canvas[width='{500 * density:.0f}']").wait_for(timeout=10_000)
        assert held(page).shape[:2] == (300 * density, 500 * density)
        assert held(page).max() > 0


def test_outlines_lie_on_their_cells_to_the_pixel_after_a_zoom(counted, count, open_page):
    page = open_page("about:blank", {"width": 1000, "height": 800})
    show_result(page, counted, count)
    inked = np.asarray(Image.open(counted.store.product(count.id, "outlines.png"))) > 0
    image = ImageOnCanvas(page, count.width, count.height)
    cells = counted.store.result(count.id).cells
    middle = count.width / 2, count.height / 2
    cell = min(cells, key=lambda one: np.hypot(one.x - middle[0], one.y - middle[1]))
    # The wheel tells whole pixels of the page; the image point under them stays where it is.
    x, y = (int(length) for length in image.at(cell.x, cell.y))
    left, top = image.at(-0.5, -0.5)
    scale = (image.at(count.width, 0)[0] - image.at(0, 0)[0]) / count.width
    x0, y0 = (x - left) / scale - 0.5, (y - top) / scale - 0.5
    page.mouse.move(x, y)
    steps = [-300] * 5 + [250]
    for step in steps:
        page.mouse.wheel(0, step)
    page.mouse.move(0, 0)
    shown = held(page)
    page.keyboard.press("2")
    outlined = np.abs(shown - held(page)).sum(axis=2) > 0
    scale *= np.exp(-0.0016 * sum(steps))
    box = page.locator("#canvas").bounding_box()
    across = (np.arange(shown.shape[1]) + 0.5 - (x - box["x"])) / scale + x0
    down = (np.arange(shown.shape[0]) + 0.5 - (y - box["y"])) / scale + y0
    expected = inked[np.ix_(np.rint(down).astype(int), np.rint(across).astype(int))]
    assert expected.sum() > 500
    # A dot whose middle lies on the border of two pixels may show either.
    assert (outlined & expected).sum() > 0.9 * (outlined | expected).sum()
