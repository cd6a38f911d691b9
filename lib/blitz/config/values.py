"""Single values of a config: dates, paths, store codes; and how a message shows a value or a nearest name."""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from functools import cache
from itertools import pairwise
from typing import TypeVar
from zoneinfo import available_timezones

from dateutil.relativedelta import relativedelta

from blitz.catalog.names import table_name
from blitz.storage.paths import BUCKET_SCHEMES, SCHEMES, is_table, scheme_of

Problem = tuple[str, str]  # JSON path, message
_T = TypeVar("_T")

AS_OF = "{as_of}"
_NAMES = re.compile(r"\{(catalog|schema)\}")
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0{1,9})?)?)?", re.ASCII)
_WHOLE = re.compile(r"(-?\d+)\.0+", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1900, 2200  # the range of nanosecond timestamps and of window arithmetic


def add_months(day: date, months: int) -> date:
    """The same day of another month; past its end, the last day of that month (31 January + 1 = 28 or 29 February).

    Raises:
        ValueError: the result is outside the years 1 to 9999.
    """
    moved: date = day + relativedelta(months=months)
    return moved


def dig(tree: object, path: str) -> object:
    """The value at a dotted path, or None where anything on the way is missing or not an object."""
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def parsed(parse: Callable[..., _T], value: object) -> _T | None:
    """The result of a parser of this module, or None where it refuses the value."""
    try:
        return parse(value)
    except ValueError:
        return None


def show(value: object) -> str:
    """A value as a message quotes it: short and on one line, whatever it contains."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        text = json.dumps(value if len(value) <= 80 else value[:77] + "...", ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate would break the message
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, dict) else f"a Python {type(value).__name__}"


def join_path(section: str, key: str | int) -> str:
    """The JSON path of a key or an index below another JSON path; unusual keys are quoted in brackets."""
    if isinstance(key, int):
        return f"{section}[{key}]"
    if not key.isidentifier() or len(key) > 80:
        return f"{section}[{show(key)}]"
    return f"{section}.{key}" if section else key


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The most similar name to a misspelt one, ignoring case, or None where none is similar."""
    by_lower = {known.lower(): known for known in names}
    found = difflib.get_close_matches(name.lower()[:200], by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``; did you mean "x"?``, or an empty text: the end of a message about an unknown name."""
    found = nearest(name, names)
    return f"; did you mean {show(found)}?" if found else ""


def is_number(value: object) -> bool:
    """Whether this is a finite JSON number in the range of a double (true and false are not)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int outside the range of a double
        return False


def parse_number(value: object) -> float:
    """A finite JSON number as a float; raises ValueError for anything else, text that looks like one included."""
    if not is_number(value):
        raise ValueError(f"must be a finite number, not {show(value)}")
    return float(value)  # type: ignore[arg-type]


def check_ascending(values: list[float]) -> list[float]:
    """Numbers that do not descend, unchanged; ValueError names the first that does."""
    for before, after in pairwise(values):
        if after < before:
            raise ValueError(f"must be in ascending order: {after:g} comes after {before:g}")
    return values


def parse_date(value: object) -> date:
    """A calendar day from ``YYYY-MM-DD``, a date, or either form of a midnight without a zone.

    Raises:
        ValueError: anything else, a day that does not exist, or a year outside 1900 to 2200.
    """
    if isinstance(value, datetime):
        if value.time() != time.min or value.tzinfo is not None:
            raise ValueError(f"must be a date or a midnight without a zone, not {value.isoformat()}")
        day = value.date()
    elif isinstance(value, date):
        day = value
    else:
        found = _DATE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f'must be a date such as "2025-07-01", not {show(value)}')
        try:
            day = date.fromisoformat(found[1])
        except ValueError:
            raise ValueError(f"there is no such day as {show(value)}") from None
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"the year must be between {_FIRST_YEAR} and {_LAST_YEAR}, not {day.year}")
    return day


def parse_store_code(value: object) -> str:
    """A store code as canonical text: 9993, 9993.0, "9993" and " 9993.0 " are all ``9993``; leading zeros stay.

    Raises:
        ValueError: not a whole number or not text.
    """
    if isinstance(value, str) and value.strip():
        text = value.strip()
        whole = _WHOLE.fullmatch(text)
        return whole[1] if whole else text
    if is_number(value) and float(value).is_integer() and abs(value) < 2**53:  # type: ignore[arg-type]
        return str(int(value))  # type: ignore[call-overload]
    raise ValueError(f"must be a store code (text or a whole number), not {show(value)}")


