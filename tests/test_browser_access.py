"""Every page for people who see little, use no mouse, or have gloves on."""

import pytest
from accessible import check, lost_focus, nameless
from browser import PHONE, WIDE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PAGES = (
    "/", "/upload", "/history", "/studies", "/assays", "/status", "/administration", "/help", "/help/page",
    "/help/interface", "/nothing",
)  # fmt: skip


@pytest.fixture
def addresses(counted, count):
    """Every page, that of a corrected count with a region among them."""
    store = counted.store
    store.corrections.add(count.id, store.result(count.id), 20, 20, "Ada")
    store.regions.add(count.id, "CA1", [(0, 0), (300, 0), (300, 300)], "Ada")
    return [counted.url + page for page in (*PAGES, f"/counts/{count.id}")]


def settle(page, address: str) -> None:
    page.goto(address)
    page.wait_for_load_state("networkidle") if not address.endswith("/") else page.wait_for_timeout(
        800
    )


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_page_can_be_read_named_and_walked_through(addresses, open_page, theme):
    page = open_page("about:blank", WIDE)
    open_page.watched[-1].forgive("/nothing")
    page.add_init_script(
        f"try {{ localStorage.setItem('fluocount-theme', '{theme}'); }} catch {{}}"
    )
    wrong = {}
    for address in addresses:
        settle(page, address)
        found = [*check(page, "faint"), *check(page, "unsound"), *nameless(page)]
        if theme == "dark":  # structure and focus are the same in both
            found += lost_focus(page)
        if found:
            wrong[address.partition("//")[2].partition("/")[2]] = found
    assert wrong == {}


def test_a_gloved_finger_hits_every_control(addresses, open_page):
    page = open_page("about:blank", PHONE, has_touch=True, is_mobile=True)
    open_page.watched[-1].forgive("/nothing")
    small = {}
    for address in addresses:
        settle(page, address)
        assert page.evaluate("() => matchMedia('(pointer: coarse)').matches")
        if found := check(page, "small"):
            small[address.partition("//")[2].partition("/")[2]] = found
    assert small == {}
