"""The columns of a count that its result fills."""

import msgspec

from device.counting.records import CountResult


def result_columns(revision: int, result: CountResult) -> dict[str, object]:
    """The columns of a row that a new result fills; it is not reviewed yet."""
    low, high = result.interval
    return {
        "revision": revision,
        "count": result.count,
        "corrected_count": result.count,
        "interval_low": low,
        "interval_high": high,
        "flags": to_json(result.flags),
        "width": result.width,
        "height": result.height,
        "threshold": result.threshold,
        "model_sha256": result.model.sha256,
        "doubtful": len(result.doubtful),
        "reviewed_by": None,
        "reviewed_s": None,
    }


def result_update(
    count_id: str, revision: int, result: CountResult
) -> tuple[str, tuple[object, ...]]:
    """Statement and values that write a result."""
    columns = result_columns(revision, result)
    changes = ", ".join(f"{name} = ?" for name in columns)
    return f"UPDATE counts SET {changes} WHERE id = ?", (*columns.values(), count_id)


def to_json(value: object) -> str:
    """As it stands in a column."""
    return msgspec.json.encode(value).decode()
