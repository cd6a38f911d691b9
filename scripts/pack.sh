#!/usr/bin/env bash
# Pack the libraries that blitz needs, at the lock's versions, and blitz's wheel, for clusters that bring Spark.
# Usage: pack.sh LOCK DIST; DIST holds the wheel and gets environment.tar.gz. Not in it: pyspark and py4j (the
# cluster's own), development tools, pip. The interpreter is a link to that of the cluster, /usr/bin/pythonX.Y;
# BLITZ_PYTHON_PREFIX names another place than /usr.
set -euo pipefail
unset PYTHONPATH PYTHONHOME # or pip finds this checkout's blitz there and installs none
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lock=$1 dist=$2 prefix=${BLITZ_PYTHON_PREFIX:-/usr}
case $lock in *spark35*) venv=$here/.venv-spark35 ;; *) venv=$here/.venv ;; esac
venv=${BLITZ_VENV:-$venv}
wheels=("$dist"/blitz-*.whl)
if [ "${#wheels[@]}" != 1 ] || [ ! -f "${wheels[0]}" ]; then
    echo "pack: $dist must hold one blitz wheel; run make dist" >&2
    exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
packed=$scratch/environment
version=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

"$venv/bin/python" -m venv --without-pip "$packed"
# The lock as constraints: the wheel says what is needed, the lock says which version.
pip --python "$packed/bin/python" install --quiet --only-binary :all: --constraint "$lock" "${wheels[0]}"
pip --python "$packed/bin/python" freeze | grep -v -E '^blitz( |=)' | sort >"$scratch/packed.txt"
if unlocked=$(grep -v -x -F -f "$lock" "$scratch/packed.txt"); then
    echo "pack: not in $lock: ${unlocked//$'\n'/, }; run make lock" >&2
    exit 1
fi
# By hand: venv-pack's own --python-prefix makes a link to /usr/bin/python3.113.11, a fault known for years.
ln -sfn "$prefix/bin/python$version" "$packed/bin/python$version"
printf 'home = %s/bin\ninclude-system-site-packages = false\nversion = %s\n' "$prefix" "$version" >"$packed/pyvenv.cfg"
tools=
if ! "$venv/bin/python" -c 'import venv_pack' 2>/dev/null; then # the lock for Spark 3.5 lacks it
    tools=$scratch/tools
    pip install --quiet --no-deps --constraint "$here/requirements/spark40.txt" --target "$tools" venv-pack2
fi
PYTHONPATH=$tools "$venv/bin/python" -m venv_pack --quiet --force --prefix "$packed" --output "$dist/environment.tar.gz"
cp "$scratch/packed.txt" "$dist/environment.txt"
echo "$dist/environment.tar.gz: blitz and $(wc -l <"$scratch/packed.txt") locked libraries (see environment.txt)," \
    "$(du -h "$dist/environment.tar.gz" | cut -f 1), for $prefix/bin/python$version"
