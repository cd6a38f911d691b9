"""Fifty customers of the sample erased: no byte of them is left, all other rows are equal, and later runs keep it so."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import compare
from blitz.cli.main import main
from blitz_sample.generate import write_sample
from id_search import files_with
from places import CHECKOUT

SALT = "a secret salt of this test"
ORDERS = 2500
DAY, EARLIER = "2025-07-01", "2025-06-01"
TABLES = ("ownapp", "swiggy", "instore", "customers", "scores", "segments", "microsegments")


def config_of(folder: Path) -> dict[str, Any]:
    """conf/local.json with the sample and the outputs of a folder, which are dated, and a quarantine of every run."""
    text = (CHECKOUT / "conf/local.json").read_text()
    body = json.loads(
        text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{folder}/out/{{as_of}}/")
    )
    body["run"] |= {
        "suppression_path": f"{folder}/privacy/erased.txt",
        "history_path": f"{folder}/out/history",
        "debug_log": f"{folder}/out/debug.log",
        "gates": {"freshness_days": None, "fewer_customers": None},
        "max_rejected_fraction": 0.5,
    }
    body["run"].pop("manifest_path", None)
    return body


@dataclass
class Sample:
    """The sample, refreshed, backfilled and exported; then fifty customers were erased."""

    folder: Path
    conf: str = ""
    customers: list[str] = field(default_factory=list)
    before: dict[str, dict[str, pd.DataFrame]] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self, job: str, *arguments: str) -> None:
        assert main(job, ["--conf", self.conf, *arguments]) == 0, job

    def tables(self) -> dict[str, dict[str, pd.DataFrame]]:
        """The outputs by run date and step."""
        found: dict[str, dict[str, pd.DataFrame]] = {}
        for stamp in (DAY.replace("-", ""), EARLIER.replace("-", "")):
            body = json.loads(Path(self.conf).read_text().replace("{as_of}", stamp))
            paths = compare.output_paths(body)
            found[stamp] = {step: compare.read(paths[step]) for step in paths if Path(paths[step]).exists()}
        return found

    @property
    def certificate(self) -> dict[str, Any]:
        (path,) = (self.folder / "privacy").glob("erasure-*.json")
        return json.loads(path.read_text())


def add_rejected_rows(folder: Path, customers: list[str]) -> None:
    """Rows of the mapping that cannot be read, of the customers and of another."""
    mapping = folder / "sample/received_over_email/customer_invoice_mapping.csv"
    columns = mapping.read_text().splitlines()[0].replace('"', "").split(",")
    with mapping.open("a") as file:
        for number, customer in enumerate([*customers[:3], "0000000000"]):
            cells = {
                "customer_code_ty": customer,
                "invoice_no": f"9{number}",
                "invoice_date": "1.2.2025",
                "store_code": "1",
            }
            file.write(",".join(cells.get(column, "") for column in columns) + "\n")


@pytest.fixture(scope="module")
def sample(spark, tmp_path_factory) -> Iterator[Sample]:
    made = Sample(tmp_path_factory.mktemp("erase"))
    folder = made.folder
    write_sample(ORDERS, 3, f"{folder}/sample")
    made.conf = f"{folder}/conf.json"
    Path(made.conf).write_text(json.dumps(config_of(folder)))
    mapping = pd.read_csv(folder / "sample/received_over_email/customer_invoice_mapping.csv", dtype=str)
    made.customers = sorted(mapping["customer_code_ty"].dropna().unique())[::3][:50]
    assert len(made.customers) == 50 and all(len(each) > 5 for each in made.customers)
    add_rejected_rows(folder, made.customers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BLITZ_SUPPRESSION_SALT", SALT)
        made.run("refresh")
        made.run("backfill", "--from", EARLIER, "--to", EARLIER)
        made.run("export", "--out", f"{folder}/lists/20250701")
        manifests = [str(next(made.out.glob(f"{day.replace('-', '')}/**/manifest.json"))) for day in (EARLIER, DAY)]
        runs = ["--before", manifests[0], "--after", manifests[1], "--out", f"{folder}/compared"]
        assert main("compare_runs", runs) == 0
        assert files_with(folder / "compared", made.customers) == {}  # counts alone: nothing to erase
        (folder / "lists/by_hand").mkdir()
        rows = [
            ("Name", "algonomy_id"),
            ("a, b", made.customers[0]),
            ("c\nd", f'="{made.customers[1]}"'),
            ("e", "0000000000"),
        ]
        pd.DataFrame(rows[1:], columns=rows[0]).to_csv(folder / "lists/by_hand/list.csv", index=False)
        pd.DataFrame(rows[1:], columns=rows[0]).to_parquet(folder / "lists/by_hand/list.parquet", index=False)
        made.before = made.tables()
        assert files_with(made.out, made.customers).keys() > {"20250701/segments.par"} or files_with(
            made.out, made.customers
        )
        shutil.copytree(made.out, folder / "copy")
        (folder / "ids.txt").write_text("algonomy_id\n" + "\n".join(made.customers) + "\n\n0999999999\n")
        yield made


def arguments(sample: Sample) -> list[str]:
    lists = ["--also", f"{sample.folder}/lists/{{as_of}}", f"{sample.folder}/lists/by_hand"]
    return ["--conf", sample.conf, "--customers", f"{sample.folder}/ids.txt", *lists]


@pytest.fixture(scope="module")
def erased(sample: Sample) -> Sample:
    assert main("erase", arguments(sample)) == 0
    return sample


def test_a_dry_run_counts_and_writes_nothing(sample, capfd):
    before = {str(path): path.stat().st_mtime_ns for path in sample.folder.rglob("*") if path.is_file()}
    assert main("erase", [*arguments(sample), "--dry-run"]) == 0
    said = capfd.readouterr()
    after = {str(path): path.stat().st_mtime_ns for path in sample.folder.rglob("*") if path.is_file()}
    assert {name: when for name, when in after.items() if "debug.log" not in name} == {
        name: when for name, when in before.items() if "debug.log" not in name
    }
    assert "Nothing was written." in said.out and "Customers: 51, found in tables: " in said.out
    of_orders = sample.before["20250701"]["ownapp"]
    rows = of_orders["algonomy_id"].isin(sample.customers).sum()
    line = next(line for line in said.out.splitlines() if "/20250701/features/orders/ownapp" in line)
    assert line.split()[-3:-1] == [f"{len(of_orders):,}", f"{rows:,}"] and rows > 0
    assert not [each for each in sample.customers if each in said.out + said.err]


def test_no_byte_of_the_customers_is_left(erased):
    assert files_with(erased.folder / "copy", erased.customers)  # they were there
    assert files_with(erased.out, erased.customers) == {}
    assert files_with(erased.folder / "lists", erased.customers) == {}
    assert files_with(erased.folder / "privacy", [*erased.customers, SALT]) == {}
    assert not list(erased.out.rglob("_refresh/*"))


def test_all_other_rows_are_equal(erased):
    after = erased.tables()
    for stamp, tables in erased.before.items():
        assert set(tables) >= set(TABLES)
        for step, rows in tables.items():
            others = rows[~rows["algonomy_id"].isin(erased.customers)]
            assert len(others) < len(rows), (stamp, step)
            assert compare.differences(others, after[stamp][step], compare.KEYS[step], True) == [], (stamp, step)
    text = (erased.folder / "lists/by_hand/list.csv").read_text()
    assert text == "Name,algonomy_id\ne,0000000000\n"
    assert pd.read_parquet(erased.folder / "lists/by_hand/list.parquet").to_dict("records") == [
        {"Name": "e", "algonomy_id": "0000000000"}
    ]
    rejected = compare.read(str(next(erased.out.glob("20250701/**/quarantine/ownapp"))))
    assert [json.loads(raw)["customer_code_ty"] for raw in rejected["raw"] if "invoice_no" in raw] == ["0000000000"]


def test_files_without_rows_of_the_customers_stay(erased):
    """The sample's refreshed orders are in files of one month each; the customers ordered in some of the months."""
    kept = list(erased.out.rglob("*-kept-*.parquet"))
    copies = {path.stat().st_size for path in (erased.folder / "copy").rglob("*.parquet")}
    rewritten = sum(each["files_rewritten"] for each in erased.certificate["tables"])
    assert rewritten + len(kept) == sum(each["files_read"] for each in erased.certificate["tables"])
    assert all(path.stat().st_size in copies for path in kept)


