from __future__ import annotations

import base64
import io
import socket
import struct
import subprocess
import sys
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.domain import Label
from app.services.chroma_places import Folder, RefusedError, Server
from app.services.chroma_worker import Documents, _answer, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

EAST, NORTH, WEST = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]


def packed(vector: list[float]) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()


def document(document_id: str, vector: list[float] | None = None, label: Label = Label.PUBLIC, text: str = "a text", **metadata: Any) -> dict[str, Any]:
    return {"id": document_id, "text": text, "metadata": metadata, "label": int(label), "tenant": "k", "vector": packed(vector or EAST)}


def add(documents: Documents, *rows: dict[str, Any], max_label: Label = Label.CONFIDENTIAL) -> None:
    documents.add(rows, max_label=max_label)


def find(documents: Documents, max_label: Label = Label.CONFIDENTIAL, limit: int = 5, **where: Any) -> list[str]:
    return [found["id"] for found in documents.search(packed(EAST), limit=limit, max_label=max_label, where=where)]


@pytest.fixture(autouse=True)
def httpx_tripwire() -> None:
    """Chroma's own client calls through httpx; in the product it does so in the child process."""


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path_factory.mktemp("server")
    program = str(Path(sys.executable).with_name("chroma"))
    command = [program, "run", "--path", str(path), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=path) as server:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the Chroma server did not start"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(params=["folder", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Folder | Server:
    if request.param == "folder":
        return Folder(tmp_path / "chroma")
    server = Server(request.getfixturevalue("server_url"))
    client = server.client()
    if client.list_collections():  # the server outlives each test
        client.delete_collection("sluice_documents")
    server.close(client)
    return server


@pytest.fixture
def documents(place: Folder | Server) -> Iterator[Documents]:
    made = Documents(place, "test/3")
    yield made
    made.close()


def test_a_document_comes_back_whole(documents: Documents) -> None:
    add(documents, document("a", label=Label.INTERNAL, text="Grüße 😀\0", n=1, x=1.0, yes=True, s="v", big=-(2**63)))
    (found,) = documents.search(packed(EAST), limit=5, max_label=Label.CONFIDENTIAL, where={})

    assert found["score"] == pytest.approx(1.0, abs=1e-5)
    assert {**found, "score": 1.0} == {
        "id": "a",
        "text": "Grüße 😀\0",
        "metadata": {"big": -(2**63), "n": 1, "s": "v", "x": 1.0, "yes": True},
        "label": Label.INTERNAL,
        "score": 1.0,
    }
    assert [type(value) for value in found["metadata"].values()] == [int, int, str, float, bool]


def test_the_nearest_comes_first_and_scores_stay_between_0_and_1(documents: Documents) -> None:
    add(documents, document("west", WEST), document("north", NORTH), document("east", EAST), document("zero", [0.0, 0.0, 0.0]))
    found = documents.search(packed(EAST), limit=4, max_label=Label.CONFIDENTIAL, where={})

    assert found[0]["id"] == "east"
    assert {one["id"]: round(one["score"], 4) for one in found} == {"east": 1.0, "north": 0.0, "zero": 0.0, "west": 0.0}


def test_documents_above_the_label_are_not_found_however_near(documents: Documents) -> None:
    add(documents, *(document(f"secret{n}", label=Label.CONFIDENTIAL) for n in range(200)), document("far", WEST), document("mid", NORTH, Label.INTERNAL))

    assert find(documents, max_label=Label.PUBLIC, limit=20) == ["far"]
    assert find(documents, max_label=Label.INTERNAL, limit=20) == ["mid", "far"]


def test_several_conditions_must_all_hold(documents: Documents) -> None:
    add(documents, document("a", kind="x", n=1), document("b", kind="x", n=2), document("c", kind="y", n=1))

    assert find(documents, kind="x", n=1) == ["a"]
    assert sorted(find(documents, kind="x")) == ["a", "b"]
    assert find(documents, kind="z") == []


def test_true_is_not_1_but_1_is_one_point_zero(documents: Documents) -> None:
    add(documents, document("bool", v=True), document("int", v=1), document("float", v=1.0), document("str", v="1"))

    assert find(documents, v=True) == ["bool"]
    assert sorted(find(documents, v=1)) == ["float", "int"]
    assert find(documents, v="1") == ["str"]


def test_an_upsert_replaces_text_vector_label_and_all_metadata(documents: Documents) -> None:
    add(documents, document("a", EAST, Label.CONFIDENTIAL, "old", gone=1, kept=1))
    add(documents, document("a", NORTH, Label.PUBLIC, "new", kept=2))
    (found,) = documents.search(packed(NORTH), limit=5, max_label=Label.PUBLIC, where={})

    assert (found["text"], found["metadata"], found["label"]) == ("new", {"kept": 2}, Label.PUBLIC)
    assert found["score"] == pytest.approx(1.0, abs=1e-5)


