"""Submit a job to EMR: upload what it needs to --code, then add a step or start a serverless job run.

  spark-submit.sh --target emr-ec2 --cluster-id j-X --code s3://bucket/blitz/ [OPTIONS] jobs/JOB.py [ARGUMENTS]
  spark-submit.sh --target emr-serverless --application-id X --execution-role-arn ARN --code s3://bucket/blitz/ …

Other options are passed to spark-submit. With --dry-run the request is printed as JSON and nothing is sent.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
try:
    import blitz  # noqa: F401
except ImportError:  # run from a checkout: the package is in lib/
    sys.path.insert(0, str(HERE / "lib"))

import emr_requests  # noqa: E402
from blitz.cli.arguments import add_config_arguments, read_config  # noqa: E402
from blitz.cli.command import FAILED, OK  # noqa: E402
from blitz.config.files import read_object, relative_to  # noqa: E402
from blitz.errors import BlitzError, ConfigError  # noqa: E402
from blitz.storage.paths import scheme_of  # noqa: E402

ENVIRONMENT = str(HERE / "dist/environment.tar.gz")
ON_FAILURE = ("CONTINUE", "CANCEL_AND_WAIT", "TERMINATE_CLUSTER")
Uploads = dict[str, bytes]


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str], str, list[str]]:
    """Return our options, spark-submit's options, the job and its arguments; exits with a message if one is missing."""
    at = next((index for index, word in enumerate(argv) if word.endswith(".py")), None)
    parser = argparse.ArgumentParser(
        prog="spark-submit.sh", description=__doc__, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--target", required=True, choices=["emr-ec2", "emr-serverless"])
    parser.add_argument("--dry-run", action="store_true", help="print the request as JSON; send and upload nothing")
    parser.add_argument("--code", required=True, metavar="S3", help="s3:// folder for job, config and environment")
    parser.add_argument("--cluster-id", metavar="ID", help="emr-ec2: the cluster, j-…")
    parser.add_argument(
        "--on-failure", choices=ON_FAILURE, default="CONTINUE", help="emr-ec2: what EMR does if the step fails"
    )
    parser.add_argument("--application-id", metavar="ID", help="emr-serverless: the application")
    parser.add_argument("--execution-role-arn", metavar="ARN", help="emr-serverless: the role that the job runs as")
    parser.add_argument("--logs", metavar="S3", help="emr-serverless: s3:// folder for logs")
    parser.add_argument("--name", help="name of the step or job run (default: blitz JOB)")
    parser.add_argument("--environment", metavar="PATH", default=ENVIRONMENT, help="packed environment of make dist")
    ours, options = parser.parse_known_args(argv if at is None else argv[:at])
    if at is None:
        parser.error("no job given, e.g. jobs/run_all.py")
    needed = ["cluster_id"] if ours.target == "emr-ec2" else ["application_id", "execution_role_arn"]
    missing = ["--" + key.replace("_", "-") for key in needed if not getattr(ours, key)]
    if missing:
        parser.error(f"--target {ours.target} needs {' and '.join(missing)}")
    if not ours.code.startswith("s3://"):
        parser.error(f"--code: must be an s3:// folder, not {ours.code}")
    return ours, options, argv[at], list(argv[at + 1 :])


def request(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any], Uploads, Path | None]:
    """Return our options, the request, small files to upload by address, and the environment file (None: not built).

    Raises ConfigError for a config that the cluster cannot use.
    """
    ours, options, job, arguments = parse(argv)
    if not Path(job).is_file():
        raise ConfigError([f"{job}: no such job"])
    arguments, settings, uploads = config_of(ours.code, arguments)
    script = Path(job).read_bytes()
    entry = emr_requests.address(ours.code, "jobs/", job, script)
    uploads[entry] = script
    packed = Path(ours.environment) if Path(ours.environment).is_file() else None
    environment = emr_requests.address(ours.code, "", ours.environment, packed.read_bytes() if packed else None)
    name = ours.name or f"blitz {Path(job).stem}"
    if ours.target == "emr-ec2":
        step = emr_requests.emr_step(name, entry, arguments, environment, settings, options, ours.on_failure)
        body: dict[str, Any] = {"JobFlowId": ours.cluster_id, "Steps": [step]}
    else:
        body = emr_requests.emr_serverless_run(
            name,
            ours.application_id,
            ours.execution_role_arn,
            entry,
            arguments,
            environment,
            settings,
            options,
            ours.logs,
        )
    ours.environment_address = environment
    return ours, body, uploads, packed


def config_of(code: str, arguments: list[str]) -> tuple[list[str], dict[str, str], Uploads]:
    """Return the job's arguments with local config files replaced by their addresses, Spark settings, and uploads."""
    given = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_config_arguments(given)
    named, _ = given.parse_known_args(arguments)
    config = read_config(named)
    emr_requests.check_reachable(config)
    uploads: Uploads = {}
    for option in ("conf", "feature_pipeline_config", "segmentation_config"):
        path = getattr(named, option)
        if path and not scheme_of(path):
            data = self_contained(path)
            target = emr_requests.address(code, "conf/", path, data)
            uploads[target] = data
            arguments = replaced(arguments, f"--{option}", target)
    return arguments, dict(config.spark), uploads


def self_contained(path: str) -> bytes:
    """Return a config file with the sections that it names by path inlined, so that one file is enough."""
    tree = read_object(path)
    for section in ("feature_pipeline", "segmentation"):
        if isinstance(tree.get(section), str):
            tree[section] = read_object(relative_to(path, tree[section]), section)
    return (json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode()


def replaced(arguments: Sequence[str], option: str, value: str) -> list[str]:
    """Return the arguments with another value for an option, given as ``--option value`` or ``--option=value``."""
    found = [f"{option}={value}" if word.startswith(f"{option}=") else word for word in arguments]
    return [value if index and found[index - 1] == option else word for index, word in enumerate(found)]


def submit(ours: argparse.Namespace, body: dict[str, Any], uploads: Uploads, environment: Path) -> str:
    """Upload missing files and send the request; returns the id of the step or job run."""
    import boto3

    s3 = boto3.client("s3")
    for target, data in uploads.items():
        bucket, _, key = target.removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=data)
    bucket, _, key = ours.environment_address.removeprefix("s3://").partition("/")
    found = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    if not any(each["Key"] == key and each["Size"] == environment.stat().st_size for each in found):
        s3.upload_file(str(environment), bucket, key)
    if ours.target == "emr-ec2":
        return str(boto3.client("emr").add_job_flow_steps(**body)["StepIds"][0])
    return str(boto3.client("emr-serverless").start_job_run(**body)["jobRunId"])


def main(argv: Sequence[str]) -> int:
    """Submit the job and return the exit code: 0 submitted or printed, 2 config error, 1 not submitted."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        ours, body, uploads, environment = request(argv)
        if ours.dry_run:
            print(json.dumps(body, indent=2, ensure_ascii=False))
            for target in [*uploads, ours.environment_address]:
                print(f"would upload {target}", file=sys.stderr)
            if environment is None:
                print(f"{ours.environment} is not built yet: make dist", file=sys.stderr)
            return OK
        if environment is None:
            raise BlitzError(f"{ours.environment}: no packed environment at this path; run make dist first")
        print(submit(ours, body, uploads, environment))
    except ConfigError as error:
        print(f"spark-submit.sh: {error}", file=sys.stderr)
        return error.exit_code
    except (BlitzError, BotoCoreError, ClientError, OSError) as error:
        print(f"spark-submit.sh: not submitted: {error}", file=sys.stderr)
        return FAILED
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