def test_the_certificate(erased):
    body = erased.certificate
    assert "history" in {each["name"] for each in body["tables"] if each["rows_removed"]}
    days = {path.name[:10] for path in (erased.out / "history").glob("*.parquet")}
    assert days == {DAY, EARLIER}  # a file has the rows of one run date, as its name says
    in_tables = {each for tables in erased.before.values() for rows in tables.values() for each in rows["algonomy_id"]}
    assert body["status"] == "complete"
    assert body["customers_found"] == len(in_tables & set(erased.customers)) > 40
    hashes = {hashlib.sha256((SALT + each).encode()).hexdigest() for each in [*erased.customers, "0999999999"]}
    assert set(body["customers"]) == hashes
    assert set((erased.folder / "privacy/erased.txt").read_text().split()) >= hashes
    removed = {each["path"]: each["rows_removed"] for each in body["tables"]}
    for stamp, tables in erased.before.items():
        for step, rows in tables.items():
            (path,) = [
                path
                for path in removed
                if stamp in path
                and path
                == compare.output_paths(json.loads(Path(erased.conf).read_text().replace("{as_of}", stamp)))[step]
            ]
            assert removed[path] == rows["algonomy_id"].isin(erased.customers).sum()
    assert {each["rows_left"] for each in body["tables"]} == {0}
    of_ownapp = [each["rows_removed"] for each in body["quarantines"] if each["name"] == "ownapp quarantine"]
    assert of_ownapp == [3, 3]  # of each date
    assert [each["rows_removed"] for each in body["lists"]][1] == 4
    assert any("raw files" in each for each in body["not_touched"])
    assert {each["ids_found"] for each in body["texts"]} == {0}


