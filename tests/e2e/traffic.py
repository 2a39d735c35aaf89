# SPDX-License-Identifier: BSD-3-Clause
"""Events that flow while something breaks, and what of them came where."""

import json
import os
import random
import re
import subprocess
import threading
import time

from processes import Failed, wait_for
from tap import check, same

CHUNK = 100
WRITERS = 2
WINDOW = 4096  # of the amqp sink, at most


def each(short):
    """How many events: MBOXEVENT_EACH, else few."""
    return int(os.environ.get("MBOXEVENT_EACH", short))


class Writer(threading.Thread):
    """One process that appends; as many events as it was allowed so far."""

    def __init__(self, traffic, label, total):
        super().__init__(daemon=True)
        self.traffic, self.label, self.total = traffic, label, total
        world = traffic.world
        self.process = world.box.start(
            "send-" + label, [world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "send", "-"],
            user=world.box.user, stdin=subprocess.PIPE)
        self.start()

    def run(self):
        done = 0
        while done < self.total:
            with self.traffic.changed:
                self.traffic.changed.wait_for(
                    lambda: self.traffic.stopped or done < self.traffic.allowed // WRITERS)
                if self.traffic.stopped:
                    break
                upto = min(done + CHUNK, self.traffic.allowed // WRITERS)
            text = "".join(json.dumps(self.traffic.event(self.label, n)) + "\n"
                           for n in range(done, upto))
            try:
                self.process.stdin.write(text.encode())
                self.process.stdin.flush()
            except OSError:
                break
            done = upto
        self.process.stdin.close()


class Traffic:
    """Events of users of a domain, from two processes, as far as allow() lets them. What was
    appended, and in which order, the world's oracle tells: a subscriber of the unix sink."""

    def __init__(self, world, total, domain="example.org", pad=0):
        self.world, self.domain, self.pad = world, domain, "x" * pad
        self.total = total - total % (4 * WRITERS)
        self.allowed, self.stopped = 0, False
        self.changed = threading.Condition()
        self.first = len(world.oracle.ids)
        self.writers = [Writer(self, "w%d" % i, self.total // WRITERS) for i in range(WRITERS)]

    def event(self, label, n):
        return {"event": "MessageRead", "user": "john@" + self.domain, "uidset": str(n + 1),
                "uri": "imap://john@%s@imap.example.org/INBOX;UIDVALIDITY=1" % self.domain,
                "vnd.example.writer": label, "vnd.example.n": n, "vnd.example.pad": self.pad}

    def quarters(self, n):
        return self.total * n // 4

    def allow(self, quarters):
        with self.changed:
            self.allowed = self.quarters(quarters)
            self.changed.notify_all()

    def arrived(self, count, timeout=120):
        """Waits until so many have come by the other sink."""
        self.world.oracle.wait(lambda e: len(e) >= self.first + count, timeout,
                               "%d events by the unix sink" % count)

    def ids(self):
        """Of all that was sent, in the journal's order; each writer's in its own."""
        self.arrived(self.total)
        for w in self.writers:
            w.join(60)
            same(w.process.wait(60), 0, "exit status of notifyctl send")
            self.world.box.started.remove(w.process)
        ids = self.world.oracle.ids[self.first:]
        events = self.world.oracle.events[self.first:]
        same(len(ids), self.total, "events by the unix sink")
        for w in self.writers:
            numbers = [e["vnd.example.n"] for e in events if e["vnd.example.writer"] == w.label]
            check(numbers == list(range(self.total // WRITERS)), "order of writer " + w.label)
        return ids

    def stop(self):
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


def state(world, sink, since=""):
    """What notifyctl status says of a sink: its state, and its last error if that is not older."""
    told = json.loads(world.notifyd.ctl("status", "--json", check=False).stdout)
    one = next(s for s in told["sinks"] if s["name"] == sink)
    recent = one.get("error") and one["errorTime"] >= since
    return one["state"] + (" | last error: " + one["error"] if recent else "")


def now():
    t = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + ".%03dZ" % (t % 1 * 1000)


def says(world, sink, *words, since="", timeout=60):
    """Waits until status has all these words (patterns) for it; prints what it said."""
    last = ""

    def look():
        nonlocal last
        last = state(world, sink, since)
        return all(re.search(w, last) for w in words)
    try:
        wait_for("status says of %s: %s" % (sink, " ... ".join(words)), look, timeout, every=0.2)
    except Failed as e:
        raise Failed("%s; it says: %s" % (e, last)) from None
    print("# status: " + last, flush=True)
    return last


def compare(got, want, title, twice=None, most=3, order=True):
    """got: message-ids as they came. Nothing lost, nothing foreign, the order kept by what is
    new, and nothing twice but what a cut leaves unconfirmed: at most a window, sent again from its
    lowest on. twice: so many exactly. most: cuts; what is done to it, with some patience.
    order=False: a queue refused some and took others behind them."""
    got = [i for i in got if i >= want[0]]  # none of a case that failed
    missing = set(want) - set(got)
    check(not missing, "lost %d of %d, one of them %s"
          % (len(missing), len(want), sorted(missing)[:1]))
    firsts = list(dict.fromkeys(got))
    check(firsts == want or (not order and sorted(firsts) == sorted(want)),
          "the order is not that of the journal")
    cuts = sum(1 for a, b in zip(got, got[1:]) if b <= a)
    duplicates = len(got) - len(want)
    check(duplicates <= cuts * WINDOW, "%d sent twice at %d cuts: more than what was in flight"
          % (duplicates, cuts))
    check(cuts <= most, "sent again %d times for %d faults" % (cuts, most))
    print("# %s: %d events, lost 0, %d sent twice at %d cuts"
          % (title, len(want), duplicates, cuts), flush=True)
    if twice is not None:
        same(duplicates, twice, "sent twice")


def collect(rabbit, queue, want, timeout=120):
    """The message-ids in a queue, until all that are wanted are there."""
    missing, seen = set(want), 0

    def done(got):
        nonlocal seen
        for p, _ in got[seen:]:
            missing.discard(p.message_id)
        seen = len(got)
        return not missing
    return [p.message_id for p, _ in rabbit.collect(queue, done, timeout)]


def forget(world):
    """What the oracle knows: a long run would not fit."""
    with world.oracle.changed:
        for kept in (world.oracle.events, world.oracle.ids, world.oracle.seen):
            kept.clear()


def during(world, title, total, broken, heal, words=(), sink="mq", queue="indexer",
           domain="example.org", twice=None, pad=0, timeout=180):
    """A quarter of the events flows, then it breaks while more come; the unix sink has three
    quarters before it is healed, so that sink is not delayed; the last come while it heals."""
    forget(world)
    traffic = Traffic(world, total, domain, pad)
    ill = False
    try:
        traffic.allow(2)
        traffic.arrived(traffic.quarters(1))
        since, ill = now(), True
        broken()
        traffic.allow(3)
        if words:
            says(world, sink, *words, since=since)
        traffic.arrived(traffic.quarters(3))
        traffic.allow(4)
        ill = False
        heal()
        want = traffic.ids()
    finally:
        traffic.stop()
        if ill:
            heal()
    compare(collect(world.rabbit, queue, want, timeout), want, title, twice)


def seed():
    n = int(os.environ.get("MBOXEVENT_SEED", random.randrange(1 << 30)))
    print("# MBOXEVENT_SEED=%d" % n, flush=True)
    return n
