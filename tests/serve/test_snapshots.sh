#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The snapshots service over its socket, by clients in Python: errors, hostile input, deadlines, slow readers, restarts and kill -9,
# random calls against a model (VARVE_TEST_SEED=N runs one sequence again), `varve serve list`, and `varve check`.
# varve-test: timeout=180 options=nobarrier
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
if [[ ! -x "$VARVE_BUILD/varve-serve" ]]; then
	echo "varve-serve was not built"
	exit 77
fi
if ! command -v protoc >/dev/null; then
	echo "needs protobuf-compiler"
	exit 77
fi
messages="$VARVE_TEST_MOUNT/messages"
mkdir "$messages"
protoc -I "$here/../../api/serve" --python_out "$messages" snapshots.proto record.proto
# Debian's modules are those of Debian's own python3.
for python in python3 /usr/bin/python3; do
	if "$python" -c 'import grpc, google.protobuf' 2>/dev/null; then
		PYTHONPATH="$messages" exec "$python" -B "$here/snapshots.py" "$@"
	fi
done
echo "needs python3-grpcio and python3-protobuf"
exit 77
