"""A message as it is answered."""

from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from app import __version__
from app.mail.mime import VERSION, Address, Automated, Kind
from app.mailboxes.naming import MailboxNames
from app.messages.models import Message
from app.web.ids import encode_id, encode_thread_id, unique_id_text
from app.web.times import UtcTime


def _null_if_empty(name: object) -> object:
    return name or None


class AddressAnswer(BaseModel):
    """Somebody: a name, if one was given, and an address."""

    name: Annotated[str | None, BeforeValidator(_null_if_empty)] = Field(
        examples=["Ada Lovelace"], description="The display name, decoded; null: none was given."
    )
    address: str = Field(examples=["ada@example.org"], description="The address as it was written.")


class AttachmentAnswer(BaseModel):
    """A part that can be downloaded at ``/messages/{id}/attachments/{index}``."""

    index: int = Field(examples=[0], description="Its place among the attachments, from 0.")
    filename: str | None = Field(
        examples=["invoice.pdf"], description="Decoded, without a path; null: the part has no name."
    )
    content_type: str = Field(examples=["application/pdf"], description="The media type, in lower case.")
    octets: int = Field(examples=[48211], description="The size of the decoded part.")
    inline: bool = Field(examples=[False], description="Meant to be shown within the message.")
    content_id: str | None = Field(
        examples=["logo@example.org"],
        description="What the HTML refers to it by, as `cid:`: its Content-ID without brackets, else its "
        "Content-Location. In the link it may be percent-encoded.",
    )
    url: str | None = Field(
        None,
        examples=["/v1/messages/msg_34/attachments/0?link=AW…"],
        description="With `include=raw_url`: it opens without a key, for 15 minutes (`MAILDELTA_LINK_SECONDS`).",
    )


class BounceAnswer(BaseModel):
    """Of a message that did not arrive: whom it did not reach, why (RFC 3463), and its Message-ID; null where unknown.

    Of several recipients the first whom it did not reach; all are in the report, which is an attachment.
    """

    recipient: str | None = Field(examples=["nobody@example.net"], description="Whom it did not reach.")
    status: str | None = Field(examples=["5.1.1"], description="Why (RFC 3463).")
    original_message_id: str | None = Field(
        examples=["<1234@example.org>"], description="The Message-ID of what did not arrive."
    )


_READ_LATER = " Null: stored by an earlier version, and not yet read again."


