"""What can be wrong with a message, in sentences that stay the same: programs may compare them."""

NO_HEADERS = "The message has no headers."
HEADERS_CUT = "The message has more headers than are read; the rest was left out."
BROKEN_HEADER_LINE = "A line among the headers is not a header and was left out."
NO_EMPTY_LINE = "No empty line stands between the headers and the text; the text begins where no header is."
CR_CR_LF = "Lines end with CR CR LF."
BYTE_ORDER_MARK = "The headers begin with a byte order mark."
REPEATED_HEADER = "A header that may come once comes more than once; the first was taken."
LONG_VALUE_CUT = "A very long value was cut."
HEADER_8BIT = (
    "A header holds 8-bit characters that are not UTF-8; they were read as the text's or windows-1252."
)
BROKEN_ENCODED_WORD = "An encoded word in a header is broken."
UNKNOWN_CHARSET = "A charset is not known; its text was read as UTF-8 or windows-1252."
WRONG_CHARSET = "Some text is not valid in its charset; what is not was replaced."
BAD_DATE = "The date cannot be read."
DATE_WITHOUT_ZONE = "The date names no zone; it was taken for UTC."
BAD_ADDRESS = "An address cannot be read."
ADDRESS_ALTERED = (
    "An address is not shown as it came: it is too long, or holds blanks or what cannot be shown."
)
NAME_LIKE_ADDRESS = "The name beside an address looks like another address."
AMBIGUOUS_SENDER = "It is not certain who wrote the message: several senders are named; the first was taken."
INVISIBLE = "Invisible characters, or some that turn the reading direction, were left out."
ADDRESSES_CUT = "There are more addresses than are read; the rest was left out."
BARE_CR = "Lines end with CR alone; they were read as if they ended with LF."
BAD_CONTENT_TYPE = (
    "A content type cannot be read; the part was taken for plain text, or a file if it has a name."
)
NO_BOUNDARY = "A multipart has no boundary, or it never comes; it was taken for plain text."
NOT_CLOSED = "A multipart is never closed; the message may have been cut."
TOO_DEEP = "Parts are nested too deep; the innermost were left closed."
TOO_MANY_PARTS = "The message has more parts than are read; the rest was left out."
BAD_BASE64 = "Some base64 is broken; what could be decoded is given."
BAD_UUENCODE = "Some uuencoded data is broken; what could be decoded is given."
BAD_YENC = "Some yEnc data is broken; what could be decoded is given."
UNKNOWN_ENCODING = "A transfer encoding is not known; the part is given as it came."
NOTHING_SHOWN = "No part of the message can be shown as text; what it holds is among the attachments."
TNEF_CLOSED = "The message holds winmail.dat (TNEF), as Outlook makes it for Outlook; it is given closed."
TEXT_CUT = "The text is very long and was cut."
HTML_TOO_COMPLEX = "The HTML has more tags than are read; the rest was left out."
HTML_TOO_DEEP = "The HTML is nested too deep; what is innermost is shown without its formatting."
TOO_COSTLY = "The message costs more work than is spent on one; what was read so far is given."
TOOK_TOO_LONG = "Reading the message took too long; what was read so far is given."
UNREADABLE = "The message could not be read."

_FORMER = (
    "A header holds 8-bit characters that are not UTF-8; they were read as Latin-1.",
    "A charset is not known; its text was read as UTF-8 or Latin-1.",
    "The HTML is too complex to be shown as such; its text is given.",
)
ALL = frozenset(
    {*_FORMER, *(value for name, value in globals().copy().items() if name.isupper() and name[0] != "_")}
)
"""Every sentence of the reader, those of earlier versions too; other warnings of a message come from elsewhere."""
