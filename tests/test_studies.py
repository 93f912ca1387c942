"""Studies: names to places, images to subjects, a report that hides nothing."""

import csv
import io
import re

import pytest
from appliance import make_service, wait_for
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from studied import all_done, balanced, counted, make_study, started, write_folder

from device.commands.study import command
from device.errors import ConflictError, InputError, NotFoundError
from device.jobs.recounting import Again
from device.store import Edit
from device.store.studies import Place, Study
from device.studies.assigning import assign_named, assign_watched
from device.studies.loading import capture, load, plan_folder, table_places
from device.studies.naming import Splitter, split_names
from device.studies.values import find_repeated, image_lines, regions_of, subjects_of
from device.web import create_app

pytestmark = pytest.mark.usefixtures("each_database")

PATTERN = "{group}_{subject}_s{slice}"
words = st.text("abcXYZ019", min_size=1, max_size=8)


@pytest.fixture
def service(tmp_path):
    service = started(tmp_path / "data")
    yield service
    service.stop()


@given(group=words, subject=words, part=st.integers(0, 999), folder=words)
def test_a_name_made_by_the_pattern_is_split_by_it(group, subject, part, folder):
    place = Place(group=group, subject=subject, slice=str(part))
    assert Splitter(PATTERN)(f"{folder}/{group}_{subject}_s{part}.tif").place == place
    by_folder = Splitter("{group}/{subject}/*_{slice}")(f"{group}/{subject}/img_{part}.png")
    assert by_folder.place == place


@pytest.mark.parametrize("name", ["torpor_m1.tif", "torpor_m1_sX.tif", "m1.tif", "_m1_s3.tif"])
def test_a_name_that_does_not_fit_says_so_and_has_no_place(name):
    split = Splitter(PATTERN)(name)
    assert "does not fit" in split.problem
    assert split.place == Place()


@pytest.mark.parametrize(
    "pattern",
    ["", "{group}", "{group}_{subject}_{animal}", "{group}{subject}", "{group}_{subject}_{group}", "{group",
     "{group}_{subject}*{slice}", "{group}_{subject}_*{slice}", "{group!r}_{subject:>3}"],
)  # fmt: skip
def test_a_pattern_that_cannot_be_read_alike_by_everybody_is_refused(pattern):
    with pytest.raises(InputError, match=r"\{group\}_\{subject\}|nothing stands between|must name"):
        Splitter(pattern)


@pytest.mark.parametrize(
    ("pattern", "name", "subject"),
    [
        (PATTERN, "sham_old_m3_s4.tif", None),
        ("*_{group}_{subject}", "a_b_c.tif", "c"),
        ("{group}_{subject}_*_{slice}", "a_m1_x_3_12.tif", "m1"),
        ("{group}_{subject}_*_*", "a_m1_" + "_" * 400 + ".tif", "m1"),
    ],
)
def test_a_name_is_split_in_one_way_or_in_none(pattern, name, subject):
    split = Splitter(pattern)(name)
    assert (split.place.subject or None) == subject
    assert bool(split.problem) == (subject is None)


def test_a_pattern_that_would_take_for_ever_is_refused():
    with pytest.raises(InputError, match="more than 2"):
        Splitter("{group}_{subject}_*_*_*_*x")


@pytest.mark.parametrize("changes", [{"groups": ("a", "a")}, {"groups": ("a", "")}])
def test_groups_have_names_of_their_own(service, changes):
    with pytest.raises(InputError, match="name of its own"):
        service.require_store().studies.save(Study(name="torpor", **changes))


def test_two_names_of_one_slice_are_seen_before_anything_is_stored():
    splits = split_names(PATTERN, ["day1/a_m1_s1.tif", "day2/a_m1_s1.tif", "a_m1_s2.tif"])
    assert [bool(split.problem) for split in splits] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,group\na.png,x", "lacks subject"),
        ("image,group,subject\na.png,x,m\na.png,x,m", "repeats"),
        ("image,group,subject\n", "no lines"),
        ("image,group,subject\n,x,m", "names no image"),
    ],
)
def test_a_table_that_leaves_something_open_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        table_places(text)


def test_a_table_of_a_european_excel_is_read():
    text = "Image;Group;Subject;Slice\r\na.png;sham;m1;3\r\n"
    assert table_places(text) == {"a.png": Place(group="sham", subject="m1", slice="3")}


