from __future__ import annotations

from app.domain import Deployment, Label, LaneName
from app.domain_attempts import UNLIMITED, AttemptPolicy, FailureClass


def test_a_refusal_of_content_leads_to_no_other_deployment_unless_the_operator_says_so() -> None:
    assert set(FailureClass) - AttemptPolicy().fallback_on == {FailureClass.CONTENT_REFUSED}


def test_a_deployment_has_no_limits_of_its_own_unless_the_operator_sets_them() -> None:
    found = Deployment(name="a", provider="openai", model="a", lane=LaneName.RELAY, clearance=Label.INTERNAL)

    assert found.limits == UNLIMITED
    assert UNLIMITED.requests_per_minute is UNLIMITED.tokens_per_minute is None
