"""One mailbox for each login at a server, unless it is said that two are wanted; and for each id of a caller's."""

from sqlmodel import Session

from app.access.reach import Reach
from app.errors import AppError
from app.mailboxes import repository
from app.mailboxes.credentials.destination import Destination, canonical_host
from app.mailboxes.models import Mailbox, MailboxId
from app.network.addresses import literal_address
from app.web.ids import encode_id

LoginKey = tuple[str, int, str]


def is_same_login(one: Mailbox | Destination, other: Mailbox | Destination) -> bool:
    """PURE  Whether both are one account of one server, however the host is written."""
    return login_key(one) == login_key(other)


def login_key(of: Mailbox | Destination) -> LoginKey:
    """PURE  The same for the same account, however the host is written."""
    host = canonical_host(of.host)
    return literal_address(host) or host, of.port, of.username


def refuse_duplicate(db: Session, row: Mailbox, *, reach: Reach) -> None:
    """Raises 409 where another mailbox in reach has the login of this one. Of two at once, one is the first.

    Of mailboxes out of reach nobody learns so that they are there, nor can anybody keep others from registering theirs.
    """
    for other in repository.same_logins(db, [(row.username, row.port)], reach=reach):
        if other.id != row.id and is_same_login(other, row):
            raise mailbox_exists(MailboxId(other.id or 0))


def refuse_external_id_of_another(
    db: Session, row: Mailbox, external_id: str | None, *, reach: Reach
) -> None:
    """Raises 409 where another mailbox in reach has the id that this one is to get. Of two at once, one is the
    first.
    """
    if external_id is None:
        return
    other = repository.by_external_id(db, external_id, reach=reach)
    if other is not None and other != row.id:
        raise external_id_exists(other)


def mailbox_exists(other: MailboxId) -> AppError:
    """409: this one has the same login."""
    detail = (
        "has the same host, port and username. Change that one, or say allow_duplicate: true to have its mail "
        "twice."
    )
    return _is_there("mailbox_exists", other, detail)


def external_id_exists(other: MailboxId) -> AppError:
    """409: this one has the id."""
    return _is_there(
        "external_id_exists", other, "has this external_id. Change that one, or PUT it by that id."
    )


def _is_there(code: str, other: MailboxId, detail: str) -> AppError:
    there = encode_id("mbx", other)
    headers, members = {"Location": f"/mailboxes/{there}"}, {"mailbox_id": there}
    return AppError(409, code, f"{there} {detail}", headers=headers, members=members)
