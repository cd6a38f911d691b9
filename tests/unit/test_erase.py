"""Erasure without an engine: the ids of a request, the suppression list, exported lists, places, retention."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from blitz.cli.main import main
from blitz.config import load_config
from blitz.erase.lists import erase_from_lists
from blitz.erase.places import all_places
from blitz.erase.request import read_request, suppress
from blitz.errors import ConfigError, InputError
from blitz.raw.suppression_list import read_suppression
from places import CHECKOUT

SALT = "pepper"


@pytest.fixture(autouse=True)
def salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLITZ_SUPPRESSION_SALT", SALT)


def hashed(customer: str) -> str:
    return hashlib.sha256((SALT + customer).encode()).hexdigest()


def file_of(folder: Path, text: str, name: str = "ids.txt") -> str:
    (folder / name).write_text(text, newline="")
    return str(folder / name)


def test_ids_are_read_as_the_customer_mapping_is(tmp_path: Path) -> None:
    text = '\ufeffalgonomy_id\r\n0007\r\n\r\n 7040.0 \r\n="0042"\r\n"a-1"\r\n0007\r\n1.2345678E7\r\n'
    request = read_request(file_of(tmp_path, text))
    assert request.customers == {"0007", "7040", "0042", "a-1", "12345678"}
    assert request.suppression.hashes == {hashed(each) for each in request.customers}
    assert "0007" not in repr(request) and SALT not in repr(request)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no customer id"),
        ("0007\n0008,x\n", "line 2 has several values"),
        ("0007\n1.2E+15\n", "line 2: the id lost digits"),
        ("NULL\n", "line 1 is a word for a missing value"),
    ],
)
def test_what_cannot_be_an_id_is_named_by_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_request(file_of(tmp_path, text))
    assert "0008" not in str(caught.value) and "1.2E" not in str(caught.value)


def test_the_suppression_list_grows_and_knows_its_salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{tmp_path}/privacy/erased.txt"
    assert suppress(read_request(file_of(tmp_path, "0007\n0008\n")), path) == 2
    assert suppress(read_request(file_of(tmp_path, "0008\n0009\n")), path) == 3
    text = Path(path).read_text()
    assert {line for line in text.splitlines() if line[0] != "#"} == {hashed(each) for each in ("0007", "0008", "0009")}
    assert "0007" not in text.split() and SALT not in text
    assert read_suppression(path).hashes == {hashed(each) for each in ("0007", "0008", "0009")}
    monkeypatch.setenv("BLITZ_SUPPRESSION_SALT", "another")
    with pytest.raises(InputError, match=r"erased\.txt: the suppression list was made with another salt"):
        suppress(read_request(file_of(tmp_path, "0010\n")), path)
    monkeypatch.delenv("BLITZ_SUPPRESSION_SALT")
    with pytest.raises(InputError, match="BLITZ_SUPPRESSION_SALT is not set"):
        read_request(file_of(tmp_path, "0010\n"))
    with pytest.raises(InputError, match="3 entries, and BLITZ_SUPPRESSION_SALT is not set"):
        read_suppression(path)
    assert Path(path).read_text() == text


def test_lists_lose_the_customers_and_keep_their_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    (folder / "by_segment=A").mkdir(parents=True)
    crlf = '\ufeffName;Algonomy_ID\r\n"a;\r\n0007";"=""0007"""\r\n\r\nb;0008\r\n;0007.0\r\n'
    file_of(folder / "by_segment=A", crlf, "part-1.csv")
    (folder / "by_segment=A/.part-1.csv.crc").write_bytes(b"of the content before")
    file_of(folder, "x,y\n0007,1\n", "no_ids.csv")
    (folder / "latin.csv").write_bytes(b"algonomy_id\n\xe4\n")
    frame = pd.DataFrame({"customer_code_ty": ["0007", None, "0009"], "day": pd.to_datetime(["2025-01-01"] * 3)})
    frame.to_parquet(folder / "list.parquet", index=False)
    kept = os.stat(folder / "no_ids.csv").st_ino
    dry = {Path(each.path).name: each.hits for each in erase_from_lists(str(folder), {"0007"}, "run", dry_run=True)}
    found = {Path(each.path).name: each for each in erase_from_lists(str(folder), {"0007"}, "run", dry_run=False)}
    assert dry == {name: each.hits for name, each in found.items()}
    assert (found["part-1.csv"].rows, found["part-1.csv"].hits) == (3, 2)
    text = (folder / "by_segment=A/part-1.csv").read_bytes().decode()
    assert text == "\ufeffName;Algonomy_ID\r\n\r\nb;0008\r\n"
    assert not (folder / "by_segment=A/.part-1.csv.crc").exists()
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "list.parquet"), frame.iloc[1:].reset_index(drop=True))
    assert found["no_ids.csv"].problem == "no column algonomy_id or customer_code_ty"
    assert "byte 12 is not UTF-8" in str(found["latin.csv"].problem)
    assert os.stat(folder / "no_ids.csv").st_ino == kept
    assert not [each for each in erase_from_lists(str(folder), {"0007"}, "run", dry_run=False) if each.hits]


