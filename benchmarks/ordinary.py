"""Letters as people get them: thirteen kinds, each with the headers, encodings and line ends of what is sent today.

Several Received fields, a DKIM signature, authentication results, quoted-printable in UTF-8, multipart/alternative,
encoded subjects, CRLF. All of them are made here, always the same for a number.
"""

import base64
import binascii
from collections.abc import Callable
from random import Random

_PROSE = """
the order invoice has been sent and should arrive by Friday please confirm that your address is still right
we will meet again next week to speak about numbers from spring attached you find a new draft of this contract
thank you for writing so quickly kind regards from all here report server backup finished without errors
""".split()  # noqa: SIM905  sixty words as words
_FOREIGN = "schöne Grüße aus Köln für Sie über Ihre Rechnung vom März können möchten größer Übersicht".split()  # noqa: SIM905
_JAPANESE = (
    "お世話になっております。株式会社例示の山田です。"
    "ご注文の商品を本日発送いたしました。ご確認のほどよろしくお願いいたします。"
)
_PEOPLE = (
    ("Ada Byron", "ada"),
    ("Müller, Jörg", "joerg.mueller"),
    ("Róisín O'Neill", "roisin"),
    ("Max Weber", "max"),
    ("Kundenservice der Sparbank Köln", "service"),
    ("Lee Chen", "lee"),
    ("The Example Weekly", "weekly"),
)
_HOSTS = ("mail.example.org", "news.example.com", "bank.example", "lists.example.net", "shop.example.com")


def ordinary_letters(count: int) -> dict[str, list[bytes]]:
    """So many letters of each kind, by its name."""
    return {
        name: [make(Random(1_000 * kind + number), number) for number in range(count)]
        for kind, (name, make) in enumerate(KINDS.items())
    }


def _newsletter(chance: Random, number: int) -> bytes:
    text = "\n\n".join(_paragraph(chance, 60, _FOREIGN) for _ in range(12))
    links = "\n".join(
        f"https://news.example.com/c?id={chance.randrange(10**24)}&s={line}" for line in range(8)
    )
    return _letter(chance, number, _part("plain", f"{text}\n\n{links}\n"), extra=_of_list("weekly", number))


def _notice_of_a_bank(chance: Random, number: int) -> bytes:
    text = f"Guten Tag,\n\n{_paragraph(chance, 50, _FOREIGN)}\n\nMit freundlichen Grüßen\nIhre Sparbank\n"
    rows = "".join(
        f"<tr>{_cell(chance)}{_cell(chance)}<td align=right>{chance.randrange(9999)},00&nbsp;&euro;</td></tr>\n"
        for _ in range(14)
    )
    page = _page(
        chance, f"<h2>Ihre Übersicht</h2><p>{_paragraph(chance, 40, _FOREIGN)}</p><table>{rows}</table>"
    )
    return _letter(
        chance, number, _alternative(number, text, page), subject="Ihre Umsätze im März: Übersicht"
    )


def _notification_of_a_code_host(chance: Random, number: int) -> bytes:
    text = f"{_paragraph(chance, 45)}\n\n-- \nReply to this email directly or view it:\n"
    text += f"https://code.example.com/acme/rocket/pull/{number}#issuecomment-{chance.randrange(10**9)}\n"
    page = f'<p dir="auto">{_paragraph(chance, 45)}</p>\n<pre><code>def f(x):\n    return x &lt; 1\n</code></pre>'
    page += '<p style="font-size:small;color:#666;">&mdash;<br />Reply to this email directly, '
    page += f'<a href="{_link(chance)}">view it</a>, or <a href="{_link(chance)}">unsubscribe</a>.'
    page += f'<img src="{_link(chance)}" width="1" height="1"></p>'
    extra = (
        f"In-Reply-To: <acme/rocket/pull/{number}@code.example.com>\n"
        f"References: <acme/rocket/pull/{number}@code.example.com>\n"
        "Precedence: list\n"
        "X-Code-Sender: ada\nX-Code-Recipient: me\nX-Code-Reason: mention\n"
        "List-ID: acme/rocket <rocket.acme.code.example.com>\n"
        "List-Archive: https://code.example.com/acme/rocket\n"
        "List-Unsubscribe: <mailto:unsub+AAAB@reply.code.example.com>,\n"
        " <https://code.example.com/notifications/unsubscribe/AAAB>\n"
        "X-Auto-Response-Suppress: All\n"
    )
    subject = f"Re: [acme/rocket] {_paragraph(chance, 6)} (PR #{number})"
    return _letter(
        chance, number, _alternative(number, text, page, "7bit"), subject=subject, extra=extra, copies=2
    )


