"""What stands around the code is true of the code: lock files, image, Compose file, dashboards, CI, Makefile and documents."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from app.routers.chat_openapi import CHAT_OPERATION
from app.utils import monitoring

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "config/prometheus.yml").read_text())
DASHBOARDS = sorted((ROOT / "config/grafana/dashboards").glob("*.json"))
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def _named(source: str) -> set[str]:
    lines = (ROOT / "requirements" / source).read_text().splitlines()
    return {re.split(r"[=<>;\[ ]", line)[0] for line in lines if line and not line.startswith(("#", "-"))}


def _pins(output: str) -> set[tuple[str, str]]:
    """Return what a lock file pins; a package may have two versions, for two Pythons."""
    return set(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / output).read_text(), re.MULTILINE))


def _sections() -> dict[str, set[str]]:
    """Return the packages of each table of docs/dependencies.md, by the list that its heading names."""
    parts = re.split(r"^## .*`requirements/(\w+\.in)`.*$", (ROOT / "docs/dependencies.md").read_text(), flags=re.MULTILINE)
    return {source: set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)) for source, text in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("source", sorted(path.name for path in (ROOT / "requirements").glob("*.in")))
def test_every_dependency_has_its_line_in_the_documents(source: str) -> None:
    assert _sections()[source] == _named(source)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("runtime.in", "requirements.txt"),
        ("dev.in", "requirements-dev.txt"),
        ("clients.in", "requirements-clients.txt"),
        ("bench.in", "requirements-bench.txt"),
    ],
)
def test_every_dependency_is_locked_with_hashes(source: str, output: str) -> None:
    pins = _pins(output)
    blocks = re.split(r"^(?=[a-z0-9._-]+==)", (ROOT / output).read_text(), flags=re.MULTILINE)[1:]

    assert {name.lower() for name in _named(source)} <= {name for name, _ in pins}
    assert len(blocks) == len(pins)
    assert all("--hash=sha256:" in block for block in blocks)


def test_tests_run_on_the_versions_that_the_gateway_runs_on() -> None:
    assert _pins("requirements.txt") <= _pins("requirements-dev.txt")


def test_litellm_is_pinned_exactly_in_the_input() -> None:
    assert "litellm==" in (ROOT / "requirements/runtime.in").read_text()


def test_every_make_target_is_phony_and_says_what_it_is_for() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    help_text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert phony is not None
    assert set(phony[1].split()) == TARGETS
    assert all(f"make {target} " in help_text for target in TARGETS)


@pytest.mark.parametrize("file", [*DOCUMENTS, ROOT / ".ci/run", ROOT / ".github/workflows/ci.yml", ROOT / ".pre-commit-config.yaml"], ids=str)
def test_every_make_command_that_is_written_down_exists(file: Path) -> None:
    written = set(re.findall(r"(?:^|`|run: |entry: |    )make ([a-z-]+)", file.read_text(), re.MULTILINE))

    assert written <= TARGETS


def test_every_script_that_make_calls_exists() -> None:
    called = set(re.findall(r"\b(?:scripts|benchmarks)/[\w/.-]+", MAKEFILE))

    assert called
    assert {name for name in called if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize(("shell", "script"), [("sh", "scripts/bootstrap.sh"), ("bash", ".ci/run")])
def test_a_shell_script_parses(shell: str, script: str) -> None:
    subprocess.run([shell, "-n", script], cwd=ROOT, check=True)


def test_ci_calls_the_command_that_a_person_calls() -> None:
    last = (ROOT / ".ci/run").read_text().strip().splitlines()[-1]

    assert last == "make test"
    assert os.access(ROOT / ".ci/run", os.X_OK)


def _instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [(line.split()[0], line.split(None, 1)[1]) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_copies_what_exists_and_what_dockerignore_lets_in() -> None:
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [value.split()[0] for name, value in _instructions() if name == "COPY" and not value.startswith("--from")]

    assert copied
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    assert {name for name in copied if name.split("/")[0] not in admitted} == set()


def test_the_image_serves_as_an_ordinary_user_and_holds_no_secret() -> None:
    final = _instructions()[max(index for index, (name, _) in enumerate(_instructions()) if name == "FROM") :]
    values = dict(final)

    assert values["USER"] == "10001:10001"
    assert json.loads(values["CMD"]) == ["python", "-m", "app", "serve"]
    assert not re.search(r"(?i)(key|secret|password|token)\w*=", " ".join(value for name, value in final if name in {"ENV", "ARG"}))


class _Health(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def health_server() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_of_the_image_tells_health_from_its_lack(
    health_server: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch, status: int, *, healthy: bool
) -> None:
    monkeypatch.setattr(_Health, "status", status)
    command = json.loads(dict(_instructions())["HEALTHCHECK"].split("CMD ", 1)[1])
    environment = os.environ | {"PORT": str(health_server.server_port), "http_proxy": "http://127.0.0.1:1"}

    result = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, timeout=30, check=False)

    assert (result.returncode == 0) is healthy


def test_every_file_that_compose_mounts_exists() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    places = {volume.split(":")[0] for volume in mounts}

    assert {place for place in places if place.startswith(".") and not (ROOT / place).exists()} == set()
    assert {place for place in places if not place.startswith(".")} == COMPOSE["volumes"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_a_fixed_version_and_is_published_to_this_machine_alone(name: str) -> None:
    service = SERVICES[name]
    tag = service["image"].partition(":")[2]

    assert re.search(r"\d+\.\d+", tag), "an image without a version is another one tomorrow"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_services_that_can_say_that_they_are_ready(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})

    for other, wait in waits.items():
        assert wait["condition"] == "service_healthy"
        assert "healthcheck" in SERVICES[other] or "build" in SERVICES[other], "the gateway's check is in its image"


def test_what_is_secret_comes_from_the_environment_and_is_asked_for_in_a_sentence() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?[^}]{20,}\}", text))
    example = (ROOT / ".env.example").read_text()

    assert required == set(re.findall(r"\$\{(\w+)", text))
    assert {secret["environment"] for secret in COMPOSE["secrets"].values()} <= required
    assert {name for name in required if name not in example} == set()


def test_neither_prompts_nor_cached_answers_reach_a_disk_of_their_own_accord() -> None:
    gateway, redis = SERVICES["gateway"], SERVICES["redis"]
    arguments = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))

    assert gateway["ulimits"]["core"] == redis["ulimits"]["core"] == 0
    assert gateway["read_only"]
    assert (arguments["--save"], arguments["--appendonly"]) == ("", "no")
    assert "ports" not in redis
    assert SERVICES["ollama"]["environment"]["OLLAMA_NO_CLOUD"] == "1"


def test_compose_pulls_the_model_that_the_configuration_names() -> None:
    deployments = yaml.safe_load((ROOT / "config/gateway.yaml").read_text())["deployments"].values()
    models = {deployment["model"].partition("/")[2] for deployment in deployments if deployment["model"].startswith("ollama")}

    assert models == {SERVICES["ollama-pull"]["entrypoint"][-1]}


def test_prometheus_reads_the_gateway_with_the_key_that_compose_gives_both() -> None:
    (job,) = PROMETHEUS["scrape_configs"]
    key = Path(job["authorization"]["credentials_file"])
    environment = SERVICES["gateway"]["environment"]

    assert job["static_configs"][0]["targets"] == [f"gateway:{environment['PORT']}"]
    assert SERVICES["prometheus"]["secrets"] == [key.name]
    assert key.parent == Path("/run/secrets")
    assert f"prometheus:public:${{{COMPOSE['secrets'][key.name]['environment']}:?" in environment["GATEWAY_API_KEYS"]


def test_grafana_asks_the_prometheus_of_the_compose_file() -> None:
    provisioned = yaml.safe_load((ROOT / "config/grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    asked = {target["datasource"]["uid"] for dashboard in DASHBOARDS for panel in _panels(dashboard) for target in panel["targets"]}

    assert [source["url"] for source in provisioned] == ["http://prometheus:9090"]
    assert {source["uid"] for source in provisioned} == asked


def _panels(dashboard: Path) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"]


def _samples() -> dict[str, set[str]]:
    """Return every sample that /metrics can show, with its label names."""
    samples: dict[str, set[str]] = {}
    for metric in vars(monitoring).values():
        if isinstance(metric, MetricWrapperBase):
            labels = set(metric._labelnames)
            (family,) = metric.describe()
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
            samples |= {family.name + suffix: labels | ({"le"} if suffix == "_bucket" else set()) for suffix in suffixes}
    return samples


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_asks_only_for_metrics_and_labels_that_exist(dashboard: Path) -> None:
    samples = _samples()
    expressions = [target["expr"] for panel in _panels(dashboard) for target in panel["targets"]]

    assert expressions
    for expression in expressions:
        names = set(re.findall(r"\bsluice_\w+", expression))
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
        matched = set(re.findall(r"[{,](\w+)[!=]~?=?", expression))
        assert names
        assert names <= samples.keys(), expression
        assert grouped | matched <= set().union(*(samples[name] for name in names)), expression


def test_the_dashboard_shows_every_metric() -> None:
    shown = " ".join(target["expr"] for dashboard in DASHBOARDS for panel in _panels(dashboard) for target in panel["targets"])

    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in _samples()}
    assert {name for name in families if name not in shown} == set()


def test_the_workflow_runs_every_supported_python_and_only_actions_of_a_fixed_commit() -> None:
    matrix = WORKFLOW["jobs"]["check"]["strategy"]["matrix"]["python"]
    supported = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    actions = [step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step]

    assert supported is not None
    assert matrix == [f"3.{minor}" for minor in range(int(supported[1]), int(supported[2]))]
    assert all(re.search(r"@[0-9a-f]{40}$", action) for action in actions)


def _anchors(document: Path) -> set[str]:
    """Return the anchors that a Markdown page's headings get: lower case, spaces to hyphens, punctuation gone."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_between_documents_resolves(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL))

    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_the_decision_records_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs/adr").glob("*.md"))

    assert numbers == list(range(1, len(numbers) + 1))


