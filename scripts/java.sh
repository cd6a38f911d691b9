#!/usr/bin/env bash
# Install Java where there is none, for Spark on this machine. Sail needs none. Usage: java.sh
set -euo pipefail

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

java_version() { # the major version of a java command, or nothing
    "$1" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

find_java() {
    local candidate
    for candidate in "${JAVA_HOME:-/none}/bin/java" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
        if [ -x "$candidate" ] && [ "$(java_version "$candidate")" -ge 17 ] 2>/dev/null; then return 0; fi
    done
    return 1
}

if ! find_java; then
    if can_install; then
        echo "setup: no Java 17 or newer found, installing openjdk-17-jre-headless"
        apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q openjdk-17-jre-headless >/dev/null
    else
        echo "setup: Java 17 or newer is missing; install openjdk-17-jre-headless (Debian, Ubuntu) or set JAVA_HOME" >&2
        exit 1
    fi
fi
