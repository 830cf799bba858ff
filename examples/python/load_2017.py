#!/usr/bin/env python3
"""The load that logboom's first ancestor was built for, in 2017: a pool of 200 processes, which work through 1,000 tasks of 300 to
800 `logger.debug` calls each, with a trace id for each task and a pause of 10 to 40 ms before each call. About 550,000 records.

    load_2017.py 127.0.0.1:9020                     takes a good minute, for the sake of the pauses
    load_2017.py 127.0.0.1:9020 --no-pause          as fast as the processes can
    load_2017.py 127.0.0.1:9020 --processes 20 --tasks 40 --calls 50 150
    load_2017.py --plan                             each trace id and how many records it gets; nothing is sent

The handler is the stock `logging.handlers.SocketHandler`, and the plan is the same each time. So what a database has can be held
against it, say by `SELECT trace_id, count(*) FROM logs GROUP BY trace_id`.
"""

import argparse
import logging
import logging.handlers
import multiprocessing
import random
import time

PAUSE_SECONDS = 0.010, 0.040

logger = logging.getLogger("load")


def plan(tasks, calls):
    """Each task's trace id and number of calls."""
    chance = random.Random(2017)
    return [("%032x" % chance.getrandbits(128), chance.randint(*calls)) for _ in range(tasks)]


def place(address):
    """Host and port, or the path of a Unix socket and nothing, as the handler takes them."""
    kind, _, rest = address.partition(":")
    return (rest, None) if kind == "unix" else (kind, int(rest))


def begin(host, port, pauses):
    """Begins a process of the pool: each has a connection of its own."""
    global pause
    pause = (lambda: time.sleep(random.uniform(*PAUSE_SECONDS))) if pauses else lambda: None
    logging.raiseExceptions = False  # while the server is away, 200 processes would print a traceback a call
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(logging.handlers.SocketHandler(host, port))


def work(task):
    trace_id, calls = task
    for number in range(calls):
        pause()
        logger.debug("call %d of %d", number, calls, extra={"trace_id": trace_id})
    return calls


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", nargs="?", help="HOST:PORT or unix:PATH of a listener `python`")
    parser.add_argument("--processes", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--calls", type=int, nargs=2, default=(300, 800), metavar=("MIN", "MAX"), help="of a task (300 800)")
    parser.add_argument("--no-pause", action="store_true")
    parser.add_argument("--plan", action="store_true")
    options = parser.parse_args()
    tasks = plan(options.tasks, options.calls)
    if options.plan:
        for trace_id, calls in tasks:
            print(trace_id, calls)
        return
    if options.address is None:
        parser.error("give an address, or --plan")
    start = time.monotonic()
    arguments = *place(options.address), not options.no_pause
    # Forked processes share their memory.
    pool = multiprocessing.get_context("fork").Pool(options.processes, begin, arguments)
    with pool:
        records = sum(pool.imap_unordered(work, tasks))
        pool.close()
        pool.join()
    seconds = time.monotonic() - start
    print("%d records in %.1f s: %.0f a second" % (records, seconds, records / seconds))


if __name__ == "__main__":
    main()
