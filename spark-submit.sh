#!/usr/bin/env bash
# spark-submit with this checkout's environment and the settings that must be there before Spark starts.
#   ./spark-submit.sh [--dry-run] [spark-submit's options] jobs/JOB.py [the job's arguments]
# --dry-run as the first argument prints the command; behind the job it belongs to the job.
# With --target emr-ec2 or emr-serverless before the job it goes to EMR: scripts/submit_emr.py, docs/platforms.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${BLITZ_VENV:-$here/.venv}
case $venv in /*) ;; *) venv=$here/$venv ;; esac

dry_run=
if [ "${1:-}" = --dry-run ]; then
    dry_run=yes
    shift
fi
if [ ! -x "$venv/bin/spark-submit" ]; then
    echo "spark-submit.sh: no Spark in $venv; run 'make setup', or name an environment with BLITZ_VENV" >&2
    exit 2
fi
for word in "$@"; do
    case $word in
        *.py) break ;;
        --target | --target=*)
            if [ -n "$dry_run" ]; then set -- --dry-run "$@"; fi
            exec "$venv/bin/python" "$here/scripts/submit_emr.py" "$@"
            ;;
    esac
done
export PYSPARK_PYTHON=${PYSPARK_PYTHON:-$venv/bin/python} PYSPARK_DRIVER_PYTHON=${PYSPARK_DRIVER_PYTHON:-$venv/bin/python}
export PATH="$venv/bin:$PATH"
if [ -n "${SPARK_HOME:-}" ] && [ ! -x "$SPARK_HOME/bin/spark-submit" ]; then unset SPARK_HOME; fi

# The terminal is for the job's own lines: Spark's start would put forty of its own before them.
if [[ "$* ${SPARK_SUBMIT_OPTS:-}" != *log4j* && ! -e "${SPARK_CONF_DIR:-${SPARK_HOME:-/none}/conf}/log4j2.properties" ]]; then
    export SPARK_SUBMIT_OPTS="-Dlog4j2.configurationFile=file:$here/lib/blitz/spark/log4j2.properties ${SPARK_SUBMIT_OPTS:-}"
fi

# The config file's Spark settings, before the user's own: of two equal keys spark-submit takes the last.
settings=()
while IFS= read -r -d '' word; do settings+=("$word"); done < <("$venv/bin/python" "$here/scripts/start_settings.py" "$@")

command=(spark-submit ${settings[@]+"${settings[@]}"} "$@")
if [ -n "$dry_run" ]; then
    printf '%q ' "${command[@]}"
    echo
    exit 0
fi
exec "${command[@]}"
