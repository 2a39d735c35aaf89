#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A storm: a thousand subscribers, ten thousand datagrams a second, a reload every second. For
MBOXEVENT_LOAD seconds (8; `make check-full` takes 300). Nothing is lost, nothing grows, and nobody
is behind: after the last event all have all, in the long form at once and for little work."""

import json
import multiprocessing
import os
import random
import re
import resource
import selectors
import signal
import socket
import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import Failed, children, wait_for
from tap import check, same

case = tap.Cases()
SECONDS = int(os.environ.get("MBOXEVENT_LOAD", "8"))
CLIENTS = 1000
RATE = 10000
ALL = 2  # of the clients, those that take every event
# The long form has the machine for itself and is strict; the short one runs beside other tests.
LONG = SECONDS >= 60
BEHIND = 2 if LONG else 60  # seconds in which all subscriptions have everything
SHARE = 0.4  # of one processor for all of them; 0.13 is what it takes


def setup():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    world = World("load", preload=False, conf={
        "notifyd_sinks": "local audit", "mboxevent_segment_size": "8M", "mboxevent_max_size": "4G",
        "mboxevent_min_free": "0", "notifyd_audit_type": "log", "notifyd_local_clients": "2000"})
    world.cyrus.configure({"notifyd_audit_path": world.box.at("run", "audit")})
    world.notifyd.start()
    return world


def native(n, event="MessageRead"):
    return json.dumps({"event": event, "user": "john", "uidset": str(n + 1),
                       "uri": "imap://john@imap.example.org/INBOX;UIDVALIDITY=1"})


def flood(path, seconds, sent, go):
    """Paced; sendto() waits where the socket is full."""
    go.wait()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(path)
    begun = time.monotonic()
    n = 0
    while time.monotonic() - begun < seconds:
        for _ in range(100):
            s.send(("notifyd\0EVENT\0\0\0\x000\0" + native(n) + "\0").encode())
            n += 1
        sent.value = n
        ahead = begun + n / RATE - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)


class Client:
    """A durable subscription: some take every event, the others wait for what is rare."""

    def __init__(self, path, number):
        self.path, self.number = path, number
        self.all = number < ALL
        self.got = 0
        self.last = self.highest = b""
        self.disorder = False
        self.errors = []
        self.rest = b""
        self.socket = None

    def connect(self, selector):
        self.close(selector)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(self.path)  # waits where too many wait to be accepted
        request = {"v": 1, "subscribe": "client%d" % self.number, "from": "newest"}
        if not self.all:
            request["events"] = ["MailboxSubscribe"]
        s.sendall((json.dumps(request) + "\n").encode())
        s.setblocking(False)
        self.socket, self.rest, self.last = s, b"", b""
        selector.register(s, selectors.EVENT_READ, self)

    def close(self, selector):
        if self.socket:
            selector.unregister(self.socket)
            self.socket.close()
            self.socket = None

    def read(self, selector):
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.connect(selector)  # cut off for being slow: comes back
            return
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        # {"id":"<uuid>-<position in hexadecimal digits>": they can be compared as they are.
        ids = [line[7:60] for line in lines if line.startswith(b'{"id"')]
        self.errors += [line for line in lines if line.startswith(b'{"error"')]
        if ids:
            self.disorder |= ids != sorted(set(ids)) or ids[0] <= self.last
            self.got += sum(1 for i in ids if i > self.highest)  # of before: not acknowledged
            self.last = ids[-1]
            self.highest = max(self.highest, self.last)
            try:
                self.socket.send((json.dumps({"ack": self.last.decode()}) + "\n").encode())
            except OSError:
                self.connect(selector)


def held(pid):
    """Its descriptors and its memory of its own in KB; None when it is gone."""
    try:
        n = len(os.listdir("/proc/%d/fd" % pid))
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
            return n, int(re.search(r"Pss_Anon:\s+(\d+)", f.read()).group(1))
    except OSError:
        return None


def used(world):
    """The unix sink's process, and the seconds of processor that it has taken."""
    for pid in children(world.notifyd.process.pid):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                if not f.read().endswith(b"--worker\0local\0"):
                    continue
            with open("/proc/%d/stat" % pid, encoding="ascii") as f:
                fields = f.read().rpartition(")")[2].split()
            return pid, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:  # another of its processes, which a reload replaces
            continue
    raise Failed("no worker of the unix sink")


