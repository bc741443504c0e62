"""Bodies for registering a mailbox, as the OpenAPI page offers them: each can be sent as it is."""

from typing import Any

_TLS: dict[str, Any] = {
    "name": "Invoices",
    "host": "pop.example.org",
    "username": "invoices@example.org",
    "password": "correct horse battery staple",
}


def _example(summary: str, description: str, value: dict[str, Any]) -> Any:
    return {"summary": summary, "description": description, "value": value}


MAILBOXES: dict[str, Any] = {
    "tls": _example("TLS on port 995", "What most servers offer. Synced when it is asked for.", _TLS),
    "starttls": _example(
        "STARTTLS on port 110",
        "Clear text until the connection is made secure; without that nothing is sent. Polled every five minutes.",
        _TLS | {"security": "starttls", "poll_interval_seconds": 300},
    ),
    "gmail": _example(
        "Gmail",
        "With an app password of the account; POP must be on in its settings. `recent:` shows the mail of the last "
        "30 days, whoever else retrieves it.",
        {
            "name": "Gmail",
            "host": "pop.gmail.com",
            "username": "recent:ada@gmail.com",
            "password": "abcd efgh ijkl mnop",
            "poll_interval_seconds": 600,
        },
    ),
    "microsoft": _example(
        "Microsoft 365",
        "By OAuth 2.0: Microsoft takes no passwords.",
        {
            "name": "Microsoft 365",
            "host": "outlook.office365.com",
            "username": "ada@contoso.example",
            "oauth2": {
                "provider": "microsoft",
                "client_id": "11111111-2222-3333-4444-555555555555",
                "refresh_token": "0.AX…",
            },
            "poll_interval_seconds": 300,
        },
    ),
    "criteria": _example(
        "Only what is wanted",
        "Of the new messages only invoices of one sender are retrieved, and mail that is there already is left.",
        _TLS
        | {
            "initial_sync": "from_now",
            "criteria": {
                "all": [
                    {"field": "subject", "op": "contains", "value": "invoice"},
                    {"field": "from_address", "op": "equals", "value": "billing@example.org"},
                ]
            },
        },
    ),
}
