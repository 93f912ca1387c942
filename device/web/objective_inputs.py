"""The inputs about objectives: a name may hold a slash, so that it stands in the body and not in the address."""

from apiflask.fields import Boolean, Float
from apiflask.validators import Range

from device.counting.assay import MAX_OBJECTIVE_CHARS, PIXEL_SIZE_RANGE_UM
from device.web.fields import text_field
from device.web.inputs import Strict


class ObjectiveForm(Strict):
    """An objective and its pixels; with `new` one that is there is not changed."""

    name = text_field(MAX_OBJECTIVE_CHARS, required=True)
    pixel_size_um = Float(required=True, validate=Range(*PIXEL_SIZE_RANGE_UM))
    new = Boolean(load_default=False)
    who = text_field(100)


class ObjectiveRename(Strict):
    """Another name for an objective."""

    name = text_field(MAX_OBJECTIVE_CHARS, required=True)
    new_name = text_field(MAX_OBJECTIVE_CHARS, required=True)
    who = text_field(100)


class ObjectiveName(Strict):
    """Which objective."""

    name = text_field(MAX_OBJECTIVE_CHARS, required=True)
