"""schemathesis against the OpenAPI: whatever fits the description is answered as described, and never by a 5xx."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from relevance.online import Scorer
from relevance.service.app import create_app
from tests.relevance.services import memory_store, parts_of, tiny_student
from tests.relevance.students import WordEncoder

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (pip install -e '.[dev]')")
OPERATIONS = (
    *(("POST", path) for path in ("/score", "/rank", "/explain", "/inspect", "/teacher")),
    *(("GET", path) for path in ("/pins/{pin_id}", "/pins/{pin_id}/image", "/healthz", "/readyz", "/metrics")),
)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    scorer = Scorer(tiny_student(tmp_path_factory.mktemp("m")), memory_store(), WordEncoder())
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(parts_of(scorer)))


def test_no_operation_is_left_out(api):
    described = {(one.ok().method.upper(), one.ok().path) for one in api.get_all_operations()}
    assert described == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
def test_every_answer_is_as_described_and_none_is_a_5xx(api, method, path):
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

    @given(case=api[path][method].as_strategy())
    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def answered(case):
        case.call_and_validate(checks=checks)

    answered()
