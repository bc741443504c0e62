"""PURE  How names and passwords are written before SCRAM counts with them (SASLprep, RFC 4013)."""

import stringprep
import unicodedata

_FORBIDDEN = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,  # unassigned: SCRAM's are stored strings (RFC 5802 §2.2)
)


def saslprep(text: str) -> str:
    """The text as both sides write it: odd spaces as spaces, soft hyphens left out, compatibility forms as plain ones.

    What the profile forbids (controls, letters that came after Unicode 3.2, directions mixed) stays as it is: who
    stored such a password has taken it so, and a refusal of ours would help nobody.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    return prepared if prepared and _is_allowed(prepared) else text


def _is_allowed(text: str) -> bool:
    if any(is_in(each) for each in text for is_in in _FORBIDDEN):
        return False
    from_right = [stringprep.in_table_d1(each) for each in text]
    if not any(from_right):
        return True
    return (
        from_right[0] and from_right[-1] and not any(stringprep.in_table_d2(each) for each in text)
    )  # RFC 3454 §6