def test_a_folder_is_shown_then_stored_and_twice_is_once(service, tmp_path):
    names = {f"{group}_m{m}_s{s}.png": 2 + s for group in "ab" for m in (1, 2) for s in (1, 2)}
    folder = write_folder(tmp_path / "images", names)
    store = service.require_store()
    study = store.studies.save(Study(name="torpor", pattern=PATTERN, groups=("a", "b")))
    planned = plan_folder(study, folder)
    assert not planned.problems
    assert store.counts.number() == 0
    intake = service.require_accepting().intake
    first, again = (load(store, intake, study, planned) for _ in range(2))
    assert [row.id for row in first.rows] == [row.id for row in again.rows]
    wait_for(lambda: all_done(service))
    subjects = subjects_of(image_lines(store, "torpor"))
    assert [(one.group, one.name, one.slices) for one in subjects] == [
        ("a", "m1", 2), ("a", "m2", 2), ("b", "m1", 2), ("b", "m2", 2),
    ]  # fmt: skip
    assert all(row.keep for row in (store.counts.get(row.id) for row in first.rows))


@pytest.mark.sqlite
def test_nothing_is_stored_when_one_name_is_not_understood(service, tmp_path):
    folder = write_folder(tmp_path / "images", {"a_m1_s1.png": 1, "c_m1_s1.png": 1, "odd.png": 1})
    store = service.require_store()
    study = store.studies.save(Study(name="torpor", pattern=PATTERN, groups=("a", "b")))
    planned = plan_folder(study, folder)
    assert [split.name for split in planned.problems] == ["c_m1_s1.png", "odd.png"]
    with pytest.raises(InputError, match="2 names"):
        load(store, service.require_accepting().intake, study, planned)
    assert store.counts.number() == 0


def test_a_count_of_a_study_is_not_deleted_before_it_is_taken_out(service):
    make_study(service, {("a", "m1", "1"): 2})
    store = service.require_store()
    row = store.studies.images("torpor")[0].row
    store.counts.edit(row.id, Edit(keep=False))
    with pytest.raises(ConflictError, match="belongs to the study"):
        store.counts.delete(row.id)
    store.studies.take_out("torpor", [row.id])
    store.counts.delete(row.id)
    assert store.studies.images("torpor") == []


def test_a_removed_study_leaves_its_counts(service):
    make_study(service, {("a", "m1", "1"): 2})
    store = service.require_store()
    store.studies.capture_for("torpor", Place(group="a", subject="m1"))
    store.studies.remove("torpor")
    assert (store.studies.all(), store.studies.capturing()) == ([], None)
    assert store.counts.number() == 1
    store.studies.save(Study(name="torpor"), new=True)


@pytest.mark.sqlite
def test_a_group_that_the_study_does_not_have_is_refused(service):
    make_study(service, {("a", "m1", "1"): 2}, groups=("a",))
    store = service.require_store()
    row = store.studies.images("torpor")[0].row
    with pytest.raises(InputError, match="no group of the study"):
        store.studies.assign("torpor", {row.id: Place(group="b", subject="m1")})
    with pytest.raises(InputError, match="no group of the study"):
        store.studies.save(Study(name="torpor", groups=("b",)))
    assert store.studies.images("torpor")[0].place.group == "a"
    with pytest.raises(NotFoundError, match="There is no study"):
        store.studies.assign("other", {})
    with pytest.raises(ConflictError, match="already"):
        store.studies.save(Study(name="torpor"), new=True)


def test_counting_again_changes_the_value_not_the_place(service):
    make_study(service, {("a", "m1", "1"): 3})
    store, counter = service.require_store(), service.require_counter()
    before = image_lines(store, "torpor")[0]
    row = store.counts.get(before.count_id)
    counter.recounter.recount([row], Again(cell_diameter_px=200))
    wait_for(lambda: all_done(service))
    (after,) = image_lines(store, "torpor")
    assert after.place == before.place
    assert after.count_id != before.count_id
    assert after.versions == 2


def test_a_copy_and_a_repeated_slice_are_said(service):
    make_study(service, {("a", "m1", "1"): 3})
    store = service.require_store()
    row = counted(service, 3, 255, name="copy.png")
    store.studies.assign("torpor", {row.id: Place(group="a", subject="m1", slice="1")})
    told = " ".join(find_repeated(image_lines(store, "torpor")))
    assert "same picture is in the study 2 times" in told
    assert "slice 1 of m1 (a) has 2 images" in told


def test_a_reviewed_count_has_no_interval_left(service):
    make_study(service, {("a", "m1", "1"): 4})
    store = service.require_store()
    before = image_lines(store, "torpor")[0]
    store.corrections.add(before.count_id, store.result(before.count_id), 200, 100, "AB")
    moved = image_lines(store, "torpor")[0]
    assert moved.count == before.count + 1
    assert moved.interval == tuple(end + 1 for end in before.interval)
    store.counts.edit(before.count_id, Edit(reviewed_by="AB"))
    seen = image_lines(store, "torpor")[0]
    assert seen.interval == (seen.count, seen.count)


