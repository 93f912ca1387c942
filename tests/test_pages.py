import gzip
import re
from pathlib import Path

import pytest
from appliance import make_service

import device.web
from device.web import create_app

WEB = Path(device.web.__file__).parent
STATIC = WEB / "static"
SCRIPTS = sorted((STATIC / "js").glob("*.js"))
SHEETS = sorted((STATIC / "css").glob("*.css"))
ADDRESSES = ["/", "/upload", "/history", "/studies", "/assays", "/status", "/counts/some-id"]
TEMPLATES = "\n".join(path.read_text() for path in (WEB / "templates").glob("*.html"))


@pytest.fixture
def client(tmp_path):
    return create_app(make_service(tmp_path)).test_client()


def page(client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_needs_nothing_inline_and_nothing_from_elsewhere(client, address):
    text = page(client, address)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
    for linked in re.findall(r"""(?:src|href)=["'](/static/[^"'#]+)""", text):
        assert client.get(linked).status_code == 200, linked


def test_static_files_are_kept_by_browsers_under_an_address_of_their_version(client):
    linked = re.findall(r"""(?:src|href)=["'](/static/[^"'#]+)""", page(client, "/"))
    assert linked
    assert all(re.match(r"/static/[0-9a-f]{12}/", one) for one in linked)
    answer = client.get(linked[0])
    assert answer.cache_control.max_age == 365 * 24 * 3600


@pytest.mark.parametrize("address", ADDRESSES[:5])
def test_the_tab_of_the_page_is_marked(client, address):
    assert re.search(rf'href="{address}" aria-current="page"', page(client, address))


def test_an_id_in_the_address_cannot_leave_its_attribute(client):
    text = page(client, "/counts/%22%3E%3Cscript%3Ealert(1)")
    assert "<script>alert" not in text


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_a_script_imports_and_names_is_there(script):
    text = script.read_text()
    for name, module in re.findall(r'import (?:\{([^}]*)\}|[^"]*?)\s*(?:from )?"\./([^"]+)"', text):
        exported = (STATIC / "js" / module).read_text()
        for one in filter(None, (part.strip() for part in name.split(","))):
            declared = rf"export (?:async )?(?:const|function|class) {one}\b"
            assert re.search(rf"{declared}|export {{[^}}]*\b{one}\b", exported), one
    made = set(re.findall(r'id: "([\w-]+)"', "\n".join(path.read_text() for path in SCRIPTS)))
    for one in re.findall(r'byId\("([\w-]+)"\)', text):
        assert one in made or f'id="{one}"' in TEMPLATES or "card-" in one, one


@pytest.mark.parametrize("file", [*SCRIPTS, *SHEETS], ids=lambda path: path.name)
def test_assets_are_local_and_small(file):
    text = file.read_text()
    assert not re.search(r"@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert len(text.splitlines()) < 300


def test_every_icon_that_is_used_exists():
    icons = set(re.findall(r'<symbol id="(\w+)"', (STATIC / "icons.svg").read_text()))
    scripts = "\n".join(path.read_text() for path in SCRIPTS)
    used = set(re.findall(r"""icon\(["'](\w+)""", TEMPLATES + scripts))
    assert used <= icons
    assert icons - used <= {
        "assays",
        "capture",
        "history",
        "studies",
        "status",
        "view",
        "add",
        "remove",
        "polygon",
        "measure",
    }


def tokens(theme: str) -> dict[str, tuple[int, int, int]]:
    """The colours of a theme."""
    text = (STATIC / "css/tokens.css").read_text()
    dark, light = text.split(':root[data-theme="light"]')
    found = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", dark))
    if theme == "light":
        found |= dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", light))
    return {name: tuple(bytes.fromhex(value)) for name, value in found.items()}


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_words_stand_out_from_what_they_stand_on(theme):
    colour = tokens(theme)
    words = ["text", "muted", "accent", "ok", "busy", "warn", "fault", "unknown"]
    pairs = [(word, ground) for word in words for ground in ("bg", "panel")]
    pairs += [(word, "raised") for word in ("text", "muted", "accent")]
    pairs += [
        ("ok", "accent-deep"),
        ("accent", "accent-deep"),
        ("on-go", "go"),
        ("on-accent", "accent"),
    ]
    weak = {pair: round(contrast(*(colour[name] for name in pair)), 2) for pair in pairs}
    assert {pair: value for pair, value in weak.items() if value < 4.5} == {}
    # Lines and frames of fields.
    assert contrast(colour["edge"], colour["panel"]) >= 3


def test_static_texts_are_compressed_for_browsers_that_ask(client):
    (address,) = re.findall(r'href="([^"]+tokens.css)"', page(client, "/"))
    plain = client.get(address)
    packed = client.get(address, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(plain.data) / 2
    assert gzip.decompress(packed.data) == plain.data
    assert "Content-Encoding" not in plain.headers
    assert packed.cache_control.max_age == plain.cache_control.max_age
    assert int(packed.headers["Content-Length"]) == len(packed.data)


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_scripts_only_the_sentence_that_says_so_is_shown(client, address):
    text = page(client, address)
    assert re.search(r"<noscript><link[^>]+noscript.css", text)
    assert "needs JavaScript" in text
    assert "noscript.css" not in page(client, "/help")
