"""Which picture of a file is counted."""

from typing import Annotated, Literal

import msgspec

Number = Annotated[int, msgspec.Meta(ge=1)]


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which picture of a file is counted, and the range of its samples; None: as the file says.

    Attributes:
        channel: name, or number from 1.
        scene: position or series, from 1.
        z, t, page: plane, time point and page of a plain TIFF, from 1.
        project: one picture of all z planes (or time points, or pages): their maximum, their mean, or the one
            that is most in focus.
        full_scale: sample value of full light after the offset is subtracted.
        offset: sample value of no light.
    """

    channel: str | None = None
    scene: Number | None = None
    z: Number | None = None
    t: Number | None = None
    page: Number | None = None
    project: Literal["max", "mean", "focus"] | None = None
    full_scale: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0, le=65534)] | None = None


AS_THE_FILE_SAYS = Reading()


def merge(default: Reading, asked: Reading) -> Reading:
    """`asked`, with the default's value for what it leaves open.

    A plane that is asked for replaces a projection of the default, and the other way round.
    """
    if asked.project is not None:
        default = msgspec.structs.replace(default, z=None, page=None)
    if asked.z is not None or asked.page is not None:
        default = msgspec.structs.replace(default, project=None)
    given = {
        name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None
    }
    return msgspec.structs.replace(default, **given)
