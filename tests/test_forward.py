"""Finished counts arrive at a central page: each once, whatever happens on the way."""

import hashlib
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import msgspec
import pytest
from appliance import answering, make_service, png, wait_for, with_storage
from forwarding import count_image, make_pi

from device.errors import InputError, NotFoundError
from device.forward import Forwarder
from device.jobs.recounting import Again
from device.jobs.relabelling import Change
from device.store import Edit, Filter
from device.store.forwarded import DRAWN, ORIGINAL, PICTURES, Instrument, Message
from device.store.outbox import Parcel
from device.store.region import Region
from device.store.retention import delete_old
from device.web import create_app

SENDER = Instrument(id="0123456789abcdef", name="room 3", version="1")


@contextmanager
def central_page(tmp_path, **web):
    central = make_service(tmp_path / "central", port=0, **web)
    with answering(central) as server:
        yield central, server.addresses[0]


@pytest.fixture
def central(tmp_path):
    with central_page(tmp_path) as (service, address):
        service.address = address
        yield service


@pytest.fixture
def pi(tmp_path, central):
    made = make_pi(tmp_path / "pi", central.address, name="pi")
    made.start()
    yield made
    made.stop()


def arrived(central, number: int):
    """The forwarded counts, when there are so many of them and none waits any more."""
    return wait_for(lambda: len(found := of_others(central)) >= number and found, what="arrival")


def of_others(central):
    return [row for row in central.require_store().counts.search() if row.instrument]


def sent(pi):
    wait_for(lambda: pi.forwarder.state.waiting == 0, what="sending")


