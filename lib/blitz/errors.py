"""The errors that a run ends with. Each carries one message for a person: what is wrong, where, and the way out."""

from collections.abc import Mapping, Sequence


class BlitzError(Exception):
    """A run that cannot go on. ``str(error)`` is the whole message; it never contains ids or rows.

    ``exit_code`` is that of a command which ends with the error.

    Args:
        reason: what is wrong and the way out.
        path: the file or table that it is about, where there is one; the message starts with it.
    """

    exit_code: int = 1

    def __init__(self, reason: str, *, path: str | None = None) -> None:
        self.reason = reason
        self.path = path
        super().__init__(reason if path is None else f"{path}: {reason}")


class ConfigError(BlitzError):
    """A config that cannot be used.

    Args:
        problems: every problem found, each with its JSON path or file.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(f"{head} in the config:\n" + "\n".join(f"  - {problem}" for problem in self.problems))


class InputError(BlitzError):
    """Input that is missing, lacks columns or is of a wrong kind; lists everything that was found, per path."""


class StorageError(InputError):
    """A storage that cannot be used; its ``reason`` holds for other paths of the same storage as well."""


class RuleError(BlitzError):
    """A rule set with a gap or an overlap; names the cell and the rules."""

    exit_code = 2


class PayloadError(BlitzError):
    """A model payload that was refused; names the file and what was refused."""


class PublishError(BlitzError):
    """An output that could not be published; the last good one is still in place."""


class GateError(BlitzError):
    """A run that a gate stopped before it published.

    Args:
        problems: every gate that stops the run, with its numbers and the key that changes its limit.
    """

    exit_code = 3

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"stopped before publishing; null in run.gates switches a gate off:{lines}")


class StepError(BlitzError):
    """A step of a run that failed.

    Args:
        step: the name of the step.
        cause: what it raised; its exit code is that of the run.
        reason: the cause in words.
        hint: how to resume the run, where some of its steps are done; a traceback shows it as well.
    """

    def __init__(self, step: str, cause: BaseException, reason: str, hint: str | None = None) -> None:
        super().__init__(f"{step}: {reason}")
        self.step, self.cause, self.hint = step, cause, hint
        self.exit_code = cause.exit_code if isinstance(cause, BlitzError) else BlitzError.exit_code
        if hint:
            self.add_note(hint)

    @property
    def is_unexpected(self) -> bool:
        """Whether the cause is no error of ours, so that its traceback may help."""
        return not isinstance(self.cause, BlitzError)


def by_reason(affected: Mapping[str, Sequence[str]]) -> list[str]:
    """A line per reason of StorageErrors, with the first path that it affects and how many more."""
    lines = []
    for why, found in affected.items():
        first, *others = dict.fromkeys(found)
        more = f" and {len(others)} more path{'s' * (len(others) > 1)}" if others else ""
        lines.append(f"{first}{more}: {why}")
    return lines