def test_captures_go_to_their_place_and_the_slice_counts_up(service):
    store = service.require_store()
    store.studies.save(Study(name="torpor", groups=("sham", "torpor")))
    with pytest.raises(InputError, match="Name the group"):
        store.studies.capture_for("torpor", Place(group="sham"))
    store.studies.capture_for("torpor", Place(group="sham", subject="m1", slice="09"))
    capturer = service.require_accepting().capturer
    wait_for(lambda: service.camera.status.state == "ready")
    rows = [capture(store, capturer) for _ in range(2)]
    assert [image.place.slice for image in store.studies.images("torpor")] == ["09", "10"]
    assert store.studies.capturing().place.slice == "11"
    assert "sham m1 09" in rows[0].sample
    store.studies.capture_for(None)
    capture(store, capturer)
    assert len(store.studies.images("torpor")) == 2


@pytest.mark.sqlite
def test_a_watched_file_whose_name_does_not_fit_is_listed_not_lost(service):
    store = service.require_store()
    store.studies.save(Study(name="torpor", pattern=PATTERN, groups=("sham",)))
    for number, name in enumerate(["in/sham_m1_s2.png", "in/other_m1_s2.png", "snapshot.png"]):
        assign_watched(store, "torpor", counted(service, 2, 255 - number, name=name), name)
    places = [image.place for image in store.studies.images("torpor")]
    assert places == [Place(group="sham", subject="m1", slice="2"), Place(), Place()]
    assert regions_of(image_lines(store, "torpor")) == [""]


@pytest.mark.sqlite
def test_a_table_that_names_two_counts_or_none_changes_nothing(service):
    store = service.require_store()
    store.studies.save(Study(name="torpor"))
    rows = [counted(service, 2, 255 - n, name="same.png") for n in range(2)]
    place = Place(group="a", subject="m1")
    for name, said in (("same.png", "not clear which"), ("none.png", "no stored count")):
        with pytest.raises(InputError, match=said):
            assign_named(store, "torpor", {rows[0].id: place, name: place})
    assert store.studies.images("torpor") == []
    assert assign_named(store, "torpor", {rows[1].id: place}) == 1


@pytest.mark.sqlite
def test_the_command_line_goes_from_a_folder_to_tables(tmp_path):
    data = tmp_path / "data"
    folder = write_folder(tmp_path / "in", {"a_m1_s1.png": 2, "b_m1_s1.png": 3})

    def run(*arguments: str, answer: str | None = None):
        return CliRunner().invoke(command, ["--data-dir", str(data), *arguments], input=answer)

    assert run("new", "torpor", "--pattern", PATTERN, "--group", "a", "--group", "b").exit_code == 0
    refused = run("add", "torpor", str(folder), "--later", answer="n\n")
    assert re.search(r"a_m1_s1\.png\s+a\s+m1\s+1", refused.output)
    assert isinstance(refused.exception, InputError)
    assert run("add", "torpor", str(folder), "--later", "--yes").exit_code == 0
    service = started(data)
    wait_for(lambda: all_done(service))
    service.stop()
    assert "torpor (2 images)" in run("list").output


@pytest.mark.sqlite
def test_the_report_says_the_difference_and_lists_what_it_is_made_of(service, tmp_path):
    pytest.importorskip("statsmodels")
    from device.studies.report import write_report

    cells = balanced(difference=3)
    make_study(service, cells, question="Does <torpor> count & matter?", groups=("sham", "torpor"))
    store = service.require_store()
    odd = counted(service, 5, 100, name="stray $x.png")
    store.studies.assign("torpor", {odd.id: Place()})
    files = {path.name: path for path in write_report(store, "torpor", tmp_path / "out")}
    assert set(files) == {
        "report.html", "images.csv", "subjects.csv", "figure.svg", "figure.png", "prism.csv",
    }  # fmt: skip
    html = files["report.html"].read_text()
    found = re.search(r"torpor has (\S+) more .*? \(95 % interval (\S+) to (\S+);", html)
    expected = sum(n for (g, *_), n in cells.items() if g == "torpor") / 8
    expected -= sum(n for (g, *_), n in cells.items() if g == "sham") / 8
    assert float(found[2]) <= expected <= float(found[3])
    assert float(found[1]) == pytest.approx(expected, abs=0.01)
    assert "Does &lt;torpor&gt; count &amp; matter?" in html
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", html)
    assert "stray $x.png" in html.split("Without group or subject")[1]
    images = list(csv.DictReader(io.StringIO(files["images.csv"].read_text())))
    assert len(images) == len(cells) + 1
    prism = list(csv.reader(io.StringIO(files["prism.csv"].read_text())))
    assert prism[0] == ["sham", "torpor"]
    assert len(prism) == 5


