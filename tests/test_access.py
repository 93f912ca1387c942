import io
import os
import re
import shutil
import socket
import subprocess

import pytest
from appliance import answering, make_service, png
from click.testing import CliRunner

from device.cli import cli
from device.config import Settings, StorageSettings, WebSettings
from device.machine import clock
from device.service import Service
from device.web import create_app, login, peer
from device.web.login import setup_code

pytestmark = pytest.mark.usefixtures("each_database")

PASSWORD = "correct horse battery"
ADDRESSES = ["/", "/upload", "/history", "/status", "/counts/x", "/nowhere", "/api/v1/status"]
CALLS = ["/api/v1/counts", "/api/v1/camera/preview.jpg", "/api/v1/openapi.json", "/api/v1/nix"]


@pytest.fixture
def lan(tmp_path):
    return create_app(make_service(tmp_path, host="192.168.7.7"))


@pytest.fixture
def local(tmp_path):
    return create_app(make_service(tmp_path))


def store_of(app):
    return app.extensions["fluocount"].store


def form_token(client, address) -> str:
    page = client.get(address).get_data(as_text=True)
    return re.search(r'name="csrf_token" value="([^"]+)"', page)[1]


def set_up(client, app, **changes):
    form = {
        "code": setup_code(store_of(app)),
        "password": PASSWORD,
        "password_again": PASSWORD,
        "csrf_token": form_token(client, "/setup"),
    }
    return client.post("/setup", data=form | changes)


def log_in(client, password=PASSWORD, **more):
    form = {"password": password, "csrf_token": form_token(client, "/login")} | more
    return client.post("/login", data=form)


@pytest.mark.sqlite
@pytest.mark.parametrize("address", ADDRESSES + CALLS)
def test_on_the_network_nothing_is_shown_without_login(lan, address):
    answer = lan.test_client().get(address)
    if address.startswith("/api"):
        assert answer.status_code == 401
        assert "API token" in answer.json["error"]
    else:
        assert answer.status_code == 302
        assert answer.location == "/setup"


@pytest.mark.sqlite
@pytest.mark.parametrize("method", ["post", "patch", "delete", "put"])
def test_on_the_network_nothing_is_changed_without_login(lan, method):
    for address in ("/api/v1/counts", "/api/v1/counts/x", "/api/v1/captures", "/", "/logout"):
        answer = getattr(lan.test_client(), method)(address)
        assert answer.status_code in (401, 403), address
    assert store_of(lan).counts.search() == []


@pytest.mark.sqlite
def test_health_needs_no_login_and_tells_no_secret(lan):
    answer = lan.test_client().get("/healthz")
    assert answer.json == {"status": "ok"}


def test_set_up_then_login_then_logout(lan):
    client = lan.test_client()
    assert set_up(client, lan).status_code == 302
    assert client.get("/api/v1/counts").status_code == 200
    token = form_token(client, "/")
    assert client.post("/logout", data={"csrf_token": token}).status_code == 302
    assert client.get("/api/v1/counts").status_code == 401
    assert client.get("/history").location == "/login?next=/history"
    assert log_in(client, next="/history").location == "/history"
    assert client.get("/api/v1/counts").status_code == 200


@pytest.mark.sqlite
def test_the_set_up_code_is_taken_without_dashes_and_asked_once(lan):
    client, code = lan.test_client(), setup_code(store_of(lan))
    refused = set_up(client, lan, password_again="something else")
    assert refused.status_code == 400
    assert f'value="{code}"' in refused.get_data(as_text=True)
    typed = code.replace("-", "").lower()
    assert set_up(client, lan, code=f" {typed[:5]} {typed[5:]}").status_code == 302


def test_the_set_up_code_is_kept_over_restarts_used_once_and_private(lan):
    store = store_of(lan)
    code = setup_code(store)
    assert setup_code(store) == code
    path = store.data_dir / "setup-code"
    assert path.stat().st_mode & 0o777 == 0o600
    client = lan.test_client()
    assert set_up(client, lan, code="WRONG").status_code == 403
    assert set_up(client, lan, password_again="other").status_code == 400
    assert set_up(client, lan, password="short", password_again="short").status_code == 400
    assert not store.access.has_users()
    assert set_up(client, lan).status_code == 302
    assert setup_code(store) is None
    assert not path.exists()
    other = lan.test_client()
    assert other.get("/setup").status_code == 302
    assert store.access.password_hash("lab").startswith("scrypt:")


