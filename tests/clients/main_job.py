"""The main job by the client that openapi-python-client makes of the document (it lies beside this file then)."""

import base64
import json
import os

import httpx
from maildelta_client import AuthenticatedClient
from maildelta_client.api.mailboxes import create_mailbox, update_mailbox
from maildelta_client.api.messages import get_message, list_mailbox_messages
from maildelta_client.api.syncs import sync_mailbox
from maildelta_client.models import (
    AllCriteria,
    FeedPage,
    KeepOnServer,
    MailboxAnswer,
    MailboxChange,
    MessageAnswer,
    MessageWhole,
    NewMailbox,
    Security,
    SyncAnswer,
    TextCondition,
    TextConditionOp,
)


def main() -> None:
    """Register, sync, read the feed and one message, download it, pause."""
    client = AuthenticatedClient(
        base_url=os.environ["SERVICE"], token=os.environ["API_KEY"], timeout=httpx.Timeout(90)
    )
    new = NewMailbox(
        name="openapi-python-client",
        host=os.environ["POP3_HOST"],
        port=int(os.environ["POP3_PORT"]),
        security=Security.NONE,
        allow_cleartext_password=True,
        username=os.environ["POP3_USERNAME"],
        password=os.environ["POP3_PASSWORD"],
        server_retention=KeepOnServer(mode="keep"),
        criteria=AllCriteria(
            all_=[TextCondition(field="subject", op=TextConditionOp.CONTAINS, value="Invoice")]
        ),
    )
    mailbox = create_mailbox.sync(client=client, body=new)
    assert isinstance(mailbox, MailboxAnswer), mailbox
    sync = sync_mailbox.sync(mailbox.id, client=client, wait=60)
    assert isinstance(sync, SyncAnswer), sync
    feed = list_mailbox_messages.sync(mailbox.id, client=client)
    assert isinstance(feed, FeedPage), feed
    message = get_message.sync(feed.items[0].id, client=client)
    assert isinstance(message, MessageWhole), message
    # The generator knows no message/rfc822: the client's own connection does.
    raw = client.get_httpx_client().get(f"/messages/{message.id}/raw").raise_for_status()
    changed = update_mailbox.sync(mailbox.id, client=client, body=MailboxChange(paused=True))
    assert isinstance(changed, MailboxAnswer), changed
    told = {
        "sync": sync.status.value,
        "subjects": [item.subject for item in feed.items if isinstance(item, MessageAnswer)],  # not expired
        "text": message.text,
        "raw": base64.b64encode(raw.content).decode(),
        "status": changed.status.value,
        "name": changed.name,
    }
    print(json.dumps(told))


main()
