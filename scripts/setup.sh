#!/usr/bin/env bash
# Make a virtual environment from a lock file. Usage: setup.sh VENV LOCK
set -euo pipefail
venv=$1 lock=$2

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

python=${PYTHON:-}
for candidate in $python python3.11 python3.12 python3; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
        python=$candidate
        break
    fi
    python=
done
if [ -z "$python" ]; then
    echo "setup: Python 3.11 or 3.12 is missing; install it, or name it with PYTHON=/path/to/python" >&2
    exit 1
fi

if [ ! -x "$venv/bin/python" ]; then
    if ! "$python" -c 'import ensurepip' 2>/dev/null && can_install; then
        apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3-venv >/dev/null
    fi
    "$python" -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$lock"
cp "$lock" "$venv/.lock"
