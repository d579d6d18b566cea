"""schemathesis against the OpenAPI: whatever fits the description, or nearly, is answered as described, never a 5xx."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from relevance.online import Scorer
from relevance.service.app import create_app
from tests.relevance.services import memory_store, parts_of, tiny_student
from tests.relevance.students import WordEncoder

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (pip install -e '.[dev]')")
checks = pytest.importorskip("schemathesis.checks")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    scorer = Scorer(tiny_student(tmp_path_factory.mktemp("m")), memory_store(), WordEncoder())
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(parts_of(scorer)))


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described_and_none_is_a_5xx(case):
    case.call_and_validate(
        checks=[
            checks.not_a_server_error,
            schemathesis.specs.openapi.checks.status_code_conformance,
            schemathesis.specs.openapi.checks.content_type_conformance,
            schemathesis.specs.openapi.checks.response_schema_conformance,
        ]
    )
