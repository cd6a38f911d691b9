"""The errors that a run ends with. Each carries one message for a person: what is wrong, where, and the way out."""

from collections.abc import Mapping, Sequence


class BlitzError(Exception):
    """A run that cannot go on (exit code 1). ``str(error)`` is the whole message; it never holds ids or rows."""


class ConfigError(BlitzError):
    """A config that cannot be used (exit code 2).

    Args:
        problems: every problem found, each with its JSON path or file.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"{head} in the config:\n" + "\n".join(f"  - {problem}" for problem in self.problems))


class InputError(BlitzError):
    """Input that is missing, lacks columns or is of a wrong kind; lists everything that was found, per path."""


class StorageError(InputError):
    """A storage that cannot be used; what its message says behind the path holds for other paths as well."""


class RuleError(BlitzError):
    """A rule set with a gap or an overlap; names the cell and the rules."""


class PayloadError(BlitzError):
    """A model payload that was refused; names the file and what was refused."""


class PublishError(BlitzError):
    """An output that could not be published; the last good one is still in place."""


def by_reason(concerned: Mapping[str, Sequence[str]]) -> list[str]:
    """A line per reason of StorageErrors, with the first of what it concerns and how many more."""
    lines = []
    for why, found in concerned.items():
        first, *others = dict.fromkeys(found)
        more = f" and {len(others)} more path{'s' * (len(others) > 1)}" if others else ""
        lines.append(f"{first}{more}: {why}")
    return lines
