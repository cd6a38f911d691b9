"""Command lines and configs that are refused before an engine starts, dry runs, and spark-submit's settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from blitz.cli.main import main
from blitz_sample.generate import write_sample

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(2000, 3, str(folder))
    return folder


@pytest.fixture
def config(sample, tmp_path) -> dict:
    """conf/local.json on this test's data and outputs."""
    text = (CHECKOUT / "conf/local.json").read_text()
    return json.loads(text.replace("data/sample/", f"{sample}/").replace("data/out/", f"{tmp_path}/out/"))


def write(folder: Path, body: dict, name: str = "conf.json") -> str:
    path = folder / name
    path.write_text(json.dumps(body))
    return str(path)


def run_all(*arguments: str) -> int:
    return main("run_all", argv=[str(each) for each in arguments])


def test_a_dry_run_prints_the_plan_and_writes_nothing(config, tmp_path, capsys):
    assert run_all("--conf", write(tmp_path, config), "--dry-run", "--as-of", "2025-06-01") == 0
    printed = capsys.readouterr().out
    for expected in ("Run date 2025-06-01", "customers from 2024-06-01", "swiggy orders", "27 segments",
                     "each matched by one rule", "segment_15_plus_9_model", f"{tmp_path}/out/microsegments.par"):  # fmt: skip
        assert expected in printed
    assert os.listdir(tmp_path) == ["conf.json"]


def test_sail_refuses_what_it_does_not_reach(config, tmp_path, capsys):
    config["feature_pipeline"]["ownapp"]["orders_data_path"] = "hdfs://name/raw/orders"
    config["segmentation"]["segment_1_5_3_model"] = "abfss://box@account/model.pkl"
    assert run_all("--conf", write(tmp_path, config), "--engine", "sail") == 2
    said = capsys.readouterr()
    assert "feature_pipeline.ownapp.orders_data_path: hdfs://name/raw/orders and 1 more: Sail" in said.err
    assert "run on Spark, with spark-submit" in said.err and said.out == ""
    assert os.listdir(tmp_path) == ["conf.json"]


@pytest.fixture
def tables(config, tmp_path) -> dict:
    """The config with tables of a catalog among its inputs and outputs."""
    features, segmentation = config["feature_pipeline"], config["segmentation"]
    features["ownapp"] |= {"orders_data_path": "table:lake.raw.sales", "output_path": "table:lake.gold.orders"}
    features["common"]["categories_path"] = "table:lake.raw.menu"
    features["customer"]["output_path"] = "table:{catalog}.{schema}.users"
    segmentation.pop("input_path")
    config["run"] |= {"engine": "spark", "format": "delta", "manifest_path": f"{tmp_path}/out/manifest.json"}
    return config


def test_a_dry_run_resolves_names_of_tables_and_says_what_it_cannot_check(tables, tmp_path, capsys):
    path = write(tmp_path, tables)
    assert run_all("--conf", path, "--dry-run", "--catalog", "lake", "--schema", "gold") == 0
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines()]
    assert ["ownapp", "orders", "-", "-", "table:lake.raw.sales"] in lines
    assert ["customers", "table:lake.gold.users"] in lines and ["scores", "table:lake.gold.users_scores"] in lines
    unchecked = next(line for line in printed.splitlines() if line.startswith("Not checked"))
    for name in ("table:lake.raw.sales", "table:lake.raw.menu", "table:lake.gold.orders", "table:lake.gold.users"):
        assert name in unchecked
    assert "Menu:" not in printed and os.listdir(tmp_path) == ["conf.json"]


def test_a_dry_run_still_checks_the_files_next_to_tables(tables, tmp_path, capsys):
    bad = tmp_path / "stores.csv"
    bad.write_text("Store Code,Store Type\n1,Mall\n")
    tables["feature_pipeline"]["common"]["store_master_path"] = str(bad)
    assert run_all("--conf", write(tmp_path, tables), "--dry-run", "--catalog", "lake", "--schema", "gold") == 1
    assert f"{bad} (stores): column 'Generator New' is missing" in capsys.readouterr().err


def test_commands_refuse_tables_of_a_catalog_by_name(tables, tmp_path, capsys):
    path = write(tmp_path, tables)
    named = ["--conf", path, "--catalog", "lake", "--schema", "gold"]
    assert run_all(*named, "--engine", "sail") == 2
    assert "table:lake.raw.sales and" in (said := capsys.readouterr().err) and "no catalog; run on Spark" in said
    assert main("refresh", argv=named) == 2
    said = capsys.readouterr().err
    assert "orders_data_path: table:lake.raw.sales: a refresh reads files, no tables of a catalog; use run_all" in said
    assert "output_path: table:lake.gold.users: a refresh reads files" in said
    assert "run.format: a refresh needs Parquet outputs" in said
    dates = ["--from", "2025-06-01", "--to", "2025-06-01"]
    assert main("backfill", argv=[*named, *dates]) == 2
    assert "--scratch: name a folder: the own-app output is a table" in capsys.readouterr().err
    for command, *more in (["export"], ["train_microsegments"], ["learn_rules", "--target", "x"]):
        with pytest.raises(SystemExit) as ended:
            main(command, argv=[*named, *more, "--out", "table:a.b.c"])
        assert ended.value.code == 2
        assert "must be a file or folder, not a table of a catalog: table:a.b.c" in capsys.readouterr().err


