"""Config files: JSON objects on local disk or in a bucket, read strictly."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from blitz import storage
from blitz.config.values import join_path, show
from blitz.errors import BlitzError, ConfigError


class _Object(dict[str, Any]):
    """A JSON object that remembers its duplicate keys."""

    repeated: tuple[str, ...] = ()


def read_object(path: str, section: str = "") -> dict[str, Any]:
    """The JSON object of a file; a UTF-8 byte order mark is accepted.

    Args:
        path: local, or of any scheme that ``blitz.storage`` reads.
        section: where the object is in the whole config, for the JSON paths of messages.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 or not JSON (with line and column), has a duplicate key, or
            contains something other than an object.
    """
    try:
        text = _read_bytes(path).decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_to_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"]) from None
    except json.JSONDecodeError as error:
        raise ConfigError([f"{path}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: objects and lists are nested too deeply"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except BlitzError as error:  # names the path itself
        raise ConfigError([f"cannot be read: {error}"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    if not isinstance(value, dict):
        raise ConfigError([f"{path}: must contain a JSON object, not {show(value)}"])
    problems = _repeated_keys(value, section, path)
    if problems:
        raise ConfigError(problems)
    return value


def relative_to(base: str | None, path: str) -> str:
    """A path as written in the config file ``base``: a relative one is relative to that file."""
    if base is None or storage.scheme_of(path) or os.path.isabs(path):
        return path
    return base.rsplit("/", 1)[0] + "/" + path if "/" in base else path


def _read_bytes(path: str) -> bytes:
    if not storage.scheme_of(path):
        return Path(path).read_bytes()
    return storage.read_bytes(path)


def _to_object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        found.repeated = tuple(key for key, count in counts.items() if count > 1)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _repeated_keys(value: dict[str, Any], section: str, path: str) -> list[str]:
    problems = []
    stack: list[tuple[str, Any]] = [(section, value)]
    while stack:
        place, node = stack.pop()
        if isinstance(node, _Object):
            problems += [f"{join_path(place, key)}: duplicate key (in {path})" for key in node.repeated]
            stack += [(join_path(place, key), child) for key, child in node.items()]
        elif isinstance(node, list):
            stack += [(join_path(place, index), child) for index, child in enumerate(node)]
    return sorted(problems)
