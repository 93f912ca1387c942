"""A study leaves the house and is the same elsewhere."""

import json
from datetime import datetime
from urllib.parse import quote, unquote

import numpy as np
import pytest
from appliance import make_settings
from click.testing import CliRunner
from studied import make_study, started

from device.commands.open import command as open_command
from device.commands.study import command
from device.errors import ConflictError, InputError
from device.export.stored import load_count, stored_labels
from device.jobs.recounting import Again
from device.machine.files import sha256_of
from device.store import open_store
from device.studies.coco import OUTLINED, POINT, _segmentation, write_coco, write_qupath
from device.studies.consensus import agree
from device.studies.crate import METADATA, write_crate
from device.studies.opening import open_study
from device.studies.reviewing import begin_review, review_result
from device.studies.values import image_lines

CELLS = {(group, f"{group}{n}", "1"): 2 + n for group in "ab" for n in range(2)}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A study with a correction, a recount, and a finished review with a consensus."""
    from appliance import wait_for
    from studied import all_done

    service = started(tmp_path_factory.mktemp("lab"))
    make_study(service, CELLS, groups=("a", "b"), question="Which?")
    store = service.require_store()
    first, second, *_ = image_lines(store, "torpor")
    store.corrections.add(first.count_id, store.result(first.count_id), 300.0, 100.0, "AB")
    again = store.counts.get(second.count_id)
    service.require_counter().recounter.recount([again], Again(cell_diameter_px=30))
    wait_for(lambda: all_done(service))
    review = begin_review(store, "torpor", ("Anna",), seed=1)
    for key in review.keys:
        store.reviews.save_marks(review.id, key, "Anna", ((30.0, 30.0),), done=True)
    store.reviews.finish(review.id, "lead")
    agree(store, review.id, next(iter(review.keys)), ((30.0, 30.0),), "lead")
    yield service
    service.stop()


@pytest.fixture
def crate(lab, tmp_path):
    write_crate(
        lab.require_store(),
        "torpor",
        tmp_path / "crate",
        "https://creativecommons.org/licenses/by/4.0/",
    )
    return tmp_path / "crate"


@pytest.fixture
def fresh(tmp_path):
    store = open_store(make_settings(tmp_path / "fresh").storage)
    yield store
    store.close()


KNOWN = {
    "CreativeWork", "SoftwareApplication", "Dataset", "CreateAction", "File", "name", "version", "description",
    "datePublished", "license", "hasPart", "mentions", "endTime", "instrument", "object", "result", "encodingFormat",
    "contentSize", "about", "conformsTo",
}  # fmt: skip
"""The terms of https://w3id.org/ro/crate/1.1/context that a study needs; sha256 is not among its terms."""
VOCABULARY = {
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
}


def validate(folder) -> list[str]:
    """What the specification of RO-Crate 1.1 asks of a crate with attached files; sentences about what is wrong."""
    described = json.loads((folder / METADATA).read_text())
    graph, wrong = described["@graph"], []
    profile, *own = described["@context"]
    if profile != "https://w3id.org/ro/crate/1.1/context":
        wrong.append("the context is another")
    known = KNOWN.union(*own)
    used = {key for entity in graph for key in entity if not key.startswith("@")}
    used |= {entity["@type"] for entity in graph}
    wrong += [f"no context defines {term}" for term in used - known]
    ids = [entity["@id"] for entity in graph]
    if len(set(ids)) < len(ids) or any("@type" not in entity for entity in graph):
        wrong.append("an id comes twice, or an entity has no type")
    entities = dict(zip(ids, graph, strict=True))
    wrong += root_faults(entities)
    wrong += [f"{one} leads nowhere" for one in references(graph) if one not in entities | outside]
    parts = {unquote(part["@id"]) for part in entities["./"]["hasPart"]}
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    if parts != present - {METADATA}:
        wrong.append(f"listed and present differ: {parts ^ present}")
    for part in parts:
        entity = entities[quote(part)]
        size = (folder / part).stat().st_size
        if entity["@type"] != "File" or int(entity["contentSize"]) != size:
            wrong.append(f"{part} is no file of that size")
    return wrong