def _invitation(chance: Random, number: int) -> bytes:
    calendar = (
        "BEGIN:VCALENDAR\nMETHOD:REQUEST\nPRODID:-//Example//Calendar\nVERSION:2.0\nBEGIN:VEVENT\n"
        f"DTSTART:20260{chance.randint(1, 9)}12T090000Z\nSUMMARY:{_paragraph(chance, 5)}\nUID:{number}@example.com\n"
        "ORGANIZER;CN=Ada Byron:mailto:ada@example.org\nATTENDEE;RSVP=TRUE:mailto:me@example.net\n"
        "END:VEVENT\nEND:VCALENDAR\n"
    )
    text = f"{_paragraph(chance, 30, _FOREIGN)}\n\nWhen: Monday, 9:00\nWhere: Köln\n"
    page = _page(chance, f"<p>{_paragraph(chance, 30, _FOREIGN)}</p><table><tr>{_cell(chance)}</tr></table>")
    parts = (
        _part("plain", text),
        _part("html", page),
        _part('calendar; method=REQUEST; name="invite.ics"', calendar, "7bit"),
    )
    both = _multipart("alternative", f"alt{number}", parts)
    file = _file("application/ics", "invite.ics", calendar.encode())
    body = _multipart("mixed", f"mix{number}", (both, file))
    return _letter(chance, number, body, subject="Einladung: Übergabe am Montag um 9 Uhr", copies=4)


def _reply_chain(chance: Random, number: int) -> bytes:
    text = f"Hallo Ada,\n\n{_paragraph(chance, 40, _FOREIGN)}\n\nViele Grüße\nJörg\n\n"
    for depth in range(1, 5):
        quoted = f"Am 5. Januar schrieb Ada Byron:\n\n{_paragraph(chance, 60, _FOREIGN)}\n\nGrüße\n"
        text += "".join(f"{'> ' * depth}{line}\n" for line in quoted.split("\n"))
    ids = "\n ".join(f"<{chance.randrange(10**18)}.{depth}@mail.example.org>" for depth in range(6))
    extra = f"In-Reply-To: <{number}@mail.example.org>\nReferences: {ids}\nUser-Agent: Example Mail 1.0\n"
    return _letter(
        chance, number, _part("plain; format=flowed", text), subject="Re: Grüße aus Köln", extra=extra
    )


def _japanese(chance: Random, number: int) -> bytes:
    text = "\n".join(_JAPANESE[chance.randrange(20) :] for _ in range(20))
    body = f'Content-Type: text/plain; charset="ISO-2022-JP"\nContent-Transfer-Encoding: 7bit\n\n{text}\n'
    subject = base64.b64encode("ご注文の確認について".encode("iso2022_jp")).decode()
    return _letter(
        chance, number, body.encode("iso2022_jp"), subject=f"=?ISO-2022-JP?B?{subject}?=", sender="山田太郎"
    )


def _invoice(chance: Random, number: int) -> bytes:
    text = f"Guten Tag,\n\nanbei Ihre Rechnung.\n\n{_paragraph(chance, 30, _FOREIGN)}\n"
    page = _page(
        chance, f"<p>anbei Ihre Rechnung.</p><p>{_paragraph(chance, 30, _FOREIGN)}</p><p>{_cell(chance)}</p>"
    )
    file = _file("application/pdf", f"Rechnung-{number}.pdf", b"%PDF-1.7\n" + chance.randbytes(200_000))
    body = _multipart("mixed", f"mix{number}", (_alternative(number, text, page), file))
    return _letter(chance, number, body, subject=f"Ihre Rechnung Nr. {number} für März")


