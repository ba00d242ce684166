"""The shape of the code, as docs/ARCHITECTURE.md draws it.

What counts as an import: every `import` and `from ... import` of a file, wherever it stands, also inside a function and under `if TYPE_CHECKING`, because a
layer that names another's types knows that layer. Strings handed to importlib do not count: the translate lane names its dialects so, in its own layer.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "app").rglob("*.py"))


@dataclass(frozen=True)
class Layer:
    """Whom a layer may import besides itself: layers of the application, and packages of others."""

    layers: frozenset[str]
    packages: frozenset[str]


def _layer(layers: str, packages: str) -> Layer:
    return Layer(frozenset(layers.split()), frozenset(packages.split()))


_EDGE = "routers admin dependencies middleware limits access http_io shortcut"
_BELOW_EDGE = "gateway models config domain errors utils"
LAYERS = {
    "domain": _layer("", ""),
    "errors": _layer("domain", ""),
    "utils": _layer("domain", "prometheus_client orjson"),
    "config": _layer("models domain errors", "pydantic pydantic_core pydantic_settings dotenv yaml"),
    "models": _layer("config domain errors", "pydantic pydantic_core jiter"),
    "policy": _layer("domain errors", "hyperscan phonenumbers stdnum tiktoken tiktoken_ext"),
    "gateway": _layer("policy domain errors utils", "jiter orjson"),
    "providers": _layer("config domain errors utils", "httptools jiter orjson litellm httpx botocore"),
    "services": _layer("config domain errors utils", "redis chromadb orjson limits numpy tokenizers safetensors"),
    **{name: _layer(f"{_EDGE} {_BELOW_EDGE}", "fastapi starlette pydantic") for name in _EDGE.split()},
    "shutdown": _layer("utils", ""),
    "listening": _layer("", ""),
    "http_protocol": _layer("http_cycle http_upgrade shortcut errors utils", "uvicorn httptools"),
    "http_upgrade": _layer("http_cycle", "httptools"),
    "http_cycle": _layer("shortcut utils", "uvicorn"),
    "limits": _layer(f"{_EDGE} {_BELOW_EDGE}", "slowapi limits"),  # slowapi's own stores are the package `limits`
}
# These import everything, and only those before them of one another; no layer imports them.
COMPOSITION = ("__main__", "cli", "main", "supervisor", "rolling", "parts", "kept", "reload", "loading", "assessing", "scaling")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# Where foreign code may fail in ways that nobody can list. A handler that ends in a bare `raise` cleans up and needs no entry.
BROAD_EXCEPTS = {
    ("app/middleware.py", "__call__"): "the ASGI edge: a fault becomes a 500, or an honest end of the stream",
    ("app/http_protocol.py", "_serve_known"): "the shortcut: a fault of it leaves the request to the ASGI edge",
    ("app/policy/assess.py", "assess"): "any fault makes the request confidential",
    ("app/policy/assess.py", "_label"): "any fault of the scanner makes the request confidential",
    ("app/policy/measures.py", "complexity"): "a score that fails makes the request complex",
    ("app/policy/measures.py", "_count"): "a count that fails takes the bound in its place",
    ("app/providers/translate/lane.py", "_build"): "the translate lane: LiteLLM's faults become UpstreamError, counted in foreign.py",
    ("app/providers/translate/lane.py", "_reading"): "the translate lane: LiteLLM's faults become UpstreamError, counted in foreign.py",
    ("app/services/redis_link.py", "run"): "store adapter: every fault of the client becomes RedisLostError",
    ("app/services/chroma_worker.py", "_answer"): "store adapter: every fault becomes an answer to the parent",
    ("app/services/chroma_worker.py", "scrub"): "store adapter: a scrub that fails is due again at the next delete",
    ("app/services/chroma_worker.py", "close"): "store adapter: a client that is given up may fail to close",
}
# Layers that may not count themselves: policy tells whoever composed it, a child process answers its parent, and those count.
COUNTED_ELSEWHERE = {"app/policy/assess.py", "app/policy/measures.py", "app/services/chroma_worker.py"}

# Modules without a test file of their own, each with its reason. All others have tests/unit/<same path>/test_<name>.py.
UNMIRRORED = {
    "app/gateway/ports.py": "protocols only; what implements them is tested",
    "app/domain_enums.py": "a table; every test reads it",
    "app/domain_measures.py": "values and a protocol that domain.py hands on: tests/unit/test_domain.py, and policy/test_measures.py for what is lazy",
    "app/domain_opinion.py": "a value; what makes and reads it is tested",
    "app/policy/published.py": "a table; tests of collect read it",
    "app/policy/complexity_words.py": "a table; tests of complexity read it",
    "app/routers/chat_openapi.py": "a table; tests/integration reads the description that it is part of",
    "app/gateway/body_rules.py": "the rules of test_body.py",
    "app/gateway/request.py": "values; what reads and carries them is tested",
    "app/http_upgrade.py": "what http_protocol.py reads by after such a head: tests/unit/test_http_protocol.py",
    "app/dependencies.py": "speaks HTTP: tests/integration/test_http_edge.py",
    "app/middleware.py": "speaks HTTP: tests/integration/test_http_edge.py",
    "app/models.py": "shapes of answers: tests/integration/test_http_edge.py reads them",
    "app/routers/description.py": "speaks HTTP: tests/integration/test_http_edge.py",
    "app/routers/chat.py": "speaks HTTP: tests/integration/test_chat_relay.py",
    "app/routers/errors.py": "speaks HTTP: tests/integration/test_http_edge.py",
    "app/routers/health.py": "speaks HTTP: tests/integration/test_http_edge.py",
    "app/routers/route.py": "speaks HTTP: tests/integration/test_route.py",
    "app/routers/models.py": "speaks HTTP: tests/integration/test_http_edge.py",
    "app/main.py": "composition: tests/integration drives the whole application",
    "app/parts.py": "composition: tests/integration drives the whole application",
    "app/assessing.py": "composition: tests/unit/config/test_scan.py drives it",
    "app/scaling.py": "composition: tests/unit/config/test_complexity.py drives it",
    "app/loading.py": "composition: tests/integration/test_reload.py",
    "app/reload.py": "composition: tests/integration/test_reload.py",
    "app/supervisor.py": "several processes: tests/integration/test_reload_workers.py",
    "app/admin.py": "speaks HTTP: tests/integration/test_reload.py",
    "app/routers/admin.py": "speaks HTTP: tests/integration/test_reload.py",
    "app/models_admin.py": "shapes of answers: tests/integration/test_reload.py reads them",
    "app/__main__.py": "the command line: tests/integration runs it as a process",
}


def _path(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def _name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _layer_of(module: str) -> str:
    """Return the row of the table that a module of the application belongs to; `models_chat` belongs to `models`, `domain_enums` to `domain`."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else ""
    family = name.partition("_")[0]
    return family if family in {"models", "domain"} else name


