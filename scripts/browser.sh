#!/usr/bin/env bash
# Chromium for the test of the report, from the distribution; nothing is downloaded from elsewhere.
set -euo pipefail

for candidate in chromium chromium-browser google-chrome; do
    if command -v "$candidate" >/dev/null && "$candidate" --version >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "browser: no Chromium found, installing Debian's"
    if apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium >/dev/null; then
        exit 0
    fi
    echo "browser: Chromium could not be installed from the distribution's packages" >&2
else
    echo "browser: Chromium is missing; install the package chromium (Debian) to run the report's browser test" >&2
fi
if [ -n "${CI:-}" ]; then exit 1; fi # elsewhere the test is skipped, and says so
