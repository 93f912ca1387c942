"""Administration on the page: people, passwords, tokens, settings, backup, release files, self-check, restart."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from urllib.parse import quote

import pytest
from appliance import make_service, png, wait_for
from test_access import PASSWORD, form_token, set_up, store_of

from device import __version__
from device.config import Settings
from device.doctor import CHECKS, Patient
from device.doctor.apart import examine_apart
from device.errors import InputError
from device.store.restore import restore_backup
from device.web import create_app
from device.web.release import _key, read_release
from device.web.restarting import RESTART_STATUS

FOR_ADMINISTRATORS = [
    ("GET", "/api/v1/users", None),
    ("POST", "/api/v1/users", {"name": "Eve", "password": "eve eve eve"}),
    ("PATCH", "/api/v1/users/lab", {"password": "another password"}),
    ("DELETE", "/api/v1/users/lab", None),
    ("GET", "/api/v1/tokens", None),
    ("POST", "/api/v1/tokens", {"name": "x"}),
    ("DELETE", "/api/v1/tokens/plate", None),
    ("GET", "/api/v1/settings", None),
    ("GET", "/api/v1/backup.tar", None),
    ("POST", "/api/v1/doctor", {}),
    ("POST", "/api/v1/restart", {}),
]


@pytest.fixture
def lan(tmp_path):
    return create_app(make_service(tmp_path / "data", host="192.168.7.7"))


@pytest.fixture
def admin(lan):
    """A browser in which the first password was set."""
    client = lan.test_client()
    set_up(client, lan)
    return client


def call(client, method: str, path: str, body=None, **options):
    token = client.get("/status").get_data(as_text=True).partition('name="csrf-token" content="')[2]
    headers = {"X-CSRFToken": token.partition('"')[0]}
    return client.open(path, method=method, json=body, headers=headers, **options)


def add(admin, name: str, *, administrator: bool = False):
    body = {"name": name, "password": f"{name} {PASSWORD}", "administrator": administrator}
    assert call(admin, "POST", "/api/v1/users", body).status_code == 201


def log_in(app, name: str = "", password: str = PASSWORD):
    client = app.test_client()
    form = {"csrf_token": form_token(client, "/login"), "name": name, "password": password}
    return client, client.post("/login", data=form)


def log_in_as(app, name: str):
    client, answer = log_in(app, name, f"{name} {PASSWORD}")
    assert answer.status_code == 302
    return client


def test_whoever_logs_in_under_a_name_corrects_under_it(lan, admin):
    add(admin, "Ada")
    service = lan.extensions["fluocount"]
    row = service.counter.intake.accept(png(), "a.png", "upload")
    service.counter.worker.start()
    wait_for(lambda: service.store.counts.get(row.id).status == "done")
    service.counter.worker.stop()
    body = {"action": "add", "x": 300, "y": 100, "who": "Ben"}
    for client in (log_in_as(lan, "Ada"), admin):
        call(client, "POST", f"/api/v1/counts/{row.id}/corrections", body)
        body["x"] = 350
    # The shared account says who it is.
    assert [one.who for one in service.store.corrections.of(row.id)] == ["Ada", "Ben"]


@pytest.mark.parametrize(("method", "path", "body"), FOR_ADMINISTRATORS)
def test_only_an_administrator_administers(lan, admin, method, path, body):
    add(admin, "Ada")
    store_of(lan).access.create_token("plate")
    token = {"Authorization": f"Bearer {store_of(lan).access.create_token('own')}"}
    refused = call(log_in_as(lan, "Ada"), method, path, body)
    assert (refused.status_code, "administrator" in refused.json["error"]) == (403, True)
    assert lan.test_client().open(path, method=method, json=body, headers=token).status_code == 403
    assert {user.name for user in store_of(lan).access.users()} == {"lab", "Ada"}
    assert len(store_of(lan).access.tokens()) == 2


def test_every_address_of_the_administration_is_for_administrators_alone(lan, admin):
    """Also one that is added later: an address that is not tried above is tried here."""
    add(admin, "Ada")
    ada, blueprints = log_in_as(lan, "Ada"), ("administration", "upkeep")
    rules = [
        (rule, method)
        for rule in lan.url_map.iter_rules()
        for method in rule.methods & {"GET", "POST", "PUT", "PATCH", "DELETE"}
    ]
    for rule, method in rules:
        if rule.endpoint.split(".")[0] in blueprints:
            path = re.sub("<[^>]+>", "x", rule.rule)
            assert call(ada, method, path).status_code == 403, (method, path)
    # And none has left these two: what was for administrators alone stays so.
    reserved = {
        (method, rule.rule.split("/<")[0])
        for rule, method in rules
        if rule.endpoint.split(".")[0] in blueprints
    }
    tried = {
        (method, path.rpartition("/")[0] if named(path) else path)
        for method, path, _ in FOR_ADMINISTRATORS
    }
    assert tried <= reserved


def named(path: str) -> bool:
    """Whether the address ends with the name of a person or a token."""
    return path.count("/") > 3


def test_without_a_login_only_the_account_of_fluocount_administers(tmp_path):
    # A test client comes through no socket, so that nobody can tell whose it is.
    client = create_app(make_service(tmp_path)).test_client()
    answer = client.get("/api/v1/settings")
    assert (answer.status_code, "account that started" in answer.json["error"]) == (403, True)


def test_a_new_password_ends_every_session_of_that_person(lan, admin):
    add(admin, "Ada")
    first, second = log_in_as(lan, "Ada"), log_in_as(lan, "Ada")
    body = {"old": "not this one", "new": "a new password"}
    assert call(first, "POST", "/api/v1/password", body).status_code == 400
    body["old"] = f"Ada {PASSWORD}"
    assert call(first, "POST", "/api/v1/password", body).status_code == 204
    assert [client.get("/api/v1/status").status_code for client in (first, second)] == [401, 401]
    assert admin.get("/api/v1/status").status_code == 200
    assert log_in(lan, "Ada")[1].status_code == 403
    assert log_in(lan, "Ada", "a new password")[1].status_code == 302


def test_guessing_the_present_password_is_slowed_down(lan, admin):
    body = {"old": "wrong", "new": "a new password"}
    codes = [call(admin, "POST", "/api/v1/password", body).status_code for _ in range(7)]
    assert codes[0] == 400
    assert codes[-1] == 429


def test_a_removed_person_is_out_at_once_and_somebody_stays_administrator(lan, admin):
    add(admin, "Ada", administrator=True)
    ada = log_in_as(lan, "Ada")
    assert call(admin, "PATCH", "/api/v1/users/lab", {"administrator": False}).status_code == 200
    refused = call(ada, "DELETE", "/api/v1/users/Ada")
    assert (refused.status_code, "stay administrator" in refused.json["error"]) == (409, True)
    assert call(ada, "PATCH", "/api/v1/users/lab", {"administrator": True}).status_code == 200
    assert call(admin, "DELETE", "/api/v1/users/Ada").status_code == 200
    assert ada.get("/api/v1/status").status_code == 401
    assert log_in(lan, "Ada", f"Ada {PASSWORD}")[1].status_code == 403
    assert (
        call(admin, "POST", "/api/v1/users", {"name": "lab", "password": PASSWORD}).status_code
        == 409
    )
    short = call(admin, "POST", "/api/v1/users", {"name": "Eve", "password": "short"})
    assert (short.status_code, "8 to 200" in short.json["error"]) == (400, True)


@pytest.mark.parametrize("name", ["a/b", "..", "", "  ", "a\\b", "a\u202eb"])
def test_a_name_that_no_address_can_carry_is_refused(lan, admin, name):
    for path, body in (("users", {"name": name, "password": PASSWORD}), ("tokens", {"name": name})):
        answer = call(admin, "POST", f"/api/v1/{path}", body)
        assert (answer.status_code, "such as" in answer.json["error"]) == (400, True), path
    for odd in ("Zoë O'Neil", "50 % & more?#"):
        add(admin, odd)
        assert call(admin, "DELETE", f"/api/v1/users/{quote(odd)}").status_code == 200


def test_a_token_is_told_once_works_and_is_revoked(lan, admin):
    made = call(admin, "POST", "/api/v1/tokens", {"name": "plate reader"}).json["made"]
    listed = admin.get("/api/v1/tokens").json
    assert [token["name"] for token in listed["tokens"]] == ["plate reader"]
    assert made not in json.dumps(listed)
    bearer = {"Authorization": f"Bearer {made}"}
    assert lan.test_client().get("/api/v1/counts", headers=bearer).status_code == 200
    assert call(admin, "DELETE", "/api/v1/tokens/plate reader").json["tokens"] == []
    assert lan.test_client().get("/api/v1/counts", headers=bearer).status_code == 401


def test_every_setting_is_shown_with_its_meaning_and_no_secret(lan, admin, monkeypatch):
    from msgspec.structs import replace

    service = lan.extensions["fluocount"]
    forward = replace(service.settings.forward, token="flc_secret")
    storage = replace(service.settings.storage, database="postgresql://lab:secret@db/counts")
    service.settings = replace(service.settings, forward=forward, storage=storage)
    shown = admin.get("/api/v1/settings").json["settings"]
    known = {(part, key) for part in Settings.__struct_fields__
             for key in getattr(Settings(), part).__struct_fields__}  # fmt: skip
    assert {(one["section"], one["key"]) for one in shown} == known
    assert all(one["meaning"] for one in shown)
    values = {(one["section"], one["key"]): one["value"] for one in shown}
    assert values["web", "host"] == '"192.168.7.7"'
    assert "secret" not in json.dumps(shown)


def test_a_backup_from_the_page_restores(lan, admin, tmp_path):
    service = lan.extensions["fluocount"]
    row = service.counter.intake.accept(png(), "a.png", "upload")
    answer = admin.get("/api/v1/backup.tar")
    archive = tmp_path / "page.tar"
    archive.write_bytes(answer.data)
    restored = restore_backup(archive, tmp_path / "other", None)
    assert (restored.manifest.counts, restored.lacking) == (1, 0)
    original = service.store.counts.original_path(row)
    copies = list((tmp_path / "other").rglob(original.name))
    assert [path.read_bytes() for path in copies] == [original.read_bytes()]
    unread = admin.get("/api/v1/backup.tar", buffered=False)
    second = admin.get("/api/v1/backup.tar")
    assert (second.status_code, "being made already" in second.json["error"]) == (503, True)
    unread.close()
    small = admin.get("/api/v1/backup.tar?results=false").data
    assert b"data/results/" in answer.data
    assert b"data/results/" not in small
    assert not [
        path for path in service.store.data_dir.iterdir() if path.name.startswith(".fluocount-")
    ]


def release(version: str, *, name: str = "fluocount", kind: str = "tar.gz") -> bytes:
    files = {
        f"fluocount-{version}/pyproject.toml": f'[project]\nname = "{name}"\nversion = "{version}"\n',
        f"fluocount-{version}/CHANGELOG.md": f"# Changelog\n\n## [{version}]\n- Faster.\n\n## [0.0.1]\n- First.\n",
    }
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for path, text in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_release_file_says_what_it_brings(lan, admin, kind):
    page = admin.get("/administration").get_data(as_text=True)
    token = page.partition('name="csrf-token" content="')[2].partition('"')[0]
    sent = {"release": (io.BytesIO(release("99.10.1", kind=kind)), f"fluocount.{kind}")}
    found = admin.post("/api/v1/update-check", data=sent, headers={"X-CSRFToken": token}).json
    assert (found["version"], found["installed"], found["newer"]) == ("99.10.1", __version__, True)
    assert found["changes"] == "- Faster."
    assert "install.sh --upgrade" in found["text"]


def test_a_release_that_is_not_newer_or_none_at_all_is_said():
    assert "nothing to do" in read_release(io.BytesIO(release(__version__)), "x").text
    assert "is older" in read_release(io.BytesIO(release("0.0.1")), "x").text
    whole = release("9.9")
    for data, said in [
        (release("9.9", name="other"), "'other'"),
        (png(), "cannot be used"),
        (b"", "cannot be used"),
        (whole[: len(whole) // 2], "x "),
        (release("9.9", kind="zip")[:-30], "cannot be used"),
    ]:
        with pytest.raises(Exception, match=said) as caught:
            read_release(io.BytesIO(data), "x")
        assert type(caught.value).__name__ == "InputError"


def zipped(**entry) -> bytes:
    """A release as ZIP whose entry of the description says something else about itself."""
    data = bytearray(release("9.9", kind="zip"))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.index(signature) + at
        for offset, value in ((0, entry.get("flags")), (2, entry.get("compression"))):
            if value is not None:
                data[place + offset : place + offset + 2] = value.to_bytes(2, "little")
    return bytes(data)


def tarred(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return stream.getvalue()


def damaged_xz() -> bytes:
    data = bytearray(tarred({"first": os.urandom(300_000), "pyproject.toml": b""}))
    data[200_000:200_100] = bytes(100)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        zipped(flags=1),
        zipped(compression=99),
        damaged_xz(),
        tarred({"pyproject.toml": b"x = " + b"[" * 5000}),
        release("9" * 5000),
        release("latest"),
    ],
    ids=["encrypted", "compression", "xz", "deep", "long version", "no version"],
)
def test_a_release_file_that_is_damaged_in_any_way_is_a_sentence(data):
    with pytest.raises(InputError, match=r"(?s)cannot be used .*; expected a release of fluocount"):
        read_release(io.BytesIO(data), "x")


def test_a_release_is_newer_than_its_candidates():
    order = ["0.9.1", "0.10.0.dev3", "0.10.0a1", "0.10.0rc1", "0.10.0rc2", "0.10.0", "0.10.1"]
    assert sorted(set(order), key=_key) == order


def test_the_self_check_runs_in_a_process_of_its_own(tmp_path):
    from appliance import make_settings

    verdicts = examine_apart(Patient(settings=make_settings(tmp_path)))
    assert [one.check for one in verdicts] == list(CHECKS)
    assert next(one for one in verdicts if one.check == "count").state == "ok"


def test_a_restart_is_refused_where_nobody_would_start_it_again(lan, admin, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda *_: None)
    # A terminal that systemd started hands its own number on.
    monkeypatch.setenv("INVOCATION_ID", "1")
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getppid()))
    refused = call(admin, "POST", "/api/v1/restart", {})
    assert (refused.status_code, "by hand" in refused.json["error"]) == (409, True)


def test_a_restart_ends_the_service_so_that_systemd_starts_it_again(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    as_systemd = 'SYSTEMD_EXEC_PID=$$ exec "$@"'
    command = ["sh", "-c", as_systemd, "sh", sys.executable, "-m", "device.cli", "serve", "--camera", "none",
               "--port", str(port), "--data-dir", str(tmp_path)]  # fmt: skip
    environment = {
        **os.environ,
        "INVOCATION_ID": "1",
        "FLUOCOUNT_CONFIG": str(tmp_path / "none.toml"),
    }
    (tmp_path / "none.toml").write_text("")
    process = subprocess.Popen(command, env=environment)
    try:
        wait_for(lambda: answers(port), 60, "an answer")
        asked = urllib.request.Request(
            f"http://localhost:{port}/api/v1/restart", b"{}", {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked) as answer:
            assert answer.status == 202
        assert process.wait(60) == RESTART_STATUS
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/healthz") as answer:
            return answer.status == 200
    except OSError:
        return False


def test_an_api_token_administers_nothing_without_a_login_either(tmp_path, monkeypatch):
    monkeypatch.setattr("device.web.access.is_owner", lambda _: True)
    app = create_app(make_service(tmp_path))
    client = app.test_client()
    assert client.get("/api/v1/settings").status_code == 200
    token = {"Authorization": f"Bearer {store_of(app).access.create_token('plate')}"}
    refused = client.get("/api/v1/settings", headers=token)
    assert (refused.status_code, "API tokens" in refused.json["error"]) == (403, True)


def test_a_shared_password_that_is_set_anew_leaves_people_their_accounts(lan, admin):
    add(admin, "Ada")
    ada = log_in_as(lan, "Ada")
    store_of(lan).access.forget_shared_user()
    assert ada.get("/api/v1/counts").status_code == 401
    set_up(lan.test_client(), lan)
    assert log_in_as(lan, "Ada").get("/api/v1/counts").status_code == 200
