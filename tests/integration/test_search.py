from __future__ import annotations

import http.client
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.gateway_server import GatewayServer

KEYS = "owner:owner-key,intern:internal:intern-key"
CONFIG = """
    deployments:
      nobody: {model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:9/v1", api_key: k, clearance: confidential}
    pools:
      local: [nobody]
    rules:
      - {use: local}
"""


def ask(gateway: GatewayServer, method: str, path: str, body: Any = None, key: str = "owner-key", **headers: str) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    connection.request(method, path, raw, {"authorization": f"Bearer {key}", "content-type": "application/json", **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if content else None, {name.lower(): value for name, value in answer.getheaders()}


def add(gateway: GatewayServer, *documents: dict[str, Any], key: str = "owner-key") -> list[str]:
    status, answer, _ = ask(gateway, "POST", "/documents", {"documents": documents}, key)
    assert status == 201, answer
    ids: list[str] = answer["ids"]
    return ids


def find(gateway: GatewayServer, query: str, key: str = "owner-key", **options: Any) -> list[dict[str, Any]]:
    status, answer, _ = ask(gateway, "POST", "/search", {"query": query, **options}, key)
    assert status == 200, answer
    results: list[dict[str, Any]] = answer["results"]
    return results


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    with serve(tmp_path_factory.mktemp("search"), CONFIG, gateway_api_keys=KEYS) as server:
        yield server


@pytest.fixture
def gateway(running: GatewayServer) -> GatewayServer:
    while results := find(running, "anything", limit=20):
        for found in results:
            assert ask(running, "DELETE", f"/documents/{found['id']}")[0] == 204
    return running


def test_a_document_is_found_by_meaning_without_a_shared_word(gateway: GatewayServer) -> None:
    texts = ["The physician prescribed antibiotics.", "Our quarterly revenue grew.", "The goalkeeper saved a penalty.", "Bake the bread until golden."]
    add(gateway, *({"text": text, "id": text.split()[1]} for text in texts))

    assert find(gateway, "doctor giving medicine to patients")[0]["id"] == "physician"
    assert find(gateway, "soccer match")[0]["id"] == "goalkeeper"
    assert find(gateway, "cooking recipe")[0]["id"] == "the"


def test_results_carry_everything_best_first(gateway: GatewayServer) -> None:
    add(
        gateway,
        {"text": "a red apple", "metadata": {"kind": "fruit", "ripe": True, "weight": 0.2, "n": 1}, "label": "internal", "id": "apple"},
        {"text": "a steam engine"},
    )
    results = find(gateway, "a red apple")

    assert results[0] == {
        "id": "apple",
        "text": "a red apple",
        "metadata": {"kind": "fruit", "n": 1, "ripe": True, "weight": 0.2},
        "label": "internal",
        "score": pytest.approx(1.0, abs=1e-4),
    }
    assert 0 <= results[1]["score"] < results[0]["score"]


def test_one_document_needs_no_list_around_it(gateway: GatewayServer) -> None:
    status, answer, _ = ask(gateway, "POST", "/documents", {"text": "alone", "metadata": None})

    assert status == 201
    assert [found["id"] for found in find(gateway, "alone")] == answer["ids"]


def test_limit_and_filter_narrow_what_is_found(gateway: GatewayServer) -> None:
    add(gateway, *({"text": f"note {n}", "metadata": {"even": n % 2 == 0, "third": n % 3}} for n in range(30)))

    assert len(find(gateway, "note")) == 5
    assert len(find(gateway, "note", limit=20)) == 20
    assert {found["metadata"]["third"] for found in find(gateway, "note", limit=20, filter={"even": True, "third": 1})} == {1}
    assert len(find(gateway, "note", limit=20, filter={"even": True, "third": 1})) == 5


def test_the_same_id_replaces(gateway: GatewayServer) -> None:
    add(gateway, {"text": "old", "id": "x", "metadata": {"a": 1}})
    add(gateway, {"text": "new", "id": "x"})

    assert [(found["text"], found["metadata"]) for found in find(gateway, "anything")] == [("new", {})]


def test_a_document_with_a_card_number_is_confidential_whatever_label_it_was_given(gateway: GatewayServer) -> None:
    add(gateway, {"text": "Pay with 4111 1111 1111 1111 please", "label": "public", "id": "card"}, {"text": "Pay in cash", "id": "cash"})

    assert {found["id"]: found["label"] for found in find(gateway, "payment")}["card"] == "confidential"
    assert [found["id"] for found in find(gateway, "payment", key="intern-key", limit=20)] == ["cash"]


def test_a_key_can_neither_delete_nor_replace_nor_add_above_its_clearance(gateway: GatewayServer) -> None:
    add(gateway, {"text": "hush", "label": "confidential", "id": "x"})

    hidden = ask(gateway, "DELETE", "/documents/x", key="intern-key")
    absent = ask(gateway, "DELETE", "/documents/nothing", key="intern-key")
    assert hidden[:2] == absent[:2] == (404, hidden[1])
    assert ask(gateway, "POST", "/documents", {"text": "mine", "id": "x"}, "intern-key")[0] == 409
    status, answer, _ = ask(gateway, "POST", "/documents", {"text": "mine", "label": "confidential"}, "intern-key")
    assert (status, answer["error"]["code"]) == (403, "label_not_cleared")
    assert [found["text"] for found in find(gateway, "hush")] == ["hush"]


def test_a_deleted_document_is_gone(gateway: GatewayServer) -> None:
    (document_id,) = add(gateway, {"text": "short-lived"})
    first = ask(gateway, "DELETE", f"/documents/{document_id}")
    second = ask(gateway, "DELETE", f"/documents/{document_id}")

    assert first[:2] == (204, None)
    assert (second[0], second[1]["error"]["code"]) == (404, "document_not_found")
    assert find(gateway, "short-lived") == []


def test_the_rest_is_served_while_a_thousand_documents_go_in(tmp_path: Path) -> None:
    documents = [{"text": f"entry number {n} " + "of many words " * 100} for n in range(1_000)]
    with serve(tmp_path, CONFIG) as gateway, ThreadPoolExecutor(1) as pool:
        adding = pool.submit(add, gateway, *documents)
        slowest_s, answered = 0.0, 0
        while not adding.done():
            started = time.monotonic()
            assert ask(gateway, "GET", "/health")[0] == 200
            slowest_s, answered = max(slowest_s, time.monotonic() - started), answered + 1

        assert len(set(adding.result())) == 1_000
        assert answered > 5
        assert slowest_s < 1.0
        assert len(find(gateway, "entry", limit=20)) == 20
        assert ask(gateway, "POST", "/documents", {"documents": [{"text": "x"}] * 1_001})[0] == 400


CANARY = "CANARY"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/documents", {"documents": []}, "documents"),
        ("/documents", {}, "documents"),
        ("/documents", [], None),
        ("/documents", {"text": ""}, "documents[0].text"),
        ("/documents", {"text": CANARY * 20_000}, "documents[0].text"),
        ("/documents", {"text": 1}, "documents[0].text"),
        ("/documents", {"text": "a", "label": CANARY}, "documents[0].label"),
        ("/documents", {"text": "a", "id": f"{CANARY} with a space"}, "documents[0].id"),
        ("/documents", {"text": "a", "id": "a\n"}, "documents[0].id"),
        ("/documents", {"text": "a", "metadata": {"_label": 0}}, "documents[0].metadata"),
        ("/documents", {"text": "a", "metadata": {"chroma:document": "x"}}, "documents[0].metadata"),
        ("/documents", {"text": "a", "metadata": {f"${CANARY}": "x"}}, "documents[0].metadata"),
        ("/documents", {"text": "a", "metadata": {CANARY: None}}, "documents[0].metadata"),
        ("/documents", {"text": "a", "metadata": {CANARY: [1]}}, "documents[0].metadata"),
        ("/documents", {"text": "a", "metadata": {"n": 2**63}}, "documents[0].metadata"),
        ("/documents", b'{"text": "a", "metadata": {"n": NaN}}', "documents[0].metadata"),
        ("/documents", b'{"text": "a", "metadata": {"n": 1e999}}', "documents[0].metadata"),
        ("/documents", b'{"text": "\\ud83d"}', "documents[0].text"),
        ("/documents", b'{"text": "a", "metadata": {"\\ud83d": 1}}', "documents[0].metadata"),
        ("/documents", {"text": "a", "metadata": {str(n): n for n in range(33)}}, "documents[0].metadata"),
        ("/documents", {"documents": [{"text": "a", "id": "x"}, {"text": "b", "id": "x"}]}, "documents[1].id"),
        ("/search", {}, "query"),
        ("/search", {"query": ""}, "query"),
        ("/search", {"query": "a", "limit": 0}, "limit"),
        ("/search", {"query": "a", "limit": 21}, "limit"),
        ("/search", {"query": "a", "limit": True}, "limit"),
        ("/search", {"query": "a", "filter": {"_label": 0}}, "filter"),
        ("/search", {"query": "a", "filter": {"$or": CANARY}}, "filter"),
        ("/search", {"query": "a", "filter": {"n": {"$gt": 1}}}, "filter"),
        ("/search", {"query": "a", "top_k": 3}, "top_k"),
    ],
)
def test_what_cannot_be_served_is_400_in_openais_shape_and_echoes_nothing(gateway: GatewayServer, path: str, body: Any, param: str | None) -> None:
    status, answer, headers = ask(gateway, "POST", path, body)

    assert (status, answer["error"]["type"], answer["error"]["param"]) == (400, "invalid_request_error", param)
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert CANARY not in json.dumps(answer)
    assert headers["x-request-id"]


