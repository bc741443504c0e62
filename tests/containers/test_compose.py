"""The compose file: valid, without a default secret; its services work together and take over from one another.

The services run from the built image with the environment and the volumes that the file gives. What one machine
cannot give is put in: a port of its own for each container and for PostgreSQL.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app import __version__
from tests.containers import compose
from tests.containers.container import Container
from tests.containers.image import Image
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.servers.postgres import Postgres
from tests.service import Client, digests, digests_of

SECRETS = {
    "POSTGRES_PASSWORD": "a pass/word @ with: signs",
    "MAILDELTA_SECRET_KEY": "a-secret-key-of-the-tests",
    "MAILDELTA_API_KEY": "an-api-key-of-the-tests",
}
OURS = ("api", "worker-1", "worker-2")
FURTHER_SETTINGS = {
    "MAILDELTA_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
    "MAILDELTA_LEASE_SECONDS": "3",
    "MAILDELTA_TICK_SECONDS": "0.5",
    "MAILDELTA_BATCH_MESSAGES": "5",
}


def test_the_file_is_valid_by_the_schema_of_compose() -> None:
    program = str(Path(sys.executable).parent / "check-jsonschema")
    command = [program, "--builtin-schema", "vendor.compose-spec", str(compose.FILE)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("missing", SECRETS)
def test_nothing_starts_without_each_secret(missing: str) -> None:
    with pytest.raises(compose.VariableMissing, match=f"set {missing}"):
        compose.services(SECRETS | {missing: ""})


def test_no_secret_stands_in_the_file() -> None:
    services = compose.services(SECRETS)
    for name in OURS:
        environment = services[name].environment
        assert environment["PGPASSWORD"] == services["postgres"].environment["POSTGRES_PASSWORD"]
        assert {environment["MAILDELTA_SECRET_KEY"], environment["MAILDELTA_API_KEY"]} < set(SECRETS.values())
    assert not [value for value in SECRETS.values() if value in compose.FILE.read_text()]


def test_api_and_workers_have_names_of_their_own_that_stay() -> None:
    services = compose.services(SECRETS)
    assert [services[name].environment["MAILDELTA_ROLE"] for name in OURS] == ["api", "worker", "worker"]
    assert [services[name].environment["MAILDELTA_EXECUTOR_ID"] for name in OURS] == list(OURS)
    assert not [name for name in OURS if {"deploy", "scale"} & set(services[name].declared)]


def test_every_service_comes_back_after_a_failure_and_waits_for_the_database() -> None:
    services = compose.services(SECRETS)
    for service in services.values():
        assert service.declared["restart"] == "unless-stopped", service.name
    for name in OURS:
        declared = services[name].declared
        assert declared["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert "healthcheck" not in declared, "the image has one"
        assert declared["image"] == f"maildelta:{__version__}"
    assert services["postgres"].declared["healthcheck"]["test"][0] == "CMD"


def test_containers_have_no_more_rights_than_they_need() -> None:
    services = compose.services(SECRETS)
    for name in OURS:
        declared = services[name].declared
        assert (declared["read_only"], declared["cap_drop"]) == (True, ["ALL"])
        assert declared["security_opt"] == ["no-new-privileges:true"]
        assert set(services[name].volumes) == {"/data", "/tmp"}
    assert services["api"].declared["ports"] == ["127.0.0.1:8000:8000"]
    assert not [name for name in ("worker-1", "worker-2", "postgres") if "ports" in services[name].declared]
    assert services["postgres"].declared["networks"] == ["database"]


@dataclass(frozen=True)
class Composed:
    """What runs."""

    postgres: Postgres
    containers: dict[str, Container]

    def worker_of(self, sync_id: str) -> str | None:
        """Who has a running sync."""
        with psycopg.connect(self.postgres.url("maildelta"), password=SECRETS["POSTGRES_PASSWORD"]) as db:
            query = "SELECT worker FROM syncs WHERE id = %s AND status = 'running'"
            row = db.execute(query, (int(sync_id.removeprefix("syn_")),)).fetchone()
        return row[0] if row else None


@pytest.fixture
def composed(image: Image, tmp_path: Path) -> Iterator[Composed]:
    """The services of the file, started by hand."""
    (tmp_path / "maildelta.env").write_text("".join(f"{k}={v}\n" for k, v in FURTHER_SETTINGS.items()))
    services = compose.services(SECRETS, env_files=tmp_path)
    with Postgres.start() as postgres, ExitStack() as running:
        _demand_password(postgres, services["postgres"].environment)
        containers = {
            name: Container(
                image,
                tmp_path / name,
                environment={**services[name].environment, "PGPORT": str(postgres.port)},
                volumes={at: tmp_path / "volumes" / volume for at, volume in services[name].volumes.items()},
                hosts={"postgres": postgres.host},
            )
            for name in OURS
        }
        for container in containers.values():  # together, as compose does: one of them migrates
            running.enter_context(container.started())
        for container in containers.values():
            container.wait_until_ready()
        yield Composed(postgres, containers)


def _demand_password(postgres: Postgres, declared: Any) -> None:
    """What PostgreSQL's image does with its variables: a user, a database, and no entry to it without the password."""
    assert declared["POSTGRES_USER"] == "maildelta", "the owner of the test's cluster"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {declared['POSTGRES_DB']}".encode())
        db.execute(f"ALTER ROLE maildelta PASSWORD '{declared['POSTGRES_PASSWORD']}'".encode())
        access = db.execute("SHOW hba_file").fetchone()
        assert access
        lines = "('host maildelta all 127.0.0.1/32 scram-sha-256'), ('host postgres all 127.0.0.1/32 trust')"
        db.execute(f"COPY (VALUES {lines}) TO '{access[0]}'".encode())
        db.execute("SELECT pg_reload_conf()")


