from __future__ import annotations

from app.config.specs import DeploymentSpec, GatewayFile
from app.domain import Label


def test_a_key_that_is_not_written_stands_on_the_deployments_line() -> None:
    spec = DeploymentSpec("a", 3, "openai", "a", Label.INTERNAL, lines={"model": 4})

    assert (spec.line_of("model"), spec.line_of("api_base")) == (4, 3)


def test_a_fault_of_a_file_has_its_path() -> None:
    assert str(GatewayFile("g.yaml", {}, {}, ()).fault(2, "no")) == "g.yaml:2: no"
