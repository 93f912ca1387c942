"""Many people on one server: whose an image is, and how much one of them may have waiting and keep."""

import io

import msgspec
import pytest
from appliance import SlowSegmenter, make_settings, png, with_storage
from test_access import PASSWORD, set_up, store_of
from test_administration import call

from device.errors import ConflictError, QueueFullError
from device.service import Service
from device.store import Filter, NewCount, open_store
from device.web import create_app

pytestmark = pytest.mark.usefixtures("each_database")


def opened(tmp_path, **limits):
    settings = msgspec.structs.replace(make_settings(tmp_path / "data").storage, **limits)
    return open_store(settings)


def hand_in(store, owner: str, data: bytes = b"image"):
    return store.counts.accept(
        NewCount(data=data, image="a.png", origin="upload", model="fast", owner=owner)
    )


def test_one_person_does_not_fill_the_queue_for_all(tmp_path):
    store = opened(tmp_path, waiting_per_person=2)
    first = hand_in(store, "Ada")
    hand_in(store, "Ada")
    with pytest.raises(QueueFullError, match="2 of your images are waiting, and 2 may"):
        hand_in(store, "Ada")
    hand_in(store, "Ben")
    for _ in range(3):
        hand_in(store, "")  # camera and folders belong to everybody
    store.queue.cancel(first.id)
    hand_in(store, "Ada")
    assert store.counts.number(Filter(owner="Ada")) == 3
    store.close()


def test_one_person_does_not_fill_the_disk_for_all(tmp_path):
    store = opened(tmp_path, gb_per_person=1e-6)
    first = hand_in(store, "Ada", b"a" * 600)
    with pytest.raises(ConflictError, match="Delete images that you do not need"):
        hand_in(store, "Ada", b"b" * 600)
    assert [row.id for row in store.counts.search()] == [first.id]
    assert len(list((tmp_path / "data" / "results").iterdir())) == 1
    hand_in(store, "Ben", b"b" * 600)
    store.queue.cancel(first.id)
    store.counts.delete(first.id)
    hand_in(store, "Ada", b"b" * 600)
    store.close()


def test_the_second_try_of_an_accepted_image_is_never_refused(tmp_path):
    store = opened(tmp_path, waiting_per_person=1)
    new = NewCount(
        data=b"image", image="a.png", origin="upload", model="fast", owner="Ada", once_key="k"
    )
    assert store.counts.accept(new) == store.counts.accept(new)
    store.close()


@pytest.mark.sqlite
def test_an_upload_is_of_who_is_logged_in(tmp_path):
    admin, ada = people(tmp_path)
    for who, name in ((admin, "theirs.png"), (ada, "mine.png")):
        assert upload(who, name) == 202
    assert images(ada, "mine=true") == ["mine.png"]
    assert images(admin, "mine=true") == ["theirs.png"]
    assert images(admin, "owner=Ada") == ["mine.png"]
    assert images(ada, "") == ["mine.png", "theirs.png"]


@pytest.mark.sqlite
def test_who_counts_again_owns_the_new_count(tmp_path):
    admin, ada = people(tmp_path, gb_per_person=1.5e-9 * len(png(2)))
    assert upload(ada, "a.png") == 202
    store = store_of(admin.application)
    (first,) = store.counts.search()
    store.queue.cancel(first.id)
    # The limit is that of who asks: Ada's would be passed.
    for who, problems in ((admin, 0), (ada, 1)):
        answer = call(who, "POST", "/api/v1/recounts", {"ids": [first.id]})
        assert len(answer.json["problems"]) == problems, answer.json
    assert {row.owner for row in store.counts.search()} == {"Ada", "lab"}


def test_no_user_and_token_have_one_name(tmp_path):
    admin, _ = people(tmp_path)
    answer = call(admin, "POST", "/api/v1/tokens", {"name": "Ada"})
    assert (answer.status_code, "There is a user 'Ada'" in answer.json["error"]) == (409, True)
    assert call(admin, "POST", "/api/v1/tokens", {"name": "Ben"}).status_code == 201
    answer = call(admin, "POST", "/api/v1/users", {"name": "Ben", "password": PASSWORD})
    assert (answer.status_code, "There is a token 'Ben'" in answer.json["error"]) == (409, True)


def people(tmp_path, **limits):
    """Browsers of the first administrator and of Ada."""
    settings = make_settings(tmp_path / "data", host="192.168.7.7")
    settings = with_storage(settings, **limits)
    app = create_app(Service(settings, load_segmenter=lambda _: SlowSegmenter(0.0)))
    admin, ada = app.test_client(), app.test_client()
    set_up(admin, app)
    call(admin, "POST", "/api/v1/users", {"name": "Ada", "password": PASSWORD})
    page = ada.get("/login").get_data(as_text=True)
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    ada.post("/login", data={"csrf_token": token, "name": "Ada", "password": PASSWORD})
    return admin, ada


def upload(client, name: str) -> int:
    text = client.get("/status").get_data(as_text=True)
    token = text.partition('name="csrf-token" content="')[2].partition('"')[0]
    form = {"image": (io.BytesIO(png(2)), name)}
    headers = {"X-CSRFToken": token}
    return client.post("/api/v1/counts", data=form, headers=headers).status_code


def images(client, query: str) -> list[str]:
    return [one["image"] for one in client.get(f"/api/v1/counts?{query}").get_json()["counts"]]
