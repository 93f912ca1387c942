"""How many frames a second the image of a result moves with: `PYTHONPATH=. python tests/result_frames.py [CELLS]`.

Moves a full-size image with at least that many cells for two seconds at two zoom steps, then zooms in and out. Exit
status 1 below 30 frames a second.
"""

import io
import sys
import tempfile
from pathlib import Path

from browser import chromium, serving, settings_for
from PIL import Image

from device.synthetic import SyntheticSettings, make_frame

LEAST = 30
_MOVE = """async ([seconds, there, back]) => {
    const canvas = document.querySelector("#canvas");
    canvas.focus();
    const until = performance.now() + 1000 * seconds;
    let frames = 0;
    while (performance.now() < until) {
        const key = frames % 40 < 20 ? there : back;
        canvas.dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey: true, bubbles: true }));
        await new Promise((drawn) => requestAnimationFrame(drawn));
        frames += 1;
    }
    return frames / seconds;
}"""


_MOVES = {
    "moved, whole image": ("fit", "ArrowLeft", "ArrowRight"),
    "moved, zoomed in": ("in", "ArrowLeft", "ArrowRight"),
    "zoomed in and out": ("fit", "+", "-"),
}
_LOST = 1.45
"""Some of the drawn cells touch or leave the image: so many more are drawn than must be counted."""


def main(cells: int) -> None:
    """Print a line per way of moving."""
    wish = SyntheticSettings(width_px=1600, height_px=1200, cells=round(_LOST * cells))
    stream = io.BytesIO()
    Image.fromarray(make_frame(1, wish).frame.image).save(stream, "PNG")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(settings_for(Path(folder))) as served,
        chromium() as browser,
    ):
        row = served.hand_in(stream.getvalue(), "many.png")
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(f"{served.url}/counts/{row.id}")
        page.locator("#automatic-count strong").wait_for()
        page.wait_for_timeout(1000)
        if row.count < cells:
            sys.exit(f"Only {row.count} cells were counted, not {cells}: draw more of them.")
        slow = False
        for name, (zoom, *keys) in _MOVES.items():
            page.locator(f"[data-zoom={zoom}]").click()
            frames = page.evaluate(_MOVE, [2, *keys])
            slow |= frames < LEAST
            print(f"{row.count} cells, {name}: {frames:.0f} frames a second, at least {LEAST}")
    sys.exit(slow)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
