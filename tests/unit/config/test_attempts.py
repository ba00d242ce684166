from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from app.config.gateway_file import load_gateway_file, read_gateway_file
from app.domain_attempts import FALLBACK_ON, AttemptPolicy, BreakerPolicy, DeploymentLimits, FailureClass

if TYPE_CHECKING:
    from pathlib import Path

    from app.config.specs import GatewayFile

HEAD = """
deployments:
  a: {model: openai/gpt, api_key: k%s}
  b: {model: openai/gpt, api_key: k}
pools: {cheap: [a, b]}
rules: [{use: cheap}]
"""


def load(folder: Path, section: str = "", deployment: str = "") -> GatewayFile:
    return load_gateway_file(written(folder, section, deployment), {})


def written(folder: Path, section: str, deployment: str = "") -> Path:
    path = folder / "gateway.yaml"
    path.write_text(HEAD % deployment + textwrap.dedent(section))
    return path


def complaint(folder: Path, section: str, deployment: str = "") -> str:
    _, faults = read_gateway_file(written(folder, section, deployment), {})
    assert len(faults) == 1, faults
    return str(faults[0])


def test_without_the_section_the_policy_is_the_default(tmp_path: Path) -> None:
    file = load(tmp_path)

    assert file.attempts == AttemptPolicy()
    assert file.attempts.fallback_on == FALLBACK_ON
    assert FailureClass.CONTENT_REFUSED not in file.attempts.fallback_on


def test_every_key_is_taken(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        """
        attempts:
          fallback_on: [unavailable, content_refused]
          retries: 0
          wait_s: 0
          breaker: {failures: 5, rate: 0.25, calls: 40, window_s: 30, cooldown_s: 2.5, longest_s: 10}
        """,
    )

    listed = frozenset({FailureClass.UNAVAILABLE, FailureClass.CONTENT_REFUSED})
    assert file.attempts == AttemptPolicy(listed, 0, 0, BreakerPolicy(5, 0.25, 40, 30, 2.5, 10))


def test_an_empty_list_leads_nowhere_else(tmp_path: Path) -> None:
    assert load(tmp_path, "attempts: {fallback_on: []}").attempts.fallback_on == frozenset()


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("attempts: {fallback_on: [unavailble]}", 'did you mean "unavailable"'),
        ("attempts: {retry: 1}", "retry"),
        ("attempts: {retries: 11}", "at most 10"),
        ("attempts: {retries: -1}", "at least 0"),
        ("attempts: {wait_s: soon}", "a number"),
        ("attempts: {breaker: {failures: 0}}", "at least 1"),
        ("attempts: {breaker: {rate: 0}}", "a share of calls"),
        ("attempts: {breaker: {rate: 50}}", "a share of calls"),
        ("attempts: {breaker: {window_s: 0}}", "more than 0"),
        ("attempts: {breaker: {cooldown_s: 90}}", "longest_s (60) is less than cooldown_s (90)"),
        ("attempts: {breaker: {trips: 3}}", "trips"),
        ("attempts: 3", "attempts"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_line(tmp_path: Path, section: str, says: str) -> None:
    said = complaint(tmp_path, section)

    assert says in said
    assert "gateway.yaml:7" in said


def test_a_deployment_has_limits_of_its_own(tmp_path: Path) -> None:
    deployments = load(tmp_path, deployment=", limits: {requests_per_minute: 60, tokens_per_minute: 90000}").deployments

    assert deployments["a"].limits == DeploymentLimits(60, 90000)
    assert deployments["b"].limits == DeploymentLimits()


@pytest.mark.parametrize(
    ("limits", "says"), [("{}", "is empty"), ("{requests_per_minute: 0}", "at least 1"), ("{rpm: 5}", "rpm"), ("{tokens_per_minute: many}", "whole number")]
)
def test_limits_that_are_none_are_refused(tmp_path: Path, limits: str, says: str) -> None:
    assert says in complaint(tmp_path, "", f", limits: {limits}")


def test_a_pool_may_hedge(tmp_path: Path) -> None:
    section = "\nmore: 1"
    path = written(tmp_path, "")
    path.write_text(path.read_text().replace("cheap: [a, b]", "cheap: {members: [a, b], hedge: true}"))

    assert load_gateway_file(path, {}).pools["cheap"].hedge
    assert "more" in complaint(tmp_path, section)


def test_a_pool_of_one_cannot_hedge(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_text(path.read_text().replace("cheap: [a, b]", "cheap: {members: [a], hedge: true}"))

    _, faults = read_gateway_file(path, {})

    assert "hedge has no effect" in str(faults[0])
