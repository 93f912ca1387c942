"""A whole study in a browser: loaded by pattern, counted, reviewed blind by two observers, reported."""

import io
import json
import re
import zipfile
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("statsmodels")
from appliance import make_settings, wait_for
from browser import (
    PATIENCE_MS,
    WIDE,
    ImageOnCanvas,
    Served,
    cells_png,
    expect_text,
    serving,
    shoot,
)
from conftest import FakeSegmenter, draw_discs
from PIL import Image
from studied import all_done

from device.store.studies import Place, Study
from device.studies.loading import load, plan_folder
from device.studies.reviewing import begin_review
from device.studies.values import image_lines

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("study in a browser"),  # in one process, so that it is counted once
]

GROUPS = {"control": 4, "torpor": 7, "recovery": 5}
"""Cells that a slice of each group has on average."""
ANIMALS, SLICES, REVIEWED = 6, 8, 10
SHAPE = (120, 400)
FAINT = 100
"""Below the threshold of the model, but an observer sees it."""


def places(cells: int) -> list[tuple[int, int]]:
    """Centres of that many cells, far enough apart not to touch."""
    return [(30 + 60 * (i % 6), 30 + 60 * (i // 6)) for i in range(cells)]


def make_slices(folder) -> dict[str, int]:
    """Write the images; returns the true number of cells of each. Every fifth has one faint cell."""
    generator = np.random.default_rng(5)
    truth = {}
    for group, usual in GROUPS.items():
        for animal in range(ANIMALS):
            own = usual + generator.normal(0, 0.7)
            for part in range(SLICES):
                cells = int(np.clip(round(own + generator.normal(0, 0.8)), 1, 12))
                name = f"{group}_{group[0]}{animal}_s{part}.png"
                discs = [(x, y, 37) for x, y in places(cells)]
                pixels = draw_discs(SHAPE, discs)
                if len(truth) % 5 == 0:
                    pixels[draw_discs(SHAPE, discs[-1:]) > 0] = FAINT
                pixels[-1, -1] = len(truth) % 90  # no two pictures are the same
                pixels[-1, -2] = len(truth) // 90
                stream = io.BytesIO()
                Image.fromarray(pixels).save(stream, "PNG")
                (folder / name).write_bytes(stream.getvalue())
                truth[name] = cells
    return truth


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The counted study and its truth."""
    folder = tmp_path_factory.mktemp("slices")
    truth = make_slices(folder)
    settings = make_settings(tmp_path_factory.mktemp("data"), port=0)
    with serving(settings, segmenter=FakeSegmenter) as served:
        plan = Study(
            name="torpor study",
            question="Does torpor raise the number of cells?",
            groups=tuple(GROUPS),
            pattern="{group}_{subject}_s{slice}",
        )
        served.store.studies.save(plan)
        planned = plan_folder(plan, folder)
        assert not planned.problems
        loaded = load(served.store, served.service.require_accepting().intake, plan, planned)
        assert not loaded.problems
        wait_for(lambda: all_done(served.service), timeout_s=300, what="the counts")
        yield served, truth


def begin(page, served: Served) -> str:
    """Begin a review on the page of the study; returns its id."""
    page.goto(f"{served.url}/studies")
    page.locator("#images tr").first.wait_for()
    page.get_by_text("Blinded review").click()
    page.get_by_label("Observers").fill("Anna, Ben")
    page.locator("#review-number").fill(str(REVIEWED))
    page.get_by_role("button", name="Begin a review").click()
    page.locator("#reviews a").wait_for()
    (review,) = served.store.reviews.of_study("torpor study")
    return review.id


def mark_images(page, served: Served, review_id: str, observer: str, cells_of) -> None:
    """Mark the cells that `cells_of(name, number)` gives on every image, with one pause."""
    review = served.store.reviews.get(review_id)
    page.get_by_role("button", name=observer).click()
    for number, key in enumerate(review.order(observer), start=1):
        expect_text(page, "#which", f"Image {number} of {REVIEWED}")
        page.wait_for_function("() => !document.querySelector('#done').disabled")
        row = served.store.counts.get(review.keys[key])
        canvas = ImageOnCanvas(page, row.width, row.height)
        for place in cells_of(row.image, number):
            page.mouse.click(*canvas.at(*place))
        if number == 3:
            shoot(page, f"review-blind-{observer}")
            page.get_by_role("button", name="Pause").click()
            page.get_by_role("button", name=observer).click()
            expect_text(page, "#which", f"Image {number} of {REVIEWED}")
            page.wait_for_function("() => !document.querySelector('#done').disabled")
        page.get_by_role("button", name="Done, next image").click()
    page.locator("#choose").wait_for()


def test_a_study_is_loaded_counted_reviewed_blind_and_reported(study, open_page, tmp_path):
    served, truth = study
    page = open_page("about:blank", WIDE)
    review_id = begin(page, served)
    page.goto("about:blank")  # else late answers to the page before, which names all, are heard
    heard = []
    page.route("**/*", lambda route: listen(route, heard))
    page.goto(f"{served.url}/reviews/{review_id}")
    mark_images(page, served, review_id, "Anna", lambda name, _: places(truth[name]))
    mark_images(
        page,
        served,
        review_id,
        "Ben",
        lambda name, n: places(truth[name])[: -1 if n == 5 else None],
    )
    page.wait_for_load_state("networkidle")
    page.unroute_all(behavior="wait")
    require_blind(heard, image_lines(served.store, "torpor study"))
    page.get_by_role("button", name="End the review").click()
    page.wait_for_url("**/results")
    page.wait_for_function(
        "() => { const all = [...document.querySelectorAll('.study-figure')];"
        " return all.length === 3 && all.every(one => one.naturalWidth > 50); }"
    )
    shoot(page, "review-results", full=True)
    sentence = page.locator("#sentence").inner_text()
    assert sentence.startswith(f"In {REVIEWED} of {len(truth)} images, drawn at random,")
    error = true_error(served, review_id, truth)
    assert any(words_for(error + rounding) in sentence for rounding in (-1e-9, 1e-9))
    assert served.store.reviews.faults(review_id) == []
    require_report(page, served, truth, sentence)


def test_every_export_is_downloaded_from_the_page(study, open_page, tmp_path):
    served, _ = study
    page = open_page(f"{served.url}/studies", WIDE)
    page.locator("#images tr").first.wait_for()
    page.locator("#regions img").wait_for()
    page.get_by_label("Licence of the data").fill("CC0")
    page.get_by_label("Licence of the data").blur()
    holds = {
        "RO-Crate (ZIP)": "ro-crate-metadata.json",
        "QuPath (ZIP)": "import-cells.groovy",
        "COCO (ZIP)": "annotations.json",
        "Report, figures and tables (ZIP)": "report.html",
    }
    for name, inside in holds.items():
        with page.expect_download(timeout=PATIENCE_MS) as begun:
            page.get_by_role("link", name=name).click()
        assert page.locator("#images tr").count() > 100  # the page stays where it is
        with zipfile.ZipFile(begun.value.path()) as archive:
            named = [one for one in archive.namelist() if one.endswith(f"/{inside}")]
            assert named
            if inside == "ro-crate-metadata.json":
                assert json.loads(archive.read(named[0]))["@graph"][2]["name"] == "CC0"
    for name in (
        "Images (CSV)",
        "Subjects (CSV)",
        "Table for Prism",
        "Figure (SVG)",
        "Figure (PNG)",
    ):
        with page.expect_download(timeout=PATIENCE_MS) as begun:
            page.get_by_role("link", name=name).click()
        assert begun.value.path().stat().st_size > 50


def test_the_place_of_the_next_capture_is_shown_before_it_and_counts_up(study, open_page):
    served, _ = study
    page = open_page(f"{served.url}/studies", WIDE)
    page.locator("#images tr").first.wait_for()
    page.get_by_text("Captures belong to the study").click()
    form = page.locator("#capturing-form")
    for name, value in {"Group": "control", "Subject": "c9", "Next slice": "09"}.items():
        form.get_by_label(name).fill(value)
    form.get_by_role("button", name="Use").click()
    expect_text(page, "#capturing-state", re.compile("control, c9, slice 09 of torpor study"))
    page.goto(served.url)
    expect_text(page, "#capture-study", re.compile("control, c9, slice 09"))
    page.get_by_role("button", name="Capture and count").click()
    expect_text(page, "#capture-study", re.compile("control, c9, slice 10"))
    made = [one for one in image_lines(served.store, "torpor study") if one.place.subject == "c9"]
    assert [one.place.slice for one in made] == ["09"]
    served.store.studies.capture_for(None)
    served.store.studies.take_out("torpor study", [made[0].count_id])


def test_a_place_is_corrected_and_given_by_hand(study, open_page):
    served, _ = study
    odd = served.hand_in(cells_png(3), "overview.png")
    page = open_page(f"{served.url}/studies", WIDE)
    page.locator("#images tr").first.wait_for()
    page.get_by_text("Put counts into the study").click()
    page.get_by_label("Part of the sample or file name").fill("overview")
    page.get_by_role("button", name="Show the split").click()
    expect_text(page, "#add-note", re.compile("1 name not"))
    page.get_by_label("group of overview.png").fill("control")
    page.get_by_label("subject of overview.png").fill("c0")
    page.get_by_role("button", name="Store", exact=True).click()
    row = page.locator("#images tr", has_text="overview.png")
    row.get_by_role("button", name="change").click()
    page.get_by_role("dialog").get_by_label("Slice").fill("99")
    page.get_by_role("dialog").get_by_role("button", name="Store").click()
    row.get_by_text("99", exact=True).wait_for()
    places = {line.count_id: line.place for line in image_lines(served.store, "torpor study")}
    assert places[odd.id] == Place(group="control", subject="c0", slice="99")
    row.get_by_role("button", name="take out").click()
    row.wait_for(state="detached")
    assert odd.id not in {line.count_id for line in image_lines(served.store, "torpor study")}


def test_the_last_mark_is_kept_when_the_page_is_left_at_once(study, open_page):
    served, _ = study
    served.store.studies.save(Study(name="small", groups=("control", "none")))
    line = image_lines(served.store, "torpor study")[0]
    served.store.studies.assign("small", {line.count_id: Place(group="control", subject="c0")})
    review = begin_review(served.store, "small", ("Anna",))
    page = open_page(f"{served.url}/reviews/{review.id}", WIDE)
    page.get_by_role("button", name="Anna").click()
    page.wait_for_function("() => !document.querySelector('#done').disabled")
    row = served.store.counts.get(line.count_id)
    page.mouse.click(*ImageOnCanvas(page, row.width, row.height).at(60, 60))
    page.goto(f"{served.url}/status")
    wait_for(
        lambda: any(one.points for one in served.store.reviews.marks(review.id).values()),
        what="the mark",
    )


def test_a_group_without_subjects_has_no_mean(study, open_page):
    served, _ = study
    served.store.studies.save(Study(name="half", groups=("control", "none")))
    line = image_lines(served.store, "torpor study")[0]
    served.store.studies.assign("half", {line.count_id: Place(group="control", subject="c0")})
    page = open_page(f"{served.url}/studies?study=half", WIDE)
    expect_text(page, "#regions .hint", re.compile("none: n = 0, mean –"))


def true_error(served: Served, review_id: str, truth: dict[str, int]) -> float:
    """Mean error of the automatic count: Ben left one cell out; every stratum weighs as in the study."""
    review, strata = served.store.reviews.get(review_id), served.store.reviews.strata(review_id)
    drawn = Counter(strata.values())
    total = 0.0
    for key, count_id in review.keys.items():
        row = served.store.counts.get(count_id)
        marked = truth[row.image] - 0.5 * (review.order("Ben")[4] == key)
        total += (row.count - marked) * review.of[strata[key]] / drawn[strata[key]]
    return total / len(truth)


def words_for(error: float) -> str:
    if abs(error) < 0.05:
        return "equal to"
    return f"{abs(error):.1f} cells {'below' if error < 0 else 'above'}"


def listen(route, heard) -> None:
    """Note an answer on its way: the browser drops what it no longer shows."""
    if "/static/" in route.request.url:
        route.continue_()
        return
    answer = route.fetch()
    heard.append((answer.url, answer.headers, answer.body()))
    route.fulfill(response=answer)


def require_blind(heard, lines) -> None:
    """No answer of page or interface names an image, a group, a subject, the study or a count."""
    secrets = {"torpor", "recovery", "control_", "automatic"}
    secrets |= {text for one in lines for text in (one.image, one.count_id, one.image_sha256)}
    assert len(heard) > 4 * REVIEWED
    for url, headers, body in heard:
        text = body.decode("latin-1") + json.dumps(headers) + url
        assert not [secret for secret in secrets if secret in text], url
        if "json" in headers.get("content-type", ""):
            assert not re.search(r'"(count|interval|flags|place|group)"', text), url


def require_report(page, served: Served, truth: dict[str, int], sentence: str) -> None:
    """The report has the true differences within its intervals; it is looked at on screen and on paper."""
    page.goto(f"{served.url}/api/v1/studies/torpor study/report.html")
    shoot(page, "study-report", full=True)
    text = page.locator("body").inner_text()
    assert sentence in text
    mean = {
        group: np.mean([cells for name, cells in truth.items() if name.startswith(group)])
        for group in GROUPS
    }
    found = re.findall(
        r"(\w+) has (\S+) (more|fewer) .*? than (\w+) \(95 % interval (\S+) to (\S+);",
        text.replace("−", "-"),
    )
    assert len(found) == 3
    for second, _, direction, first, low, high in found:
        true = (mean[second] - mean[first]) * (1 if direction == "more" else -1)
        assert float(low) <= true <= float(high), (first, second)
    assert float(next(low for second, _, _, _, low, _ in found if second == "torpor")) > 0
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) >= 2
