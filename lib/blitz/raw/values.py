"""What a piece of text in a raw file means: the one definition of every rule (docs/contract.md, section 9).

The rules are data (characters, words, regular expressions that Python, Java and Rust read alike) and functions over
Python text, which the small mapping files go through on the driver. ``value_columns`` builds the same rules as Spark
columns from the same data; a property test proves them equal.
"""

import re

# Unicode white space, the separators that Python counts as such, and characters without width: joiners, marks of
# direction, byte order marks.
BLANKS = "".join(
    map(
        chr,
        [
            *range(0x09, 0x0E),
            *range(0x1C, 0x21),
            *(0x85, 0xA0, 0x1680, 0x180E),
            *range(0x2000, 0x2010),
            *range(0x2028, 0x2030),
            *range(0x205F, 0x206A),
            *(0x3000, 0xFEFF),
        ],
    )
)
# What pandas takes for missing by default, and what MySQL, Hive and PostgreSQL write for NULL.
_MISSING = """
#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,n/a,nan,null,\\N
"""
MISSING = frozenset(_MISSING.strip().split(","))
MISSING_IN_ANY_CASE = frozenset(word.upper() for word in MISSING)  # no code, number or time is such a word
# The regular expressions are those of an entire text.
ARMOUR = r"""(?:="([^\n]*)"|'([^\n]*?)'?)"""  # ="0042" and '0042, which keep a spreadsheet from dropping zeros
WHOLE_DECIMAL = r"([+-]?[0-9]+)\.0*"  # 7040.0
# One digit, a point, digits, an exponent: the digits after the point must be as many as the exponent says.
# No code has more than 40 digits.
EXPONENT = r"([+-]?[1-9])\.([0-9]+)[eE]\+?(0?[0-9]|[1-3][0-9])"
LOST_TEXT = "\ufffd"  # what a reader puts in place of bytes that are not UTF-8
# Any exponent form that a program writes. 12E5 is none: it is more likely a code.
EXPONENT_LIKE = r"[+-]?[0-9]+(?:\.[0-9]*[eE][+-]?[0-9]+|[eE][+-][0-9]+)"
PLAIN_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DIGITS = r"((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3}|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)"
_CURRENCY = rf"(?:₹|[Rr][Ss]\.?|INR|inr)?[{BLANKS}]*"
# -1,234.50, ₹1,23,456.50, Rs. -5; and with parentheses for a negative number: (5.00), (₹5.00), ₹(5.00). The groups put
# together are the number, with a parenthesis for a minus and with separators.
GROUPED_NUMBER = rf"([+-]?){_CURRENCY}([+-]?){_DIGITS}"
NEGATIVE_INSIDE = rf"(\()[{BLANKS}]*{_CURRENCY}{_DIGITS}[{BLANKS}]*\)"
NEGATIVE_BEHIND = rf"{_CURRENCY}(\()[{BLANKS}]*{_DIGITS}[{BLANKS}]*\)"
TRUE = ("TRUE", "T", "YES", "Y", "1", "1.0")
FALSE = ("FALSE", "F", "NO", "N", "0", "0.0")
LARGEST_ID = 2**63 - 1


class UnreadableError(ValueError):
    """A text that cannot be a value of its kind: a number with letters, a code that lost digits."""


def strip(text: str) -> str:
    """The text without blanks and zero-width characters at its ends."""
    return text.strip(BLANKS)


def clean_text(text: str | None) -> str | None:
    """A name or category: stripped; None where it is missing."""
    stripped = strip(text) if text else ""
    return None if not stripped or stripped in MISSING else stripped


def clean_word(text: str | None) -> str | None:
    """A code, number, flag or time before it is read: stripped, without a spreadsheet's armour; None where missing."""
    stripped = strip(text) if text else ""
    if armour := re.fullmatch(ARMOUR, stripped):
        stripped = strip(armour[1] or armour[2] or "")
    return None if not stripped or stripped.upper() in MISSING_IN_ANY_CASE else stripped


def code(text: str | None) -> str | None:
    """A code: ``7040.0`` is ``7040``, ``1.2345678E7`` is ``12345678``, leading zeros stay.

    Raises UnreadableError for an exponent form that may have lost digits, and where characters were lost.
    """
    word = clean_word(text)
    if word is None:
        return None
    if LOST_TEXT in word:
        raise UnreadableError("characters were lost")
    if whole := re.fullmatch(WHOLE_DECIMAL, word):
        return whole[1]
    if exponent := re.fullmatch(EXPONENT, word):
        digits, places = exponent[2], int(exponent[3])
        if len(digits) >= places and not digits[places:].strip("0"):
            return exponent[1] + digits[:places]
    if re.fullmatch(EXPONENT_LIKE, word):
        raise UnreadableError("digits were lost")
    return word


def whole_number(text: str | None) -> int | None:
    """The whole number of an id. Raises UnreadableError where the code is not one of at most 64 bits."""
    digits = code(text)
    if digits is None:
        return None
    if not re.fullmatch(r"[+-]?[0-9]+", digits) or abs(int(digits)) > LARGEST_ID:
        raise UnreadableError("not a whole number")
    return int(digits)


def number(text: str | None) -> float | None:
    """A finite number, with thousands separators, a currency mark or parentheses where it has them.

    Raises UnreadableError for anything else.
    """
    word = clean_word(text)
    if word is None:
        return None
    found = float(plain_number(word) or "nan")
    if found != found or found in (float("inf"), float("-inf")):
        raise UnreadableError("not a finite number")
    return found


def plain_number(word: str) -> str | None:
    """The digits of a number without separators, marks and parentheses; None where it is not a number."""
    if re.fullmatch(PLAIN_NUMBER, word):
        return word
    for form in (GROUPED_NUMBER, NEGATIVE_INSIDE, NEGATIVE_BEHIND):
        if found := re.fullmatch(form, word):
            plain = "".join(found.groups()).replace(",", "").replace("(", "-")
            return plain if re.fullmatch(PLAIN_NUMBER, plain) else None
    return None


def shape(text: str) -> str:
    """What a value looks like without saying what it is: digits as 9, letters as a, at most 40 characters."""
    masked = "".join("9" if sign.isdigit() else "a" if sign.isalpha() else sign for sign in text[:40])
    return masked if masked.isprintable() else masked.encode("unicode_escape").decode()