async def test_a_sync_asked_for_at_the_api_is_done_by_a_worker_and_taken_over_when_that_is_killed(
    composed: Composed, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    api = composed.containers["api"]
    sent = list(sample_messages(1_500, seed=61, mean_octets=12_000))
    maildrop.maildir.deliver_many(sent)
    headers = {"Authorization": f"Bearer {SECRETS['MAILDELTA_API_KEY']}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=30, trust_env=False) as http:
        client = Client(http)
        mailbox_id = await client.register(maildrop, dovecot_server)
        sync_id = (await http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]

        killed = await _worker_at_work(composed, sync_id)
        other = next(name for name in ("worker-1", "worker-2") if name != killed)
        composed.containers[killed].kill()

        assert (await client.ended(sync_id))["status"] == "succeeded"
        assert f'"sync_id":"{sync_id}"' in composed.containers[other].log.replace(": ", ":")
        messages, _cursor = await client.feed()
        assert digests(messages) == digests_of(as_served(raw) for raw in sent)

        with composed.containers[killed].running():
            assert composed.containers[killed].healthy()
            report = (await client.sync(mailbox_id))["report"]
            assert (report["known"], report["new"]) == (1_500, 0)
            assert composed.containers[killed].stop().took_seconds < 10


async def _worker_at_work(composed: Composed, sync_id: str) -> str:
    """The worker that has the sync, once it has it."""
    for _ in range(3_000):
        if worker := composed.worker_of(sync_id):
            return worker
        await asyncio.sleep(0.02)
    raise AssertionError(f"no worker takes the sync\n{composed.containers['worker-1'].log}")


def test_all_are_unhealthy_while_the_database_is_away_and_end_in_order(composed: Composed) -> None:
    containers = composed.containers.values()
    assert [container.healthy() for container in containers] == [True] * 3
    composed.postgres.stop()
    assert [container.healthy() for container in containers] == [False] * 3
    composed.postgres.run()
    for container in containers:
        container.wait_until_ready()
    ended = {name: container.stop() for name, container in composed.containers.items()}
    assert {name: (end.code, end.took_seconds < 10) for name, end in ended.items()} == dict.fromkeys(
        OURS, (0, True)
    )
    assert not [name for name, container in composed.containers.items() if '"stopped"' not in container.log]
