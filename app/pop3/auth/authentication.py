"""One AUTH exchange (RFC 5034): a mechanism's octets as lines, step by step."""

import asyncio
import contextlib
from base64 import b64decode, b64encode

from app.pop3.auth.sasl import Mechanism
from app.pop3.errors import MechanismUnusable, Pop3Error, ProtocolError
from app.pop3.wire.dialogue import Dialogue
from app.pop3.wire.protocol import LONGEST_COMMAND, Challenge, Expect, Status, command

_LEAST_SECRET = 8  # characters of base64; fewer hold less than a word, and stand in half of all words


async def authenticate(dialogue: Dialogue, mechanism: Mechanism) -> Status:
    """Run the exchange; the status that ends it. Nothing of it is pipelined, and every answer is kept secret.

    Raises ProtocolError, once the exchange is cancelled, when the server says what it must not. Answers may be
    longer than a command: only the first line counts as one (§4).
    """
    response = initial_response = mechanism.initial_response()
    line = f"AUTH {mechanism.name}"
    if response is not None:
        initial = f"{line} {_encoded(dialogue, response) or '='}"
        if len(initial) + 2 <= LONGEST_COMMAND:
            line, response = initial, None
    dialogue.send(command(line), Expect.CHALLENGE)
    while isinstance(event := await dialogue.challenge(), Challenge):
        if response is None and initial_response and not event.base64:
            response = initial_response  # an empty challenge behind it asks for it again (§4)
        if response is None:
            try:
                # Off the loop: SCRAM counts as long as the server asks.
                response = await asyncio.to_thread(mechanism.answer, _decoded(event))
            except ProtocolError:
                with contextlib.suppress(Pop3Error):  # whatever is said to that
                    await dialogue.answer(b"*")
                    await dialogue.challenge()
                raise
        await dialogue.answer(_encoded(dialogue, response).encode())
        response = initial_response = None
    if event.ok:
        mechanism.check_success()
    return event


def _encoded(dialogue: Dialogue, response: bytes) -> str:
    text = b64encode(response).decode()
    if len(text) >= _LEAST_SECRET:
        dialogue.keep_secret(text)
    return text


def _decoded(challenge: Challenge) -> bytes:
    try:
        return b64decode(challenge.base64, validate=True)
    except ValueError as error:
        raise MechanismUnusable("The server's challenge is not base64.") from error
