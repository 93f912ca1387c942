"""Whatever is sent, the API answers as its document says, and never with a mistake of the program."""

import contextlib
import json
import os

import pytest
import schemathesis
from appliance import make_service, make_settings, png, wait_for, with_storage
from conftest import FakeSegmenter
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from device.errors import ConflictError
from device.service import Service
from device.store import NewCount
from device.web import create_app
from device.web.records import DOCUMENTED

EXAMPLES = int(os.environ.get("FLUOCOUNT_EXAMPLES", "60"))
"""Generated calls per operation."""
DOCUMENT = "/api/v1/openapi.json"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture
def document(tmp_path):
    return create_app(make_service(tmp_path)).test_client().get(DOCUMENT).json


def test_the_document_names_every_call_of_the_api(document, tmp_path):
    app = create_app(make_service(tmp_path))
    served = {rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/v1")}
    named = {path.replace("{", "<").replace("}", ">") for path in document["paths"]}
    assert served - {DOCUMENT} <= named
    assert document["openapi"].startswith("3.1")


def test_every_reference_in_the_document_leads_somewhere(document):
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for record in DOCUMENTED:
        assert record.__name__ in schemas
    for part in text.split('"$ref": "')[1:]:
        name = part.split('"')[0].removeprefix("#/components/schemas/")
        assert name in schemas, name


def test_every_call_names_its_errors_with_the_same_schema(document):
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            for status, answer in answers.items():
                assert answer["description"]
                if status >= "400":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Error"}
            if path.startswith("/api"):
                assert {"400", "401", "403", "507"} <= set(answers), (method, path)
            if "{count_id}" in path:
                assert "404" in answers, (method, path)
            if "requestBody" in operation:
                assert {"400", "413", "415"} <= set(answers), (method, path)


def test_pairs_are_told_as_every_tool_reads_them(document):
    look = document["components"]["schemas"]["Look"]["properties"]["cell_diameter_range_px"]
    assert look["anyOf"][0] == {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
    }


class Laboratory:
    """An app with counts in every state, whose ids are put into the generated calls."""

    def __init__(self, data_dir) -> None:
        roomy = with_storage(make_settings(data_dir), max_queue=100_000)
        self.service = Service(roomy, load_segmenter=lambda model: FakeSegmenter())
        self.service.start()
        self.app = create_app(self.service)
        self.app.config["PROPAGATE_EXCEPTIONS"] = False
        self.turn = 0
        wait_for(lambda: self.service.camera.status.state == "ready")

    def some_id(self) -> str:
        """Ids of done, failed and cancelled counts in turn; deleted ones are replaced."""
        self.turn += 1
        wanted = ("done", "done", "failed", "cancelled")[self.turn % 4]
        store = self.service.store
        for row in store.counts.search(limit=1000):
            if row.status == wanted:
                return row.id
        data = b"broken" if wanted == "failed" else png()
        new = NewCount(data=data, image="a.png", origin="upload", model="fast")
        row = store.counts.accept(new)
        if wanted == "cancelled":
            self._cancel(row.id)
        wait_for(lambda: store.counts.get(row.id).status not in ("queued", "running"))
        return row.id

    def _cancel(self, count_id: str) -> None:
        with contextlib.suppress(ConflictError):  # the worker was faster
            self.service.store.queue.cancel(count_id)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    found = Laboratory(tmp_path_factory.mktemp("laboratory"))
    yield found
    found.service.stop()


@st.composite
def cases_of(draw, operation):
    """Calls as documented, and calls that break the document."""
    mode = draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    try:
        return draw(operation.as_strategy(generation_mode=mode))
    except ValueError as error:
        # schemathesis 4 sometimes asks its own validator, which knows no files, about a body with a file.
        if str(error) != "Unsupported type: 'Binary'":
            raise
        reject()


def send(case, laboratory) -> None:
    laboratory.turn += 1
    if "count_id" in (case.path_parameters or {}) and laboratory.turn % 5:
        case.path_parameters["count_id"] = laboratory.some_id()
    uploads = case.media_type == "multipart/form-data" and isinstance(case.body, dict)
    if uploads and "image" in case.body and laboratory.turn % 2:
        case.body["image"] = png()
    case.call_and_validate(checks=CHECKS)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_whatever_is_sent_is_answered_as_documented(laboratory):
    api = schemathesis.openapi.from_wsgi(DOCUMENT, laboratory.app)
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) > 25
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=cases_of(operation))
        def check(case):
            send(case, laboratory)

        check()