class MessageAnswer(BaseModel):
    """A message as the feed shows it."""

    id: str = Field(examples=["msg_34"], description="The id of the stored message.")
    mailbox_id: str = Field(examples=["mbx_7"], description="The mailbox that it came to.")
    mailbox: MailboxNames = Field(description="The names and labels that this mailbox has now.")
    unique_id: str = Field(
        examples=["00000001514d5a2b"],
        description=r"The server's unique-id (UIDL); octets outside ASCII as `\xNN`.",
    )
    occurrence: int = Field(examples=[1], description="2 and up: the server used the same unique-id again.")
    seq: int = Field(examples=[34], description="The place in the feed; grows in commit order.")
    message_id: str | None = Field(
        examples=["<1234@example.org>"], description="The header Message-ID, which the sender chose."
    )
    subject: str = Field(examples=["Invoice 2026-117"], description="Decoded; empty when there is none.")
    from_: AddressAnswer | None = Field(
        alias="from",
        serialization_alias="from",
        description="Who says to have written it; null: nobody does.",
    )
    authors: list[AddressAnswer] = Field(description="All whom From names; `from` is the first of them.")
    from_ambiguous: bool | None = Field(
        description="True: several From fields, authors or addresses, or one that is not shown as it came; decide "
        "nothing by `from`. Null: read by an earlier version, and not yet again."
    )
    to: list[AddressAnswer] = Field(description="The header To.")
    cc: list[AddressAnswer] = Field(description="The header Cc.")
    reply_to: list[AddressAnswer] = Field(description="Where answers are wanted; empty: at `from`.")
    bcc: list[AddressAnswer] | None = Field(description="Most servers take it out." + _READ_LATER)
    sender: AddressAnswer | None = Field(
        examples=[None], description="Who sent it for the authors, where it says so (RFC 5322 §3.6.2)."
    )
    in_reply_to: str | None = Field(
        examples=["<1233@example.org>"], description="The first id of In-Reply-To."
    )
    references: list[str] | None = Field(
        examples=[["<1230@example.org>", "<1233@example.org>"]],
        description="The ids of References in their order, at most 100: of more the first and the last."
        + _READ_LATER,
    )
    thread_id: str | None = Field(
        examples=["thr_0cc175b9c0f1b6a831c399e269772661"],
        description="Made from the first id in References, else In-Reply-To, else Message-ID: the same for all answers "
        "to one message, in whatever order and mailbox they come. Senders choose these ids: it says what belongs "
        "together by their word." + _READ_LATER,
    )
    delivered_to: list[str] | None = Field(
        examples=[["invoices@example.org"]],
        description="The addresses that servers delivered it to: Delivered-To, X-Original-To, Envelope-To."
        + _READ_LATER,
    )
    list_id: str | None = Field(
        examples=["announce.example.org"], description="The mailing list (RFC 2919), in lower case."
    )
    automated: Automated | None = Field(
        examples=[None],
        description="As what a program sent it, by the header that `automated_by` names; null when none says so.",
    )
    automated_by: str | None = Field(examples=[None], description="In lower case, as in `headers`.")
    kind: list[Kind] | None = Field(
        examples=[[]],
        description="What it is beside text, in this order; further ones may come. Read from its first 512 KiB."
        + _READ_LATER,
    )
    bounce: BounceAnswer | None = Field(examples=[None], description="Of messages whose `kind` has `bounce`.")
    date: UtcTime | None = Field(description="The sender's word; null when it cannot be read.")
    received_at: UtcTime | None = Field(
        description="When the server took it: the topmost Received field whose moment can be read, names its zone, and "
        "is not later than a day after `retrieved_at`. Null when there is none."
    )
    retrieved_at: UtcTime = Field(description="When it was stored here.")
    expired: bool = Field(
        examples=[False],
        description="True: only its headers, as they are told here, were kept (`local_retention` with `keep_headers`). "
        "`/messages/{id}`, its octets and its attachments are 410, and `include` gives nothing of it.",
    )
    octets: int = Field(examples=[52190], description="The size of what `/messages/{id}/raw` answers.")
    raw_sha256: str = Field(
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
        description="Hexadecimal; of what `/messages/{id}/raw` answers.",
    )
    has_attachments: bool = Field(
        examples=[True], description="There is a part to download that is not shown inline."
    )
    snippet: str = Field(
        examples=["Please find attached …"],
        description="How the text begins; empty once the message expired.",
    )
    warnings: list[str] = Field(
        examples=[[]], description="What is wrong with the message; it is stored and served all the same."
    )
    text: str | None = Field(
        None,
        examples=["Please find attached the invoice."],
        description="With `include=text`: as plain text; made of the HTML if need be. Null: there is none.",
    )
    text_truncated: bool | None = Field(
        None, examples=[False], description="With `text`: it is longer than `text_limit`, and cut there."
    )
    html: str | None = Field(
        None,
        examples=["<p>Please find attached the invoice.</p>"],
        description="With `include=html`: sanitised, so no scripts and nothing that is loaded from elsewhere.",
    )
    html_truncated: bool | None = Field(
        None,
        examples=[False],
        description="With `html`: it is longer than `text_limit`, and null, for a page that is cut is none.",
    )
    headers: dict[str, list[str]] | None = Field(
        None,
        examples=[{"received": ["from mx.example.org …"], "subject": ["Invoice 2026-117"]}],
        description="With `include=headers`: every header by its name in lower case, decoded, in the order in which "
        "they stand.",
    )
    attachments: list[AttachmentAnswer] | None = Field(
        None, description="With `include=attachments`: the parts that can be downloaded."
    )
    raw_url: str | None = Field(
        None,
        examples=["/v1/messages/msg_34/raw?link=AW…"],
        description="With `include=raw_url`: the message as the server sent it, at this service. It opens without a "
        "key, for 15 minutes (`MAILDELTA_LINK_SECONDS`), as long as the key that asked for it is there and reaches it.",
    )


