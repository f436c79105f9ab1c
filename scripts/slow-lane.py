#!/usr/bin/env python3
"""A lane program that makes one lane slower on purpose: to see that the gate finds it.

    SLOW_LANE=goroutine SLOW_PERCENT=10 THREADBARE_LANE_PROGRAM=scripts/slow-lane.py \
        threadbare run --lane goroutine,thread,tokio --out results/slow
    threadbare gate results/before results/slow

With --base the other build must go through it as well, by 0 percent: a start by way of Python
alone changes where threads are placed, of lanes that are not slowed down too, and the gate then
says that the host was not the same.

    printf '#!/bin/sh\nSLOW_PERCENT=0 exec scripts/slow-lane.py "$@"\n' >base; chmod +x base
    SLOW_LANE=goroutine SLOW_PERCENT=10 THREADBARE_LANE_PROGRAM=scripts/slow-lane.py \
        threadbare run --base ./base --lane goroutine,thread,tokio --out results/slow

It starts the real program (SLOW_PROGRAM, target/release/threadbare-lane by default) and passes
all lines on; of the lane to slow down it multiplies the times of the samples.
"""
import json
import os
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
program = os.environ.get("SLOW_PROGRAM", os.path.join(here, "../target/release/threadbare-lane"))
percent = float(os.environ.get("SLOW_PERCENT", "10"))
if os.environ.get("SLOW_LANE") not in sys.argv[1:]:
    os.execv(program, [program, *sys.argv[1:]])

lane = subprocess.Popen([program, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
for line in lane.stdout:
    answer = json.loads(line)
    if answer.get("type") == "sample":
        answer["elapsed_ns"] = round(answer["elapsed_ns"] * (1 + percent / 100))
        line = json.dumps(answer) + "\n"
    print(line, end="", flush=True)
sys.exit(lane.wait())
