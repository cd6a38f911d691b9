"""spark-submit.sh hands a job for EMR over to the script that submits it, with all its arguments."""

import json
import os
import subprocess
import sys
from pathlib import Path

from places import CHECKOUT


def test_spark_submit_sh_prints_the_request_of_a_dry_run():
    """--dry-run comes before --target here: the script takes it on either side."""
    command = [CHECKOUT / "spark-submit.sh", "--dry-run", "--target=emr-ec2", "--cluster-id", "j-X", "--code",
               "s3://bucket/blitz", "jobs/run_all.py", "--conf", "conf/prod.json", "--steps", "a;b $(id)"]  # fmt: skip
    environment = {**os.environ, "BLITZ_VENV": str(Path(sys.executable).parents[1])}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (step,) = json.loads(done.stdout)["Steps"]
    words = step["HadoopJarStep"]["Args"]
    assert words[-2:] == ["--steps", "a;b $(id)"]
    assert words[-4] == "--conf" and words[-3].startswith("s3://bucket/blitz/conf/prod-")