def _bounce(chance: Random, number: int) -> bytes:
    text = (
        "This is the mail system at host mx.example.org.\n\nI'm sorry to have to inform you that your message\n"
        "could not be delivered to one or more recipients. It's attached below.\n\n"
        f"<gone{number}@example.net>: host mx.example.net[192.0.2.7] said: 550 5.1.1 User unknown\n"
    )
    status = (
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n"
        "Arrival-Date: Mon,  5 Jan 2026 08:00:00 +0100 (CET)\n\n"
        f"Final-Recipient: rfc822; gone{number}@example.net\nAction: failed\nStatus: 5.1.1\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\n"
    )
    returned = _letter(chance, number + 1, _part("plain", _paragraph(chance, 100, _FOREIGN))).replace(
        b"\r\n", b"\n"
    )
    parts = (
        _part("plain", text, "7bit"),
        status.encode(),
        b"Content-Type: message/rfc822\n\n" + returned,
    )
    body = _multipart("report; report-type=delivery-status", f"rep{number}", parts)
    head = (
        "Return-Path: <>\nReceived: by mx.example.org (Postfix)\n\tid 4F; Mon,  5 Jan 2026 08:00:00 +0100 (CET)\n"
        "Date: Mon,  5 Jan 2026 08:00:00 +0100 (CET)\nFrom: MAILER-DAEMON@mx.example.org (Mail Delivery System)\n"
        "Subject: Undelivered Mail Returned to Sender\nTo: me@example.net\nAuto-Submitted: auto-replied\n"
        f"MIME-Version: 1.0\nMessage-Id: <20260105{number}.4F@mx.example.org>\n"
    )
    return _with_crlf(head.encode() + body)


def _post_to_a_list(chance: Random, number: int) -> bytes:
    text = "\n\n".join(_paragraph(chance, 50) for _ in range(4))
    footer = "_______________________________________________\nusers mailing list\nusers@lists.example.net\n"
    footer += "https://lists.example.net/mailman/listinfo/users\n"
    post = f"{text}\n\n-- \nLee\n{footer}"
    extra = f"In-Reply-To: <{number}.1@mail.example.org>\n" + _of_list("users", number)
    return _letter(
        chance,
        number,
        _part("plain", post, "7bit"),
        subject=f"Re: [users] {_paragraph(chance, 5)}",
        extra=extra,
    )


def _marketing(chance: Random, number: int) -> bytes:
    style = '<style type="text/css">' + "".join(
        f".c{rule}{{margin:0;padding:{rule}px}}\n" for rule in range(60)
    )
    page = f'<html><head><title>Angebote</title>{style}</style></head><body bgcolor="#f4f4f4">'
    page += (
        f'<div style="display:none;max-height:0">{_paragraph(chance, 8, _FOREIGN)}{"&zwnj;&nbsp;" * 60}</div>'
    )
    while len(page) < 52_000:
        row = "".join(f"{_cell(chance)}" for _ in range(2))
        page += f'<table width="600" cellpadding="0" cellspacing="0" border="0" align="center"><tr>{row}</tr></table>\n'
    page += "</body></html>"
    return _letter(
        chance,
        number,
        _part("html", page),
        subject="🌞 Nur heute: große Angebote für Sie!",
        extra=_of_list("offers", number),
    )


def _personal(chance: Random, number: int) -> bytes:
    text = f"Hi,\n\n{_paragraph(chance, 30)}\n\nMax\n"
    page = f'<div dir="ltr">Hi,<div><br></div><div>{_paragraph(chance, 30)}</div><div><br></div><div>Max</div></div>\n'
    return _letter(
        chance, number, _alternative(number, text, page, "7bit"), subject=_paragraph(chance, 4), copies=1
    )


