#!/usr/bin/env bash
# Bootstrap action for EMR on EC2: the Python that the packed environment links to, on every machine.
# Copy it to S3 and name it at the cluster's creation: --bootstrap-actions Path=s3://bucket/blitz/bootstrap.sh
# Another version than 3.11 is its argument: Args=[3.12]
set -euo pipefail
version=${1:-3.11}
if [ ! -x "/usr/bin/python$version" ]; then sudo dnf install -y -q "python$version"; fi
"/usr/bin/python$version" --version
