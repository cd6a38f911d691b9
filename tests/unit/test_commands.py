"""The commands: each is a module of blitz.cli, a job and a console script of the wheel; errors become exit codes."""

import ast
import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import pytest

import blitz.cli
from blitz.cli import entry_points
from blitz.cli.command import Command, exit_code_of
from blitz.cli.main import main
from blitz.errors import BlitzError, ConfigError, InputError, RuleError, StepError

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = {each.name: import_module(f"blitz.cli.{each.name}") for each in pkgutil.iter_modules(blitz.cli.__path__)}
COMMANDS = {name for name, module in MODULES.items() if isinstance(getattr(module, "command", None), Command)}


def test_every_command_is_a_job_and_a_console_script():
    assert len(COMMANDS) == 17
    jobs = {path.stem: path.read_text().split('"""', 2)[2] for path in (CHECKOUT / "jobs").glob("*.py")}
    del jobs["sample_data"]  # not a command of the wheel
    assert jobs.keys() == COMMANDS
    assert len({body.replace(name, "NAME") for name, body in jobs.items()}) == 1  # all the same few lines
    tree = ast.parse((CHECKOUT / "setup.py").read_text())
    (given,) = (node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "entry_points")
    scripts = dict(line.split(" = ") for line in ast.literal_eval(given)["console_scripts"])
    assert scripts == {f"blitz-{each.replace('_', '-')}": f"blitz.cli.entry_points:{each}" for each in COMMANDS}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_entry_point_runs_its_command(monkeypatch, capsys, name):
    monkeypatch.setattr(sys, "argv", ["anything", "--help"])
    with pytest.raises(SystemExit) as ended:
        getattr(entry_points, name)()
    printed = capsys.readouterr().out
    assert ended.value.code == 0 and printed.startswith(f"usage: {name} ")


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (ConfigError(["run.format: unknown"]), 2, "job: 1 problem in the config:\n  - run.format: unknown\n"),
        (RuleError("a gap"), 2, "job: a gap\n"),
        (InputError("x.csv: no such file"), 1, "job: failed: x.csv: no such file\n"),
        (BlitzError("refused"), 1, "job: failed: refused\n"),
        (MODULES["compare_runs"].DriftAlarm("above"), 3, "job: above\n"),
        (KeyboardInterrupt(), 130, "job: interrupted; outputs that were already published are unchanged\n"),
    ],
)
def test_an_error_is_one_message_and_an_exit_code(monkeypatch, capsys, error, code, printed):
    def work() -> None:
        raise error

    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    assert exit_code_of("job", work) == code
    assert capsys.readouterr().err == printed
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    with pytest.raises(type(error)):
        exit_code_of("job", work)


def test_an_unexpected_error_names_the_debug_log(monkeypatch, capsys):
    def work() -> None:
        raise ValueError("odd")

    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    assert exit_code_of("job", work) == 1
    error = capsys.readouterr().err
    assert error.startswith("job: failed: ValueError: odd; the traceback is in ")
    log = Path(error.rstrip().rpartition(" ")[2])
    assert log.name == "blitz-job.debug.log" and "ValueError: odd" in log.read_text()


def test_a_step_that_failed_is_named_with_the_debug_log_and_how_to_resume(monkeypatch, capsys):
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)

    def ends(error: BlitzError) -> tuple[int, list[str]]:
        def work() -> None:
            raise error

        return exit_code_of("job", work), capsys.readouterr().err.splitlines()

    hint = "resume with --steps segments,microsegments"
    code, (first, last) = ends(StepError("segments", ValueError("odd"), "ValueError: odd", hint))
    assert code == 1 and last == hint
    assert first.startswith("job: failed: segments: ValueError: odd; the traceback is in ")
    code, lines = ends(StepError("segments", InputError("no table"), "no table", hint))
    assert (code, lines) == (1, ["job: failed: segments: no table", hint])
    code, lines = ends(StepError("ownapp", RuleError("a gap"), "a gap"))
    assert (code, lines) == (2, ["job: ownapp: a gap"])


def test_a_missing_config_is_exit_2(capsys):
    assert main("segments", []) == 2
    assert "no config given" in capsys.readouterr().err