def pack(parcel: Parcel) -> tuple:
    """A parcel as the central gets it: (count, files)."""
    files = {name: path.read_bytes() for name, path in parcel.files.items()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return msgspec.structs.replace(parcel.about, files=digests), files


@pytest.fixture
def resting(tmp_path):
    """A Pi with one count that nobody sends, and its outbox."""
    made = make_pi(tmp_path / "resting", "http://127.0.0.1:1")
    made.require_counter().worker.start()
    count_image(made, 0)
    yield made, made.require_store().outbox("a central")
    made.require_counter().worker.stop()


def test_a_result_arrives_with_its_numbers_and_without_its_image(pi, central):
    row = count_image(pi, 3)
    there = arrived(central, 1)[0]
    store = central.require_store()
    assert (there.count, there.instrument, there.status) == (row.count, "pi", "done")
    assert store.result(there.id) == pi.require_store().result(row.id)
    assert store.product(there.id, "labels.tiff").is_file()
    with pytest.raises(NotFoundError, match="stayed on pi"):
        store.counts.original_path(there)
    for name in PICTURES:
        with pytest.raises(NotFoundError, match="stayed on pi"):
            store.product(there.id, name)


def test_images_travel_where_they_are_wanted(tmp_path, central):
    pi = make_pi(tmp_path / "pi", central.address, images=True)
    pi.start()
    count_image(pi, 1)
    there = arrived(central, 1)[0]
    store = central.require_store()
    assert store.counts.original_path(there).read_bytes() == png(cells=2, shade=254)
    assert all(store.product(there.id, name).is_file() for name in PICTURES)
    pi.stop()


def test_corrections_edits_regions_and_new_thresholds_follow(pi, central):
    row = count_image(pi, 2)
    arrived(central, 1)
    store = pi.require_store()
    store.corrections.add(row.id, store.result(row.id), 5, 5, "me")
    store.counts.edit(row.id, Edit(sample="mouse 7", reviewed_by="me"))
    regions = store.regions.add(row.id, "CA1", [(0, 0), (90, 0), (90, 60)], "me").regions
    sent(pi)
    there = of_others(central)[0]
    assert there.regions == regions
    assert there.corrected_count == row.count + 1
    assert (there.sample, there.reviewed_by) == ("mouse 7", "me")
    store.corrections.undo(row.id, "me")
    pi.require_counter().relabeller.store(row.id, Change(threshold=0.9))
    sent(pi)
    assert len(of_others(central)) == 1
    there = of_others(central)[0]
    assert central.require_store().result(there.id) == store.result(row.id)
    assert there.corrected_count == there.count
    assert len(central.require_store().corrections.of(there.id)) == 1


def test_what_was_deleted_here_stays_there(pi, central):
    row = count_image(pi, 1)
    arrived(central, 1)
    pi.require_store().counts.delete(row.id)
    count_image(pi, 2)
    assert len(arrived(central, 2)) == 2


def test_what_was_deleted_there_does_not_come_again(pi, central):
    row = count_image(pi, 1)
    central.require_store().counts.delete(arrived(central, 1)[0].id)
    pi.require_store().counts.edit(row.id, Edit(notes="changed afterwards"))
    sent(pi)
    assert of_others(central) == []
    assert (
        not pi.require_store()
        .outbox(central.address)
        .begin_anew_if_lost(central.require_store().inbox.hear(pi.forwarder._instrument()).stamp)
    )


def test_a_count_of_another_instrument_is_changed_only_there(pi, central):
    count_image(pi, 1)
    store, there = central.require_store(), arrived(central, 1)[0]
    result = store.result(there.id)
    for change in (
        lambda: store.corrections.add(there.id, result, 5, 5, "me"),
        lambda: store.corrections.remove(there.id, result, 1, "me"),
        lambda: store.counts.edit(there.id, Edit(notes="mine")),
        lambda: store.counts.edit(there.id, Edit(reviewed_by="me")),
    ):
        with pytest.raises(InputError, match="made by pi"):
            change()
    assert store.counts.edit(there.id, Edit(keep=True)).keep


def test_the_central_shows_who_counted_what_and_who_speaks(pi, central):
    count_image(pi, 1)
    arrived(central, 1)
    client = create_app(central, needs_login=False).test_client()
    heard = client.get("/api/v1/instruments").json["instruments"]
    assert [(one["name"], one["counts"]) for one in heard] == [("pi", 1)]
    assert heard[0]["silent_s"] < 30
    listed = client.get("/api/v1/counts", query_string={"instrument": "pi"}).json["counts"]
    assert [one["instrument"] for one in listed] == ["pi"]
    assert client.get("/api/v1/counts", query_string={"instrument": "other"}).json["total"] == 0


def test_counts_of_one_image_find_each_other_in_any_order(resting, tmp_path):
    pi, outbox = resting
    first = pi.require_store().counts.search()[0]
    pi.require_counter().recounter.recount([first], Again(cell_diameter_px=30.0))
    wait_for(lambda: len(pi.require_store().counts.search(Filter(status="done"))) == 2)
    parcels = []
    while (parcel := outbox.next(False)) is not None:
        parcels.append(pack(parcel))
        outbox.mark_passed(parcel)
    inbox = make_service(tmp_path / "central").require_store().inbox
    for count, files in reversed(parcels):
        inbox.receive(SENDER, count, files)
    newest, oldest = sorted(inbox_rows(tmp_path), key=lambda row: row.version_of is None)
    assert newest.version_of == oldest.id


def test_counts_of_one_image_find_each_other_although_the_first_was_deleted(resting, tmp_path):
    """On either side: there the later ones still belong together, here the next one becomes the first."""
    pi, outbox = resting
    store = pi.require_store()
    first = store.counts.search()[0]
    inbox = make_service(tmp_path / "central").require_store().inbox
    send_all(outbox, inbox)
    make_service(tmp_path / "central").require_store().counts.delete(inbox_rows(tmp_path)[0].id)
    for diameter_px in (30.0, 32.0):
        pi.require_counter().recounter.recount([first], Again(cell_diameter_px=diameter_px))
    wait_for(lambda: len(store.counts.search(Filter(status="done"))) == 3)
    send_all(outbox, inbox)
    newest, oldest = inbox_rows(tmp_path)
    assert (oldest.version_of, newest.version_of) == (None, oldest.id)
    store.counts.delete(first.id)
    send_all(outbox, inbox)
    newest, oldest = inbox_rows(tmp_path)
    assert (oldest.version_of, newest.version_of) == (None, oldest.id)


def send_all(outbox, inbox):
    while (parcel := outbox.next(False)) is not None:
        inbox.receive(SENDER, *pack(parcel))
        outbox.mark_passed(parcel)


def inbox_rows(tmp_path):
    return make_service(tmp_path / "central").require_store().counts.search()


def test_an_older_message_changes_nothing_and_one_twice_is_one(resting, tmp_path):
    pi, outbox = resting
    row = pi.require_store().counts.search()[0]
    old, files = pack(outbox.next(True))
    pi.require_store().counts.edit(row.id, Edit(notes="newer"))
    new, _ = pack(outbox.next(True))
    inbox = make_service(tmp_path / "central").require_store().inbox
    said = [
        inbox.receive(SENDER, count, sent).status
        for count, sent in [(new, {}), (new, files), (new, files), (old, files), (old, {})]
    ]
    assert said == ["send files", "kept", "known", "known", "known"]
    assert [there.notes for there in inbox_rows(tmp_path)] == ["newer"]


def test_many_threads_with_one_message_keep_it_once(resting, tmp_path):
    _, outbox = resting
    count, files = pack(outbox.next(True))
    store = make_service(tmp_path / "central").require_store()
    said = []
    threads = [
        threading.Thread(target=lambda: said.append(store.inbox.receive(SENDER, count, files)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receipt.status for receipt in said) == ["kept", *["known"] * 7]
    assert len(store.counts.search()) == len(list(store.folders.folders())) == 1


@pytest.mark.parametrize("name", [*DRAWN, ORIGINAL])
def test_a_damaged_or_missing_file_is_not_kept(resting, tmp_path, name):
    _, outbox = resting
    count, files = pack(outbox.next(True))
    store = make_service(tmp_path / "central").require_store()
    for bad in (files | {name: files[name][:-1]}, {k: v for k, v in files.items() if k != name}):
        with pytest.raises(InputError, match="send it again"):
            store.inbox.receive(SENDER, count, bad)
    assert store.counts.search() == []
    assert list(store.folders.folders()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../../etc/cron"},
        {"suffix": "/../evil.png"},
        {"stamp": 2**63},
        {"stamp": -1},
        {"revision": -1},
        {"files": {}},
        {"files": dict.fromkeys(DRAWN, "0") | {"../../x": "0"}},
    ],
)
def test_hostile_messages_are_refused(resting, tmp_path, change):
    _, outbox = resting
    count, files = pack(outbox.next(True))
    client = create_app(make_service(tmp_path / "central"), needs_login=False).test_client()
    message = Message(instrument=SENDER, count=msgspec.structs.replace(count, **change))
    parts = {"about": msgspec.json.encode(message), **files}
    form = {name: (BytesIO(data), name) for name, data in parts.items()}
    answer = client.post("/api/v1/forwarded", data=form)
    assert answer.status_code == 400, answer.json
    assert inbox_rows(tmp_path) == []


@pytest.mark.parametrize(
    "points", [((0, 0), (9, 0)), ((0, 0), (9, 9), (4, 4)), ((0, 0), (9999, 0), (0, 9))]
)
def test_a_region_that_nobody_could_draw_is_refused(resting, tmp_path, points):
    """Whether the files come along or not."""
    _, outbox = resting
    good, files = pack(outbox.next(True))
    drawn = Region(id="1", name="CA1", points=points, who="me", created_s=0)
    bad = msgspec.structs.replace(good, regions=(drawn,), stamp=good.stamp + 1)
    inbox = make_service(tmp_path / "central").require_store().inbox
    with pytest.raises(InputError, match="region 'CA1'"):
        inbox.receive(SENDER, bad, files)
    assert inbox.receive(SENDER, good, files).status == "kept"
    with pytest.raises(InputError, match="region 'CA1'"):
        inbox.receive(SENDER, bad, {})
    assert [there.regions for there in inbox_rows(tmp_path)] == [()]


def test_a_full_central_takes_nothing_and_gets_all_later(tmp_path):
    with central_page(tmp_path) as (central, address):
        full = with_storage(central.settings, refuse_free_mb=10**9).storage
        real, central.require_store().inbox._settings = central.settings.storage, full
        pi = make_pi(tmp_path / "pi", address)
        pi.start()
        count_image(pi, 1)
        trouble = wait_for(lambda: pi.forwarder.state.trouble, what="trouble")
        assert "MB free" in trouble
        assert of_others(central) == []
        assert list(central.require_store().folders.folders()) == []
        central.require_store().inbox._settings = real
        assert len(arrived(central, 1)) == 1
        wait_for(lambda: pi.forwarder.state.trouble is None, what="the end of the trouble")
        pi.stop()


def test_one_result_that_is_refused_holds_up_no_other(pi, central):
    store = pi.require_store()
    with pi_paused(pi):
        bad = count_image(pi, 1)
        (store.folders.folder(bad.id) / "1" / "labels.tiff").unlink()
        count_image(pi, 2)
    assert len(arrived(central, 1)) == 1
    wait_for(lambda: pi.forwarder.state.refused == 1)
    assert "labels.tiff" in pi.forwarder.problem()
    assert store.outbox(central.address).is_waiting(bad.id)


@contextmanager
def pi_paused(pi):
    """The forwarder meanwhile does not look."""
    pi.forwarder.stop()
    yield
    pi.forwarder = Forwarder(pi.require_store(), pi.settings.forward)
    pi.forwarder.start()
    pi._closers.append(pi.forwarder.stop)


def test_what_waits_is_not_deleted_by_age(resting):
    pi, outbox = resting
    store = pi.require_store()
    later_s = 4e9
    assert delete_old(store, 30, later_s, outbox.is_waiting) == 0
    outbox.mark_passed(outbox.next(False))
    assert delete_old(store, 30, later_s, outbox.is_waiting) == 1


def test_a_central_that_lost_results_gets_them_again(pi, central):
    count_image(pi, 1)
    there = arrived(central, 1)[0]
    sent(pi)
    with (
        central.require_store().database.transaction() as connection
    ):  # as an older backup would be
        connection.execute("DELETE FROM received")
        connection.execute("DELETE FROM counts")
    assert there.id not in {row.id for row in of_others(central)}
    assert len(arrived(central, 1)) == 1


def test_stamps_rise_although_the_clock_and_the_database_fall_back(resting, monkeypatch):
    _, outbox = resting
    before = outbox.next(False).about.stamp
    monkeypatch.setattr("device.machine.clock.now_s", lambda: 1000.0)
    assert outbox.next(False).about.stamp > before


class _Portal(BaseHTTPRequestHandler):
    """A network that answers every call with its own page."""

    status = 200

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b"<html>please log in to the guest network</html>"
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("status", [200, 302, 401, 404, 503])
def test_an_answer_that_is_no_receipt_delivers_nothing(tmp_path, status):
    server = HTTPServer(("127.0.0.1", 0), type("Portal", (_Portal,), {"status": status}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pi = make_pi(tmp_path / "pi", f"http://127.0.0.1:{server.server_port}")
    pi.start()
    count_image(pi, 1)
    assert wait_for(lambda: pi.forwarder.state.trouble, what="trouble")
    assert pi.forwarder.state.waiting == 1
    pi.stop()
    server.shutdown()
    server.server_close()


def test_a_token_is_needed_where_a_login_is(tmp_path):
    central = make_service(tmp_path / "central")
    client = create_app(central, needs_login=True).test_client()
    hello = msgspec.to_builtins(SENDER)
    assert client.post("/api/v1/instruments", json=hello).status_code in (401, 403)
    token = central.require_store().access.create_token("room 3")
    said = client.post(
        "/api/v1/instruments", json=hello, headers={"Authorization": f"Bearer {token}"}
    )
    assert said.json == {"instrument": SENDER.id, "stamp": 0}


def test_nothing_of_this_is_imported_without_a_central():
    script = "import sys, device.service; sys.exit('device.forward.transport' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
