"""The grammar that docs/routing.md shows is the grammar that is read."""

from __future__ import annotations

import re
from pathlib import Path

from app.config.complexity import _KEYS as COMPLEXITY_KEYS
from app.config.hours import HOUR_KEYS
from app.config.rules import _CONDITIONS
from app.config.sections import _DEPLOYMENT
from app.domain_routing import Choice
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration

PAGE = Path(__file__).parents[1] / "docs/routing.md"


def test_the_example_loads_without_a_fault(tmp_path: Path) -> None:
    example = re.search(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert example is not None
    (tmp_path / "gateway.yaml").write_text(example[1])

    _, assembled = load_configuration(
        tmp_path / "gateway.yaml", {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "OLLAMA_BASE_URL": "http://127.0.0.1:1"}, load_catalog()
    )

    assert set(assembled.table.deployments) == {"mini", "big", "sonnet", "llama"}
    assert [warning for warning in assembled.warnings if "images" not in warning] == []


def test_every_provider_of_the_table_loads_by_the_variables_beside_it(tmp_path: Path) -> None:
    table = re.search(r"^## Providers\n(.*?)^## ", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert table is not None
    rows = re.findall(r"^\| [^|`]+ \| `([^|`]+)` \| ([^|]*) \|$", table[1], re.MULTILINE)
    config = "\n  ".join(["deployments:", *(line for line, _ in rows)]) + "\nrules: [{use: llama}]\n"
    (tmp_path / "gateway.yaml").write_text(config)
    variables = re.findall(r"`([A-Z_]+)`", "".join(told for _, told in rows))

    _, unset = load_configuration(tmp_path / "gateway.yaml", {}, load_catalog())
    _, every = load_configuration(tmp_path / "gateway.yaml", dict.fromkeys(variables, "k"), load_catalog())

    assert len(every.table.deployments) == len(rows) == 9
    assert {name: why.split()[0] in variables for name, why in unset.table.inactive.items()} == {
        line.split(":")[0]: True for line, told in rows if re.search("`[A-Z]", told)
    }


def test_every_key_of_a_deployment_is_told() -> None:
    told = PAGE.read_text() + (PAGE.parents[1] / "config/gateway.yaml").read_text()

    assert {key for key in _DEPLOYMENT if not re.search(rf"\b{key}\b", told)} == set()


def test_every_example_of_a_clause_loads(tmp_path: Path) -> None:
    examples = re.findall(r"^\| `[^|]*\|[^|]*\| `(\{.*\})` \|$", PAGE.read_text(), re.MULTILINE)
    rules = "\n".join(f"  - {{when: {example}, use: home}}" for example in examples)
    (tmp_path / "gateway.yaml").write_text(f"""
deployments:
  home: {{model: openai/gpt-4o, api_base: "http://127.0.0.1:9/v1", clearance: confidential}}
rules:
{rules}
  - {{use: home}}
""")

    _, assembled = load_configuration(tmp_path / "gateway.yaml", {}, load_catalog())

    told = {word for example in examples for word in re.findall(r"[{,] ?(\w+):", example)}
    assert told == {*_CONDITIONS, *HOUR_KEYS}
    assert len(assembled.table.rules) == len(examples) + 1


def test_every_clause_choice_and_key_has_its_row() -> None:
    cells = re.findall(r"^\| (`[^|]*`) \|", PAGE.read_text(), re.MULTILINE)
    words = {word for cell in cells for word in re.findall(r"`([\w-]+)`", cell)}
    nested = {"bounds", "window"}  # told in the row of target_share

    assert {*_CONDITIONS, *HOUR_KEYS, *Choice, *COMPLEXITY_KEYS} - nested <= words
