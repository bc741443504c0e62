"""The same login at the same server is one mailbox, unless it is said that two are wanted."""

from sqlmodel import Session

from app.errors import AppError
from app.mailboxes import repository
from app.mailboxes.destination import Destination, canonical_host
from app.mailboxes.models import Mailbox
from app.network.addresses import literal_address
from app.web.ids import encode_id


def is_same_login(one: Mailbox | Destination, other: Mailbox | Destination) -> bool:
    """PURE  Whether both are one account of one server, however the host is written."""
    return _login(one) == _login(other)


def refuse_duplicate(db: Session, row: Mailbox) -> None:
    """Raises 409 where another mailbox has the login of this one. Of two at once, one is the first."""
    for other in repository.same_login(db, username=row.username, port=row.port):
        if other.id != row.id and is_same_login(other, row):
            there = encode_id("mbx", other.id or 0)
            detail = (
                f"{there} has the same host, port and username. Change that one, or say allow_duplicate: true "
                "to have its mail twice."
            )
            raise AppError(
                409,
                "mailbox_exists",
                detail,
                headers={"Location": f"/mailboxes/{there}"},
                members={"mailbox_id": there},
            )


def _login(of: Mailbox | Destination) -> tuple[str, int, str]:
    host = canonical_host(of.host)
    return literal_address(host) or host, of.port, of.username
