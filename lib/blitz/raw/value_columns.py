"""The rules of ``values`` as Spark columns (docs/contract.md, section 9).

Nearly all cells of a large file are plain: one regular expression says so, and the cell is its value. Only the others
pay for the rules. A function takes the raw cell, which must be the column of a frame and no expression: it appears
several times in the result, and what is computed twice is planned, compiled and executed twice.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from blitz.raw import values
from blitz.raw.specs import Kind
from blitz.spark.columns import try_cast

_BLANKS = f"[{values.BLANKS}]*"
_END = r"\z"  # for Java, $ also matches before a line break that ends the text
_NOTHING = "|(?s:.*)"  # as the last of several forms: a text of no form becomes an empty one


def literal(text: str) -> str:
    """A regular expression of exactly this text, as Java and Rust read it."""
    return "".join(
        sign if sign.isalnum() or sign == " " else rf"\{sign}" if sign in r"\^[]" else f"[{sign}]" for sign in text
    )


def any_literal(words: frozenset[str]) -> str:
    """A regular expression of any of the words, the longest first."""
    return "|".join(literal(word) for word in sorted(words, key=lambda word: (-len(word), word)))


def _in_any_case(expression: str) -> str:
    return "".join(f"[{sign}{sign.lower()}]" if sign.isalpha() else sign for sign in expression)


def _bare(text: str, armoured: str | None = None) -> str:
    """A cell of this text between blanks, or of ``armoured`` in a spreadsheet's armour, which is in one line."""
    blanks = _BLANKS.replace("\n", "")
    inner = f"{blanks}{armoured or text}{blanks}"
    return f"""^{_BLANKS}(?:="{inner}"|'{inner}'?|{text}){_BLANKS}{_END}"""


_MISSING_TEXT = f"^{_BLANKS}(?:{any_literal(values.MISSING)})?{_BLANKS}{_END}"
_MISSING_WORD = _bare(f"(?:{_in_any_case(any_literal(values.MISSING_IN_ANY_CASE))})?")
_WORD = _bare("((?s:.*?))", r"([^\n]*?)")

# Cells that are their own value. The missing words begin with n, 1 or a mark, and end with no digit.
_PLAIN_TEXT = rf"(?s)^(?:[A-MO-Za-mo-z02-9](?:.*[!-~])?|1[0-9]*){_END}"
_PLAIN_CODE = f"^(?:[0-9]+|[A-Za-z][0-9A-Za-z_/-]*[0-9]){_END}"
_PLAIN_ID = f"^[0-9]{{1,18}}{_END}"
_PLAIN_NUMBER = f"^-?[0-9]{{1,18}}(?:[.][0-9]{{1,18}})?{_END}"
_DAY, _CLOCK = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9]{2}:[0-9]{2}"
_PLAIN_TIME = f"^{_DAY}(?:[ T]{_CLOCK}(?::[0-9]{{2}}(?:[.][0-9]+)?)?)?{_END}"
_PLAIN_INSTANT = f"^{_DAY}[ T]{_CLOCK}:[0-9]{{2}}(?:[.][0-9]+)?(?:Z|[+-]{_CLOCK}){_END}"


def is_missing_word(cell: Column) -> Column:
    """Whether the cell of a code, number, flag or time is missing; null for a null cell."""
    return cell.rlike(_MISSING_WORD)


def clean_text(cell: Column) -> Column:
    """A name or category without blanks around it; null where it is missing."""
    other = F.when(~cell.rlike(_MISSING_TEXT), F.btrim(cell, F.lit(values.BLANKS)))
    return F.when(cell.rlike(_PLAIN_TEXT), cell).otherwise(other)


def clean_word(cell: Column) -> Column:
    """A code, number, flag or time without blanks and armour around it; null where it is missing."""
    return F.when(~is_missing_word(cell), _word(cell))


def code(cell: Column) -> Column:
    """The code of a cell; null or empty where it is missing, and empty where it may have lost digits or characters:
    ``settled`` makes that null."""
    return F.when(cell.rlike(_PLAIN_CODE), cell).otherwise(_unusual_code(cell))


def whole_number(cell: Column) -> Column:
    """The whole number of a cell as bigint; null where it is missing or none."""
    other = F.regexp_extract(_unusual_code(cell), f"^[+-]?[0-9]+{_END}", 0)
    return try_cast(F.when(cell.rlike(_PLAIN_ID), cell).otherwise(other), "bigint")


def number(cell: Column) -> Column:
    """The number of a cell as double; null where it is missing or none, and infinite where it is out of range:
    ``settled`` makes that null."""
    digits = F.regexp_replace(_word(cell), _NUMBER, "".join(f"${at}" for at in range(1, 9)))
    other = F.translate(digits, "(,", "-")
    return try_cast(F.when(cell.rlike(_PLAIN_NUMBER), cell).otherwise(other), "double")