def test_a_key_is_required(gateway: GatewayServer) -> None:
    for method, path, body in (("POST", "/documents", {"text": "a"}), ("POST", "/search", {"query": "a"}), ("DELETE", "/documents/x", None)):
        assert ask(gateway, method, path, body, "wrong-key")[0] == 401


def test_with_chroma_broken_search_says_what_to_do_and_the_rest_works(tmp_path: Path) -> None:
    (tmp_path / "chroma").write_text("a file where the folder should be")
    with serve(tmp_path, CONFIG) as gateway:
        status, answer, headers = ask(gateway, "POST", "/search", {"query": "a"})

        assert (status, answer["error"]["code"]) == (503, "search_unavailable")
        assert "CHROMA_PATH" in answer["error"]["message"]
        assert int(headers["retry-after"]) >= 1
        assert ask(gateway, "GET", "/health")[0] == 200
        assert ask(gateway, "GET", "/v1/models")[0] == 200


def test_with_its_child_killed_search_comes_back(tmp_path: Path) -> None:
    with serve(tmp_path, CONFIG) as gateway:
        add(gateway, {"text": "still here"})
        assert gateway.parts.store.pid is not None
        os.kill(gateway.parts.store.pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while (answer := ask(gateway, "POST", "/search", {"query": "a"}))[0] == 503 and time.monotonic() < deadline:
            time.sleep(0.05)

        assert answer[1]["results"][0]["text"] == "still here"


def test_documents_survive_a_restart_of_the_gateway(tmp_path: Path) -> None:
    with serve(tmp_path, CONFIG) as gateway:
        add(gateway, {"text": "kept", "id": "x"})
    with serve(tmp_path, CONFIG) as gateway:
        assert [found["id"] for found in find(gateway, "kept")] == ["x"]


def test_a_hint_raises_the_label_of_documents_and_queries(gateway: GatewayServer) -> None:
    hint = {"x-sensitivity": "confidential"}
    assert ask(gateway, "POST", "/documents", {"text": "The cat sat."}, **hint)[0] == 201

    assert [found["label"] for found in find(gateway, "a kitten")] == ["confidential"]
    assert find(gateway, "a kitten", key="intern-key") == []
    assert ask(gateway, "POST", "/documents", {"text": "The dog sat."}, "intern-key", **hint)[0] == 403
    assert ask(gateway, "POST", "/search", {"query": "x"}, **{"x-sensitivity": "secret"})[0] == 400