@pytest.fixture
def quick_hash(monkeypatch):
    """Guesses within a minute, however busy the machine."""
    monkeypatch.setattr(login, "check_password_hash", lambda stored, given: given == PASSWORD)


@pytest.mark.sqlite
@pytest.mark.usefixtures("quick_hash")
def test_wrong_passwords_are_slowed_down_even_for_the_right_one(lan):
    set_up(lan.test_client(), lan)
    client = lan.test_client()
    for _ in range(5):
        assert log_in(client, "wrong").status_code == 403
    refused = log_in(client, PASSWORD)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "60"
    elsewhere = lan.test_client()
    elsewhere.environ_base["REMOTE_ADDR"] = "10.0.0.9"
    assert log_in(elsewhere).status_code == 302


@pytest.mark.sqlite
@pytest.mark.usefixtures("quick_hash")
def test_guessing_from_many_addresses_is_slowed_down_too(lan):
    set_up(lan.test_client(), lan)
    statuses = []
    for number in range(32):
        client = lan.test_client()
        client.environ_base["REMOTE_ADDR"] = f"10.0.0.{number}"
        statuses.append(log_in(client, "wrong").status_code)
    assert statuses[-1] == 429


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_login_sends_nobody_to_another_site(lan, target):
    set_up(lan.test_client(), lan)
    assert log_in(lan.test_client(), next=target).location == "/"


@pytest.mark.sqlite
def test_session_cookies_are_out_of_reach_of_scripts_and_other_sites(lan):
    answer = set_up(lan.test_client(), lan)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Expires=" in cookie


@pytest.mark.sqlite
def test_a_session_needs_the_csrf_token_to_change_anything(lan):
    client = lan.test_client()
    set_up(client, lan)
    files = {"image": (io.BytesIO(png()), "a.png")}
    refused = client.post("/api/v1/counts", data=files)
    assert refused.status_code == 403
    assert "CSRF" in refused.json["error"]
    page = client.get("/").get_data(as_text=True)
    token = re.search(r'name="csrf-token" content="([^"]+)"', page)[1]
    files = {"image": (io.BytesIO(png()), "a.png")}
    accepted = client.post("/api/v1/counts", data=files, headers={"X-CSRFToken": token})
    assert accepted.status_code in (202, 503)


def test_a_token_opens_the_api_until_it_is_revoked(lan):
    token = store_of(lan).access.create_token("script")
    headers = {"Authorization": f"Bearer {token}"}
    client = lan.test_client()
    assert client.get("/api/v1/counts", headers=headers).status_code == 200
    files = {"image": (io.BytesIO(png()), "a.png")}
    assert client.post("/api/v1/counts", data=files, headers=headers).status_code == 202
    store_of(lan).access.revoke_token("script")
    refused = client.get("/api/v1/counts", headers=headers)
    assert refused.status_code == 401
    assert "not valid" in refused.json["error"]


@pytest.mark.sqlite
@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Basic bGFiOng=", "Digest a=b", ""])
def test_other_credentials_are_worth_nothing(lan, header):
    answer = lan.test_client().get("/api/v1/counts", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_forgotten_password_ends_sessions(lan):
    client = lan.test_client()
    set_up(client, lan)
    store_of(lan).access.forget_shared_user()
    assert client.get("/api/v1/counts").status_code == 401


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "192.168.7.7", "localhost.evil.example", "[::2]"]
)
def test_on_loopback_other_names_are_refused(local, host):
    for address in ("/", "/api/v1/status", "/static/icon.svg"):
        answer = local.test_client().get(address, headers={"Host": host})
        assert answer.status_code == 403, address


@pytest.mark.sqlite
@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_on_loopback_nobody_logs_in(local, host):
    client = local.test_client()
    assert client.get("/", headers={"Host": host}).status_code == 200
    assert client.get("/api/v1/status", headers={"Host": host}).status_code == 200


