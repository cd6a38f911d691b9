"""One Spark session for all tests: UTC, two shuffle partitions, no UI, its warehouse in a temporary folder.

SPARK_REMOTE (e.g. local[2]) makes it a Spark Connect session, BLITZ_TEST_ENGINE=sail one of Sail, without Java; the
tests are the same.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import plans
from job_runs import JVM, QUICK
from places import CHECKOUT, ORDERS

# By processor seconds. Tests of several processes begin with these, so that none is left when all others are done.
LONGEST = (
    "test_run_on_catalogs.py",
    "test_engines_agree.py",
    "test_rough_run.py",
    "test_run_killed.py",
    "test_run_on_s3.py",
    "test_publish_jars.py",
    "test_catalogs.py",
    "test_dist.py",
    "test_catalog_kill.py",
    "test_databricks_tasks.py",
    "test_gates.py",
    "test_refresh.py",
)
ON_SAIL = os.environ.get("BLITZ_TEST_ENGINE") == "sail"

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests, the longest first; skip what needs Spark's JVM on Sail and on Spark Connect.

    Each file is a group, for one process; on Spark all files that use the run of the sample are one, so that it runs once.
    """
    sharing = set() if ON_SAIL else {item.path for item in items if "whole_run" in getattr(item, "fixturenames", ())}
    groups = {item: "sample" if item.path in sharing else item.path.name for item in items}
    sizes = Counter(groups.values())
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (rank.get(groups[item], len(LONGEST)), -sizes[groups[item]], groups[item]))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item]))
    if os.environ.get("BLITZ_TEST_ENGINE", "spark") == "spark" and "SPARK_REMOTE" not in os.environ:
        return
    for item in items:
        if item.get_closest_marker("spark"):
            item.add_marker(pytest.mark.skip(reason="needs a classic session of Spark"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where no test passed: a lane of skipped tests has shown nothing. Pytest itself fails where it finds none."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.exitstatus != pytest.ExitCode.OK or reporter is None or session.config.option.collectonly:
        return
    if not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    from pyspark.sql import SparkSession

    from blitz.spark.engine import Engine
    from blitz.spark.session import configure, open_session, ship_package

    if ON_SAIL:
        opened = open_session("blitz tests", {}, engine=Engine("sail"))
        yield opened.spark
        opened.stop()
        return
    builder = SparkSession.builder.config("spark.sql.shuffle.partitions", "2").config("spark.ui.enabled", "false")
    # Spark 4 notes for every column where in Python it was made, with several calls to the JVM each: six runs of the
    # three channels over a few rows take 122 s with it, 94 s without. A run over much data takes as long either way.
    builder = builder.config("spark.python.sql.dataFrameDebugging.enabled", "false")
    if remote := os.environ.get("SPARK_REMOTE"):
        session = builder.remote(remote).getOrCreate()
    else:
        builder = builder.config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        builder = builder.config("spark.driver.memory", "2g").config("spark.log.level", "ERROR")
        builder = builder.config("spark.driver.extraJavaOptions", JVM)
        session = (
            builder.config("spark.driver.host", "127.0.0.1").master("local[2]").appName("blitz tests").getOrCreate()
        )
    configure(session)
    ship_package(session)
    yield session
    session.stop()


@pytest.fixture(scope="module")
def interpreted(spark) -> Iterator[None]:
    """Spark without generated code, whose compilation is half the time of a run over a few rows.

    For tests of what a run does around its tables; what shows that values are equal keeps the generated code.
    """
    names = [] if ON_SAIL else [name for name in QUICK if name.startswith("spark.sql.codegen.")]
    for name in names:
        spark.conf.set(name, QUICK[name])
    yield
    for name in names:
        spark.conf.unset(name)


@pytest.fixture(scope="session")
def sample_config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A config with sample data of its own; ``path`` is its file. Read only: all tests share it."""
    from blitz_sample.generate import write_sample

    folder = tmp_path_factory.mktemp("sample")
    write_sample(ORDERS, 11, f"{folder}/sample")
    text = (CHECKOUT / "conf/local.json").read_text()
    body = json.loads(text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{folder}/out/"))
    (folder / "conf.json").write_text(json.dumps(body))
    return body | {"path": f"{folder}/conf.json"}


@pytest.fixture(scope="session")
def whole_run(spark, sample_config: dict[str, Any]) -> tuple[dict[str, Any], list[plans.Plan]]:
    """The manifest of one whole run through the command line, and its plans where the session is a classic one.

    The plans are read at once: Spark keeps those of the last thousand queries.
    """
    from blitz.cli.main import main
    from blitz.spark.session import is_connect

    classic = not is_connect(spark)
    before = plans.last_query(spark) if classic else -1
    if classic:
        plans.list_all_paths(spark)
    assert main("run_all", argv=["--conf", sample_config["path"]]) == 0
    manifest = Path(sample_config["feature_pipeline"]["customer"]["output_path"]).parent / "manifest.json"
    return json.loads(manifest.read_text()), plans.plans_after(spark, before) if classic else []


@pytest.fixture(scope="session")
def sample_run(whole_run) -> dict[str, Any]:
    """The manifest of the whole run; its outputs are where ``sample_config`` says."""
    return whole_run[0]


@pytest.fixture(scope="session")
def sample_plans(whole_run) -> list[plans.Plan]:
    """The plans of the whole run's queries, in order; none on Spark Connect."""
    return whole_run[1]