def _with_pictures(chance: Random, number: int) -> bytes:
    page = _page(
        chance, f'<p>{_paragraph(chance, 60, _FOREIGN)}</p><img src="cid:logo{number}" alt="Logo"><p>Köln</p>'
    )
    html = _part("html", page, "base64")
    picture = _file(
        "image/png", "logo.png", chance.randbytes(30_000), f"Content-ID: <logo{number}>\n", "inline"
    )
    related = _multipart("related", f"rel{number}", (html, picture))
    text = _part("plain", _paragraph(chance, 60, _FOREIGN), "base64")
    body = _multipart("alternative", f"alt{number}", (text, related))
    return _letter(chance, number, body, subject="Fotos aus Köln", copies=3)


def _of_a_program(chance: Random, number: int) -> bytes:
    lines = "".join(f"{hour:02}:00 host{hour} backup: {_paragraph(chance, 9)}\n" for hour in range(24))
    return _letter(
        chance,
        number,
        _part("plain", lines, "base64"),
        extra="Auto-Submitted: auto-generated\nX-Cron-Env: <SHELL=sh>\n",
    )


KINDS: dict[str, Callable[[Random, int], bytes]] = {
    "newsletter in plain text": _newsletter,
    "notice of a bank": _notice_of_a_bank,
    "notification of a code host": _notification_of_a_code_host,
    "invitation": _invitation,
    "reply chain": _reply_chain,
    "Japanese": _japanese,
    "invoice with a PDF": _invoice,
    "bounce": _bounce,
    "post to a list": _post_to_a_list,
    "marketing of 60 KB": _marketing,
    "personal": _personal,
    "HTML with a picture": _with_pictures,
    "of a program": _of_a_program,
}


def _letter(
    chance: Random,
    number: int,
    body: bytes,
    *,
    subject: str = "",
    extra: str = "",
    sender: str = "",
    copies: int = 0,
) -> bytes:
    """``body``: with its own Content-Type and so on above it. Ends its lines with CRLF."""
    name, local = chance.choice(_PEOPLE)
    host = chance.choice(_HOSTS)
    hops = "".join(
        f"Received: from {host} ({host} [192.0.2.{chance.randrange(256)}])\n\tby mx{hop}.example.net (Postfix) with"
        f" ESMTPS id {chance.randrange(10**12):X}\n\t(version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256)"
        f"\n\tfor <me@example.net>; Mon, 05 Jan 2026 08:{number % 60:02}:{hop + 10} +0100 (CET)\n"
        for hop in range(4)
    )
    signature = "\n\t ".join(_base64(chance.randbytes(48)) for _ in range(5))
    others = ", ".join(f"{_encoded(who)} <{at}@example.org>" for who, at in chance.sample(_PEOPLE, copies))
    head = (
        f"Return-Path: <bounce+{number}@{host}>\nDelivered-To: me@example.net\n{hops}"
        f"Authentication-Results: mx.example.net;\n\tdkim=pass header.d={host} header.s=s1 header.b=Ab12;\n"
        f"\tspf=pass (mx.example.net: domain of bounce@{host} designates 192.0.2.9) smtp.mailfrom=bounce@{host};\n"
        f"\tdmarc=pass (p=REJECT) header.from={host}\n"
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={host}; s=s1;\n"
        f"\th=from:to:subject:date:message-id:mime-version:content-type;\n\tbh={_base64(chance.randbytes(32))};\n"
        f"\tb={signature}\n"
        f"From: {_encoded(sender or name)} <{local}@{host}>\n"
        f"To: Me Example <me@example.net>\n" + (f"Cc: {others}\n" if copies else "") + "Subject: "
        f"{subject if subject.startswith('=?') else _encoded(subject or _paragraph(chance, 6))}\n"
        f"Date: Mon, {number % 28 + 1} Jan 2026 08:{number % 60:02}:05 +0100\n"
        f"Message-ID: <{chance.randrange(10**20)}.{number}@{host}>\n{extra}MIME-Version: 1.0\n"
        f"X-Spam-Status: No, score=-2.1 required=5.0 tests=DKIM_SIGNED,DKIM_VALID,\n\tHTML_MESSAGE,SPF_PASS"
        " autolearn=ham version=4.0.0\n"
    )
    return _with_crlf(head.encode() + body)