def dated_config(folder: Path, **run: Any) -> str:
    """conf/local.json with dated outputs below a folder."""
    text = (CHECKOUT / "conf/local.json").read_text().replace("data/out/", f"{folder}/out/{{as_of}}/")
    body = json.loads(text)
    body["run"] = {"suppression_path": f"{folder}/privacy/erased.txt", **run}
    (folder / "conf.json").write_text(json.dumps(body))
    return f"{folder}/conf.json"


def put(path: Path, at: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PAR1 x")
    if at:
        seconds = pd.Timestamp(at, tz="UTC").timestamp()
        os.utime(path, (seconds, seconds))
    return path


def test_run_dates_are_those_of_which_there_are_files(tmp_path: Path) -> None:
    conf, out = dated_config(tmp_path), tmp_path / "out"
    put(out / "20250601/segments.par/part-1.parquet")
    put(out / "20250501/features/orders/ownapp/_refresh/ownapp/orders-1/part-1.parquet")
    put(out / "20250401/.microsegments.par.blitz-RUN/part-1.parquet")
    put(out / "20250301/features/orders/ownapp/.blitz-backfill-RUN/ownapp/orders/part-1.parquet")
    put(out / "20259999/segments.par/part-1.parquet")
    put(out / "latest/segments.par/part-1.parquet")
    found = all_places(lambda day: load_config(conf=conf, as_of=day))
    assert sorted(str(each.run_date) for each in found) == [
        "2025-03-01", "2025-04-01", "2025-05-01", "2025-06-01", "2025-07-01",
    ]  # fmt: skip
    paths = [place.path for each in found for place in each.places]
    assert len(paths) == len(set(paths))
    assert f"{out}/20250301/features/orders/ownapp/.blitz-backfill-RUN" in paths
    tables = {place.name for place in found[0].places if place.kind == "table"}
    assert tables == {
        "ownapp order features", "swiggy order features", "instore order features", "customer features", "scores",
        "segments", "micro-segments",
    }  # fmt: skip


def test_what_is_past_its_retention_is_removed_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf, out = dated_config(tmp_path, quarantine_path=f"{tmp_path}/rejected"), tmp_path / "out"
    old = [
        put(out / "20240601/segments.par/part-1.parquet"),
        put(out / "20240601/features/users/ownapp/manifest.json"),
        put(out / "20240601/features/orders/ownapp/_refresh/users/1/part-1.parquet"),
        put(tmp_path / "rejected/ownapp/part-1.parquet", "2024-06-30 23:00"),
        put(tmp_path / "lists/a.csv", "2024-01-01"),
    ]
    new = [
        put(out / "20240701/segments.par/part-1.parquet"),
        put(out / "20250701/segments.par/part-1.parquet"),
        put(tmp_path / "rejected/swiggy/part-1.parquet", "2024-07-01 00:00"),
        put(tmp_path / "lists/b.csv"),
        put(out / "20240601/notes.txt"),  # nobody knows whose this is
    ]
    arguments = ["--conf", conf, "--older-than", "2024-07-01", "--also", f"{tmp_path}/lists"]
    assert main("erase", [*arguments, "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert all(path.exists() for path in [*old, *new]) and not (tmp_path / "privacy").exists()
    assert main("erase", arguments) == 0
    said = capsys.readouterr().out
    assert not any(path.exists() for path in old) and all(path.exists() for path in new)
    (certificate,) = (tmp_path / "privacy").glob("erasure-*.json")
    body = json.loads(certificate.read_text())
    assert {each["path"]: each["day"] for each in body["expired"]} == {
        f"{out}/20240601/segments.par": "2024-06-01",
        f"{out}/20240601/features/users/ownapp/manifest.json": "2024-06-01",
        f"{out}/20240601/features/orders/ownapp/_refresh/users": "2024-06-01",
        f"{tmp_path}/rejected/ownapp": "2024-06-30",
        f"{tmp_path}/lists/a.csv": "2024-01-01",
    }
    assert all(each["path"] in dry and each["path"] in said for each in body["expired"])
    assert main("erase", arguments) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "nothing to do: give --customers FILE, --older-than DATE, or both"),
        (["--older-than", "june"], "--older-than: must be a date"),
        (["--older-than", "2024-01-01", "--also", "nowhere"], "--also: nowhere: no such folder"),
        (["--older-than", "2024-01-01", "--also", "data/sample/sales/x"], "overlaps the input feature_pipeline.ownapp"),
    ],
)
def test_what_the_job_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main("erase", ["--conf", dated_config(tmp_path), *more]) == 2
    assert message in capsys.readouterr().err


def test_customers_need_a_list_and_a_salt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = file_of(tmp_path, "0007\n")
    conf = dated_config(tmp_path, suppression_path=None)
    assert main("erase", ["--conf", conf, "--customers", ids]) == 2
    assert "run.suppression_path: must name a file" in capsys.readouterr().err
    monkeypatch.delenv("BLITZ_SUPPRESSION_SALT")
    assert main("erase", ["--conf", dated_config(tmp_path), "--customers", ids]) == 1
    assert "BLITZ_SUPPRESSION_SALT is not set" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"run\.suppression_path: must be the same path for each run date"):
        load_config(conf=dated_config(tmp_path, suppression_path=f"{tmp_path}/{{as_of}}/erased.txt"))
