"""An interpreter that speaks a worker's language and does with a case what its name says.

``die``: killed by SIGKILL; ``die-once``: only the first time; ``exit``: leaves with 7; ``sleep``:
takes a minute; ``slow``: takes a moment; anything else is done at once.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


say("ready")
for line in sys.stdin:
    sys.stderr.write("noise\n" * 100)
    sys.stderr.flush()
    order = json.loads(line)
    name = order["case"]
    if name.startswith("slow"):
        time.sleep(0.3)
    if name.startswith("sleep"):
        time.sleep(60)
    if name.startswith("exit"):
        sys.stderr.write("first words\nOSError: no space\n")
        sys.stderr.flush()
        os._exit(7)
    mark = Path(order["journal"]) / name
    if name.startswith("die") and not (name.startswith("die-once") and mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    pid = str(os.getpid())
    say(json.dumps({"case": name, "ended": "done", "detail": pid}))
