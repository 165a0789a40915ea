#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The daemon as a process, by clients in Python: start, readiness, the lock of the home, sockets of its own and systemd's, peers,
# signals.
# varve-test: timeout=120
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
if [[ ! -x "$VARVE_BUILD/varve-serve" ]]; then
	echo "varve-serve was not built"
	exit 77
fi
# Debian's modules are those of Debian's own python3.
for python in python3 /usr/bin/python3; do
	if "$python" -c 'import grpc' 2>/dev/null; then
		exec "$python" -B "$here/daemon.py"
	fi
done
echo "needs python3-grpcio"
exit 77
