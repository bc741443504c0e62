"""The image holds the service and nothing else, and does its work with a root file system that is read-only."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app import __version__
from tests.containers.container import Container
from tests.containers.image import DECOY, Image
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.service import API_KEY, Client, digests, digests_of

BUILDERS = {"pip", "setuptools", "wheel", "hatchling", "editables", "pathspec", "pluggy", "trove-classifiers"}


def container_of(image: Image, directory: Path) -> Container:
    """The service alone, on the embedded default, with its admin key in a file."""
    return Container(
        image,
        directory / "container",
        environment={"MAILDELTA_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"},
        volumes={"/data": directory / "volume"},
        secrets={"maildelta_api_key": API_KEY},
    )


@pytest.fixture(scope="module")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One for all tests that leave it as it is."""
    started = container_of(image, tmp_path_factory.mktemp("shared"))
    with started.running():
        yield started


def client_of(container: Container) -> httpx.AsyncClient:
    """A client with the admin key."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    return httpx.AsyncClient(base_url=container.url, headers=headers, timeout=30, trust_env=False)


async def test_with_a_read_only_root_it_syncs_and_a_restart_keeps_the_data(
    image: Image, tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    container = container_of(image, tmp_path)
    sent = [*sample_messages(30, seed=51, mean_octets=8_000), b"Subject: large\r\n\r\n" + b"x" * 6_000_000]
    maildrop.maildir.deliver_many(sent)
    async with client_of(container) as http:
        client = Client(http)
        with container.running():
            mailbox_id = await client.register(maildrop, dovecot_server)
            assert (await client.sync(mailbox_id))["status"] == "succeeded"
            before, cursor = await client.feed()
            assert digests(before) == digests_of(as_served(raw) for raw in sent)
            ended = container.stop()
            assert (ended.code, ended.took_seconds < 10) == (0, True), (ended, container.log)
            assert '"stopped"' in container.log

        with container.running():
            assert await client.feed() == (before, cursor)
            report = (await client.sync(mailbox_id))["report"]
            assert (report["known"], report["new"]) == (len(sent), 0)
    assert "Traceback" not in container.log


def test_nothing_but_the_data_and_tmp_can_be_written(container: Container) -> None:
    for directory in ("/", "/etc", "/opt/maildelta", "/run", "/dev", "/var/tmp", "/home"):
        refused = container.execute("python", "-c", f"open('{directory}/x', 'w')")
        assert "Error" in refused.stderr, directory
    for directory in ("/data", "/tmp"):
        assert container.execute("python", "-c", f"open('{directory}/x', 'w')").stderr == ""


def test_a_data_folder_that_is_not_its_own_is_named_in_one_line(image: Image, tmp_path: Path) -> None:
    (tmp_path / "of-root").mkdir(mode=0o755)
    refused = Container(
        image, tmp_path / "container", environment={}, volumes={"/data": tmp_path / "of-root"}
    )
    with refused.started():
        assert refused.wait() == 2
    assert len(refused.log.splitlines()) == 1
    assert "Permission denied: '/data/" in refused.log


def test_it_runs_as_a_user_without_rights(image: Image, container: Container) -> None:
    assert image.user == "10001:10001", "a number, so that Kubernetes can tell that it is not root"
    status = container.execute("grep", "-E", "^(Uid|Gid|CapPrm|CapBnd)", "/proc/1/status").stdout
    assert {line.split()[1] for line in status.splitlines()} == {"10001", "0000000000000000"}
    listed = container.execute("stat", "--format=%u %a %n", "/data", "/data/secret-key").stdout
    assert listed.splitlines() == ["10001 700 /data", "10001 600 /data/secret-key"]
    assert container.execute("test", "-e", "/data/api-key").returncode, "the key came from the secret file"


def test_its_health_check_tells_a_service_that_answers_from_one_that_does_not(container: Container) -> None:
    assert container.healthy()
    container.signal(signal.SIGSTOP)
    assert not container.healthy()
    container.signal(signal.SIGCONT)
    assert container.healthy()


def test_it_can_verify_the_certificates_of_mail_servers(container: Container) -> None:
    code = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    assert int(container.execute("python", "-c", code).stdout) > 50


def test_other_commands_than_serve_are_at_hand(container: Container) -> None:
    assert container.execute("maildelta", "migrate").returncode == 0
    assert container.execute("maildelta", "show-key").stdout.strip() == API_KEY


def test_what_built_it_and_what_was_downloaded_for_it_are_not_in_it(image: Image) -> None:
    names = [
        path.name.split("-")[0] for path in image.root.glob("opt/maildelta/lib/*/site-packages/*.dist-info")
    ]
    assert "maildelta" in names
    assert BUILDERS.isdisjoint(name.replace("_", "-") for name in names)
    for place in (
        "build",
        "usr/bin/gcc",
        "usr/bin/make",
        "root/.cache",
        "opt/maildelta/bin/pip",
        "etc/pip.conf",
    ):
        assert not (image.root / place).exists(), place
    assert not list(image.root.glob("tmp/*"))


def test_it_adds_less_than_200_megabytes_to_its_base(image: Image) -> None:
    added = subprocess.run(["du", "-sm", image.root / "opt"], capture_output=True, text=True, check=True)
    assert 50 < int(added.stdout.split()[0]) < 200


def test_no_secret_of_the_builder_is_in_a_layer(image: Image) -> None:
    search = ["grep", "--recursive", "--files-with-matches", "--devices=skip", DECOY, str(image.storage)]
    found = subprocess.run(search, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")
    assert not list(image.root.glob("run/secrets/*"))


def test_the_builder_is_sent_what_the_image_is_made_of_and_nothing_local(image: Image) -> None:
    assert {path.split("/")[0] for path in image.sent} == {
        "LICENSE", "README.md", "app", "migrations", "pyproject.toml", "requirements.lock"
    }  # fmt: skip
    assert "app/main.py" in image.sent
    assert not [path for path in image.sent if "__pycache__" in path]


def test_its_labels_say_what_it_is(image: Image) -> None:
    label = "org.opencontainers.image."
    assert image.labels[label + "title"] == "Maildelta"
    assert image.labels[label + "licenses"] == "MIT"
    assert image.labels[label + "version"] == __version__
