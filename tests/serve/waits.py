# SPDX-License-Identifier: Apache-2.0
"""The waits of the tests in Python: the lint allows time.sleep() in this file alone. tests/lib/wait.sh has those of the scripts."""
import time

# Only a hang reaches it.
PATIENCE_S = 600
# Between two looks at what tells nobody.
PAUSE_S = 0.1


def wait_until(look, says):
    """Call LOOK until what it returns is true, and return that: for what tells nobody when it comes. SAYS tells what is missing."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(says())
        time.sleep(PAUSE_S)


def wait_moment(draw, most_s):
    """Let a random time pass, which DRAW draws: where each moment is as good as another one, and nothing tells of any."""
    time.sleep(draw.uniform(0, most_s))
