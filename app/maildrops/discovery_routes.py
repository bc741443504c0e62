"""Looking for the maildrop of an address, over HTTP."""

from typing import Annotated, Literal

from fastapi import Depends
from pydantic import BaseModel, Field

from app.access.routes import By, requires
from app.access.service import Scope
from app.errors import invalid_request
from app.mailboxes.credentials.secrets import OAuth2Provider
from app.maildrops.discovery import Address, Discovered, Discovery, Source
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.routing import Router
from app.web.sent import Sent

Injected = Annotated[Discovery, Depends(served(Discovery))]

router = Router(tags=["Mailboxes"])


class AddressToDiscover(Sent):
    """Whose maildrop to look for."""

    address: str = Field(
        min_length=3,
        max_length=320,
        examples=["ada@example.org"],
        description="An address of mail. Only its domain is told to anybody.",
    )


class OriginAnswer(BaseModel):
    """Where a proposal comes from."""

    source: Source = Field(
        description="`providers`: a table of this service. `srv`: SRV records (RFC 6186). `autoconfig`: a file that "
        "the domain serves by https for mail programs."
    )
    where: str = Field(examples=["_pop3s._tcp.example.org"], description="The record, file or domain.")


class ProposalAnswer(BaseModel):
    """A server that may have the maildrop, with what a mailbox needs."""

    host: str = Field(examples=["pop.example.org"], description="`host` of a mailbox.")
    port: int = Field(examples=[995], description="`port` of a mailbox.")
    security: Literal["tls", "starttls"] = Field(
        description="`security` of a mailbox. Servers in clear text are not proposed."
    )
    username: str = Field(examples=["ada@example.org"], description="`username` of a mailbox.")
    login: list[Literal["password", "oauth2"]] = Field(
        examples=[["password"]], description="How to log in, the best way first."
    )
    oauth2_provider: OAuth2Provider | None = Field(
        examples=[None], description="`oauth2.provider` of a mailbox, where it is known."
    )
    origins: list[OriginAnswer] = Field(description="Where it comes from; several say the same.")
    notes: list[str] = Field(examples=[[]], description="What to know or to do first.")


class LookAnswer(BaseModel):
    """Where something was looked for."""

    source: Source = Field(description="What was asked.")
    where: str = Field(examples=["_pop3._tcp.example.org"], description="The record, file or domain.")
    outcome: str = Field(examples=["proposals: 1"], description="What came of it, for people.")


class DiscoveryAnswer(BaseModel):
    """Proposals, none of which was tried."""

    proposals: list[ProposalAnswer] = Field(description="The best one first; empty: nothing was found.")
    looked_at: list[LookAnswer] = Field(description="Everything that was asked, in this order.")
    notes: list[str] = Field(examples=[[]], description="Where there is nothing to propose, why.")


@router.post(
    "/mailboxes/discover",
    dependencies=[requires(Scope.MAILBOXES)],
    responses=documented() | answered(200, "What may be tried, and where it comes from."),
    summary="Propose the settings of a mailbox for an address",
)
async def discover_mailbox(feature: Injected, body: AddressToDiscover, by: By) -> DiscoveryAnswer:
    """By a table of providers, by which nobody need be asked; else by the SRV records and autoconfig files of the
    domain. Nothing but the domain is sent, and no mail server is asked: `POST /mailboxes/test` tries a proposal. What
    a domain says is that domain's word: look whose server it is before you send a password there.
    """
    return _shape(await feature.discover(_address(body.address), asked_by=by.key))


def _address(text: str) -> Address:
    local_part, at, domain = text.strip().rpartition("@")
    domain = domain.rstrip(".").lower()
    if not at or not local_part or not local_part.isprintable() or any(each in local_part for each in '\\ "'):
        raise invalid_request("/address", "must be an address of mail, such as ada@example.org")
    try:
        domain = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError as error:
        raise invalid_request("/address", "its domain is no name") from error
    labels = domain.split(".")
    if (
        len(labels) < 2
        or _is_number(labels[-1])
        or len(domain) > 240
        or not all(_is_label(each) for each in labels)
    ):
        raise invalid_request("/address", "must have a domain with a dot, such as example.org")
    return Address(local_part, domain)


def _is_number(text: str) -> bool:
    """Whether resolvers take a name that ends so for an address: ``127.0.0.0x1`` is one too."""
    return text.isdigit() or text.startswith("0x")


def _is_label(text: str) -> bool:
    is_word = text.isascii() and all(each.isalnum() or each == "-" for each in text)
    return is_word and 0 < len(text) <= 63 and not text.startswith("-") and not text.endswith("-")


def _shape(found: Discovered) -> DiscoveryAnswer:
    return DiscoveryAnswer(
        proposals=[
            ProposalAnswer.model_validate(
                {
                    "host": each.host,
                    "port": each.port,
                    "security": each.security,
                    "username": each.username,
                    "login": list(each.ways),
                    "oauth2_provider": each.oauth2,
                    "origins": [{"source": one.source, "where": one.where} for one in each.origins],
                    "notes": list(each.notes),
                }
            )
            for each in found.proposals
        ],
        looked_at=[
            LookAnswer(source=each.origin.source, where=each.origin.where, outcome=each.outcome)
            for each in found.looked
        ],
        notes=list(found.notes),
    )
