"""Named regions of an image: polygons with their count, area and density."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from device.web.access import who
from device.web.api.answers import answers, json, ref
from device.web.current import service
from device.web.inputs import RegionForm, RegionName
from device.web.views import regions_view

regions = APIBlueprint("regions", __name__, url_prefix="/api/v1")


@regions.get("/counts/<count_id>/regions")
@answers(regions, ref("RegionList"), 404, 409)
def list_all(count_id: str) -> Response:
    """The regions of a count with what they hold, corrections by hand included."""
    store = service().require_store()
    return json(regions_view(store, store.counts.get(count_id)))


@regions.post("/counts/<count_id>/regions")
@regions.input(RegionForm, location="json", arg_name="form")
@answers(regions, ref("RegionList"), 404, 409, status=201, text="Kept")
def keep(count_id: str, form: dict[str, Any]) -> Response:
    """Keep a polygon under a name that no other region of the image has; answers all of them."""
    store = service().require_store()
    points = [(x, y) for x, y in form["points"]]
    row = store.regions.add(count_id, form["name"], points, who(form.get("who")))
    return json(regions_view(store, row), 201)


@regions.patch("/counts/<count_id>/regions/<region_id>")
@regions.input(RegionName, location="json", arg_name="form")
@answers(regions, ref("RegionList"), 404, 409)
def rename(count_id: str, region_id: str, form: dict[str, Any]) -> Response:
    """Give a region another name; answers all of them."""
    store = service().require_store()
    return json(regions_view(store, store.regions.rename(count_id, region_id, form["name"])))


@regions.delete("/counts/<count_id>/regions/<region_id>")
@answers(regions, ref("RegionList"), 404, 409)
def remove(count_id: str, region_id: str) -> Response:
    """Remove a region; its cells stay counted; answers the others."""
    store = service().require_store()
    return json(regions_view(store, store.regions.remove(count_id, region_id)))