def _of_list(name: str, number: int) -> str:
    return (
        f"List-Id: All of {name} <{name}.lists.example.net>\n"
        f"List-Unsubscribe: <https://lists.example.net/u?{number}>, <mailto:{name}-leave@lists.example.net>\n"
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click\nPrecedence: list\n"
        f"List-Post: <mailto:{name}@lists.example.net>\nSender: {name}-bounces@lists.example.net\n"
    )


def _part(kind: str, text: str, encoding: str = "quoted-printable") -> bytes:
    """A text as a part, its headers above it."""
    charset = "utf-8" if encoding != "7bit" else "us-ascii"
    head = f'Content-Type: text/{kind}; charset="{charset}"\nContent-Transfer-Encoding: {encoding}\n\n'
    octets = text.encode()
    if encoding == "quoted-printable":
        octets = binascii.b2a_qp(octets, istext=True)
    elif encoding == "base64":
        octets = base64.encodebytes(octets.replace(b"\n", b"\r\n"))
    return head.encode() + octets


def _alternative(number: int, text: str, page: str, encoding: str = "quoted-printable") -> bytes:
    return _multipart(
        "alternative", f"alt{number}", (_part("plain", text, encoding), _part("html", page, encoding))
    )


def _multipart(kind: str, mark: str, parts: tuple[bytes, ...]) -> bytes:
    boundary = f"----=_Part_{mark}_1767600000.{len(parts)}"
    head = f'Content-Type: multipart/{kind};\n boundary="{boundary}"\n\n'.encode()
    inner = b"".join(b"--%s\n%s\n" % (boundary.encode(), part) for part in parts)
    return head + inner + b"--%s--\n" % boundary.encode()


def _file(kind: str, name: str, octets: bytes, extra: str = "", disposition: str = "attachment") -> bytes:
    head = (
        f'Content-Type: {kind}; name="{name}"\nContent-Transfer-Encoding: base64\n{extra}'
        f'Content-Disposition: {disposition};\n filename="{name}"\n\n'
    )
    return head.encode() + base64.encodebytes(octets)


def _page(chance: Random, content: str) -> str:
    return (
        '<!DOCTYPE html><html lang="de"><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8">'
        "<style>body{margin:0;font-family:Arial,sans-serif}.x{color:#333}</style></head>\n"
        f'<body style="margin:0;padding:0"><table width="100%"><tr>{_cell(chance)}</tr></table>\n{content}\n'
        f'<p style="font-size:12px;color:#999999">Sparbank Köln &middot; <a href="{_link(chance)}">Abmelden</a></p>'
        "</body></html>\n"
    )


def _cell(chance: Random) -> str:
    return (
        '<td style="padding:20px 30px;font-family:Arial,Helvetica,sans-serif;font-size:16px;line-height:24px;'
        f'color:#333333;background-color:#ffffff" valign="top"><a href="{_link(chance)}" style="color:#0066cc;'
        f'text-decoration:none"><img src="https://img.example.com/{chance.randrange(10**9)}.jpg" width="180" alt=""'
        f' style="display:block;border:0"></a>{_paragraph(chance, 9, _FOREIGN)}</td>\n'
    )


def _link(chance: Random) -> str:
    return (
        f"https://click.example.com/ls/click?upn={chance.randrange(16**40):x}&amp;u={chance.randrange(10**9)}"
    )


def _paragraph(chance: Random, words: int, further: list[str] | None = None) -> str:
    """Words, in lines where they are many."""
    chosen = chance.choices(_PROSE + (further or []), k=words)
    return "\n".join(" ".join(chosen[at : at + 12]) for at in range(0, words, 12))


def _encoded(text: str) -> str:
    """As it may stand in a header: in quotes, or as an encoded word (RFC 2047 §2) where it is not ASCII."""
    text = text.replace("\n", " ")
    if text.isascii():
        return f'"{text}"' if "," in text else text
    return f"=?UTF-8?B?{_base64(text.encode())}?="


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _with_crlf(octets: bytes) -> bytes:
    return octets.replace(b"\n", b"\r\n")
