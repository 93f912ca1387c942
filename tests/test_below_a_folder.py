"""The page below a folder of a server, as behind a reverse proxy: every link, call and cookie stays in it."""

import re
from pathlib import Path

import pytest
import requests
from appliance import answering, make_service
from browser import cells_png, expect_text, ready, serving, settings_for
from werkzeug.security import generate_password_hash

from device.store.access import SHARED_USER

FOLDER = "/cells"
WEB = Path(__file__).parents[1] / "device" / "web"


@pytest.fixture
def address(tmp_path):
    """Of an instrument below the folder that asks for a login."""
    service = make_service(tmp_path / "data", port=0, host="0.0.0.0", path=FOLDER)
    service.start()
    service.require_store().access.first_user(
        SHARED_USER, generate_password_hash("a long password")
    )
    with answering(service) as server:
        port_and_folder = server.addresses[0].rsplit(":", 1)[1]
        yield f"http://127.0.0.1:{port_and_folder}"


def test_a_login_leads_back_to_the_page_that_was_asked_for(address):
    with requests.Session() as session:
        asked = session.get(f"{address}/history?search=a", timeout=30)
        assert asked.url.startswith(f"{address}/login?")
        sent = session.post(asked.url, data=form_of(asked.text), timeout=30, allow_redirects=False)
        assert sent.headers["Location"] == f"{FOLDER}/history?search=a"
        assert all(f"Path={FOLDER}" in one for one in sent.headers["Set-Cookie"].split(", fl"))


def form_of(text: str) -> dict[str, str]:
    """What a browser sends: the hidden fields and the password."""
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text))
    return fields | {"password": "a long password"}


def test_the_description_of_the_interface_names_the_folder(tmp_path):
    service = make_service(tmp_path / "data", port=0, path=FOLDER)
    with answering(service) as server:
        address = server.addresses[0]
        document = requests.get(f"{address}/api/v1/openapi.json", timeout=30).json()
        assert document["servers"] == [{"url": FOLDER}]
        for page in ("/", FOLDER, "/help", "/help/settings", "/upload"):
            text = requests.get(f"{address.removesuffix(FOLDER)}{page}", timeout=30).text
            links = re.findall(r'(?:href|src|action)="(/[^"]*)"', text)
            assert links
            assert [link for link in links if not link.startswith(f"{FOLDER}/")] == []


def test_no_script_and_no_page_leads_to_the_root_of_the_server():
    leaving = re.compile(
        r"""(?:href|src|action|location|assign|replace|fetch)\W{0,3}[=:(]\s*["'`]/"""
    )
    for path in [*WEB.glob("static/js/*.js"), *WEB.glob("templates/*.html")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [line.strip() for line in lines if leaving.search(line)]
        assert found == [], f"{path.name}: use linkTo (root.js) or url_for"


@pytest.fixture
def served(tmp_path):
    """Ends after the pages that look at it."""
    with serving(settings_for(tmp_path, path=FOLDER)) as served:
        yield served


@pytest.mark.browser
@pytest.mark.timeout(900)
def test_in_a_browser_nothing_leaves_the_folder(served, open_page):
    row = served.hand_in(cells_png(5), "one.png")
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("/", "/history", "/upload", "/studies", "/assays", "/status", "/help/assays"):
        page.goto(f"{served.url}{name}")
        ready(page)
        assert outside(page.locator("[href], [src], [action]")) == []
    page.goto(f"{served.url}/history")
    page.locator(".history-row a").first.click()
    page.wait_for_url(f"{served.url}/counts/{row.id}")
    expect_text(page, "#automatic-count strong", str(row.count))
    assert [one for one in asked if one.startswith("http") and FOLDER not in one] == []


def outside(found) -> list[str]:
    """The addresses of elements that lead out of the folder."""
    said = found.evaluate_all(
        "all => all.flatMap(one => ['href', 'src', 'action'].map(name => one.getAttribute(name)))"
    )
    return [one for one in said if one and one.startswith("/") and not one.startswith(FOLDER)]