NAMES = {_name(file) for file in MODULES}


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    """Yield what a file imports; `from app.x import y` is `app.x.y` where that is a module, else `app.x`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: write the whole name, it can be searched for"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in NAMES else str(node.module)


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


@pytest.mark.parametrize("file", MODULES, ids=_path)
def test_a_module_imports_only_what_its_layer_may(file: Path) -> None:
    module = _name(file)
    layer = _layer_of(module)
    imported = set(_imports(_parse(file), module))
    inner = {_layer_of(name) for name in imported if name == "app" or name.startswith("app.")} - {layer, ""}
    outer = {name.partition(".")[0] for name in imported} - {"app"} - sys.stdlib_module_names

    if layer in {*COMPOSITION, ""}:
        below = set(COMPOSITION[COMPOSITION.index(layer) + 1 :]) if layer else set()
        assert inner <= LAYERS.keys() | below, f"{layer} may import the layers, and {sorted(below)}"
        return
    assert layer in LAYERS, f"{module} belongs to no layer: give it a row in LAYERS and in docs/ARCHITECTURE.md"
    assert inner <= LAYERS[layer].layers, f"{layer} may import {sorted(LAYERS[layer].layers)} of the application"
    assert outer <= LAYERS[layer].packages, f"{layer} may import {sorted(LAYERS[layer].packages)} of others' packages"


def test_no_import_goes_in_a_circle() -> None:
    graph = {_name(file): {name for name in _imports(_parse(file), _name(file)) if name in NAMES} - {_name(file)} for file in MODULES}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        pytest.fail(f"these modules import one another: {' -> '.join(exc.args[1])}")


@pytest.mark.parametrize("file", MODULES, ids=_path)
def test_a_file_and_its_functions_are_short(file: Path) -> None:
    lines = len(file.read_text().splitlines())
    functions = [node for node in ast.walk(_parse(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name: length for node in functions if (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES}

    assert lines <= MAX_FILE_LINES
    assert not long


def _broad(kind: ast.expr | None) -> bool:
    """Say whether an `except` clause names nothing, or Exception or BaseException, alone or among others."""
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(each is None or (isinstance(each, ast.Name) and each.id in {"Exception", "BaseException"}) for each in kinds)


def _catches(tree: ast.AST, function: str = "module") -> Iterator[tuple[str, ast.ExceptHandler | ast.Call]]:
    """Yield each broad handler, and each `suppress` of a broad class, with the function that it stands in."""
    for node in ast.iter_child_nodes(tree):
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(node, ast.ExceptHandler) and _broad(node.type):
            yield inner, node
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress") and any(map(_broad, node.args)):
            yield inner, node
        yield from _catches(node, inner)


def _cleans_up(node: ast.AST) -> bool:
    return isinstance(node, ast.ExceptHandler) and isinstance(last := node.body[-1], ast.Raise) and last.exc is None


def _counts(node: ast.AST) -> bool:
    """Say whether a handler counts into FAULTS or raises an error of its own."""
    called = [ast.unparse(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    return raises or any(name.startswith("FAULTS.labels(") and name.endswith(").inc") for name in called)


@pytest.mark.parametrize("file", MODULES, ids=_path)
def test_a_broad_except_stands_only_where_it_is_allowed_and_counts_what_it_caught(file: Path) -> None:
    path = _path(file)
    caught = [(function, node) for function, node in _catches(_parse(file)) if not _cleans_up(node)]
    unlisted = [f"{function}, line {node.lineno}" for function, node in caught if (path, function) not in BROAD_EXCEPTS]
    silent = [f"{function}, line {node.lineno}" for function, node in caught if not _counts(node)]

    assert not unlisted
    assert not silent or path in COUNTED_ELSEWHERE


def test_every_exception_to_these_rules_is_still_needed() -> None:
    broad = {(_path(file), function) for file in MODULES for function, node in _catches(_parse(file)) if not _cleans_up(node)}

    assert set(BROAD_EXCEPTS) - broad == set()
    assert {path for path in UNMIRRORED if not (ROOT / path).exists()} == set()
    assert {path for path in UNMIRRORED if _mirror(ROOT / path).exists()} == set()


def _mirror(file: Path) -> Path:
    relative = file.relative_to(ROOT / "app")
    return ROOT / "tests/unit" / relative.with_name(f"test_{relative.name}")


@pytest.mark.parametrize("file", [file for file in MODULES if file.name != "__init__.py"], ids=_path)
def test_a_module_has_a_test_file_that_mirrors_it(file: Path) -> None:
    if not _mirror(file).exists() and _path(file) not in UNMIRRORED:
        pytest.fail(f"{_path(_mirror(file))} is missing")


def test_a_unit_test_file_mirrors_a_module() -> None:
    mirrors = {_mirror(file) for file in MODULES}

    assert {_path(file) for file in (ROOT / "tests/unit").rglob("test_*.py") if file not in mirrors} == set()


IMPORT_MAIN = """
import sys

import hyperscan

class NoCompiling(hyperscan.Database):
    def compile(self, *args, **kwargs):
        raise AssertionError("compiled at import")

hyperscan.Database = NoCompiling
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith(("socket.", "subprocess.", "os.posix_spawn", "os.fork")) else None)
import app.main
print(opened, sorted({"litellm", "chromadb", "numpy", "botocore", "openai", "tiktoken", "tokenizers"} & set(sys.modules)))
"""


def test_importing_the_application_opens_nothing_and_loads_no_heavy_library() -> None:
    result = subprocess.run([sys.executable, "-c", IMPORT_MAIN], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[-2] == "[] []"
