"""The loop of a rival's process: 'go' runs and times, 'values' prints what came out.

Plain Python 3.9 and the standard library: it is imported in the rivals' environments.
"""
# SPDX-License-Identifier: Apache-2.0

import json
import math
import os
import sys
import time


def serve(work):
    """Answer each line of standard input with one line of JSON; chatter goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    values = {}
    for line in sys.stdin:
        if line.strip() == "go":
            wall, cpu = time.perf_counter(), time.process_time()
            values = work()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            answer = {"cpu_s": cpu, "wall_s": wall, "count": len(values)}
        else:
            answer = {k: v for k, v in values.items() if math.isfinite(v)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
