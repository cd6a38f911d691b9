"""How the benchmark measures a process tree: its memory, its processor time, and its end at a limit."""

import sys

from measure import measure

MIB = 2**20
GRANDCHILD = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"


def tree_of(work: str) -> list[str]:
    """A process that does nothing but start another one, which does the work."""
    return [sys.executable, "-c", GRANDCHILD, work]


def test_memory_and_processor_time_are_those_of_the_whole_tree(tmp_path):
    work = f"import time\nx = bytearray({300 * MIB})\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass"
    took = measure(tree_of(work), tmp_path / "log", limit=2000 * MIB)
    assert took.code == 0 and not took.out_of_memory
    assert 300 * MIB < took.peak < 400 * MIB
    assert took.seconds > 0.6 and 0.6 < took.cpu < 5


def test_a_tree_over_the_limit_is_ended_and_told_as_out_of_memory(tmp_path):
    took = measure(
        tree_of(f"x = bytearray({300 * MIB})\nimport time\ntime.sleep(60)"), tmp_path / "log", limit=200 * MIB
    )
    assert took.out_of_memory and took.code != 0 and took.seconds < 30


def test_an_error_for_want_of_memory_is_told_as_such_and_another_failure_is_not(tmp_path):
    assert measure(tree_of("raise MemoryError"), tmp_path / "log", limit=2000 * MIB).out_of_memory
    failed = measure(tree_of("raise ValueError"), tmp_path / "log", limit=2000 * MIB)
    assert failed.code == 1 and not failed.out_of_memory
