"""The documentation on the page: complete, linked, and where a question comes up."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from appliance import make_service

import device.web
from device.counting.confidence import flags
from device.web import create_app
from device.web.help import GROUPS, TERMS

ROOT = Path(__file__).parents[1]
WEB = Path(device.web.__file__).parent


@pytest.fixture
def client(tmp_path):
    return create_app(make_service(tmp_path)).test_client()


def text_of(client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.get_data(as_text=True)


def anchors(text: str) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', text))


def test_the_contents_name_every_page_of_the_documentation_once(client):
    written = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))
    shown = re.findall(r'href="/help/(\w+)"', text_of(client, "/help"))
    assert sorted(shown) == sorted([*written, "interface"])
    assert {name for names in GROUPS.values() for name in names} <= set(written)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "docs").glob("*.md")))
def test_a_page_of_the_help_is_whole_and_its_links_lead_somewhere(client, name):
    text = text_of(client, f"/help/{name}")
    article = text[text.index("<article") :]
    assert "<img" not in article
    assert "**" not in re.sub(r"<code>.*?</code>", "", article, flags=re.S)
    for target in re.findall(r'href="([^"]+)"', article):
        if target.startswith("https:"):
            continue
        page, _, place = urljoin(f"/help/{name}", target).partition("#")
        linked = text_of(client, page)
        assert not place or place in anchors(linked), target


def test_every_short_explanation_leads_to_a_place_in_the_help(client):
    for term in TERMS.values():
        page, _, place = term.more.partition("#")
        assert not place or place in anchors(text_of(client, f"/help/{page}"))


@pytest.mark.parametrize("address", ["/", "/upload", "/counts/some-id"])
def test_every_question_mark_has_its_explanation(client, address):
    text = text_of(client, address)
    asked = re.findall(r'popovertarget="([\w-]+)"', text)
    assert asked
    assert set(asked) == {one for one in anchors(text) if one.startswith("term-")}


def test_markup_in_the_documentation_stays_text(client, monkeypatch, tmp_path):
    import device.web.help as help_module

    (tmp_path / "odd.md").write_text('# <script>alert("x")</script>\n[a](javascript:alert(1))')
    monkeypatch.setattr(help_module, "DOCS", tmp_path)
    help_module.render.cache_clear()
    text = text_of(client, "/help/odd")
    help_module.render.cache_clear()
    assert "<script>alert" not in text
    assert 'href="javascript' not in text


def test_the_sample_image_of_the_guide_is_there(client):
    answer = client.get("/help/sample.jpg")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    assert answer.data[:3] == b"\xff\xd8\xff"


def test_an_unknown_page_of_the_help_is_not_found(client):
    for name in ("nothing", "..%2f..%2fpyproject", "page.md"):
        assert client.get(f"/help/{name}").status_code == 404


def test_every_warning_says_what_to_do_with_a_button():
    codes = set()
    for path in (Path(flags.__file__), Path(flags.__file__).parents[1] / "readings.py"):
        codes |= set(re.findall(r'code="(\w+)"', path.read_text()))
    script = (WEB / "static/js/flags.js").read_text()
    remedies = set(re.findall(r"^  (\w+): ", script, re.M))
    assert len(codes) >= 15
    assert codes <= remedies
    for page in re.findall(r'page: "(/\w*)', script):
        assert page in ("/", "/upload")
    template = (WEB / "templates/result.html").read_text()
    for field in re.findall(r'(?:field|press): "([\w-]+)"', script):
        assert f'id="{field}"' in template


def test_the_interface_can_be_read_without_a_program(client):
    text = text_of(client, "/help/interface")
    document = client.get("/api/v1/openapi.json").get_json()
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"<code>{method.upper()} {path}</code>" in text
    upload = text[text.index("POST /api/v1/counts<") :]
    assert re.search(r"cell_diameter_px</code>.*?number, from 2, to 1000<", upload, re.S)