def test_the_operations_page_lists_every_metric_with_its_labels() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    listed = {name: set(filter(None, labels.strip().split(", "))) for name, labels in re.findall(r"^\| `(sluice_\w+)` \|([^|]*)\|", text, re.MULTILINE)}
    samples = {re.sub(r"_(bucket|count|sum)$", "", name): labels - {"le"} for name, labels in _samples().items()}

    assert listed == samples


def test_the_operations_page_lists_every_error_code_but_openais_own_for_parameters() -> None:
    section = re.search(r"^## Errors\n(.*?)^## ", (ROOT / "docs/operations.md").read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    sources = [path.read_text() for path in (ROOT / "app").rglob("*.py")]
    codes = {code for source in sources for code in re.findall(r'\bcode ?= ?"([a-z_]+)"', source)}
    parameters = {"invalid_value", "invalid_type", "missing_required_parameter", "empty_array", "array_above_max_length"}
    bases = {"forbidden", "not_found", "conflict", "unavailable"}  # each is raised with a code of its own

    assert codes - parameters - bases - set(re.findall(r"`([a-z_]+)`", section[1])) == set()


def test_the_api_describes_every_header_that_the_readme_tells_callers_to_send() -> None:
    rows = re.search(r"^\| what you can say .*?\n\n", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert rows is not None
    told = set(re.findall(r"header `([A-Za-z-]+)", rows[0]))

    assert "X-Timeout" in told
    assert told <= {parameter["name"] for parameter in CHAT_OPERATION["parameters"]}


def test_a_copy_of_env_example_takes_nothing_from_what_the_image_needs() -> None:
    needed = dict(pair.split("=", 1) for name, value in _instructions() if name == "ENV" for pair in value.split())
    copied = dict(line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#"))
    command = re.search(r"^docker run .*$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert command is not None

    at_risk = {f"{name}={value}" for name, value in needed.items() if copied.get(name, value) != value}

    assert at_risk
    assert at_risk <= set(re.findall(r"-e (\S+)", command[0]))
    assert at_risk <= {f"{name}={value}" for name, value in COMPOSE["services"]["gateway"]["environment"].items()}


def test_the_operations_page_names_every_variable_that_compose_asks_for() -> None:
    text = (ROOT / "docs/operations.md").read_text()

    assert {name for name in re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()) if f"`{name}`" not in text} == set()
