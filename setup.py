"""Packaging. A cluster brings Spark, so pyspark is an extra and never forced on one."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="blitz",
    version="0.1.0",
    description="Customer features and segments on Spark",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    package_dir={"": "lib"},
    packages=find_packages("lib", include=["blitz", "blitz.*"]),
    # Commands, and the entry points that databricks.yml's wheel tasks name.
    entry_points={
        "console_scripts": [
            "blitz-run-all = blitz.cli.entry_points:run_all",
            "blitz-order-features = blitz.cli.entry_points:order_features",
            "blitz-customer-features = blitz.cli.entry_points:customer_features",
            "blitz-scores = blitz.cli.entry_points:scores",
            "blitz-segments = blitz.cli.entry_points:segments",
            "blitz-microsegments = blitz.cli.entry_points:microsegments",
            "blitz-refresh = blitz.cli.entry_points:refresh",
            "blitz-backfill = blitz.cli.entry_points:backfill",
            "blitz-report = blitz.cli.entry_points:report",
            "blitz-export = blitz.cli.entry_points:export",
            "blitz-erase = blitz.cli.entry_points:erase",
            "blitz-explain = blitz.cli.entry_points:explain",
            "blitz-compare-runs = blitz.cli.entry_points:compare_runs",
            "blitz-learn-rules = blitz.cli.entry_points:learn_rules",
            "blitz-prove-rules = blitz.cli.entry_points:prove_rules",
            "blitz-try-rules = blitz.cli.entry_points:try_rules",
            "blitz-train-microsegments = blitz.cli.entry_points:train_microsegments",
        ],
    },
    package_data={
        "blitz": ["py.typed"],
        "blitz.segmentation": ["*.json"],
        "blitz.report": ["templates/*"],
        "blitz.spark": ["*.properties"],
    },
    # All are on PyPI with wheels for Linux x86_64 and arm64, released within the last year, and install on EMR 7 and
    # Databricks 17 LTS, which bring older or equal copies of most.
    install_requires=[
        "pyarrow>=18",  # Parquet footers on the driver, Arrow between Spark and the pandas UDF; Apache-2.0
        "pandas>=2.2,<3",  # small mapping files and the pandas UDF's batches; BSD-3
        "numpy>=1.26",  # the models' arrays; BSD-3
        "scikit-learn>=1.7,<1.8",  # what trained the users' models; BSD-3
        "threadpoolctl>=3.1",  # one OpenMP thread a task; scikit-learn brings it; BSD-3
        "pydantic>=2.7,<3",  # config and rule files validated, every problem listed; MIT
        "python-dateutil>=2.8",  # months before a date, with month ends; pandas brings it; Apache-2.0/BSD-3
        "tzdata",  # time zones where the system has none; Apache-2.0
        "boto3>=1.34",  # models, listings and publishing on S3; Apache-2.0
        "jinja2>=3.1",  # the run report, every value escaped; BSD-3
        "matplotlib>=3.8",  # its charts, as SVG inside the page: no script, no network; BSD style
    ],
    extras_require={
        "spark": ["pyspark>=3.5,<5"],
        "connect": ["pyspark[connect]>=3.5,<5"],
        # Sail, the engine without Java; beta software: the version that the tests show equal to Spark. Apache-2.0
        "sail": ["pysail==0.7.2", "pyspark[connect]>=4,<4.1"],
        "delta": ["delta-spark>=3.3"],  # Delta tables on classic Spark; Apache-2.0
        "bench": ["duckdb>=1.1"],  # the peer that the benchmark measures; MIT
        "dist": ["venv-pack2"],  # packs the locked libraries for EMR; BSD-3
        "dev": [
            "chispa>=0.10",
            "pytest>=8,<9",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",  # two processes for the lanes without Spark; MIT
            "pytest-cov>=6",  # branch coverage over the lanes; MIT
            "hypothesis",  # property tests of line cleaning and rules; MPL-2.0, tests only
            "lifetimes",  # CLV inputs are compared with it; no longer kept, fits the locked pandas; MIT, tests only
            "playwright",  # drives Chromium over the report; Apache-2.0
            "axe-playwright-python",  # accessibility of the report; MIT
            "databricks-bundles",  # checks the Databricks job files offline; Databricks licence, tests only
            "nbclient",  # runs the notebooks in CI; BSD-3
            "ipykernel",  # their kernel; BSD-3
            "moto[server]>=5",  # a real S3 endpoint on a loopback port for tests; Apache-2.0
            "ruff",
            "mypy",
            "import-linter",
        ],
    },
)
