"""How much one person may keep and have waiting, where many share a server."""

from device.config import StorageSettings
from device.errors import ConflictError, QueueFullError
from device.store.protocols import Connection
from device.store.records import WAITING

_GB = 1_000_000_000


def require_quota(
    connection: Connection, settings: StorageSettings, owner: str, needed_bytes: int
) -> None:
    """Raise if this person has too much already.

    Args:
        connection: to the database.
        settings: the limits; 0 is none.
        owner: of the image; "" has no limit, since camera and watched folders belong to everybody.
        needed_bytes: of the image.

    Raises:
        QueueFullError: too many images of this person wait.
        ConflictError: the images of this person would be too large together.
    """
    most, most_gb = settings.waiting_per_person, settings.gb_per_person
    if not owner or not (most or most_gb):
        return
    waiting, kept_bytes = connection.execute(
        f"SELECT COUNT(*) FILTER (WHERE status IN {WAITING}), COALESCE(SUM(image_bytes), 0) "
        "FROM counts WHERE owner = ?",
        (owner,),
    ).fetchone()
    if most and waiting >= most:
        raise QueueFullError(
            f"{waiting} of your images are waiting, and {most} may; nothing was accepted, send the image again later."
        )
    if most_gb and kept_bytes + needed_bytes > most_gb * _GB:
        raise ConflictError(
            f"Your images would take {(kept_bytes + needed_bytes) / _GB:.3g} GB, and {most_gb:g} GB is the limit of "
            "one person; nothing was accepted. Delete images that you do not need, then send it again."
        )
