"""What this process counts, and what the database says of all: as Prometheus reads it.

Counters are of this process and begin at zero with it; rates and sums over processes are Prometheus' work. What
the database says is the same from every process.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily

from app import __version__

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Backlog:
    """Syncs that are queued and that run; how long the mailbox waits that waits longest; the feed's last place.

    ``stored_messages``, ``stored_octets``: of all mailboxes. ``octets_by_mailbox``: of those with the most.
    ``mailboxes``: how many fare how.
    """

    queued: int
    running: int
    lag_seconds: float
    feed_place: int
    stored_messages: int = 0
    stored_octets: int = 0
    octets_by_mailbox: tuple[tuple[str, int], ...] = ()
    mailboxes: Mapping[str, int] = field(default_factory=dict)


class Metrics:
    """The counters of one process, each with the one call that feeds it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._backlog: Backlog | None = None
        ProcessCollector(registry=self._registry)
        Info("maildelta_build", "The version that runs.", registry=self._registry).info(
            {"version": __version__}
        )
        self._syncs = Counter(
            "maildelta_syncs",
            "Syncs that ended here, by status and error code ('' for none).",
            ["status", "code"],
            registry=self._registry,
        )
        self._messages = Counter(
            "maildelta_retrieved_messages", "Messages retrieved and stored.", registry=self._registry
        )
        self._octets = Counter(
            "maildelta_retrieved_octets", "Octets of these messages.", registry=self._registry
        )
        self._sessions = Gauge(
            "maildelta_sessions_under_way",
            "Syncs under way here, each with one POP3 session.",
            registry=self._registry,
        )
        self._registry.register(self)  # for ``collect``

    def sync_ended(self, *, status: str, code: str | None) -> None:
        """A sync wrote its completion."""
        self._syncs.labels(status=status, code=code or "").inc()

    def retrieved(self, *, messages: int, octets: int) -> None:
        """A batch was committed."""
        self._messages.inc(messages)
        self._octets.inc(octets)

    def watch_sessions(self, count: Callable[[], int]) -> None:
        """Ask this for the sessions under way, whenever somebody reads."""
        self._sessions.set_function(count)

    def watch_reading(
        self, *, processes: Callable[[], int], octets: Callable[[], int], refused: Callable[[], int]
    ) -> None:
        """Ask these for what reads messages for the API, whenever somebody reads."""
        told = {
            "reader_processes": ("Processes that read large messages; none when nobody asks.", processes),
            "answer_octets": ("Octets that answers under way may hold in memory.", octets),
            "answers_refused": (
                "Answers refused (503) since the start, for others took all there is.",
                refused,
            ),
        }
        for name, (text, ask) in told.items():
            Gauge(f"maildelta_{name}", text, registry=self._registry).set_function(ask)

    def text(self, backlog: Backlog | None) -> bytes:
        """Everything in Prometheus' text format. None: the database does not answer."""
        self._backlog = backlog
        return generate_latest(self._registry)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What the database says; numbers that are not known are left out, for old ones would hide the trouble."""
        backlog = self._backlog
        yield GaugeMetricFamily(
            "maildelta_database_up", "1: the database answers.", value=float(backlog is not None)
        )
        if backlog is None:
            return
        depth = GaugeMetricFamily(
            "maildelta_queue_syncs", "Syncs in the database that have not ended.", labels=["status"]
        )
        depth.add_metric(["queued"], backlog.queued)
        depth.add_metric(["running"], backlog.running)
        yield depth
        mailboxes = GaugeMetricFamily("maildelta_mailboxes", "Mailboxes by their health.", labels=["health"])
        for state, count in backlog.mailboxes.items():
            mailboxes.add_metric([state], count)
        yield mailboxes
        yield GaugeMetricFamily(
            "maildelta_schedule_lag_seconds",
            "For how long the most overdue mailbox has waited for its sync to begin.",
            value=backlog.lag_seconds,
        )
        yield GaugeMetricFamily(
            "maildelta_feed_place", "The last place of the feed that was given.", value=backlog.feed_place
        )
        yield GaugeMetricFamily(
            "maildelta_stored_messages",
            "Messages that are stored with their contents.",
            value=backlog.stored_messages,
        )
        yield GaugeMetricFamily(
            "maildelta_stored_octets",
            "Their octets as their servers sent them; a content that several have counts for each.",
            value=backlog.stored_octets,
        )
        by_mailbox = GaugeMetricFamily(
            "maildelta_mailbox_stored_octets",
            "The same of the mailboxes with the most octets, a hundred at most.",
            labels=["mailbox"],
        )
        for mailbox, octets in backlog.octets_by_mailbox:
            by_mailbox.add_metric([mailbox], octets)
        yield by_mailbox