def test_later_runs_keep_it_so(erased):
    """A refresh, a run and a backfill over the same raw files: the other rows of the orders are those from before."""
    for job, more in (
        ("refresh", ("--no-report",)),
        ("run_all", ("--no-report",)),
        ("backfill", ("--from", EARLIER, "--to", EARLIER)),
    ):
        erased.run(job, *more)
        assert files_with(erased.out, erased.customers) == {}, job
    after = erased.tables()
    for stamp, tables in erased.before.items():
        for step in ("ownapp", "swiggy", "instore", "customers", "segments"):
            others = tables[step][~tables[step]["algonomy_id"].isin(erased.customers)]
            assert compare.differences(others, after[stamp][step], compare.KEYS[step], True) == [], (stamp, step)
    (manifest,) = erased.out.glob("20250701/**/manifest.json")
    steps = json.loads(manifest.read_text())["steps"]
    assert steps["ownapp"]["accounts"][0]["dropped"]["erased"] > 50


@pytest.mark.engines
def test_what_a_run_of_this_engine_wrote(spark, sample_config, sample_run, tmp_path, monkeypatch):
    """An erasure from a copy of the outputs that other tests share, and a later run, on the session's engine."""
    monkeypatch.setenv("BLITZ_SUPPRESSION_SALT", SALT)
    shared, conf = Path(sample_config["path"]).parent, tmp_path / "conf.json"
    shutil.copytree(shared / "out", tmp_path / "out")
    body = json.loads(Path(sample_config["path"]).read_text().replace(f"{shared}/out/", f"{tmp_path}/out/"))
    body["run"]["suppression_path"] = f"{tmp_path}/out/erased.txt"
    conf.write_text(json.dumps(body))
    mapping = pd.read_csv(body["feature_pipeline"]["common"]["mapping_file"], dtype=str)
    ids = sorted(mapping["customer_code_ty"].dropna().unique())[::7][:50]
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    paths = compare.output_paths(body)
    before = {step: compare.read(path) for step, path in paths.items()}
    rest = {step: rows[~rows["algonomy_id"].isin(ids)] for step, rows in before.items()}
    assert all(len(rest[step]) < len(rows) for step, rows in before.items())
    assert main("erase", ["--conf", str(conf), "--customers", f"{tmp_path}/ids.txt"]) == 0
    assert files_with(tmp_path / "out", ids) == {}
    for step, path in paths.items():
        assert compare.differences(rest[step], compare.read(path), compare.KEYS[step], True) == [], step
    assert main("run_all", ["--conf", str(conf), "--steps", "ownapp", "--no-report"]) == 0
    assert files_with(tmp_path / "out", ids) == {}
    assert compare.differences(rest["ownapp"], compare.read(paths["ownapp"]), compare.KEYS["ownapp"], True) == []