def parse_spark_value(value: object) -> str:
    """A Spark setting as the text that Spark takes: true is ``true``, 400 is ``400``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value) and abs(value) < 2**63:  # type: ignore[arg-type]
        return str(value)
    raise ValueError(f"must be text, a number of at most 64 bits, true or false, not {show(value)}")


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def check_timezone(name: str) -> str:
    """The name of a known time zone, unchanged; ValueError names the nearest one."""
    known = _timezones()
    if name not in known:
        hint = did_you_mean(name, known) or "; name it such as Asia/Kolkata"
        raise ValueError(f"unknown time zone {show(name)}{hint}")
    return name


def check_time_format(pattern: str) -> str:
    """A Spark pattern of a date or time, unchanged; ValueError says which letters it lacks or may not have."""
    letters = set(re.sub(r"'[^']*'|[^A-Za-z]", "", pattern))
    unknown = sorted(letters - set("yuMLdHhKkmsSaEXxZzVO"))
    if unknown:
        raise ValueError(f"{show(pattern)} has {show(unknown[0])}, which is not a letter of Spark's datetime patterns")
    if not letters & set("yu") or not letters & set("ML") or "d" not in letters:
        raise ValueError(f'must have a year, a month and a day, such as "dd/MM/yyyy HH:mm", not {show(pattern)}')
    return pattern


def matching(pattern: str, words: str) -> Callable[[str], str]:
    """A check that text matches a whole pattern; ``words`` say in its message what the text must be."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"must be {words}, not {show(text)}")
        return text

    return check


def check_input_path(path: str) -> str:
    """A path to read, globs allowed, or a table of a catalog, unchanged; ValueError says what is wrong with it."""
    if AS_OF in path:
        raise ValueError(f"{AS_OF} is allowed in output paths only, not in {show(path)}")
    return _check_table(path) if is_table(path) else _check_path(path)


def check_optional_path(path: str) -> str:
    """A path to read or a table of a catalog, or empty."""
    return check_input_path(path) if path else path


def check_output_path(path: str) -> str:
    """A path to write, or a table of a catalog, either with ``{as_of}`` or without, unchanged; ValueError says what is
    wrong with it."""
    if is_table(path):
        _check_table(path.replace(AS_OF, "as_of"))
        return path
    _check_path(path.replace(AS_OF, "AS_OF"))
    if any(mark in path for mark in "*?[]"):
        raise ValueError(f"an output path cannot contain * ? [ or ], which readers treat as patterns: {show(path)}")
    rest = path[len(scheme_of(path)) :].removeprefix(":").split("/")
    parts = [part for part in rest if part not in ("", ".", "..")]
    if len(parts) < (2 if scheme_of(path) in BUCKET_SCHEMES else 1):
        raise ValueError(f"an output needs a folder of its own, not {show(path)}")
    return path


def check_list_path(path: str) -> str:
    """The path of one file for all run dates, unchanged; ValueError says what is wrong with it."""
    if AS_OF in path:
        raise ValueError(f"must be the same path for each run date, without {AS_OF}, not {show(path)}")
    return check_output_file(path)


def check_input_file(path: str) -> str:
    """A file to read, unchanged; ValueError says what is wrong with it."""
    return check_input_path(_check_no_table(path))


def check_output_file(path: str) -> str:
    """A file to write, unchanged; ValueError says what is wrong with it."""
    return check_output_path(_check_no_table(path))


def _check_no_table(path: str) -> str:
    if is_table(path):
        raise ValueError(f"must be a path, not a table of a catalog: {show(path)}")
    return path


def _check_braces(path: str) -> None:
    if named := _NAMES.search(path):
        raise ValueError(f"{named[0]} needs a value: run.{named[1]} or --{named[1]}, in {show(path)}")
    if "{" in path or "}" in path:
        known = f"{{catalog}}, {{schema}} and, in output paths, {AS_OF} are known"
        raise ValueError(f"unknown placeholder or brace in {show(path)}: {known}")


def _check_table(path: str) -> str:
    _check_braces(path)
    table_name(path)
    return path


def _check_path(path: str) -> str:
    if not path.strip():
        raise ValueError("must not be empty")
    if path != path.strip() or not path.isprintable():
        raise ValueError(f"must not contain control characters, or start or end with a blank: {show(path)}")
    _check_braces(path)
    scheme = scheme_of(path)
    if scheme and scheme not in SCHEMES:
        hint = did_you_mean(scheme, SCHEMES)
        raise ValueError(f"unknown scheme {show(scheme)} in {show(path)}{hint or '; known: ' + ', '.join(SCHEMES)}")
    if scheme in BUCKET_SCHEMES and not re.match(r"[^/]+://[^/]+", path):
        raise ValueError(f"must look like {scheme}://bucket/folder, not {show(path)}")
    if scheme in BUCKET_SCHEMES and ".." in path.split("/"):
        raise ValueError(f"a bucket has no .. folder: {show(path)}")
    if scheme and not path[len(scheme) + 1 :].startswith("/"):
        raise ValueError(f"must have a / after {scheme}:, not {show(path)}")
    return path