def root_faults(entities) -> list[str]:
    """What is wrong with descriptor and root."""
    wrong = []
    descriptor, root = entities[METADATA], entities["./"]
    if descriptor["about"] != {"@id": "./"} or descriptor["@type"] != "CreativeWork":
        wrong.append("the descriptor is not about the root")
    if descriptor["conformsTo"] != {"@id": "https://w3id.org/ro/crate/1.1"}:
        wrong.append("it does not say which version it is")
    required = all(root[key] for key in ("name", "description", "license"))
    if root["@type"] != "Dataset" or not required:
        wrong.append("the root lacks name, description or licence")
    datetime.fromisoformat(root["datePublished"])
    return wrong


outside = dict.fromkeys(["https://w3id.org/ro/crate/1.1"])


def references(value):
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_crate_is_one_by_the_specification_and_holds_everything(crate):
    assert validate(crate) == []
    names = {path.name for path in crate.rglob("*")}
    assert {"study.json", "row.json", "result.json", "probability.png", "images.csv"} <= names
    assert list(crate.glob("assays/default-*.json"))
    assert list(crate.glob("reviews/*.json"))


def test_a_reader_of_linked_data_finds_every_file_with_size_and_digest(crate):
    """JSON-LD as rdflib reads it; a term without a definition would be lost here."""
    rdflib = pytest.importorskip("rdflib")
    described = json.loads((crate / METADATA).read_text())
    _, own = described["@context"]
    terms = {term: f"http://schema.org/{term}" for term in KNOWN} | VOCABULARY | own
    text = json.dumps({"@context": terms, "@graph": described["@graph"]})
    graph = rdflib.Graph().parse(data=text, format="json-ld", publicID="https://example.org/crate/")
    found = graph.query(
        """SELECT ?file ?size ?digest WHERE {
        ?root <http://schema.org/hasPart> ?file . ?file a <http://schema.org/MediaObject> ;
        <http://schema.org/contentSize> ?size ; <https://schema.org/sha256> ?digest }"""
    )
    said = {
        str(file).removeprefix("https://example.org/crate/"): (int(size), str(digest))
        for file, size, digest in found
    }
    files = [path for path in crate.rglob("*") if path.is_file() and path.name != METADATA]
    there = {
        quote(str(path.relative_to(crate))): (path.stat().st_size, sha256_of(path))
        for path in files
    }
    assert said == there
    keys = sum(
        len(value) if isinstance(value, list) else 1
        for entity in described["@graph"]
        for key, value in entity.items()
        if key != "@id"
    )
    assert len(graph) == keys


def test_a_fresh_installation_has_the_same_counts_study_and_review(lab, crate, fresh):
    store = lab.require_store()
    found = open_study(fresh, crate)
    assert (found.study, found.counts, found.new, found.faults) == ("torpor", 5, 5, ())
    assert image_lines(fresh, "torpor") == image_lines(store, "torpor")
    assert fresh.studies.get("torpor") == store.studies.get("torpor")
    for line in image_lines(store, "torpor"):
        here, there = (load_count(own, own.counts.get(line.count_id)) for own in (store, fresh))
        assert (here.result, here.corrections) == (there.result, there.corrections)
        assert np.array_equal(*(stored_labels(own, line.count_id) for own in (store, fresh)))
        data = [
            own.counts.original_path(own.counts.get(line.count_id)).read_bytes()
            for own in (store, fresh)
        ]
        assert data[0] == data[1]
    (review,) = fresh.reviews.of_study("torpor")
    assert review_result(fresh, review.id) == review_result(store, review.id)
    with pytest.raises(ConflictError, match="already a study"):
        open_study(fresh, crate)


def test_an_opened_count_belongs_to_nobody_here(crate, fresh):
    path = next(crate.glob("counts/*/row.json"))
    rewrite(crate, path, lambda one: one["row"].update(owner="Anna"))
    open_study(fresh, crate)
    assert {row.owner for row in fresh.counts.search()} == {""}


def test_the_command_line_exports_and_opens(lab, tmp_path):
    data = str(lab.require_store().data_dir)
    out, away = str(tmp_path / "out"), str(tmp_path / "away")
    arguments = ["--data-dir", data, "export", "torpor", "--out", out]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert "contains files already" in str(CliRunner().invoke(command, arguments).exception)
    opened = CliRunner().invoke(open_command, [out, "--data-dir", away])
    assert "torpor: 5 counts, 5 of them new." in opened.output, opened.exception


def spoil_pixel(crate):
    path = next(crate.glob("counts/*/original.png"))
    path.write_bytes(path.read_bytes() + b"x")


def spoil_missing(crate):
    next(crate.glob("counts/*/result.json")).unlink()