@pytest.mark.sqlite
@pytest.mark.parametrize("density", [False, True])
def test_a_study_without_images_or_scale_has_a_report_that_says_so(service, tmp_path, density):
    pytest.importorskip("statsmodels")
    from device.studies.report import write_report

    store = service.require_store()
    store.studies.save(Study(name="empty"))
    for name in ("empty", make_study(service, {("a", "m1", "1"): 2}).name):
        (report, *_) = write_report(store, name, tmp_path / name, density=density)
        said = "There are no densities" if density else "No test: it needs two groups"
        assert said in report.read_text()


@pytest.mark.sqlite
def test_a_subject_without_a_sum_is_named_as_not_in_the_figure(service):
    from device.studies.analysis import analyse

    make_study(
        service,
        {("a", f"m{n}", str(k)): 2 + n for n in range(2) for k in range(2)},
        per_subject="sum",
    )
    store = service.require_store()
    with store.database.transaction() as connection:
        line = image_lines(store, "torpor")[0]
        connection.execute("UPDATE counts SET status = 'failed' WHERE id = ?", (line.count_id,))
    found = analyse(store, "torpor")
    assert [one.subject for one in found.analyses[0].values] == ["m1"]
    (told,) = found.notes["Without a value, not in the figure"]
    assert told.startswith("m0 (a): 1 of its images")


@pytest.mark.sqlite
def test_figures_are_the_same_bytes_for_the_same_data(service, tmp_path):
    pytest.importorskip("statsmodels")
    from device.studies.report import write_report

    make_study(service, balanced())
    one, two = (
        write_report(service.require_store(), "torpor", tmp_path / name) for name in ("one", "two")
    )
    for left, right in zip(one, two, strict=True):
        if left.suffix in (".svg", ".png", ".csv"):
            assert left.read_bytes() == right.read_bytes(), left.name


@pytest.mark.sqlite
def test_the_api_sets_up_assigns_and_answers(service):
    pytest.importorskip("statsmodels")
    client = create_app(service).test_client()
    wish = {"name": "torpor 2", "groups": ["a", "b"], "pattern": PATTERN, "new": True}
    assert client.post("/api/v1/studies", json=wish).status_code == 200
    assert client.post("/api/v1/studies", json=wish).status_code == 409
    bad = client.post("/api/v1/studies", json={"name": "x", "pattern": "{group}"})
    assert bad.status_code == 400
    row = counted(service, 3, 255, name="a_m1_s1.png")
    names = {"pattern": PATTERN, "names": [row.image, "odd.png"]}
    split = client.post("/api/v1/split", json=names).json["splits"]
    assert split[0]["place"]["subject"] == "m1"
    assert split[1]["problem"]
    place = {"id": row.id, **split[0]["place"]}
    path = "/api/v1/studies/torpor 2"
    assert client.post(f"{path}/images", json={"places": [place]}).json["images"] == 1
    assert client.get(path).json["images"][0]["count"] == 3
    (region,) = client.get(f"{path}/results").json
    assert "No test" in region["comparison"]["reason"]
    report = client.get(f"{path}/report.html")
    assert report.status_code == 200
    assert "script" not in report.headers["Content-Security-Policy"]
    for name in ("figure.svg", "figure.png", "images.csv", "subjects.csv", "prism.csv"):
        assert client.get(f"{path}/{name}").status_code == 200, name
    assert client.get(f"{path}/other.csv").status_code == 400
    assert client.get("/api/v1/studies/none/report.html").status_code == 404
    assert client.post(f"{path}/take-out", json={"ids": [row.id]}).json["images"] == 0


@pytest.mark.sqlite
def test_the_api_says_where_the_next_capture_goes(tmp_path):
    service = make_service(tmp_path)
    service.require_store().studies.save(Study(name="torpor", groups=("a",)))
    client = create_app(service).test_client()
    assert client.get("/api/v1/capturing").json["study"] is None
    wish = {"study": "torpor", "group": "a", "subject": "m1", "slice": "1"}
    assert client.post("/api/v1/capturing", json=wish).json["place"]["slice"] == "1"
    assert client.post("/api/v1/capturing", json={**wish, "group": "z"}).status_code == 400
    assert client.get("/api/v1/capturing").json["study"] == "torpor"
    assert client.post("/api/v1/capturing", json={}).json["study"] is None
