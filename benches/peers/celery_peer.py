"""Celery on Redis, as its guide has it for many short tasks: many tasks reserved at once, no results kept
(https://docs.celeryq.dev/en/stable/userguide/optimizing.html#prefetch-limits and tasks.html#ignore-results-you-don-t-want), and
`acks_late`, without which a task that was begun is lost with its worker (faq.html#should-i-use-retry-or-acks-late).
What is measured is said in measure.mjs.
"""

import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from celery import Celery

JOBS = int(os.environ.get("PEERS_JOBS", 10_000))
CALLERS = 16
ROUNDS = int(os.environ.get("PEERS_ROUNDS", 300))
REST = 0.01
PATIENCE = 120
STARTED = os.environ["PEERS_STARTED"]

app = Celery("peers", broker=os.environ["PEERS_REDIS"] + "/1")
app.conf.update(
    worker_prefetch_multiplier=128,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
)
file = os.open(STARTED, os.O_APPEND | os.O_CREAT | os.O_RDWR)


@app.task(name="noop")
def noop(number):
    os.write(file, f"{number} {time.time() * 1000}\n".encode())


class Started:
    """What jobs noted, read as it comes."""

    def __init__(self):
        self.file = open(STARTED, encoding="ascii")
        self.rest = ""
        self.times = {}

    def read(self):
        *lines, self.rest = (self.rest + self.file.read()).split("\n")
        for line in lines:
            number, at = line.split(" ")
            self.times.setdefault(int(number), float(at))

    def until(self, so):
        asked = time.monotonic()
        self.read()
        while not so(self.times):
            if time.monotonic() - asked > PATIENCE:
                raise TimeoutError(f"Celery: only {len(self.times)} jobs were started")
            time.sleep(0.005)
            self.read()


def main():
    begin = time.perf_counter()

    def caller(first):
        for number in range(first, JOBS, CALLERS):
            noop.delay(number)

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(caller, range(CALLERS)))
    submitted = JOBS / (time.perf_counter() - begin)

    started = Started()
    command = [sys.executable, "-m", "celery", "--app", "celery_peer", "worker", "--loglevel", "error"]
    # It warns of being root, which is no part of this.
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=quiet)
    try:
        started.until(lambda times: len(times) >= JOBS)
        times = sorted(started.times.values())
        through = (JOBS - 1) / (times[-1] - times[0]) * 1000
        time.sleep(1)
        waits = []
        for number in range(JOBS, JOBS + ROUNDS):
            asked = time.time() * 1000
            noop.delay(number)
            started.until(lambda times: number in times)
            waits.append(started.times[number] - asked)
            time.sleep(REST)
        waits.sort()
        quantile = lambda q: waits[math.ceil(q * len(waits)) - 1]
        result = dict(name="Celery", submitted=submitted, through=through, p50=quantile(0.5), p99=quantile(0.99))
        with open(os.environ["PEERS_RESULTS"], "a", encoding="ascii") as results:
            results.write(json.dumps(result) + "\n")
    finally:
        worker.terminate()
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            worker.kill()


if __name__ == "__main__":
    main()
