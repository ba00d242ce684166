from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY

from app.domain import Label
from app.errors import ConflictError, UnavailableError
from app.services.vector_store import ChromaStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EAST, NORTH = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


def document(document_id: str, vector: list[float] | None = None, label: Label = Label.PUBLIC, text: str = "a text", **metadata: Any) -> dict[str, Any]:
    return {"id": document_id, "text": text, "metadata": metadata, "label": label, "tenant": "k", "vector": vector or EAST}


@asynccontextmanager
async def embedded(path: Path, embedder: str = "test/3") -> AsyncIterator[ChromaStore]:
    store = ChromaStore.embedded(path, embedder=embedder)
    try:
        yield store
    finally:
        await store.close()


async def add(store: ChromaStore, *documents: dict[str, Any], max_label: Label = Label.CONFIDENTIAL) -> None:
    await store.add(documents, max_label=max_label)


async def find(store: ChromaStore, vector: list[float] | None = None, max_label: Label = Label.CONFIDENTIAL, limit: int = 5, **where: Any) -> list[str]:
    return [found["id"] for found in await store.search(vector or EAST, limit=limit, max_label=max_label, where=where)]


async def test_documents_and_labels_make_the_whole_way(tmp_path: Path) -> None:
    async with embedded(tmp_path) as store:
        await add(store, document("a", label=Label.INTERNAL, n=1), document("b", NORTH, Label.CONFIDENTIAL))
        found = await store.search(EAST, limit=5, max_label=Label.INTERNAL, where={"n": 1})

        assert found == [{"id": "a", "text": "a text", "metadata": {"n": 1}, "label": Label.INTERNAL, "score": pytest.approx(1.0, abs=1e-5)}]
        assert await store.delete("b", max_label=Label.CONFIDENTIAL)
        assert not await store.delete("b", max_label=Label.CONFIDENTIAL)
        assert store.state == "ready"


async def test_an_id_that_is_taken_by_a_document_above_the_clearance_is_a_conflict_that_tells_no_more(tmp_path: Path) -> None:
    async with embedded(tmp_path) as store:
        await add(store, document("a", label=Label.CONFIDENTIAL))
        with pytest.raises(ConflictError) as caught:
            await add(store, document("a"), max_label=Label.INTERNAL)

        assert caught.value.code == "document_id_taken"
        assert "confidential" not in caught.value.message
        assert store.state == "ready"


async def test_documents_are_there_after_a_restart(tmp_path: Path) -> None:
    async with embedded(tmp_path) as store:
        await add(store, document("a"))
    async with embedded(tmp_path) as store:
        assert await find(store) == ["a"]


async def test_nothing_runs_and_nothing_is_written_before_the_first_call(tmp_path: Path) -> None:
    async with embedded(tmp_path / "chroma") as store:
        assert (store.state, store.pid) == ("idle", None)
        assert not (tmp_path / "chroma").exists()


async def test_a_collection_of_another_embedder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with embedded(tmp_path) as store:
        await add(store, document("a"))
    async with embedded(tmp_path, "another/4") as store:
        with pytest.raises(UnavailableError, match="CHROMA_PATH to another folder and add the documents again"):
            await find(store, [1.0, 0.0, 0.0, 0.0])
    async with embedded(tmp_path) as store:
        assert await find(store) == ["a"]


async def test_an_emptied_collection_takes_another_embedder(tmp_path: Path) -> None:
    async with embedded(tmp_path) as store:
        await add(store, document("a"))
        await store.delete("a", max_label=Label.PUBLIC)
    async with embedded(tmp_path, "another/4") as store:
        await add(store, document("b", [1.0, 0.0, 0.0, 0.0]))

        assert await find(store, [1.0, 0.0, 0.0, 0.0]) == ["b"]


async def test_gateways_that_share_a_folder_see_each_others_documents_and_lose_none(tmp_path: Path) -> None:
    async with embedded(tmp_path) as one, embedded(tmp_path) as two:
        for turn in range(12):
            await asyncio.gather(
                add(one, *(document(f"one-{turn}-{n}", [1.0, turn, n]) for n in range(100))),
                add(two, *(document(f"two-{turn}-{n}", [1.0, turn, -n]) for n in range(100))),
            )
        await asyncio.gather(one.delete("one-0-0", max_label=Label.PUBLIC), two.delete("two-0-0", max_label=Label.PUBLIC))

        assert await find(one, [1.0, 7.0, -50.0], limit=1) == ["two-7-50"]
        assert await find(two, [1.0, 7.0, 50.0], limit=1) == ["one-7-50"]
        assert "two-0-0" not in await find(one, [1.0, 0.0, 0.0], limit=20)


async def test_a_killed_child_is_replaced(tmp_path: Path) -> None:
    async with embedded(tmp_path) as store:
        await add(store, document("a"))
        assert store.pid is not None
        os.kill(store.pid, signal.SIGKILL)

        deadline = time.monotonic() + 20
        found: list[str] = []
        while not found and time.monotonic() < deadline:
            try:
                found = await find(store)
            except UnavailableError:
                await asyncio.sleep(0.05)
        assert found == ["a"]


async def test_ctrl_c_at_the_terminal_is_none_of_the_childs_business(tmp_path: Path) -> None:
    async with embedded(tmp_path) as store:
        await add(store, document("a"))
        pid = store.pid
        assert pid is not None
        os.kill(pid, signal.SIGINT)

        assert await find(store) == ["a"]
        assert store.pid == pid
        assert os.getpgid(pid) != os.getpgid(0)