def spoil_link(crate):
    described = json.loads((crate / METADATA).read_text())
    (crate.parent / "secret.json").write_text("{}")
    described["@graph"].append({"@id": "../secret.json", "@type": "File", "sha256": ""})
    (crate / METADATA).write_text(json.dumps(described))


def spoil_count(crate):
    rewrite(crate, next(crate.glob("counts/*/row.json")), lambda one: one["row"].update(count=99))


def spoil_id(crate):
    rewrite(
        crate, next(crate.glob("counts/*/row.json")), lambda one: one["row"].update(id="../../../x")
    )


def spoil_region(crate):
    flat = {"id": "1", "name": "CA1", "points": [[0, 0], [9, 0]], "who": "", "created_s": 0}
    path = next(crate.glob("counts/*/row.json"))
    rewrite(crate, path, lambda one: one["row"].update(regions=[flat]))


def spoil_place(crate):
    rewrite(crate, crate / "study.json", lambda one: one["places"].update({"0" * 16: {}}))


def spoil_json(crate):
    (crate / METADATA).write_text("{")


def rewrite(crate, path, change):
    """Change a file and its digest, as somebody with bad intentions would."""
    import hashlib

    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    described = json.loads((crate / METADATA).read_text())
    for entity in described["@graph"]:
        if entity["@id"] == str(path.relative_to(crate)):
            entity["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (crate / METADATA).write_text(json.dumps(described))


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_pixel,
        spoil_missing,
        spoil_link,
        spoil_count,
        spoil_id,
        spoil_region,
        spoil_place,
        spoil_json,
    ],
    ids=lambda one: one.__name__,
)
def test_a_folder_that_was_changed_is_refused_whole(crate, fresh, spoil):
    spoil(crate)
    with pytest.raises(InputError):
        open_study(fresh, crate)
    assert fresh.counts.number() == 0
    assert fresh.studies.all() == []
    assert not list(fresh.folders.folders())


def test_a_zip_that_was_not_unpacked_says_so(fresh, tmp_path):
    (tmp_path / "crate.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="unpack it"):
        open_study(fresh, tmp_path / "crate.zip")


def test_a_changed_log_is_told_when_a_study_is_opened(crate, fresh):
    def change(review):
        review["log"][1][1] = review["log"][1][1].replace("Anna", "Otto")

    rewrite(crate, next(crate.glob("reviews/*.json")), change)
    assert "Line 1 of the log was changed" in open_study(fresh, crate).faults[0]


def test_coco_masks_are_the_labels(lab, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    store = lab.require_store()
    assert write_coco(store, "torpor", tmp_path / "coco") == []
    data = coco.COCO(str(tmp_path / "coco" / "annotations.json"))
    by_name = {line.image: line for line in image_lines(store, "torpor")}
    assert len(data.imgs) == len(by_name)
    points = data.loadAnns(data.getAnnIds(catIds=[POINT]))
    total = 0
    for image in data.loadImgs(data.getImgIds()):
        assert (tmp_path / "coco" / image["file_name"]).is_file()
        own = data.loadAnns(data.getAnnIds(imgIds=[image["id"]], catIds=[OUTLINED]))
        total += len(own)
        for one in own:
            assert data.annToMask(one).sum() == one["area"]
    assert total + len(points) == sum(line.count for line in by_name.values())


def test_a_cell_with_a_hole_keeps_it_in_coco():
    mask_tools = pytest.importorskip("pycocotools.mask")
    from device.export.polygons import mask_polygons

    mask = np.zeros((9, 12), bool)
    mask[0:7, 0:8] = True
    mask[2:4, 3:5] = False
    runs = _segmentation(mask_polygons(mask), mask)
    packed = mask_tools.frPyObjects(runs, *mask.shape)
    assert np.array_equal(mask_tools.decode(packed), mask)


def test_qupath_gets_every_image_with_its_cells(lab, tmp_path):
    store = lab.require_store()
    assert write_qupath(store, "torpor", tmp_path / "qupath") == []
    images = {path.stem for path in (tmp_path / "qupath" / "images").iterdir()}
    cells = {
        path.stem: json.loads(path.read_text()) for path in (tmp_path / "qupath/cells").iterdir()
    }
    assert images == set(cells)
    assert sum(len(one["features"]) for one in cells.values()) == sum(
        line.count for line in image_lines(store, "torpor")
    )