def settled(value: Column, kind: Kind) -> Column:
    """The value of ``code`` or ``number``, null where it is no code or no finite number.

    It belongs in a ``select`` of its own. In the same one, what Spark generates has the regular expressions of a value
    twice, and with more than 8,000 bytes the code of all columns is given up (benchmarks/RESULTS.md).
    """
    return F.when(value != "" if kind is Kind.CODE else F.abs(value) != F.lit(float("inf")), value)


def flag(cell: Column) -> Column:
    """True or false; null where the cell is missing or neither."""
    upper = F.upper(_word(cell))
    return F.when(upper.isin(*values.TRUE), True).when(upper.isin(*values.FALSE), False)


def instant(cell: Column) -> Column:
    """The timestamp of an ISO time, one without a zone taken for UTC; null where it is missing or none."""
    is_plain = cell.rlike(_PLAIN_TIME) | cell.rlike(_PLAIN_INSTANT)
    return F.when(is_plain, cell).otherwise(_iso_time(_word(cell))).cast("timestamp")


def local_time(cell: Column, zone: str) -> Column:
    """The wall-clock time of an ISO time as a timestamp, one with a zone converted to ``zone``."""
    from_zone = F.when(_word(cell).rlike(_ZONED), F.lit(zone)).otherwise(F.lit("UTC"))
    return F.when(cell.rlike(_PLAIN_TIME), cell.cast("timestamp")).otherwise(
        F.from_utc_timestamp(_iso_time(_word(cell)).cast("timestamp"), from_zone)
    )


def _word(cell: Column) -> Column:
    """The text without blanks and armour around it; an empty one is missing."""
    return F.regexp_replace(cell, _WORD, "$1$2$3")


def _unusual_code(cell: Column) -> Column:
    """A code that may have a fraction or an exponent; empty where it is missing or may have lost digits.

    One regular expression has all forms: what is generated for a cell is executed fast only while it is short.
    """
    return F.regexp_replace(_word(cell), _CODE, "".join(f"${at}" for at in range(1, len(_EXACT) + 4)))


# After 1.2345678 an exponent of 7 leaves a whole number: for each exponent, as many digits, and zeros that say nothing.
_EXACT = [rf"([0-9]{{{places}}})0*[eE]\+?0{{0,{int(places < 10)}}}{places}" for places in range(40)]
_CODE_FORMS = (values.WHOLE_DECIMAL, rf"([+-]?[1-9])\.(?:{'|'.join(_EXACT)})", values.EXPONENT_LIKE)
_MISSING_CODE = f"(?:{_in_any_case(any_literal(values.MISSING_IN_ANY_CASE))})"
_CODE = f"^(?:{_MISSING_CODE}|{'|'.join(_CODE_FORMS)}|([^{values.LOST_TEXT}]*){_NOTHING}){_END}"
_NUMBER_FORMS = (f"({values.PLAIN_NUMBER})", values.GROUPED_NUMBER, values.NEGATIVE_INSIDE, values.NEGATIVE_BEHIND)
_NUMBER = f"^(?:{'|'.join(_NUMBER_FORMS)}{_NOTHING}){_END}"

_MINUTE = rf"^({_DAY})[T ]+([0-9]{{1,2}}:[0-9]{{2}})"
_SECOND = r":[0-9]{2}(?:\.[0-9]+)?"
_ZONE = r"(?:Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?|)"
_DATE = rf"^([0-9]{{4}})([0-9]{{2}})([0-9]{{2}})(?:\.0*)?{_END}"  # 20250107, as a float where the column has gaps
# The forms that the cast reads, the usual one by place: it checks the digits, and takes regions as zones, too.
_BY_PLACE = "(?s:.{4}-.{2}-.{2}(?:[ T].{2}:.{2}(?::.*)?)?)"
_SHORT_HOUR = f"{_DAY} [0-9]:[0-9]{{2}}{_SECOND}{_ZONE}"
_ISO = f"^(?:({_BY_PLACE}|{_SHORT_HOUR}){_NOTHING}){_END}"
_ZONED = r"^[^:]*:..[0-9:. ]*[^0-9:. ]"


def _iso_time(word: Column) -> Column:
    """A time in a form that ``cast`` reads; empty where it is none of the forms of the contract. The cast checks the
    numbers: month 13 is null there. The cast alone would take "2025", "2025-1-1" and, as today's, "12:30".
    """
    with_seconds = F.regexp_replace(word, f"{_MINUTE}({_SECOND}) *({_ZONE}){_END}", "$1 $2$3$4")
    with_minutes = F.regexp_replace(with_seconds, f"{_MINUTE} *({_ZONE}){_END}", "$1 $2:00$3")
    return F.regexp_replace(F.regexp_replace(with_minutes, _DATE, "$1-$2-$3"), _ISO, "$1")
