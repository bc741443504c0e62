"""``docs/troubleshooting.md``, made from the codes: ``python -m app.cli.errors_page > docs/troubleshooting.md``."""

from collections.abc import Mapping

from app.web.errors.error_codes import CODES, SYNC_CODES, ErrorCode

_PAGE = """\
# Troubleshooting by error code

Made by `python -m app.cli.errors_page` from `app/web/errors/error_codes.py`; a test fails when it is not up to date.

## Where the code stands

**A mailbox brings nothing.** How its last syncs ended, with `error.code` and the server's own words:

```sh
curl "$API/mailboxes/mbx_1/syncs?limit=3" -H "$AUTH"
```

Every step to the server, with what is stored, and what to do about the one that fails (`POST /mailboxes/test` does the
same for settings that are not stored yet):

```sh
curl -X POST $API/mailboxes/mbx_1/test -H "$AUTH"
```

It waits 30 s at most for an answer and 2 min altogether, or less where the settings say less. It is a login like any
other: the maildrop is locked for its length, and servers count it for LOGIN-DELAY. With `mailbox_id` and no `password`
`POST /mailboxes/test` logs in with the stored password, where that may go: to the host, port and user that it was
stored for, and not less protected (`docs/decisions/0021-where-a-password-goes.md`).

**One sync fails among many that do not.** Set `MAILDELTA_TRANSCRIPTS=true` and start the service again. Each failed
sync then keeps what was said on the wire, 64 KiB at most, the latest three of each mailbox:
`GET /syncs/{{id}}/transcript`. User names, capabilities, the first unique-ids and the server's words are in it; no
password, no token, no octet of a message. They lie in the table `sync_transcripts`, and go with the mailbox.

**A call is refused.** Its answer is a problem document: `code`, `detail`, and for bad input `errors`, each with its
place. `type` is the address of a page about the code, `instance` has the request's id, which the log has too
([logs](operations.md#logs)).

## Codes of syncs

| `error.code` | what it means | likely cause | what to do |
| --- | --- | --- | --- |
{syncs}

When each is tried again: [when mailboxes are polled](operations.md#when-mailboxes-are-polled), [logins](logins.md).

## Codes of calls

A code with * may go away by itself: the same call may succeed later, as `Retry-After` says.

| `code` | what it means | likely cause | what to do |
| --- | --- | --- | --- |
{calls}
"""


def errors_page() -> str:
    """The whole page, Markdown."""
    calls = {code: told for code, told in CODES.items() if code not in SYNC_CODES}
    return _PAGE.format(syncs=_rows(SYNC_CODES, mark=""), calls=_rows(calls, mark=" *"))


def _rows(codes: Mapping[str, ErrorCode], *, mark: str) -> str:
    return "\n".join(
        f"| `{code}`{mark if told.retryable else ''} | {told.meaning} | {told.cause} | {told.remedy} |"
        for code, told in sorted(codes.items())
    )


if __name__ == "__main__":
    print(errors_page(), end="")
