"""Studies: set up, split names, assign counts, figures and report."""

from typing import Any

import msgspec
from apiflask import APIBlueprint
from flask import Response

from device.errors import InputError
from device.store.records import WAITING
from device.store.studies import NOWHERE, Place
from device.studies.analysis import Findings, analyse
from device.studies.assigning import assign_named
from device.studies.comparing import require_statistics
from device.studies.loading import table_places
from device.studies.naming import split_names
from device.studies.plots import encode_figure, groups_figure
from device.studies.report import report_html
from device.studies.setup import make_study
from device.studies.tables import images_csv, prism_csv, subjects_csv
from device.studies.values import image_lines
from device.studies.words import effect_sentence, overall_sentence
from device.web.api.answers import BINARY, answers, json, ref
from device.web.api.downloads import download
from device.web.current import service
from device.web.study_inputs import (
    AssignForm,
    CapturingForm,
    FindingsQuery,
    SplitForm,
    StudyForm,
    TakeOutForm,
)
from device.web.study_records import (
    CapturingView,
    SplitList,
    StudyEntry,
    StudyImageView,
    StudyList,
    StudyRegionView,
    StudyView,
)

studies = APIBlueprint("studies", __name__, url_prefix="/api/v1")

_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The report carries its style and pictures within itself and runs no script."""


@studies.get("/studies")
@answers(studies, ref("StudyList"))
def list_studies() -> Response:
    """All studies by name."""
    store = service().require_store()
    entries = tuple(
        StudyEntry(name=one.name, question=one.question, images=len(store.studies.images(one.name)))
        for one in store.studies.all()
    )
    return json(StudyList(studies=entries))


@studies.post("/studies")
@studies.input(StudyForm, location="json", arg_name="form")
@answers(studies, ref("Study"), 404, 409)
def save(form: dict[str, Any]) -> Response:
    """Set up a study, or change the one of that name."""
    new = form.pop("new", False)
    study = make_study(form)
    store = service().require_store()
    if study.assay:
        store.assays.get(study.assay)
    return json(store.studies.save(study, new=new))


@studies.post("/split")
@studies.input(SplitForm, location="json", arg_name="form")
@answers(studies, ref("SplitList"))
def split(form: dict[str, Any]) -> Response:
    """How a pattern splits names; nothing is stored."""
    return json(SplitList(splits=tuple(split_names(form["pattern"], form["names"]))))


@studies.get("/capturing")
@answers(studies, ref("CapturingView"))
def capturing() -> Response:
    """Where the next capture goes."""
    return _capturing()


@studies.post("/capturing")
@studies.input(CapturingForm, location="json", arg_name="form")
@answers(studies, ref("CapturingView"), 404)
def capture_for(form: dict[str, Any]) -> Response:
    """Say where the next capture goes; without a study captures belong to none."""
    study = form.pop("study", None) or None
    place = msgspec.convert(form, Place) if study else NOWHERE
    service().require_store().studies.capture_for(study, place)
    return _capturing()


@studies.get("/studies/<name>")
@answers(studies, ref("StudyView"), 404)
def look_at(name: str) -> Response:
    """A study with its images."""
    store = service().require_store()
    study = store.studies.get(name)
    images = tuple(
        StudyImageView(
            id=line.count_id,
            image=line.image,
            place=line.place,
            count=line.count,
            interval=line.interval,
            cells_per_mm2=line.density,
            flags=line.flags,
            reviewed_by=line.reviewed_by,
            problem=line.problem,
            waiting=line.status in WAITING,
        )
        for line in image_lines(store, name)
    )
    return json(StudyView(study=study, images=images))


@studies.post("/studies/<name>/images")
@studies.input(AssignForm, location="json", arg_name="form")
@answers(studies, ref("StudyEntry"), 404, 409)
def assign(name: str, form: dict[str, Any]) -> Response:
    """Put counts into a study: by id with their places, or by the text of a CSV."""
    store = service().require_store()
    if ("places" in form) == ("table" in form):
        raise InputError("Send either the places of counts or a table, not both.")
    if "table" in form:
        assign_named(store, name, table_places(form["table"]))
    else:
        places = {one.pop("id"): msgspec.convert(one, Place) for one in form["places"]}
        store.studies.assign(name, places)
    return _entry(name)


@studies.post("/studies/<name>/take-out")
@studies.input(TakeOutForm, location="json", arg_name="form")
@answers(studies, ref("StudyEntry"), 404)
def take_out(name: str, form: dict[str, Any]) -> Response:
    """Take images out of a study; the counts stay."""
    service().require_store().studies.take_out(name, form["ids"])
    return _entry(name)


@studies.get("/studies/<name>/results")
@studies.input(FindingsQuery, location="query", arg_name="query", unknown="raise")
@answers(studies, {"type": "array", "items": ref("StudyRegionView")}, 404, 409)
def results(name: str, query: dict[str, Any]) -> Response:
    """Groups, test and effects of every region."""
    found = _findings(name, query)
    ranks = found.study.tests == "ranks"
    return json(
        [
            StudyRegionView(
                region=one.region,
                unit=one.unit,
                groups=one.groups,
                subjects=one.values,
                comparison=one.comparison,
                sentences=tuple(
                    effect_sentence(effect, one.unit, ranks) for effect in one.comparison.effects
                ),
                overall=overall_sentence(one.comparison),
                notes=found.notes,
            )
            for one in found.analyses
        ]
    )


@studies.get("/studies/<name>/report.html")
@studies.input(FindingsQuery, location="query", arg_name="query", unknown="raise")
@answers(studies, BINARY, 404, 409, media="text/html")
def report(name: str, query: dict[str, Any]) -> Response:
    """The report as one file."""
    found = _findings(name, query)
    answer = Response(report_html(service().require_store(), found), mimetype="text/html")
    answer.headers["Content-Security-Policy"] = _REPORT_POLICY
    return answer


@studies.get("/studies/<name>/figure.<picture>")
@studies.input(FindingsQuery, location="query", arg_name="query", unknown="raise")
@answers(studies, BINARY, 404, 409, media="image/*")
def figure(name: str, picture: str, query: dict[str, Any]) -> Response:
    """The figure of a region as svg or png."""
    if picture not in ("svg", "png"):
        raise InputError("A figure is svg or png.")
    place = query.pop("region", 1)
    found = _findings(name, query)
    if place > len(found.analyses):
        raise InputError(f"The study has {len(found.analyses)} region(s).")
    drawn = groups_figure(found.analyses[place - 1], ranks=found.study.tests == "ranks")
    media = "image/svg+xml" if picture == "svg" else "image/png"
    answer = Response(encode_figure(drawn, "svg" if picture == "svg" else "png"), mimetype=media)
    answer.headers["Content-Security-Policy"] = _REPORT_POLICY  # a drawing has styles within itself
    return answer


@studies.get("/studies/<name>/<table>.csv")
@studies.input(FindingsQuery, location="query", arg_name="query", unknown="raise")
@answers(studies, BINARY, 404, 409, media="text/csv")
def table(name: str, table: str, query: dict[str, Any]) -> Response:
    """`images` (one line an image), `subjects` (one line a subject) or `prism` (one column a group)."""
    store = service().require_store()
    if table == "images":
        store.studies.get(name)
        text = images_csv(name, image_lines(store, name))
    elif table in ("subjects", "prism"):
        place = query.pop("region", 1)
        found = _findings(name, query)
        if place > len(found.analyses):
            raise InputError(f"The study has {len(found.analyses)} region(s).")
        text = subjects_csv(found) if table == "subjects" else prism_csv(found.analyses[place - 1])
    else:
        raise InputError("The tables of a study are images, subjects and prism.")
    return download(text, "text/csv", f"{table}.csv")


def _findings(name: str, query: dict[str, Any]) -> Findings:
    store = service().require_store()
    store.studies.get(name)
    require_statistics()
    return analyse(store, name, density=query.get("density", False))


def _entry(name: str) -> Response:
    store = service().require_store()
    study, images = store.studies.get(name), store.studies.images(name)
    return json(StudyEntry(name=name, question=study.question, images=len(images)))


def _capturing() -> Response:
    found = service().require_store().studies.capturing()
    if found is None:
        return json(CapturingView())
    return json(CapturingView(study=found.study, place=found.place))
