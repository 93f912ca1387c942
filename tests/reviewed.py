"""What the browser tests of people at work share: free places, slow lines, logs, logins, thousands of counts."""

import os
import secrets
from contextlib import contextmanager
from pathlib import Path

from browser import ImageOnCanvas, expect_text, serving, settings_for
from werkzeug.security import generate_password_hash

from device.store.access import SHARED_USER

REACH_PX = 45
PASSWORD = "correct horse battery"


def free_places(served, row, number: int) -> list[tuple[int, int]]:
    """Image points far from every cell, every doubtful object and each other."""
    result = served.store.result(row.id)
    objects = (*result.cells, *result.doubtful)

    def is_free(x: int, y: int) -> bool:
        return not any(
            one.bbox[0] - 6 <= x <= one.bbox[2] + 6 and one.bbox[1] - 6 <= y <= one.bbox[3] + 6
            for one in objects
        )

    grid = [
        (x, y)
        for y in range(30, row.height - 60, REACH_PX)
        for x in range(30, row.width - 90, REACH_PX)
    ]
    found = [place for place in grid if is_free(*place)]
    assert len(found) >= number
    return found[:number]


def show_result(page, served, row) -> ImageOnCanvas:
    """Open a count's page and wait for its number."""
    page.goto(f"{served.url}/counts/{row.id}")
    expect_text(page, "#automatic-count strong", str(row.count))
    return ImageOnCanvas(page, row.width, row.height)


@contextmanager
def slow_line(page, latency_ms: int):
    """Every answer takes that long, as over a far wireless bridge."""
    session = page.context.new_cdp_session(page)
    line = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", {**line, "latency": latency_ms})
    yield
    session.send("Network.emulateNetworkConditions", {**line, "latency": 0})
    session.detach()


def held(served, row) -> list:
    """The corrections in force."""
    return served.store.corrections.in_force(row.id)


@contextmanager
def behind_login(data_dir: Path):
    """An appliance on a network address, with a password."""
    with serving(settings_for(data_dir, host="0.0.0.0")) as served:
        served.store.access.first_user(SHARED_USER, generate_password_hash(PASSWORD))
        yield served


def log_in(page, served) -> None:
    page.goto(f"{served.url}/login")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.locator("#readiness").wait_for()


def log_in_again(page) -> None:
    """In the dialog that comes up when a session has ended."""
    dialog = page.get_by_role("dialog", name="Log in again")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Log in").click()


def multiply(served, row, number: int) -> None:
    """So many finished counts like this one, as after months of work; their files are the same ones on the disk."""
    folders, database = served.store.folders, served.store.database
    product = folders.product(row.id, row.revision, "result.json").parent
    columns = [
        found["name"]
        for found in database.connection().execute("SELECT name FROM pragma_table_info('counts')")
        if found["name"] not in ("sequence", "id", "once_key")
    ]
    names = ", ".join(columns)
    with database.transaction() as connection:
        for _ in range(number):
            count_id = secrets.token_hex(8)
            folder = folders.folder(count_id) / str(row.revision)
            folder.mkdir(parents=True)
            for name in ("result.json", "thumbnail.jpg"):
                os.link(product / name, folder / name)
            connection.execute(
                f"INSERT INTO counts (id, {names}) SELECT ?, {names} FROM counts WHERE id = ?",
                (count_id, row.id),
            )
