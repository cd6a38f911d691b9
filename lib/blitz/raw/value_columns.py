"""The rules of ``values`` as Spark columns (docs/contract.md, section 9).

Most cells of a large file are plain: cheap comparisons of their first and last character come first, and only cells
with unusual ones pay for regular expressions. A step that casts names its column, since ``try_cast`` is SQL alone on
Spark 3.5; so a cell goes through stages (``TextStages``), one ``select`` each.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.raw import values

_SEPARATOR = "\x1f"  # in no word
_MISSING, _MISSING_IN_ANY_CASE = (
    _SEPARATOR + _SEPARATOR.join(["", *sorted(words)]) + _SEPARATOR
    for words in (values.MISSING, values.MISSING_IN_ANY_CASE)
)


def strip(cell: Column) -> Column:
    """The text without blanks and zero-width characters at its ends; an empty text stays empty."""
    is_plain = F.ascii(cell).between(33, 126) & F.ascii(F.substring(cell, -1, 1)).between(33, 126)
    return F.when(is_plain, cell).otherwise(F.btrim(cell, F.lit(values.BLANKS)))


def present_text(stripped: Column) -> Column:
    """A stripped name or category; null where it is missing."""
    return F.when(~_is_among(stripped, _MISSING), stripped)


def present_word(stripped: Column) -> Column:
    """A stripped code, number, flag or time without a spreadsheet's armour; null where it is missing."""
    bare = F.btrim(F.regexp_replace(stripped, values.ARMOUR, "$1$2"), F.lit(values.BLANKS))
    word = F.when(F.ascii(stripped).isin(ord("="), ord("'")), bare).otherwise(stripped)
    is_missing = _is_among(F.upper(word), _MISSING_IN_ANY_CASE)
    return F.when(_has_digits_at_both_ends(stripped), stripped).otherwise(F.when(~is_missing, word))


def _is_among(text: Column, words: str) -> Column:
    return F.contains(F.lit(words), F.concat(F.lit(_SEPARATOR), text, F.lit(_SEPARATOR)))


def code_of(word: Column) -> Column:
    """The code of a word; null where an exponent form may have lost digits."""
    digits, places = F.regexp_extract(word, values.EXPONENT, 2), F.regexp_extract(word, values.EXPONENT, 3).cast("int")
    kept, more = digits.substr(F.lit(1), places), digits.substr(places + 1, F.length(digits))
    is_exact = (F.length(digits) >= places) & (F.translate(more, "0", "") == "")
    exact = F.when(is_exact, F.concat(F.regexp_extract(word, values.EXPONENT, 1), kept))
    unusual = (
        F.when(word.rlike(values.WHOLE_DECIMAL), F.regexp_replace(word, values.WHOLE_DECIMAL, "$1"))
        .when(word.rlike(values.EXPONENT), exact)
        .when(~word.rlike(values.EXPONENT_LIKE), word)
    )
    has_mark = (F.instr(word, ".") > 0) | (F.instr(word, "+") > 0) | (F.instr(word, "-") > 0)
    return F.when(~has_mark, word).otherwise(unusual)


def plain_number(word: Column) -> Column:
    """The digits of a number without separators, marks and parentheses; null where it is not a number."""
    grouped = (
        F.when(word.rlike(values.GROUPED_NUMBER), F.regexp_replace(word, values.GROUPED_NUMBER, "$1$2$3"))
        .when(word.rlike(values.NEGATIVE_INSIDE), F.regexp_replace(word, values.NEGATIVE_INSIDE, "-$1"))
        .when(word.rlike(values.NEGATIVE_BEHIND), F.regexp_replace(word, values.NEGATIVE_BEHIND, "-$1"))
    )
    bare = F.translate(grouped, ",", "")
    # Letters that Java takes for numbers (12d, 0x1p3) are none of the characters of a plain one.
    is_plain = (F.translate(word, "0123456789.", "") == "") | word.rlike(values.PLAIN_NUMBER)
    return F.when(is_plain, word).otherwise(F.when(bare.rlike(values.PLAIN_NUMBER), bare))


def whole_text(code: Column) -> Column:
    """The code where it is a whole number, to be cast; null elsewhere."""
    return F.when(_has_digits_at_both_ends(code) & (F.instr(code, ".") == 0), code).otherwise(
        F.when(code.rlike("^[+-]?[0-9]+$"), code)
    )


def flag(word: Column) -> Column:
    """True or false; null where the word is neither."""
    upper = F.upper(word)
    return F.when(upper.isin(*values.TRUE), True).when(upper.isin(*values.FALSE), False)


_DATE = r"^([0-9]{4})([0-9]{2})([0-9]{2})(?:\.0*)?$"  # 20250107, as a float where the column has gaps
_MINUTE = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]+([0-9]{1,2}:[0-9]{2})"
_ZONE = r" *(Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?|)$"
_SECOND = r"(:[0-9]{2}(?:\.[0-9]+)?)"


def iso_time(word: Column) -> Column:
    """A time in the form that ``cast`` reads; null where it is none of the forms of the contract. The cast checks the
    numbers: month 13 is null there.

    The cast alone would take "2025", "2025-1-1" and, as today's, "12:30". The usual form is compared by place: a
    regular expression costs a run's largest file, the customer mapping, more than all the rest of its reading.
    """

    def at(place: int, *chars: str) -> Column:
        return F.substring(word, place, 1).isin(*chars)

    is_long = at(11, " ", "T") & at(14, ":") & ((F.length(word) == 16) | at(17, ":"))
    with_seconds = F.regexp_replace(word, _MINUTE + _SECOND + _ZONE, "$1 $2$3$4")
    other = F.regexp_replace(F.regexp_replace(with_seconds, _MINUTE + _ZONE, "$1 $2:00$3"), _DATE, "$1-$2-$3")
    is_other = word.rlike(f"{_DATE}|{_MINUTE}{_SECOND}?{_ZONE}")
    is_usual = at(5, "-") & at(8, "-") & ((F.length(word) == 10) | is_long)
    return F.when(is_usual, word).otherwise(F.when(is_other, other))


def has_zone(iso: Column) -> Column:
    """Whether anything but digits and marks of a time follows the minutes: Z, UTC, +05:30, a region's name."""
    return (F.length(iso) > 16) & (F.translate(F.substring(iso, 17, 64), "0123456789:. ", "") != "")


def _has_digits_at_both_ends(text: Column) -> Column:
    return F.ascii(text).between(48, 57) & F.ascii(F.substring(text, -1, 1)).between(48, 57)
