#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""notifyd away, notifyd and its workers killed: what was accepted arrives, in order."""

import json
import os
import random
import signal
import subprocess
import threading
import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import Failed, wait_for
from tap import check, same

case = tap.Cases()

BACKLOG = 10000
PRODUCERS = 4
EACH = int(os.environ.get("MBOXEVENT_EACH", 25000))
CHUNK = 250
PAUSE = 0.1  # between chunks: the run lasts EACH / CHUNK * PAUSE


def event(producer, n):
    return {"event": "MessageRead", "uidset": str(n + 1), "user": "john@example.org",
            "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1424683682",
            "vnd.cmu.sessionId": "imap.example.org-8048-1424699879-1-8051832424702584527",
            "vnd.example.producer": producer, "vnd.example.n": n}


def numbers(events, producer):
    return [e["vnd.example.n"] for e in events if e.get("vnd.example.producer") == producer]


def setup():
    return World("backlog")


@case("notifyd makes its journal and starts")
def begin(world):
    world.notifyd.start()


@case("a second notifyd is refused while the first lives")
def second(world):
    p = world.notifyd.launch("second")
    status = p.wait(60)
    check(status != 0, "the second one ended with status 0")
    world.notifyd.alive()
    with open(world.box.at("log", "second.log"), encoding="utf-8") as f:
        text = f.read()
    check(text.strip(), "it did not say why")
    print("# it says: " + text.strip().splitlines()[-1])


@case("killed with -9, another takes its place at once")
def lock(world):
    for _ in range(5):
        world.notifyd.kill()
        world.notifyd.start()
    same(world.notifyd.stop(), 0, "exit status after SIGTERM")


@case("%d events while notifyd is down arrive in order when it is up" % BACKLOG)
def backlog(world):
    begun = time.monotonic()
    world.send([event("backlog", n) for n in range(BACKLOG)])
    sent = time.monotonic()
    world.notifyd.start()
    s = world.subscribe("backlog", origin="oldest")
    s.wait(lambda e: len(numbers(e, "backlog")) >= BACKLOG, 60)
    print("# %.2f s to append, %.2f s until all had arrived"
          % (sent - begun, time.monotonic() - sent))
    same(numbers(s.events, "backlog"), list(range(BACKLOG)), "numbers in order")
    same(s.duplicates, 0, "duplicates")


class Producer(threading.Thread):
    """Feeds one notifyctl send, slowly enough that the kills hit it in the middle."""

    def __init__(self, world, name):
        super().__init__(daemon=True)
        self.label = name
        self.process = world.box.start(
            "send-" + name, [world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "send", "-"],
            user=world.box.user, stdin=subprocess.PIPE)
        self.start()

    def run(self):
        for n in range(0, EACH, CHUNK):
            text = "".join(json.dumps(event(self.label, i)) + "\n" for i in range(n, n + CHUNK))
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
            time.sleep(PAUSE)
        self.process.stdin.close()


@case("%d events while notifyd and its workers are killed with -9 at random: none lost"
      % (PRODUCERS * EACH), timeout=180 + EACH // 500)
def kills(world):
    seed = int(os.environ.get("MBOXEVENT_SEED", random.randrange(1 << 30)))
    rnd = random.Random(seed)
    print("# MBOXEVENT_SEED=%d" % seed)
    s = world.subscribe("kills", origin="oldest")
    producers = [Producer(world, "p%d" % i) for i in range(PRODUCERS)]
    supervisor = worker = 0
    while any(p.is_alive() for p in producers):
        time.sleep(rnd.uniform(0.02, 0.4))
        below = world.notifyd.children()
        if rnd.random() < 0.3 or not below:
            world.notifyd.kill()
            world.notifyd.start(timeout=30)
            supervisor += 1
        else:
            try:
                os.kill(rnd.choice(below), signal.SIGKILL)
                worker += 1
            except ProcessLookupError:
                pass
    for p in producers:
        same(p.process.wait(60), 0, "exit status of " + p.label)
        world.box.started.remove(p.process)
    last = time.monotonic()
    try:
        s.wait(lambda e: len(e) >= BACKLOG + PRODUCERS * EACH, 90 + EACH // 500)
    except Failed:
        for p in producers:
            got = set(numbers(s.events, p.label))
            print("# %s: %d of %d arrived, the first that is missing: %s" % (
                p.label, len(got), EACH, next((n for n in range(EACH) if n not in got), None)))
        raise
    print("# supervisor killed %d times, its children %d times; %d connections, %d duplicates; "
          "all there %.1f s after the last event" % (supervisor, worker, s.connections,
                                                     s.duplicates, time.monotonic() - last))
    for p in producers:
        same(numbers(s.events, p.label) == list(range(EACH)), True, "order of " + p.label)
    check(supervisor and worker, "too few kills")


@case("no process of a killed notifyd is left")
def orphans(world):
    world.notifyd.kill()
    names = {}

    def left():
        names.clear()
        for pid in world.box.descendants():
            try:
                with open("/proc/%d/comm" % pid, encoding="utf-8") as f:
                    names[pid] = f.read().strip()
            except OSError:
                pass
        return not [n for n in names.values() if n.startswith("notifyd")]

    wait_for("the workers end by themselves: %s" % names, left)


case.run(setup)