async def test_a_folder_that_cannot_be_made_is_unavailable_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    async with embedded(tmp_path / "file" / "chroma") as store:
        with pytest.raises(UnavailableError, match="CHROMA_PATH") as caught:
            await add(store, document("a"))

        assert str(tmp_path) not in caught.value.message
        assert store.state == "down"


async def test_a_damaged_database_is_unavailable_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"this is no database" * 1000)
    async with embedded(tmp_path) as store:
        for _ in range(2):
            with pytest.raises(UnavailableError, match="CHROMA_PATH"):
                await find(store)


async def test_a_store_that_was_repaired_serves_again_without_a_restart(tmp_path: Path) -> None:
    blocker = tmp_path / "chroma"
    blocker.write_text("in the way")
    async with embedded(blocker) as store:
        with pytest.raises(UnavailableError):
            await find(store)
        blocker.unlink()

        assert await find(store) == []
        assert store.state == "ready"


async def test_a_folder_removed_under_a_running_store_is_begun_anew(tmp_path: Path) -> None:
    async with embedded(tmp_path / "chroma") as store:
        await add(store, document("a"))
        (tmp_path / "chroma").rename(tmp_path / "moved")
        for file in sorted((tmp_path / "moved").rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        await add(store, document("b"))

        assert await find(store) == ["b"]


async def test_a_server_that_is_not_there_is_unavailable_with_what_to_do() -> None:
    store = ChromaStore.server("http://127.0.0.1:9", embedder="test/3", clearance=Label.CONFIDENTIAL)
    idle = REGISTRY.get_sample_value("sluice_degraded", {"part": "store"})
    with pytest.raises(UnavailableError, match="CHROMA_URL"):
        await find(store)
    await store.close()

    assert (idle, REGISTRY.get_sample_value("sluice_degraded", {"part": "store"})) == (0, 1)


async def test_a_server_that_never_answers_costs_a_bounded_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.vector_store._READ_TIMEOUT_S", 0.3)
    callers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _reader, writer: callers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    store = ChromaStore.server(f"http://127.0.0.1:{port}", embedder="test/3", clearance=Label.CONFIDENTIAL)
    with pytest.raises(UnavailableError, match="CHROMA_URL"):
        await find(store)
    await store.close()
    silent.close()
    for caller in callers:
        caller.close()

    assert callers
    assert store.state == "down"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://user:pw@127.0.0.1:8000", "http://127.0.0.1:8000/api", "http://h?x=1"])
def test_an_address_that_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="CHROMA_URL must look like") as caught:
        ChromaStore.server(url, embedder="test/3", clearance=Label.PUBLIC)

    assert "pw" not in str(caught.value)


async def test_deleted_and_replaced_text_leaves_the_files(tmp_path: Path) -> None:
    def anywhere(word: bytes) -> bool:
        return any(word in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())

    async with embedded(tmp_path) as store:
        await add(store, document("kept", text="keep the PLOVER"), document("a", text="the CANARY sings", note="CANARYNOTE"), document("b", text="old LAPWING"))
        assert anywhere(b"CANARY")
        await store.delete("a", max_label=Label.PUBLIC)
        await add(store, document("b", text="new"))
        deadline = time.monotonic() + 20
        while (anywhere(b"CANARY") or anywhere(b"LAPWING")) and time.monotonic() < deadline:  # noqa: ASYNC110 - another process's files
            await asyncio.sleep(0.05)

        assert not anywhere(b"CANARY")
        assert not anywhere(b"LAPWING")
        assert anywhere(b"PLOVER")
        assert sorted(await find(store)) == ["b", "kept"]
    async with embedded(tmp_path) as store:
        assert sorted(await find(store)) == ["b", "kept"]


def test_importing_the_search_side_loads_no_heavy_library() -> None:
    program = (
        "import sys, app.services.vector_store, app.services.embeddings, app.gateway.search, app.services.chroma_worker;"
        "sys.exit(bool({'chromadb', 'numpy', 'tokenizers', 'safetensors'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[3]).returncode == 0


@pytest.mark.parametrize(("clearance", "told"), [(Label.CONFIDENTIAL, "outside local_networks"), (Label.INTERNAL, "does not answer as a Chroma server")])
async def test_a_confidential_collection_is_connected_to_inside_local_networks_alone(clearance: Label, told: str) -> None:
    callers: list[object] = []

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        writer.close()

    elsewhere = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = elsewhere.sockets[0].getsockname()[1]
    store = ChromaStore.server(f"http://localhost:{port}", embedder="test/3", clearance=clearance, local_networks=[ip_network("10.0.0.0/8")])

    with pytest.raises(UnavailableError, match=told):
        await store.search([1.0, 0.0, 0.0], limit=1, max_label=Label.PUBLIC, where=None)

    assert bool(callers) == (clearance is Label.INTERNAL)
    await store.close()
    elsewhere.close()


def test_without_local_networks_no_server_holds_anything_confidential() -> None:
    with pytest.raises(ValueError, match="local_networks is empty"):
        ChromaStore.server("http://127.0.0.1:1", embedder="test/3", clearance=Label.CONFIDENTIAL, local_networks=[])
