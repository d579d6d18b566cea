"""The definitions say what the tables declare, and the plain Feast commands work on them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from feast import FeatureStore
from redis_server import RedisServer
from table_rows import day, write_rows

from enrich.serving import PIN_INPUTS, QUERY_INPUTS
from enrich.tables import ENRICHED, PIN_BOARDS, PIN_SERVING, PIN_TEXT, Kind
from enrich.workspace import ENVIRONMENT_VARIABLE, FEATURE_REPO, REPOSITORY, Catalogue, Workspace
from relevance.feature_store import apply, materialize, open_store, quiet
from relevance.serving.lookup import OnlineFeatures

JOIN_KEYS = {"pin": "pin_id", "query": "query"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    workspace = Workspace.at(tmp_path_factory.mktemp("definitions") / "workspace")
    workspace.create(Catalogue("native", "inline"))
    assert "scoring_v1" in apply(workspace)
    assert apply(workspace) == []
    return open_store(workspace)


def test_every_enriched_table_is_a_view_of_its_columns_keys_and_time_to_live(store: FeatureStore):
    views = {view.name: view for view in store.list_feature_views()}
    assert set(views) == {table.name for table in ENRICHED}
    for table in ENRICHED:
        view = views[table.name]
        assert [JOIN_KEYS[entity] for entity in view.entities] == list(table.key)
        assert {f.name: f.description for f in view.features} == {c.name: c.description for c in table.features}
        assert view.ttl == table.ttl
        assert view.online == (table.kind is not Kind.LABEL)
        assert view.owner and view.tags["kind"] == table.kind.value and view.description == table.description
        source = view.batch_source
        assert (source.timestamp_field, source.created_timestamp_column) == ("event_timestamp", "created_timestamp")
        assert Path(source.path).is_absolute()


def test_only_what_the_log_said_expires():
    expiring = {table.name for table in ENRICHED if table.ttl}
    assert expiring == {"pin_queries", "pin_engagement", "query_features", "query_pin_engagement"}
    assert {table.ttl for table in ENRICHED} == {timedelta(0), timedelta(days=1095)}


def test_scoring_reads_packed_what_the_student_learns_from(store: FeatureStore):
    services = {
        service.name: {p.name: {f.name for f in p.features} for p in service.feature_view_projections}
        for service in store.list_feature_services()
    }
    assert set(services) == {"teacher_v1", "student_v1", "scoring_v1"}
    assert services["scoring_v1"] == {"pin_serving": {"payload"}, "query_serving": {"payload"}}
    assert set(services["student_v1"]) == {table.name for table in (*PIN_INPUTS, *QUERY_INPUTS)}
    assert services["teacher_v1"].items() <= services["student_v1"].items()


def test_the_default_configuration_is_a_workspaces_but_for_its_paths(workspace: Workspace):
    default = (FEATURE_REPO / "feature_store.yaml").read_text()
    default = re.sub(r"\.\./data/workspace/(\S+)", rf'"{workspace.root}/\1"', default)
    settings = [
        [line.split("#")[0].rstrip() for line in text.splitlines() if line.split("#")[0].strip()]
        for text in (default, workspace.feature_store_yaml.read_text())
    ]
    assert settings[0] == settings[1]


def test_the_on_demand_view_says_how_a_request_meets_a_pin(store: FeatureStore, workspace: Workspace):
    assert [view.name for view in store.list_on_demand_feature_views()] == ["query_pin_match"]
    write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": "Red shoes", "event_timestamp": day(1)})
    write_rows(
        workspace, PIN_BOARDS, {"pin_id": "a", "board_titles": ["My shoes", "été", "黑猫"], "event_timestamp": day(1)}
    )
    apply(workspace)
    own, names = open_store(workspace), ("title_share", "caption_share", "boards_share")
    with quiet():
        own.materialize(day(0), day(2), feature_views=["pin_text", "pin_boards", "pin_caption"])
        asked = {"a": ("Red ETE", "猫"), "unseen": ("red",)}
        rows = [{"pin_id": pin, "query_text": query} for pin, queries in asked.items() for query in queries]
        found = own.get_online_features([f"query_pin_match:{name}" for name in names], rows).to_dict()
    assert [found[name] for name in names] == [[0.5, 0.0, 0.0], [0.0] * 3, [0.5, 1.0, 0.0]]


def test_production_differs_by_configuration_alone(
    workspace: Workspace, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CORKBOARD_REDIS", redis.address)
    monkeypatch.setenv("CORKBOARD_REGISTRY", f"sqlite:///{workspace.root}/registry.sqlite")
    workspace.feature_store_yaml.write_text((FEATURE_REPO / "production" / "redis.yaml").read_text())
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"packed", "event_timestamp": day(2)})
    materialize(workspace)
    assert OnlineFeatures.open(workspace).pins(["a", "b"]) == [b"packed", None]
    assert (workspace.root / "registry.sqlite").is_file() and not (workspace.root / "registry.db").exists()


@pytest.mark.parametrize("name", ["redis", "spark"])
def test_production_settings_are_the_defaults_where_they_need_not_differ(name: str):
    default = yaml.safe_load((FEATURE_REPO / "feature_store.yaml").read_text())
    production = yaml.safe_load((FEATURE_REPO / "production" / f"{name}.yaml").read_text())
    same = ("project", "provider", "materialization", "entity_key_serialization_version")
    assert [production[key] for key in same] == [default[key] for key in same]
    assert production["registry"]["serve_features_while_materializing"] is True


def feast(workspace: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command, from the project's root."""
    program = Path(sys.executable).with_name("feast")
    command = [program, "-c", FEATURE_REPO, "-f", workspace.feature_store_yaml, *arguments]
    environment = {**os.environ, ENVIRONMENT_VARIABLE: str(workspace.root)}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_the_plain_commands_work_where_most_tables_have_no_rows(workspace: Workspace):
    write_rows(workspace, PIN_TEXT, {"pin_id": "a", "title": "Red shoes", "event_timestamp": day(1)})
    write_rows(workspace, PIN_SERVING, {"pin_id": "a", "payload": b"packed", "event_timestamp": day(2)})
    applied = feast(workspace, "apply")
    assert applied.returncode == 0, applied.stderr
    assert "pin_serving" in applied.stdout and "Could not validate" not in applied.stderr
    loaded = feast(workspace, "materialize", "1970-01-01T00:00:00", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}")
    assert loaded.returncode == 0, loaded.stderr
    assert OnlineFeatures.open(workspace).pins(["a", "b"]) == [b"packed", None]
    online = open_store(workspace).get_online_features(["pin_text:title"], [{"pin_id": "a"}, {"pin_id": "b"}])
    assert online.to_dict()["title"] == ["Red shoes", None]