def broken(config: dict, tmp_path: Path, how: str) -> None:
    feature_pipeline, segmentation = config["feature_pipeline"], config["segmentation"]
    if how == "missing file":
        feature_pipeline["common"]["store_master_path"] = f"{tmp_path}/no_such.csv"
        feature_pipeline["swiggy"]["orders_data_path"] = f"{tmp_path}/no_such_folder"
        segmentation["segment_1_5_5_model"] = f"{tmp_path}/no_such_model.pkl"
    elif how == "empty folder":
        (tmp_path / "nothing").mkdir()
        feature_pipeline["ownapp"]["order_items_data_path"] = f"{tmp_path}/nothing"
    elif how == "missing column":
        path = tmp_path / "menu.csv"
        pd.DataFrame({"item_id_id": [1], "Final Dri Category": ["a"]}).to_csv(path, index=False)
        feature_pipeline["common"]["categories_path"] = str(path)
    elif how == "wrong type":
        feature_pipeline["common"]["months_offset"] = "27"
        feature_pipeline["common"]["timezon"] = feature_pipeline["common"].pop("timezone")
    elif how == "unknown segment":
        segmentation["micro_plan"][0]["source_segments"] = ["Seg1_5_9"]
    elif how == "payload":
        path = tmp_path / "model.pkl"
        pd.to_pickle({"kmeans": None, "features": []}, path)
        segmentation["segment_1_5_3_model"] = str(path)
    elif how == "no model":
        segmentation["segment_1_5_3_model"] = f"{tmp_path}/no_such.pkl"


@pytest.mark.parametrize(
    ("how", "code", "fragments"),
    [
        ("missing file", 1, ["no_such.csv", "no_such_folder", "no_such_model.pkl"]),
        ("empty folder", 1, ["nothing"]),
        ("missing column", 1, ["menu.csv", "ProductCode", "Clubbed base product category"]),
        ("wrong type", 2, ["common.months_offset", "timezon", 'did you mean "timezone"']),
        ("unknown segment", 2, ["micro_plan[0].source_segments[0]", "Seg1_5_9"]),
        ("payload", 1, ["model.pkl", "segment_1_5_3_model", "scaler"]),
        ("no model", 1, ["no_such.pkl", "segment_1_5_3_model"]),
    ],
)
def test_bad_input_ends_in_one_message_and_publishes_nothing(config, tmp_path, capsys, how, code, fragments):
    broken(config, tmp_path, how)
    assert run_all("--conf", write(tmp_path, config)) == code
    error = capsys.readouterr().err
    assert error.count("run_all: ") == 1 and "Traceback" not in error
    for fragment in fragments:
        assert fragment in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        ((), 2, "no config given"),
        (("--conf", "no/such.json"), 2, "no/such.json"),
        (("--conf", "conf/local.json", "--steps", "customer"), 2, "unknown step 'customer'; known: ownapp"),
        (("--conf", "conf/local.json", "--as-of", "01-07-2025"), 2, "01-07-2025"),
    ],
)
def test_wrong_arguments(monkeypatch, capsys, arguments, code, fragment):
    monkeypatch.chdir(CHECKOUT)
    assert run_all(*arguments) == code
    assert fragment in capsys.readouterr().err


def bare_environment(**more: str) -> dict[str, str]:
    """An environment in which blitz is not importable and no Spark is set up."""
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "SPARK", "PYSPARK"))
    }
    folder = Path(sys.executable).parent
    return {**keep, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **more}


def test_spark_submit_sh_passes_everything_through(tmp_path):
    script = CHECKOUT / "spark-submit.sh"
    environment = bare_environment(BLITZ_VENV=str(Path(sys.executable).parents[1]))
    arguments = ["--dry-run", "--master", "local[3]", "--name", "two words", "jobs/run_all.py", "--conf",
                 "conf/local.json", "--steps", "a;b $(id)"]  # fmt: skip
    done = subprocess.run([script, *arguments], env=environment, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {done.stdout}"], capture_output=True, text=True).stdout
    assert words.splitlines()[0] == "spark-submit"
    assert words.splitlines()[-len(arguments) + 1 :] == arguments[1:]
    missing = subprocess.run(
        [script, "jobs/run_all.py"],
        env={**environment, "BLITZ_VENV": f"{tmp_path}/none"},
        capture_output=True,
        text=True,
    )
    assert missing.returncode == 2 and "make setup" in missing.stderr


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"spark": {"spark.x": true, "spark.y": 400, "other": 1}}', ["spark.x=true", "spark.y=400"]),
        ('{"spark": {"spark.master": "nonsense", "spark.driver.memory": "lots", "spark.z": "a b"}}', ["spark.z=a b"]),
        ('{"spark": ["spark.x"]}', []), ("[1]", []), ("// no JSON", []), ("[" * 100_000, []),
    ],
    ids=["settings", "refused ones", "a list", "no object", "no JSON", "too deep"],
)  # fmt: skip
def test_what_spark_needs_at_its_start_comes_from_the_config(tmp_path, body, expected):
    """What the config has wrong is left to the job, which says so in words; Spark would end with a trace."""
    (tmp_path / "conf.json").write_text(body)
    command = [sys.executable, CHECKOUT / "scripts/start_settings.py", "jobs/run_all.py", "--conf", "conf.json"]
    done = subprocess.run(command, env=bare_environment(), cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    words = [word for word in done.stdout.split("\0") if word not in ("--conf", "")]
    assert [word for word in words if not word.startswith("spark.driver.extraJavaOptions=")] == expected
