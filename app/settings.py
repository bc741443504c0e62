"""Settings: read once from the environment (prefix ``MAILDELTA_``), ``.env`` or secret files, then passed down."""

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

IpNetwork = IPv4Network | IPv6Network

# Where container engines put secrets. Looked for once: pydantic warns about a folder that is not there.
_SECRETS_DIR = Path("/run/secrets")

_HEADER_NAME = re.compile(r"[!-9;-~]{1,100}")  # RFC 5322 §3.6.8
_MOST_INDEXED_HEADERS = 20

_HOST_AND_PORT = re.compile(r"(\[[^]]*\]|[^]:[]*)(:\d{1,5})?")


class Role(StrEnum):
    """What this process does."""

    ALL = "all"
    API = "api"
    WORKER = "worker"


class LogFormat(StrEnum):
    """How a log line is written."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class Settings(BaseSettings):
    """Every setting, its default and its unit. ``docs/settings.md`` is made from this class."""

    model_config = SettingsConfigDict(
        env_prefix="MAILDELTA_",
        env_file=".env",
        secrets_dir=_SECRETS_DIR if _SECRETS_DIR.is_dir() else None,
        extra="ignore",
        frozen=True,
    )

    database_url: str = Field(
        "",
        description="`sqlite:///file` or `postgresql://user:password@host/name`. "
        "Empty: a SQLite file in `DATA_DIR`.",
        repr=False,
    )
    listen_url: str = Field(
        "",
        description="The same PostgreSQL database, past a pooler that gives a connection for one transaction "
        "(PgBouncer), for the one connection by which processes wake each other. Empty: as `DATABASE_URL`.",
        repr=False,
    )
    data_dir: Path = Field(Path("data"), description="What the embedded default writes.")
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Encrypts stored credentials. Several, comma-separated, newest first, for rotation. "
        "Empty: made on first start in `DATA_DIR`, mode 0600, unless the database holds credentials already.",
    )
    without_secrets: bool = Field(
        False,
        description="`true`: start without a secret key and serve what is stored. No sync runs, and credentials can be "
        "neither stored nor used. The same as `maildelta serve --without-secrets`.",
    )
    api_key: SecretStr = Field(
        SecretStr(""),
        description="The first admin key. Empty: made on first start in `DATA_DIR`, mode 0600.",
    )
    host: str = Field("127.0.0.1", description="The address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port the API listens on.")
    allowed_private_networks: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        (),
        description="CIDRs, comma-separated, that mail and token servers may live in although they are loopback, "
        "private or link-local. Everything else of that kind is refused.",
    )
    allowed_ports: Annotated[tuple[int, ...], NoDecode] = Field(
        (),
        description="Ports, comma-separated, that mail servers may have: `110,995`, so that whoever may register "
        "mailboxes cannot try others. A token server of one's own may have these and 443. Empty: any.",
    )
    trusted_proxies: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        (),
        description="CIDRs, comma-separated, of the proxies in front. Of what they send, the right-most address in "
        "`X-Forwarded-For` (without it, in `Forwarded`) that is none of theirs is the client: it counts for limits "
        "and stands in the log.",
    )
    connections: int = Field(2000, gt=0, description="HTTP connections at the same time.")
    connections_per_address: int = Field(
        256,
        gt=0,
        description="Of these, from one address (of IPv6: one /64). Behind a trusted proxy so many requests.",
    )
    waiting_requests_per_key: int = Field(
        1000, gt=0, description="Requests of one API key that wait at the same time (`wait=`, event streams)."
    )
    requests_per_minute: int = Field(
        0, ge=0, description="Requests of one API key a minute, of one process; more are 429. 0: no limit."
    )
    idempotency_keys_per_key: int = Field(
        10_000,
        gt=0,
        description="Requests with an `Idempotency-Key` that are kept of one API key, each for 24 hours; more are 429.",
    )
    audit_days: int = Field(
        90,
        ge=0,
        description="For how many days it is kept who changed what (`GET /audit`). 0: for ever.",
    )
    wrong_keys_per_minute: int = Field(
        30, ge=0, description="Wrong API keys from one address that are 401; more are 429. 0: no limit."
    )
    link_seconds: int = Field(
        900, gt=0, le=7 * 86400, description="How long a signed link (`raw_url`) opens what it is of."
    )
    max_header_octets: int = Field(
        32 * 1024, ge=1024, description="The header block of a request (431), and its URL (414)."
    )
    header_timeout_seconds: float = Field(
        10.0, gt=0, description="From the first octet of a request to the end of its header block."
    )
    max_body_octets: int = Field(1024 * 1024, gt=0, description="The body of a request (413).")
    max_import_octets: int = Field(
        64 * 1024 * 1024, gt=0, description="The body of an import, which is read in blocks (413)."
    )
    max_archive_octets: int = Field(
        4 * 1024 * 1024 * 1024,
        gt=0,
        description="The body of an import of mail, read as it comes (413); and what is unpacked of it. A zip waits in "
        "`DATA_DIR` meanwhile.",
    )
    max_archive_entries: int = Field(1_000_000, gt=0, description="The entries of a zip that is imported.")
    body_timeout_seconds: float = Field(
        10.0,
        gt=0,
        description="What a body gets to come, beside one second for each 16 KiB (408). A client that takes less "
        "than that of an answer for so long is cut off.",
    )
    idle_timeout_seconds: float = Field(
        75.0, gt=0, description="A connection without a request is closed after so long."
    )

    role: Role = Field(Role.ALL, description="`all` (API and worker in one process), `api` or `worker`.")
    executor_id: str = Field(
        "",
        description="The name of this worker's place: the same after a restart, and no other's. Empty: the host's "
        "name, a mark of `DATA_DIR`, and the lowest number that no other worker there has.",
    )

    connect_timeout_seconds: float = Field(15.0, gt=0, description="Connecting, TLS included.")
    reply_timeout_seconds: float = Field(60.0, gt=0, description="No progress within a reply.")
    silence_seconds: float = Field(
        1.0,
        gt=0,
        description="How long nothing may come behind a message that ends with LF alone, before that is its end.",
    )
    session_timeout_seconds: float = Field(1800.0, gt=0, description="One POP3 session.")
    lookup_timeout_seconds: float = Field(10.0, gt=0, description="Looking up the address of a name.")
    name_servers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Whom to ask for addresses, comma-separated, as `address` or `address:port`. Empty: the name "
        "servers of the system.",
    )
    max_message_octets: int = Field(
        100 * 1024 * 1024, gt=0, description="A larger message is not retrieved: ledger state `too_large`."
    )
    max_listing_entries: int = Field(
        200_000,
        gt=0,
        description="A longer listing ends the sync with `limit_exceeded`, unless the mailbox listed half as many "
        "before.",
    )
    listing_entries_overall: int = Field(
        1_000_000,
        gt=0,
        description="Entries of long listings in memory, of all syncs of a worker: about 120 octets each. One whose "
        "message is new, or whose unique-id several show, counts for five, and so does a known one that is not listed "
        "any more. Beyond that the sync that began first goes on, and others wait. Of each listing the first 5,000 are "
        "free.",
    )
    sync_concurrency: int = Field(
        200,
        gt=0,
        description="Syncs that one worker runs at the same time. A quarter of these places is kept for mailboxes that "
        "were quick last time, half of that also for new ones.",
    )
    syncs_per_host: int = Field(
        0,
        ge=0,
        description="Syncs at the same time with one mail server (the name of a host; in "
        "`ALLOWED_PRIVATE_NETWORKS` host and port), of all workers together, and with one address, of each. 0: half "
        "of `SYNC_CONCURRENCY`, so that a server that hangs leaves the other half to the others.",
    )
    syncs_overall: int = Field(
        0, ge=0, description="Syncs at the same time of all workers together. 0: no limit."
    )
    slow_after_seconds: float = Field(
        20.0,
        gt=0,
        description="While other mailboxes wait for a place, a session that moved less than 10 KiB in so many seconds "
        "of waiting for its server gives its place up, as a temporary failure.",
    )
    batch_messages: int = Field(500, gt=0, description="Messages per commit, at most.")
    batch_octets: int = Field(4 * 1024 * 1024, gt=0, description="Octets of mail per commit, at most.")
    unstored_octets: int = Field(
        64 * 1024 * 1024,
        gt=0,
        description="Octets of mail in memory that are not stored yet, of all syncs of a worker. Beyond that each sync "
        "stores what it has before it reads on.",
    )
    answer_octets: int = Field(
        128 * 1024 * 1024,
        gt=0,
        description="Octets of mail in memory of answers under way (a message, its octets, an attachment). "
        "Further ones wait up to 3 seconds, then get 503.",
    )
    kept_forms_octets: int = Field(
        32 * 1024 * 1024,
        ge=0,
        description="Octets of text, HTML and headers of letters that were read lately, kept in memory: they are not "
        "read again for the next who asks (`include=`). 0: none.",
    )
    quota_octets: int = Field(
        0,
        ge=0,
        description="Octets of mail that may be stored, of all mailboxes together (each message with what its server "
        "sent). Once so many are, syncs end `quota_exceeded` before anything is retrieved. 0: no limit.",
    )
    quota_messages: int = Field(0, ge=0, description="The same, in messages. 0: no limit.")
    mailbox_quota_octets: int = Field(
        0, ge=0, description="The same of each mailbox, unless its `quota` says otherwise. 0: no limit."
    )
    mailbox_quota_messages: int = Field(0, ge=0, description="The same, in messages. 0: no limit.")
    least_free_octets: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="While less is free on the file system of the SQLite database, syncs end `storage_failed` before "
        "anything is retrieved. What is stored can be read and deleted. 0: it is not watched.",
    )
    local_retention_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Contents of messages are removed here so many days after they were retrieved, of mailboxes that "
        "say nothing about it (`local_retention`), and only once the server's copy is gone, or where that is kept. "
        "0: never.",
    )
    local_retention_keep_headers: bool = Field(
        False,
        description="`true`: what lists show of such messages stays, but for the beginning of their text.",
    )
    steady_clock_seconds: float = Field(
        300.0,
        ge=0,
        description="Contents are removed only once the clock has run evenly for so long since the start, and since it "
        "was set: what a wrong clock removes cannot come back.",
    )
    forget_missing_after_days: int = Field(
        0,
        ge=0,
        description="Unique-ids that the server has not shown for so many days are forgotten. 0: never; an id that "
        "was forgotten and is shown again is a new message.",
    )
    finished_syncs_days: int = Field(
        30,
        ge=0,
        description="Syncs that ended so many days ago are forgotten, but the last one of each mailbox. 0: never.",
    )
    quiet_polls_days: int = Field(
        1,
        ge=0,
        description="Polls that found nothing are forgotten after so many days already: at short intervals they are "
        "nearly all syncs. 0: like others. However recent they are, only those among the last syncs of a mailbox are "
        "kept (50, and about ten more until they are tidied up).",
    )
    indexed_headers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names of headers, comma-separated, 20 at most, for which the feed gets filters: "
        "`header:<name>=…` (`List-Id,X-Customer`). The same for all processes. Messages that are stored already are "
        "read for them in the background.",
    )
    failing_after_failures: int = Field(
        3, ge=1, le=10, description="A mailbox is `failing` after so many syncs in a row that failed."
    )
    failing_after_seconds: float = Field(
        1800.0, gt=0, description="Or when its syncs have failed for so long, however few there were."
    )
    stale_after_seconds: float = Field(
        900.0,
        ge=0,
        description="A polled mailbox is `stale` when no sync succeeded for three of its intervals and so long "
        "besides.",
    )
    lease_seconds: float = Field(
        45.0, gt=0, description="A worker silent for so long loses its syncs to another."
    )
    tick_seconds: float = Field(
        5.0, gt=0, description="How often due mailboxes and lost work are looked for."
    )
    stop_within_seconds: float = Field(
        8.0, gt=0, description="What running work gets to end when the service is told to stop."
    )
    transcripts: bool = Field(
        False,
        description="`true`: what a failed sync and its server said is kept, without secrets and mail "
        "(`GET /syncs/{id}/transcript`).",
    )
    log_format: LogFormat = Field(LogFormat.AUTO, description="`json`, `text`; `auto`: text on a terminal.")
    log_level: str = Field("info", description="`debug`, `info`, `warning` or `error`.")

    @field_validator("allowed_private_networks", "trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())

    @field_validator("allowed_ports")
    @classmethod
    def _possible_ports(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= port <= 65535 for port in value):
            raise ValueError("a port is a number from 1 to 65535")
        return value

    @field_validator("allowed_ports", "name_servers", "indexed_headers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("indexed_headers")
    @classmethod
    def _names_of_headers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(
                    f"{name[:120]!r} is no name of a header: 1 to 100 printable ASCII characters, no colon or blank"
                )
        names = sorted({name.lower() for name in value})
        if len(names) > _MOST_INDEXED_HEADERS:
            raise ValueError(f"at most {_MOST_INDEXED_HEADERS} headers can be indexed")
        return tuple(names)

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("must start with sqlite:/// or postgresql://")
        return _with_a_port_that_is_a_number(value)

    @field_validator("listen_url")
    @classmethod
    def _listens_at_postgresql(cls, value: str) -> str:
        if value and not value.startswith("postgresql://"):
            raise ValueError("must start with postgresql://")
        return _with_a_port_that_is_a_number(value)

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in {"debug", "info", "warning", "error"}:
            raise ValueError("must be debug, info, warning or error")
        return value.lower()

    @property
    def effective_database_url(self) -> str:
        """The database in use: the one that was set, or the embedded default."""
        return self.database_url or f"sqlite:///{self.data_dir / 'maildelta.sqlite'}"

    @property
    def effective_listen_url(self) -> str:
        """Where processes wake each other, on PostgreSQL."""
        return self.listen_url or self.effective_database_url

    @property
    def effective_syncs_per_host(self) -> int:
        """How many syncs one mail server gets at the same time."""
        return self.syncs_per_host or max(1, self.sync_concurrency // 2)

    @property
    def secret_key_file(self) -> Path:
        return self.data_dir / "secret-key"

    @property
    def api_key_file(self) -> Path:
        return self.data_dir / "api-key"

    def secret_keys(self) -> tuple[str, ...]:
        """The keys that stored credentials may be encrypted with, newest first; none: there is none yet."""
        text = self.secret_key.get_secret_value()
        if not text and self.secret_key_file.exists():
            text = self.secret_key_file.read_text()
            if not text.strip(" ,\n"):
                raise ValueError(f"{self.secret_key_file} is empty: put the key back that was in it")
        keys = tuple(part.strip() for part in text.split(",") if part.strip())
        if any(len(key) < 16 for key in keys):
            raise ValueError("MAILDELTA_SECRET_KEY: a key needs at least 16 characters")
        return keys

    def make_secret_key(self) -> str:
        """The first key, in its file. The caller knows that nothing is encrypted yet. Two that make it get the same."""
        return _kept_secret(self.secret_key_file)

    def add_secret_key(self) -> None:
        """A new key, in front of those that are in the file. Raises ValueError where the keys come from elsewhere."""
        if self.secret_key.get_secret_value():
            raise ValueError("the keys come from MAILDELTA_SECRET_KEY: put a new one in front of it yourself")
        if not self.secret_keys():
            raise ValueError(f"there is no key in {self.secret_key_file} yet")
        with _locked(self.secret_key_file):
            keys = [secrets.token_urlsafe(32), *self.secret_keys()]
            draft = _draft(self.secret_key_file, ",".join(keys))
            draft.replace(self.secret_key_file)
            _flush(self.data_dir)

    def first_api_key(self) -> str:
        """The admin key of the settings; made when there is none."""
        return _long_enough(self.api_key.get_secret_value() or _kept_secret(self.api_key_file))

    def known_api_key(self) -> str:
        """The same where there is one; makes nothing. Raises FileNotFoundError."""
        return _long_enough(self.api_key.get_secret_value() or self.api_key_file.read_text().strip())


def _with_a_port_that_is_a_number(url: str) -> str:
    """The URL of a database. Where it is wrong, that is said at the start, and without a password that is in it."""
    if url.startswith("postgresql://"):
        behind_the_login = url.removeprefix("postgresql://").rpartition("@")[2]
        if not _HOST_AND_PORT.fullmatch(re.split("[/?]", behind_the_login)[0]):
            raise ValueError("the port must be a number; an @ in a password is %40")
    return url


def _long_enough(key: str) -> str:
    if len(key) < 16:
        raise ValueError("MAILDELTA_API_KEY: a key needs at least 16 characters")
    return key


def _kept_secret(path: Path) -> str:
    """Read a secret from its file; on the first start make it, readable by us alone.

    Two processes that start together must end with one secret: the file is linked into place whole, and who
    comes second reads what the first one wrote.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = _draft(path, secrets.token_urlsafe(32))
        try:
            path.hardlink_to(draft)
            _flush(path.parent)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def _draft(path: Path, text: str) -> Path:
    """A file beside it, readable by us alone and on the disk, whatever happens next."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    draft.touch(mode=0o600)
    draft.write_text(text + "\n")
    _flush(draft)
    return draft


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time. Where the system knows no such locks everybody is let in."""
    handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415  Windows has none

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
