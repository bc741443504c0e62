"""PURE  Which charset raw octets in headers are in: senders that encode nothing write headers as they write texts."""

from collections import deque

from app.mail.envelope import charset_of
from app.mail.fields.parameters import main_value
from app.mail.octets.charsets import tells_of_octets
from app.mail.octets.headers import Block

_MOST_TEXTS = 20


class TextCharsets:
    """Looks at the headers of the first texts of a message: at each once, and only where somebody asks."""

    def __init__(self) -> None:
        self._unread: deque[Block] = deque()
        self._count = 0
        self._first = ""

    def add(self, block: Block) -> None:
        """The headers of the next text."""
        if self._count < _MOST_TEXTS:
            self._count += 1
            self._unread.append(block)

    def first(self) -> str:
        """The charset of the first text so far that tells what raw octets are, or ""."""
        while self._unread and not self._first:
            block = self._unread.popleft()
            charset = charset_of(block)
            if tells_of_octets(charset) and main_value(block.first("content-disposition")) != "attachment":
                self._first = charset
        return self._first
