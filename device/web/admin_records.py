"""The answers of the administration."""

import msgspec

from device.doctor import Verdict
from device.store.objectives import StoredObjective
from device.store.records import TokenInfo, UserInfo
from device.web.release import Release


class UserList(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody who may log in; `you` is who asks, null without a login. The user `lab` is the shared account."""

    users: tuple[UserInfo, ...]
    you: str | None


class TokenList(msgspec.Struct, frozen=True, kw_only=True):
    """All API tokens by name; `made` is the token that was just created, which is told only now."""

    tokens: tuple[TokenInfo, ...]
    made: str | None


class SettingView(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as text: the value in use, the default, and what it means."""

    section: str
    key: str
    value: str
    default: str
    meaning: str


class SettingsList(msgspec.Struct, frozen=True, kw_only=True):
    """All settings in the order of the documentation; `file` is where they are changed, null where there is none."""

    settings: tuple[SettingView, ...]
    file: str | None


class DoctorReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `fluocount doctor` finds."""

    verdicts: tuple[Verdict, ...]


class Restarting(msgspec.Struct, frozen=True, kw_only=True):
    """The service stops and systemd starts it again; `text` says how long to wait."""

    text: str


class ObjectiveList(msgspec.Struct, frozen=True, kw_only=True):
    """All objectives, the coarsest pixels first; `changed` are the assays that followed a change just made."""

    objectives: tuple[StoredObjective, ...]
    changed: tuple[str, ...]


ADMIN_RECORDS: tuple[type[msgspec.Struct], ...] = (
    UserList, TokenList, SettingsList, DoctorReport, Release, Restarting, ObjectiveList,
)  # fmt: skip
