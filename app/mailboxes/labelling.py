"""PURE  Which labels a mailbox has after somebody names some, and which of these decide what keys reach.

A key may be bound to labels, so that a label is a right to see. Who reaches all mailboxes gives and takes such rights
by giving and taking labels. A bound key does not: of its labels only its own give reach, and only to what it registers;
what else it names are words to find mailboxes by, whoever may be bound to the same word. So it cannot show its
mailboxes to strangers, nor find out which labels others are bound to. See docs/decisions/0039-reach.md.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from app.access.reach import Reach
from app.errors import AppError, invalid_request
from app.mailboxes.naming import MOST_LABELS


@dataclass(frozen=True, slots=True)
class Labelled:
    """All labels, sorted, and those of them that give reach."""

    labels: list[str]
    giving: frozenset[str]


def labels_of_new(wanted: Collection[str], *, reach: Reach) -> Labelled:
    """Those of a mailbox that is registered. A bound key's gets the labels of the key: those that are named, else all.

    Raises AppError for a key that is bound to mailboxes by their ids alone: it would not see what it registers.
    """
    if reach.is_all:
        return Labelled(sorted(wanted), frozenset(wanted))
    if not reach.labels:
        detail = "This API key is bound to mailboxes by their ids, and would not reach a new one: bind it to a label."
        raise AppError(403, "forbidden", detail)
    own = frozenset(reach.labels)
    giving = own.intersection(wanted) or own
    return _bounded(giving.union(wanted), giving)


def labels_after_change(
    wanted: Collection[str], *, reach: Reach, before: Collection[str], giving: Collection[str]
) -> Labelled:
    """Those of a mailbox whose labels are replaced. What was there stays what it was: an unchanged label that gives no
    reach still gives none. For a bound key those that give reach stay, whether it names them or not.
    """
    if reach.is_all:
        new = frozenset(wanted).difference(before)
        return _bounded(wanted, new.union(giving).intersection(wanted))
    return _bounded(frozenset(giving).union(wanted), giving)


def _bounded(labels: Iterable[str], giving: Iterable[str]) -> Labelled:
    found = sorted(set(labels))
    if len(found) > MOST_LABELS:
        told = f"must be at most {MOST_LABELS}, with those that the mailbox has by what API keys reach"
        raise invalid_request("/labels", told)
    return Labelled(found, frozenset(giving))