def test_an_upsert_over_a_document_above_the_callers_clearance_stores_nothing(documents: Documents) -> None:
    add(documents, document("a", label=Label.CONFIDENTIAL, text="theirs"))
    with pytest.raises(RefusedError, match="id_taken"):
        add(documents, document("b"), document("a", text="mine"), max_label=Label.INTERNAL)
    found = documents.search(packed(EAST), limit=5, max_label=Label.CONFIDENTIAL, where={})

    assert [(one["id"], one["text"]) for one in found] == [("a", "theirs")]


def test_delete_says_whether_there_was_a_document_that_the_caller_may_see(documents: Documents) -> None:
    add(documents, document("open"), document("shut", label=Label.CONFIDENTIAL))

    assert documents.delete("open", max_label=Label.PUBLIC)
    assert not documents.delete("open", max_label=Label.PUBLIC)
    assert not documents.delete("shut", max_label=Label.INTERNAL)
    assert find(documents) == ["shut"]


def test_a_collection_that_another_gateway_made_anew_is_opened_anew(place: Folder | Server, documents: Documents) -> None:
    add(documents, document("a"))
    client = place.client()
    client.delete_collection("sluice_documents")
    place.close(client)
    answers = talk(
        documents,
        {"op": "add", "documents": [document("b")], "max_label": 2},
        {"op": "search", "vector": packed(EAST), "limit": 5, "max_label": 2, "where": {}},
    )

    assert answers[0] == {"ok": None}
    assert [found["id"] for found in answers[1]["ok"]] == ["b"]


def talk(documents: Documents, *calls: dict[str, Any]) -> list[dict[str, Any]]:
    return [_answer(documents, dict(call)) for call in calls]


def frames(*calls: Any) -> io.BytesIO:
    return io.BytesIO(b"".join(struct.pack(">I", len(raw)) + raw for raw in map(orjson.dumps, calls)))


def test_frames_are_answered_in_order_until_the_input_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.chroma_worker._GRACE_S", 3600.0)
    answers = io.BytesIO()
    greeting = {"path": str(tmp_path), "embedder": "test/3"}
    calls = [
        {"op": "add", "documents": [document("a")], "max_label": 2},
        {"op": "delete", "document_id": "a", "max_label": 0},
        {"op": "delete", "document_id": "a", "max_label": 0},
    ]
    serve(frames(greeting, *calls), answers)

    raw, read = answers.getvalue(), []
    while raw:
        (length,) = struct.unpack(">I", raw[:4])
        read.append(orjson.loads(raw[4 : 4 + length]))
        raw = raw[4 + length :]
    assert read == [{"ok": None}, {"ok": None}, {"ok": True}, {"ok": False}]


def test_a_fault_is_answered_with_its_class_and_never_its_text(tmp_path: Path) -> None:
    (tmp_path / "CANARY").write_text("in the way")
    documents = Documents(Folder(tmp_path / "CANARY"), "test/3")
    (answer,) = talk(documents, {"op": "delete", "document_id": "a", "max_label": 0})

    assert answer == {"error": "broken", "fault": "FileExistsError"}


def test_connections_to_a_server_are_closed_with_the_client(server_url: str) -> None:
    client = (server := Server(server_url)).client()
    sessions = [client._server._session, client._admin_client._server._session]
    server.close(client)

    assert [session.is_closed for session in sessions] == [True, True]


def test_a_scrub_that_fails_does_not_end_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = Documents(folder := Folder(tmp_path), "test/3")
    add(documents, document("a"), document("b"))
    documents.delete("a", max_label=Label.PUBLIC)
    monkeypatch.setattr(folder, "scrub", lambda _collection: 1 / 0)
    documents.scrub()

    assert not documents.scrub_due
    assert find(documents) == ["b"]
    documents.close()


def test_only_the_stores_own_address_can_be_reached() -> None:
    program = (
        "import socket, sys\n"
        "from app.services.chroma_worker import hold_to\n"
        "listening = socket.create_server(('127.0.0.1', 0)); port = listening.getsockname()[1]\n"
        "hold_to('127.0.0.1', port)\n"
        "socket.create_connection(('127.0.0.1', port)).close()\n"
        "for host, where in (('127.0.0.1', port + 1), ('localhost', port)):\n"
        "    try:\n"
        "        socket.create_connection((host, where))\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    sys.exit(1)\n"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[3]).returncode == 0
