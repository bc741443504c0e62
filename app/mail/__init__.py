"""PURE  The reader of mail: raw octets -> what a person sees of them. Knows nothing of the application.

The standard library, and for two things a library each: ``webencodings`` for the names of charsets, ``nh3`` for HTML
made safe. ``mime`` is the entry: ``summarise`` gives what a list shows of a message, ``parse`` all of it,
``attachment_facts`` and ``attachment_pieces`` one part, ``header_values`` one header. All take any octets, never raise,
cost what ``budget`` allows, give strings that can be stored, and tell in ``warnings`` (``defects``) what was odd.

They walk over the octets once, in pieces: ``scanner`` finds header blocks and delimiter lines, ``parts`` the tree,
``transfer`` and ``decoding`` undo encodings, ``nesting`` reads HTML once for both ``html`` and ``text``; ``envelope``
reads who, when and what about from the headers, with ``people``, ``dates``, ``words``, ``charsets`` and
``identification``; ``automation``, ``kinds`` and ``bounces`` say what sent a message and what it is.

| what is odd | what we do | as | where |
| --- | --- | --- | --- |
| ``ceo@bank.example <evil@evil.example>`` | the address is in the brackets; a warning | RFC 5322 §3.4 | people |
| several From fields, authors or addresses | all in ``authors``; ``from_ambiguous`` | RFC 5322 §3.6.2 | envelope |
| ``ceo@bank.example@evil.example`` | the same: programs show one part or another | RFC 5322 §3.4.1 | people |
| an address that is cut, or hides characters | the same | UTS 39 | people, envelope |
| ``<ceo@bank.example evil.example>`` | joined, and the same: programs show either word | | people |
| more headers than are read | the same: one more From may follow | RFC 5322 §3.6 | envelope |
| ``Doe, John <john@…>``, ``AT&amp;T <…>``, ``root (Cron Daemon)`` | one person | mail programs | people |
| ``@ , ;`` within an encoded word or a character | no part of the structure | RFC 2047 §5 | words |
| raw octets within an encoded word | octets of its charset | mail programs | words |
| words cut in mid-character, or in the middle of base64 | joined before they are decoded | mail programs | words |
| raw 8-bit headers and file names | UTF-8, else the text's charset or windows-1252 | RFC 6532 | words |
| a text in UTF-16 or EBCDIC | says nothing of raw headers, whose ASCII it would turn into other letters | | charsets |
| U+202E and others that turn or hide text | left out of subjects and names | UTS 39 | decoding |
| joiners and variation selectors that do nothing | the same; in emoji and other scripts they stay | UTS 39 | decoding |
| ``gb2312``, ``iso-8859-1``, ``windows-31j`` … | the superset that is meant | WHATWG Encoding | charsets |
| no charset, us-ascii, unknown-8bit | UTF-8, ISO-2022-JP, else windows-1252 | WHATWG Encoding | charsets |
| ``ibm-1251``, ``oem866``, ``28592``, ``gb2312_charset`` | by number; without the word | mail programs | charsets |
| a byte order mark, whatever is declared | it is believed where it holds | WHATWG Encoding | charsets |
| ISO-2022-KR, ISO-2022-CN, HZ, UTF-7 | decoded, though pages may not have them | mail programs | charsets |
| ``+02:00``, ``GMT+0100``, PM, RFC 3339, asctime | the moment meant | RFC 5322 §4.3 | dates |
| a zone that several places have, or nobody | no date | RFC 5322 §4.3 | dates |
| ``CET-1CEST`` | no date: in POSIX the signs are the other way round | POSIX.1 | dates |
| no zone | UTC, and it is told | RFC 5322 §3.3 | dates |
| no empty line before the text | it begins where no header is; ``{"a": 1}`` is none | mail programs | headers |
| a byte order mark before any header | left out: servers put theirs above a script's | mail programs | headers |
| CR CR LF, CR alone | line ends, unless LF ends headers too | mail programs | scanner |
| words, sections, charsets in parameters | read | RFC 2231 | headers |
| boundaries that begin one another, or miss | the outermost counts; told | RFC 2046 §5.1.2 | scanner |
| ``==``, ``=`` before blanks at a line's end | itself; a soft line end | mail programs | transfer |
| uuencode and yEnc within a text | attachments | POSIX.1, yEnc 1.3 | embedded |
| a plain footer behind base64 | left out: base64 ends where it ends | mail programs | transfer |
| words instead of base64 | given as they came, were they letters alone | mail programs | transfer |
| Content-Location instead of a Content-ID | the image is shown: ``cid:`` and the address | RFC 2557 | locations, html |
| ``multipart; boundary=x``, ``text/html:`` | what it looks like | mail programs | media_types |
| ``application-x-gzip; name="a.gz"`` | a file, for it has a name | mail programs | media_types |
| a PDF beside HTML with a Content-ID | an attachment: no HTML can show it | mail programs | roles |
| S/MIME as application/octet-stream | known by the name of its file | RFC 8551 §3.2.1 | kinds |
| ``start=`` names a part that never comes | the first HTML | RFC 2387 §3.2 | parts |
| HTML of any kind | safe HTML; text by our own writer | nh3 | html, text |
| HTML that is hidden, however | left out with its content, here and in the text | CSS 2.2 | styles, nesting |
| a colour without the one behind it | left out: nobody knows on what it will be shown | browsers | html |
"""
