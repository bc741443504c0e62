"""PURE  Comments in headers (RFC 5322 §3.2.2): they nest, and a backslash protects what is behind it."""

import re

_IN_COMMENT = re.compile(r"[()]|\\.", re.DOTALL)


def end_of_comment(text: str, start: int) -> int:
    """Behind the parenthesis that closes the one at ``start``; -1 where none does. Comments nest (RFC 5322 §3.2.2)."""
    depth = 0
    for mark in _IN_COMMENT.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.end()
    return -1


def without_comments(text: str) -> str:
    """A text without its comments, up to the first one that is never closed."""
    kept, at = [], 0
    while (start := text.find("(", at)) >= 0 and (end := end_of_comment(text, start)) >= 0:
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])