@pytest.mark.sqlite
@pytest.mark.parametrize("app_name", ["local", "lan"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://localhost"},
        {"Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_what_another_site_sends_is_refused(app_name, headers, request):
    app = request.getfixturevalue(app_name)
    client = app.test_client()
    files = {"image": (io.BytesIO(png()), "a.png")}
    assert client.post("/api/v1/counts", data=files, headers=headers).status_code == 403
    assert client.get("/api/v1/status", headers=headers).status_code == 403
    assert store_of(app).counts.search() == []


@pytest.mark.sqlite
def test_a_link_from_another_site_opens_a_page(local):
    answer = local.test_client().get("/history", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200


@pytest.mark.sqlite
def test_the_page_s_own_origin_is_accepted(local):
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    files = {"image": (io.BytesIO(png()), "a.png")}
    answer = local.test_client().post("/api/v1/counts", data=files, headers=headers)
    assert answer.status_code == 202


@pytest.mark.sqlite
def test_a_forgotten_proxy_setting_does_not_open_the_page(local):
    answer = local.test_client().get("/", headers={"X-Forwarded-For": "10.0.0.5"})
    assert answer.status_code == 403
    assert "A proxy forwards to this page" in answer.get_data(as_text=True)


@pytest.mark.sqlite
def test_behind_a_proxy_and_on_inherited_sockets_a_login_is_needed(tmp_path):
    assert make_service(tmp_path, behind_proxy=True).needs_login()
    assert make_service(tmp_path).needs_login(inherited=True)
    assert make_service(tmp_path, host="0.0.0.0").needs_login()
    assert not make_service(tmp_path, host="::1").needs_login()


@pytest.mark.sqlite
def test_behind_a_proxy_cookies_travel_by_tls_only(tmp_path):
    app = create_app(make_service(tmp_path, behind_proxy=True))
    assert app.config["SESSION_COOKIE_SECURE"] is True


@pytest.mark.sqlite
@pytest.mark.parametrize("address", ["/", "/api/v1/status", "/healthz", "/static/icon.svg", "/nix"])
def test_every_answer_carries_the_security_headers(local, address):
    headers = local.test_client().get(address).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.sqlite
def test_pages_hold_no_inline_script_or_style(local):
    client = local.test_client()
    for address in ("/", "/upload", "/history", "/status", "/counts/x"):
        page = client.get(address).get_data(as_text=True)
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), address
        assert not re.search(r"\son[a-z]+=|\sstyle=|<style", page), address


@pytest.mark.sqlite
def test_without_a_store_the_page_says_what_is_wrong_and_shows_nothing(tmp_path):
    (tmp_path / "fluocount.sqlite").write_bytes(b"damaged" * 100)
    storage = StorageSettings(data_dir=str(tmp_path), warn_free_mb=2, refuse_free_mb=1)
    settings = Settings(storage=storage, web=WebSettings(host="0.0.0.0"))
    client = create_app(Service(settings)).test_client()
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 507
    assert "fluocount restore" in page.get_data(as_text=True)
    assert client.get("/api/v1/counts").status_code == 507
    assert client.get("/healthz").json == {"status": "degraded"}


def test_token_command_creates_lists_and_revokes(tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(cli, ["token", *arguments, "--data-dir", str(tmp_path)])
        return result.exit_code, result.output

    code, token = run("create", "robot")
    assert code == 0
    assert token.startswith("flc_")
    code, listed = run("list")
    assert "robot" in listed
    assert token.strip() not in listed
    assert run("create", "robot")[0] != 0
    assert run("revoke", "robot")[0] == 0
    assert "robot" not in run("list")[1]
    assert run("revoke", "robot")[0] != 0


@pytest.fixture
def served(tmp_path):
    """The page on a real loopback socket."""
    service = make_service(tmp_path, port=0)
    with answering(service) as server:
        yield server.addresses[0]


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "headers", [{"Via": "1.1 x"}, {"X-Real-IP": "1.2.3.4"}, {"X-Forwarded-Host": "x"}]
)
def test_every_sign_of_a_proxy_is_seen(local, headers):
    assert local.test_client().get("/", headers=headers).status_code == 403


@pytest.mark.sqlite
def test_a_bare_proxy_pass_is_not_let_in_and_deletes_nothing(served):
    """nginx as it is without any proxy_set_header: HTTP/1.0, its own Host, nothing about the client."""
    host = served.removeprefix("http://")
    for method, path in [
        ("GET", "/api/v1/counts"),
        ("DELETE", "/api/v1/counts/0123456789abcdef"),
        ("GET", "/"),
    ]:
        with socket.create_connection(host.split(":"), timeout=20) as connection:
            head = f"{method} {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            answer = connection.makefile("rb").read()
        assert b" 403 " in answer.splitlines()[0], path
        assert b"web.behind_proxy" in answer


_CALL = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=20).status)"


@pytest.mark.sqlite
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for other accounts")
@pytest.mark.parametrize(("uid", "let_in"), [(33, False), (65534, False), (1000, True), (0, True)])
def test_on_loopback_people_are_let_in_and_system_accounts_are_not(served, uid, let_in):
    command = [shutil.which("python3", path="/usr/bin"), "-c", _CALL, f"{served}/api/v1/counts"]
    if command[0] is None:
        pytest.skip("no Python that other accounts may run")
    done = subprocess.run(
        command, user=uid, capture_output=True, text=True, cwd="/", env={}, check=False
    )
    assert (done.stdout.strip() == "200") is let_in, done.stderr
    assert ("403" in done.stderr) is not let_in


@pytest.mark.sqlite
def test_a_token_opens_the_loopback_page_to_any_program(local, monkeypatch):
    monkeypatch.setattr(peer, "socket_owners", lambda *_: {33})
    client, system = local.test_client(), {"REMOTE_PORT": "1", "SERVER_PORT": "2"}
    assert client.get("/api/v1/counts", environ_overrides=system).status_code == 403
    assert client.get("/healthz", environ_overrides=system).status_code == 200
    headers = {"Authorization": f"Bearer {store_of(local).access.create_token('robot')}"}
    assert (
        client.get("/api/v1/counts", environ_overrides=system, headers=headers).status_code == 200
    )


def test_logging_out_ends_the_session_on_the_server(lan):
    client = lan.test_client()
    set_up(client, lan)
    stolen = client.get_cookie("fluocount").value
    other = lan.test_client()
    log_in(other)
    client.post("/logout", data={"csrf_token": form_token(client, "/")})
    thief = lan.test_client()
    thief.set_cookie("fluocount", stolen)
    assert thief.get("/api/v1/counts").status_code == 401
    assert other.get("/api/v1/counts").status_code == 200, "only this session was ended"


@pytest.mark.sqlite
def test_a_forged_cookie_that_remembers_is_refused_with_a_sentence(lan):
    set_up(lan.test_client(), lan)
    for value in ("lab|1", "lab|\xe4", "|", "lab|" + "0" * 128):
        answer = lan.test_client().get(
            "/api/v1/counts", headers={"Cookie": f"remember_token={value}"}
        )
        assert answer.status_code == 401


def test_a_session_ends_when_it_was_idle_too_long(lan, monkeypatch):
    client = lan.test_client()
    set_up(client, lan)
    later_s = clock.now_s() + lan.permanent_session_lifetime.total_seconds() + 1
    monkeypatch.setattr(clock, "now_s", lambda: later_s)
    assert client.get("/api/v1/counts").status_code == 401


@pytest.mark.sqlite
def test_a_cookie_signed_with_the_right_secret_is_no_session(lan):
    """What an old backup with the secret would allow."""
    set_up(lan.test_client(), lan)
    thief = lan.test_client()
    with thief.session_transaction() as forged:
        forged.update({"_user_id": "lab", "_fresh": True, "session": "x"})
    assert thief.get("/api/v1/counts").status_code == 401


@pytest.mark.sqlite
@pytest.mark.usefixtures("quick_hash")
def test_strangers_cannot_lock_out_a_known_browser(lan):
    known = lan.test_client()
    set_up(known, lan)
    known.post("/logout", data={"csrf_token": form_token(known, "/")})
    for number in range(6):
        stranger = lan.test_client()
        stranger.environ_base["REMOTE_ADDR"] = f"10.0.0.{number}"
        for _ in range(5):
            log_in(stranger, "wrong")
    new = lan.test_client()
    new.environ_base["REMOTE_ADDR"] = "10.0.0.99"
    assert log_in(new).status_code == 429
    assert log_in(known).status_code == 302


@pytest.mark.sqlite
@pytest.mark.usefixtures("quick_hash")
def test_a_known_browser_may_not_guess_for_ever_and_a_forged_one_is_unknown(lan):
    known = lan.test_client()
    set_up(known, lan)
    known.post("/logout", data={"csrf_token": form_token(known, "/")})
    assert [log_in(known, "wrong").status_code for _ in range(6)] == [403] * 5 + [429]
    elsewhere = lan.test_client()
    assert log_in(elsewhere).status_code == 302, "its failures are its own"
    forged = lan.test_client()
    statuses = []
    for number in range(7):
        forged.set_cookie("fluocount-browser", f"ImFiYyI.{number}")
        statuses.append(log_in(forged, "wrong").status_code)
    assert statuses[-1] == 429


@pytest.mark.sqlite
@pytest.mark.usefixtures("quick_hash")
def test_the_set_up_cannot_be_locked_by_strangers(lan):
    for number in range(6):
        stranger = lan.test_client()
        stranger.environ_base["REMOTE_ADDR"] = f"10.0.0.{number}"
        for _ in range(5):
            set_up(stranger, lan, code="WRONG")
    assert set_up(lan.test_client(), lan).status_code == 302
