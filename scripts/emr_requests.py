"""Requests that submit a job to EMR on EC2 or EMR Serverless. Pure functions; nothing is sent from here.

Both use the packed environment of ``make dist`` (the locked libraries and blitz) with the platform's Spark.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from blitz.config import Config
from blitz.config.models import MODEL_KEYS
from blitz.errors import ConfigError
from blitz.storage.paths import scheme_of

PYTHON = "./environment/bin/python"  # the archive is unpacked in the working directory of driver and executors
_LOCAL_SCHEMES = ("", "file", "dbfs")
_PATH_KEYS = ("_path", "_pattern", "_model", "mapping_file")


def check_reachable(config: Config) -> None:
    """Refuse a config with paths on a local disk, which the machines of a cluster do not share.

    Raises:
        ConfigError: listing each such path.
    """
    body = config.model_dump(mode="json", by_alias=True, exclude={"run": {"debug_log"}})
    problems = [
        f"{place.replace(f'{MODEL_KEYS}.', '')}: {value} is local, and the cluster does not see this disk; use s3://"
        for place, value in _paths(body)
        if scheme_of(value) in _LOCAL_SCHEMES
    ]
    if problems:
        raise ConfigError(problems)


def _paths(node: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{place}{key}.")
        elif isinstance(value, str) and value and key.endswith(_PATH_KEYS):
            yield place + key, value


def address(code: str, folder: str, name: str, data: bytes | None) -> str:
    """Return the address of a file below ``code``, e.g. ``s3://bucket/blitz/conf/prod-1f0c9a2b7d3e.json``.

    The name contains a hash of the content, so a later submission cannot change what a pending one will run. Without
    ``data`` (not built yet) the hash is left out.
    """
    path = PurePosixPath(name)
    endings = "".join(path.suffixes)
    stem = path.name.removesuffix(endings)
    mark = f"-{hashlib.sha256(data).hexdigest()[:12]}" if data is not None else ""
    return f"{code.rstrip('/')}/{folder}{stem}{mark}{endings}"


def emr_step(
    name: str,
    job: str,
    arguments: Sequence[str],
    environment: str,
    settings: Mapping[str, str],
    options: Sequence[str] = (),
    on_failure: str = "CONTINUE",
) -> dict[str, Any]:
    """Return one step of ``add_job_flow_steps``: spark-submit in cluster mode with the packed environment's Python.

    Args:
        name: name of the step.
        job: address of the job's script.
        arguments: the job's arguments.
        environment: address of the packed environment.
        settings: Spark settings of the config.
        options: spark-submit's options from the command line; they override ``settings``.
        on_failure: CONTINUE, CANCEL_AND_WAIT or TERMINATE_CLUSTER.
    """
    wanted = {
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": PYTHON,
        "spark.yarn.appMasterEnv.PYSPARK_DRIVER_PYTHON": PYTHON,  # overrides EMR's own Python
        "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
        "spark.yarn.maxAppAttempts": "1",  # a config error would only fail again
        **settings,
    }
    command = ["spark-submit", "--master", "yarn", "--deploy-mode", "cluster", "--name", name]
    command += ["--archives", f"{environment}#environment"]
    command += [word for key, value in wanted.items() for word in ("--conf", f"{key}={value}")]
    return {
        "Name": name,
        "ActionOnFailure": on_failure,
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": [*command, *options, job, *arguments]},
    }


def emr_serverless_run(
    name: str,
    application: str,
    role: str,
    job: str,
    arguments: Sequence[str],
    environment: str,
    settings: Mapping[str, str],
    options: Sequence[str] = (),
    logs: str | None = None,
) -> dict[str, Any]:
    """Return the request of ``start_job_run``; the config's settings go to ``spark-defaults``, which needs no quoting.

    Args:
        name: name of the job run.
        application: id of the EMR Serverless application.
        role: ARN of the execution role.
        job: address of the job's script.
        arguments: the job's arguments.
        environment: address of the packed environment.
        settings: Spark settings of the config.
        options: spark-submit's options from the command line; they override ``settings``.
        logs: ``s3://`` folder for logs, in addition to EMR's own.

    Raises:
        ConfigError: an option contains spaces or quotes, which the request's single string of options cannot represent.
    """
    odd = [word for word in options if any(mark.isspace() or mark in "'\"\\" for mark in word)]
    if odd:
        raise ConfigError([f"{word}: put this setting into the config's spark section" for word in odd])
    wanted = {
        "spark.archives": f"{environment}#environment",
        "spark.emr-serverless.driverEnv.PYSPARK_PYTHON": PYTHON,
        "spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON": PYTHON,
        "spark.executorEnv.PYSPARK_PYTHON": PYTHON,
    }
    parameters = [word for key, value in wanted.items() for word in ("--conf", f"{key}={value}")]
    overrides: dict[str, Any] = {
        "applicationConfiguration": [{"classification": "spark-defaults", "properties": dict(settings)}]
    }
    if logs:
        overrides["monitoringConfiguration"] = {"s3MonitoringConfiguration": {"logUri": logs}}
    return {
        "name": name,
        "applicationId": application,
        "executionRoleArn": role,
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": job,
                "entryPointArguments": list(arguments),
                "sparkSubmitParameters": " ".join([*parameters, *options]),
            }
        },
        "configurationOverrides": overrides,
    }
