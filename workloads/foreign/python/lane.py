"""Runs the suite's workloads on threads, processes or asyncio.

Reads requests from stdin and answers on stdout, one JSON object a line, as
PROTOCOL.md says. Needs CPython 3.10 or later and its standard library only.
"""

import argparse
import os
import sys

# The study starts Python isolated, without the program's own folder.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from protocol import serve  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", required=True, choices=["python-thread", "python-process", "python-asyncio"])
    name = parser.parse_args().lane
    if name == "python-asyncio":
        import coroutines as lane
    elif name == "python-process":
        from processes import lane
    else:
        from threads import lane
    serve(name, lane, sys.stdin.buffer, sys.stdout.buffer)
    # At once, even if a failed sample has left tasks.
    os._exit(0)


if __name__ == "__main__":
    main()