class MessageWhole(MessageAnswer):
    """One message with its parts."""

    text: str | None = Field(
        examples=["Please find attached the invoice."],
        description="As plain text; made of the HTML if need be.",
    )
    html: str | None = Field(
        examples=["<p>Please find attached the invoice.</p>"],
        description="Sanitised: no scripts, nothing that is loaded from elsewhere.",
    )
    headers: dict[str, list[str]] = Field(
        examples=[{"received": ["from mx.example.org …"], "subject": ["Invoice 2026-117"]}],
        description="Every header by its name in lower case, decoded, in the order in which they stand.",
    )
    attachments: list[AttachmentAnswer] = Field(description="The parts that can be downloaded.")


class ExpiredAnswer(BaseModel):
    """A message that was here and of which nothing else is kept: `/messages/{id}` is 410 `message_expired`."""

    id: str = Field(examples=["msg_33"], description="The id that it had.")
    seq: int = Field(examples=[33], description="Its place in the feed.")
    expired: Literal[True] = Field(
        examples=[True], description="Its contents were kept for as long as `local_retention` says."
    )


class FeedPage(BaseModel):
    """A page of the feed. ``next_cursor`` is there even at the end: pass it as ``after`` next time."""

    items: list[MessageAnswer | ExpiredAnswer] = Field(
        description="The messages, oldest first unless asked otherwise. Of one that expired before it was read there "
        "is `expired: true`, so that nobody misses it without a word; `fields` and `include` do not matter to it."
    )
    next_cursor: str | None = Field(
        examples=["bTE6MzQ"],
        description="The place that was looked at last: what to pass as `after` next time, also when `items` is empty.",
    )
    has_more: bool = Field(
        description="There is more behind `next_cursor`. With filters one call looks at 10,000 messages at most: then "
        "`items` may be short, or empty, and the search goes on with `next_cursor`."
    )
    warnings: list[str] = Field(
        examples=[[]],
        default_factory=list,
        description="What is not certain about this page: while messages of before an upgrade are still being read "
        "again, filters on what they did not have yet (`thread_id`, `automated`, `kind`, `from_address`) miss them. "
        "And where expired messages were passed: filters on what messages hold find none of which nothing is kept.",
    )


def answer(row: Message, mailbox: MailboxNames) -> MessageAnswer:
    """Shape a row for the API."""
    return MessageAnswer.model_validate(_fields(row, mailbox))


def expired(seq: int) -> ExpiredAnswer:
    """What is told of a message of which nothing else is kept."""
    return ExpiredAnswer(id=encode_id("msg", seq), seq=seq, expired=True)


def etag(told: MessageAnswer, words: str = "") -> str:
    """Of a message as it is answered: a weak one, for some send it compressed (RFC 9110 §8.8.1).

    ``words``: which selection of it. Links are not in it: they change with each answer, and the message does not.
    """
    return f'W/"{_digest(told.model_dump_json(exclude_unset=True) + words)}"'


def etag_of_attachment(row: Message, index: int) -> str:
    """Of the decoded octets of an attachment."""
    return f'"{_digest(f"{row.raw_sha256.hex()} {index}")}"'


def _digest(text: str) -> str:
    """Another version of the service may read the same octets otherwise."""
    return sha256(f"{__version__} {VERSION} {text}".encode()).hexdigest()[:32]


def _fields(row: Message, mailbox: MailboxNames) -> dict[str, object]:
    fields: dict[str, object] = row.model_dump(exclude={"from_name", "from_address", "expired_sha256"})
    sender = Address(row.from_name or "", row.from_address or "") if row.from_address is not None else None
    sender_answer = {"name": sender.name, "address": sender.address} if sender else None
    if row.authors is None:
        fields["authors"] = [sender_answer] if sender_answer else []
    return fields | {
        "id": encode_id("msg", row.seq),
        "mailbox_id": encode_id("mbx", row.mailbox_id),
        "mailbox": mailbox,
        "unique_id": unique_id_text(row.unique_id),
        "raw_sha256": (row.expired_sha256 or row.raw_sha256).hex(),
        "expired": row.expired_sha256 is not None,
        "thread_id": None if row.thread_id is None else encode_thread_id(row.thread_id),
        "from": sender_answer,
    }
