"""Folder names of exported lists."""

from blitz.export import folder_name

NAMES = [
    "../x",
    "..",
    "=cmd|'/C calc'!A0",
    "a/b",
    "a b",
    "a.20b",
    "x" * 250,
    "x" * 249 + "y",
    "Ünï",
    "by_segment=1",
    ".",
]


def test_folder_names_are_distinct_and_short() -> None:
    assert folder_name("Seg_6_15_01") == "Seg_6_15_01"
    assert folder_name("../x") == ".2E.2E.2Fx"
    assert folder_name("a b") != folder_name("a.20b")
    assert len({folder_name(name) for name in NAMES}) == len(NAMES)
    assert max(len(folder_name(name)) for name in NAMES) <= 200
