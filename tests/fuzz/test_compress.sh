#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is compressed on its way out is decompressed to the same bytes: the corpus, cut off and damaged; and, in the soak and with
# VARVE_FUZZ_SECONDS, what libFuzzer makes of it where it was built.
# varve-test: backend=any mount=no root=no timeout=180
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

corpus="$(fuzz_corpus corpus-compress)"
"$VARVE_BUILD/tests/fuzz/replay" --cut compress "$corpus"/*
fuzz_search_copy compress "$corpus" -timeout=30 -max_len=4096
