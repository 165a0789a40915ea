#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Frames of clients harm no server of `varve serve`: the corpus, cut off and damaged; and, in the soak and with VARVE_FUZZ_SECONDS,
# what libFuzzer makes of it where it was built. serve/test_frames has random ones always.
# varve-test: backend=any mount=no root=no timeout=180
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

if [[ ! -x "$VARVE_BUILD/varve-serve" ]]; then
	echo "varve-serve was not built"
	exit 77
fi
corpus="$(fuzz_corpus corpus-frames)"
"$VARVE_BUILD/tests/fuzz/replay" --cut frames "$corpus"/*
fuzz_search_copy frames "$corpus" -timeout=20 -max_len=4096
