"""compose.yaml starts commands that there are, with settings that hold. (Docker itself is not needed here.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # comes with pre-commit

from monitor.cli import app
from monitor.config import in_force
from monitor.events import salt_of

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "kafka"}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """As Docker gives it where the variables of the shell are not set."""
    return {name: "" if text.startswith("${") else text for name, text in service["environment"].items()}


def test_the_ward_is_whole() -> None:
    assert sorted(service["command"][1] for service in OURS.values()) == ["record", "source", "worker", "worker"]


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_a_command_with_its_options(name: str) -> None:
    program, command, *options = OURS[name]["command"]
    assert program == "vigil"
    group = typer.main.get_command(app)
    found = group.get_command(typer.Context(group), command)  # type: ignore[attr-defined]
    assert found is not None
    found.make_context(command, list(options))  # refuses an option that there is not


@pytest.mark.parametrize("name", OURS)
def test_its_settings_hold(name: str) -> None:
    said = environment(OURS[name])
    keys = in_force(environment=said).keys
    assert keys.broker.url == "kafka://kafka:9092" and keys.log.json
    assert keys.metrics.host == "127.0.0.1" and f"127.0.0.1:{keys.metrics.port}/healthz" in str(
        OURS[name]["healthcheck"]
    )
    assert salt_of(keys.log, said)


def test_kafka_is_the_version_of_the_tests() -> None:
    version = SERVICES["kafka"]["image"].rpartition(":")[2]
    assert (
        f"<artifactId>kafka_2.13</artifactId>\n      <version>{version}</version>"
        in (ROOT / "tests" / "kafka" / "pom.xml").read_text()
    )


def test_nothing_is_published() -> None:
    assert not [name for name, service in SERVICES.items() if "ports" in service]
