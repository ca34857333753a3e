"""Time and peak memory of a whole command, for the scripts beside this one."""

import json
import subprocess
import sys
from typing import NamedTuple

# A process counts the peak of the one that started it as its own, so a small one has to start it.
STARTER = """
import json, os, sys, time
started = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - started
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss * unit]))
"""


class Measured(NamedTuple):
    """What a command did and took."""

    status: int
    seconds: float
    peak: int  # resident bytes
    errors: bytes  # what it wrote to stderr


def measure(*words: object) -> Measured:
    """Run `aic` with these words and wait for its end."""
    command = [sys.executable, "-m", "imgcodec", *map(str, words)]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", STARTER, *command], capture_output=True, check=True
    )
    status, seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return Measured(status, seconds, peak, done.stderr)