def measure(world):
    """Of supervisor, and all of notifyd: (descriptors, KB)."""
    pid = world.notifyd.process.pid
    all_held = [h for h in map(held, [pid] + children(pid)) if h]
    return held(pid)[0], sum(kb for _, kb in all_held)


@case("%d clients, %d datagrams/s and a reload a second, for %d s" % (CLIENTS, RATE, SECONDS),
      SECONDS * 30 + 240)
def storm(world):
    sent, go = multiprocessing.Value("q", 0), multiprocessing.Event()
    # Before there are clients: it must not hold their sockets open.
    sender = multiprocessing.Process(target=flood, args=(
        world.cyrus.conf["notifysocket"], SECONDS, sent, go))
    sender.start()
    selector = selectors.DefaultSelector()
    clients = [Client(world.local, n) for n in range(CLIENTS)]
    for c in clients:
        c.connect(selector)
    cursors = os.path.join(world.cyrus.journal, "cursors")
    wait_for("all subscriptions", lambda: sum(
        1 for name in os.listdir(cursors) if name.startswith("local@")) >= CLIENTS, 240)
    begun, before = time.monotonic(), used(world)
    go.set()
    tick, first, markers, last = begun, None, 0, None
    rng = random.Random(1)
    while sender.is_alive():
        for key, _ in selector.select(0.1):
            key.data.read(selector)
        now = time.monotonic()
        if now < tick:
            continue
        tick = now + 1
        os.kill(world.notifyd.process.pid, signal.SIGHUP)
        for c in rng.sample(clients, 50):
            c.connect(selector)
        markers += 1
        world.send([json.loads(native(markers, "MailboxSubscribe"))])
        last = measure(world)
        if first is None and now - begun > min(SECONDS / 2, 20):
            first = last
    first = first or last
    # While a process is being replaced there are more: the least of three looks.
    for _ in range(2):
        time.sleep(0.1)
        last = min(last, measure(world))
    world.notifyd.alive()
    sender.join()
    rate = sent.value / (time.monotonic() - begun)
    print("# %d datagrams, %.0f/s, %d reloads; supervisor %d -> %d descriptors, all %d -> %d KB"
          % (sent.value, rate, markers, first[0], last[0], first[1], last[1]))
    due = lambda c: markers + (sent.value if c.all else 0)
    ended = time.monotonic()
    while time.monotonic() < ended + BEHIND and any(c.got < due(c) for c in clients):
        for key, _ in selector.select(0.05):
            key.data.read(selector)
    late, after = time.monotonic() - ended, used(world)
    same(after[0], before[0], "process of the unix sink")
    share = (after[1] - before[1]) / (time.monotonic() - begun)
    print("# all subscriptions had everything %.2f s later; the sink took %.2f of a processor"
          % (late, share))
    for c in clients:
        same(c.got, due(c), "events of subscription %d" % c.number)
        check(not c.disorder, "subscription %d: out of order" % c.number)
        same(c.errors, [], "errors of subscription %d" % c.number)
    path = world.box.at("run", "audit")

    def logged():
        with open(path, "rb") as f:
            return f.read().count(b'"event":"MessageRead"') >= sent.value
    wait_for("all of it in the log", logged, 120, every=0.2)
    with open(path, encoding="utf-8") as f:
        uids = [int(m) for m in re.findall(r'"event":"MessageRead".*"uidset":"(\d+)"', f.read())]
    same(len(set(uids)), sent.value, "distinct events in the log")
    same(sorted(set(uids)) == list(dict.fromkeys(uids)), True, "order in the log")
    print("# %d came twice" % (len(uids) - sent.value))
    if LONG:
        check(share < SHARE, "the unix sink took %.2f of a processor" % share)
    check(last[0] <= first[0] + 2, "descriptors: %d, then %d" % (first[0], last[0]))
    check(last[1] <= first[1] * 1.5 + 4096, "memory: %d KB, then %d" % (first[1], last[1]))
    for c in clients:
        c.close(selector)


case.run(setup)
