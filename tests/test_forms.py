"""Uploads arrive byte for byte, wherever the reads cut the form."""

import io
import json

import pytest
from appliance import make_service, png
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser

from device.errors import InputError
from device.web import create_app
from device.web.forms import FormParser

BOUNDARY = "----fluocount"
HEAD = (
    f"--{BOUNDARY}\r\n"
    'Content-Disposition: form-data; name="image"; filename="a.png"\r\n'
    "Content-Type: image/png\r\n\r\n"
).encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()


class Stream(io.BytesIO):
    """Gives at most so many bytes at a time, as a slow network does."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, self.most) if size >= 0 else self.most)


def parse(body: bytes, most: int = 65536, **limits):
    options = {"boundary": BOUNDARY}
    parser = FormParser(**limits)
    _, form, files = parser.parse(Stream(body, most), "multipart/form-data", len(body), options)
    return form, files


def length_that_cuts_before_the_last_hyphen(reads: int) -> int:
    return reads * 65536 - len(HEAD) - len(BOUNDARY) - 5


@pytest.mark.parametrize("reads", [1, 3])
@pytest.mark.parametrize("off", range(-40, 41))
def test_a_file_around_the_end_of_a_read_arrives_byte_for_byte(reads, off):
    data = bytes(length_that_cuts_before_the_last_hyphen(reads) + off)
    _, files = parse(HEAD + data + END)
    assert files["image"].read() == data


def test_werkzeugs_own_parser_still_adds_a_byte():
    """The day this fails, device/web/forms.py can go."""
    data = bytes(length_that_cuts_before_the_last_hyphen(1))
    body = HEAD + data + END
    _, files = MultiPartParser().parse(io.BytesIO(body), BOUNDARY.encode(), len(body))
    assert files["image"].read() == data + b"\r"


@given(
    content=st.lists(
        st.sampled_from([b"\r", b"\n", b"-", b"--", BOUNDARY[:6].encode(), b"x", b"\0"]),
        max_size=40,
    ).map(b"".join),
    most=st.integers(1, 300),
)
def test_every_cut_gives_the_same_bytes(content, most):
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="sample"\r\n\r\nα\r\n'.encode()
    form, files = parse(field + HEAD + content + END, most)
    assert (form["sample"], files["image"].read()) == ("α", content)


@pytest.mark.parametrize("left", [0, 10, len(HEAD) - 1, len(HEAD) + 5, len(HEAD) + 12])
def test_a_form_that_breaks_off_is_refused_with_a_sentence(left):
    with pytest.raises(InputError, match="send it again"):
        parse((HEAD + b"0123456789" + END)[:left])


def test_limits_of_parts_and_text_hold():
    part = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{"x" * 600}\r\n'.encode()
    )
    body = part * 3 + END[2:]
    assert len(parse(body)[0].getlist("a")) == 3
    with pytest.raises(RequestEntityTooLarge):
        parse(body, max_form_parts=2)
    with pytest.raises(RequestEntityTooLarge):
        parse(body, max_form_memory_size=1000)


def test_the_page_keeps_what_was_sent_at_the_boundary(tmp_path):
    client = create_app(make_service(tmp_path)).test_client()
    image = png()
    data = image + bytes(length_that_cuts_before_the_last_hyphen(1) - len(image))
    answer = client.post(
        "/api/v1/counts",
        data=HEAD + data + END,
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
    )
    assert answer.status_code == 202
    stored = client.get(f"/api/v1/counts/{answer.json['id']}/image").data
    assert stored == data


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        "multipart/form-data; boundary=\u00e9",
    ],
)
def test_a_broken_form_is_a_mistake_of_the_client(tmp_path, content_type):
    client = create_app(make_service(tmp_path)).test_client()
    answer = client.post("/api/v1/counts", data=HEAD + b"x" + END, content_type=content_type)
    assert (answer.status_code, list(answer.json)) == (400, ["error"])


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/api/v1/assays", b"x", "multipart/form-data"),
        ("/api/v1/studies", b"x", "multipart/form-data; boundary="),
        ("/api/v1/assays", b"--a\r\nnothing", "multipart/form-data; boundary=a"),
        ("/api/v1/counts", b"[" * 50_000, "application/json"),
        ("/api/v1/looks", b"[" * 50_000, "application/json"),
    ],
)
def test_a_damaged_body_where_another_kind_was_expected_gets_a_sentence(tmp_path, path, body, kind):
    service = make_service(tmp_path)
    client = create_app(service, needs_login=False).test_client()
    answer = client.post(path, data=body, content_type=kind)
    service.stop()
    assert answer.status_code in (400, 415, 422), answer.json
    assert answer.json["error"]


@pytest.fixture
def client(tmp_path):
    service = make_service(tmp_path)
    yield create_app(service, needs_login=False).test_client()
    service.stop()


def test_a_second_image_in_one_request_is_not_lost_without_a_word(client):
    images = [(io.BytesIO(png(cells)), f"{cells}.png") for cells in (2, 3)]
    answer = client.post("/api/v1/counts", data={"image": images})
    assert (answer.status_code, "image 2 times" in answer.json["error"]) == (400, True)
    assert client.get("/api/v1/counts").json["total"] == 0
    twice = {"image": (io.BytesIO(png(2)), "a.png"), "threshold": ["0.4", "0.6"]}
    assert client.post("/api/v1/counts", data=twice).status_code == 400
    assert client.get("/api/v1/counts?status=done&status=failed").status_code == 400


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
def test_texts_that_cannot_be_stored_are_refused_wherever_they_stand(client, text):
    assay = client.get("/api/v1/assays/default").json | {"name": "mine"}
    bodies = [
        ("/api/v1/assays", {"assay": assay | {"about": text}}),
        ("/api/v1/assays", {"assay": assay | {"reading": {"channel": text}}}),
        ("/api/v1/studies", {"name": "torpor", "question": text}),
        ("/api/v1/studies", {"name": "torpor", "groups": [text]}),
    ]
    for address, body in bodies:
        answer = client.post(address, data=json.dumps(body), content_type="application/json")
        assert (answer.status_code, bool(answer.json["error"])) == (400, True), body
    assert client.post("/api/v1/assays", json={"assay": assay}).status_code == 200
