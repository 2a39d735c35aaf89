#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""notifyctl replay, skip, journal verify and dump, while notifyd runs and while it does not."""

import json
import os
import random
import signal
import threading
import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from journal import Journal
from processes import wait_for
from tap import check, same

case = tap.Cases()

N = 2000
ROUNDS = int(os.environ.get("MBOXEVENT_ROUNDS", 6))


def event(n):
    return {"event": "MailboxSubscribe", "user": "john@example.org", "vnd.example.n": n,
            "uri": "imap://john@example.org@imap.example.org/Archive"}


class Audit:
    """What the log sink wrote, as numbers."""

    def __init__(self, path):
        self.path = path

    def numbers(self):
        try:
            with open(self.path, encoding="utf-8") as f:
                return [json.loads(line)["vnd.example.n"] for line in f if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def until(self, count, timeout=20):
        wait_for("%d lines of the log sink" % count, lambda: len(self.numbers()) >= count, timeout)
        time.sleep(0.1)  # for one too many
        return self.numbers()


def setup():
    world = World("replay", conf={
        "notifyd_sinks": "local audit", "notifyd_audit_type": "log",
        "notifyd_audit_path": "PLACE/audit.jsonl", "notifyd_audit_from": "oldest",
        "mboxevent_retain": "1h", "mboxevent_segment_size": "64K"})
    place = world.box.folder("audit")
    path = world.cyrus.imapd_conf
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("PLACE", place))
    world.place = place
    world.audit = Audit(os.path.join(place, "audit.jsonl"))
    world.next = 0
    return world


def send(world, count):
    world.send([event(n) for n in range(world.next, world.next + count)])
    world.next += count


def path(world):
    return world.cyrus.conf["mboxevent_journal"]


def dump(world, *args):
    text = world.notifyd.ctl("journal", "dump", "--json", *args).stdout
    return [json.loads(line) for line in text.splitlines()]


def ident(world, n):
    return next(r["id"] for r in dump(world) if r["event"]["vnd.example.n"] == n)


def quiet(world):
    """All is delivered, and the cursor says so."""
    def is_quiet():
        sinks = json.loads(world.notifyd.ctl("status", "--json").stdout)["sinks"]
        return next(s for s in sinks if s["name"] == "audit")["lag"]["events"] == 0
    wait_for("the sink is at the end", is_quiet)


@case("a sink and a subscription receive %d events" % N)
def begin(world):
    world.notifyd.start()
    world.sub = world.subscribe("sub", origin="oldest")
    send(world, N)
    same(world.audit.until(N), list(range(N)), "numbers")
    world.sub.count(N)
    quiet(world)


@case("dump prints what another reader of the journal reads")
def dumped(world):
    want = Journal(path(world)).new()
    got = dump(world)
    same(len(got), len(want), "records")
    for g, w in zip(got, want):
        same((g["type"], g["user"], g["owner"], g["mailbox"], g["native"], g["event"]),
             (w.name, w.user, w.owner, w.mailbox, w.native, w.event), "record")
    some = dump(world, "--from", got[100]["id"], "--count", "3")
    same([r["id"] for r in some], [r["id"] for r in got[100:103]], "from an id")
    some = dump(world, "--from", got[100]["id"][-16:], "--count", "1")
    same([r["id"] for r in some], [got[100]["id"]], "from a position")
    lines = world.notifyd.ctl("journal", "dump", "--count", "2").stdout.splitlines()
    same([line.split()[0] for line in lines], [r["id"] for r in got[:2]], "ids as text")
    check("user=\"john@example.org\"" in lines[0] and lines[0].endswith("}"), lines[0])


@case("verify finds the journal whole")
def whole(world):
    p = world.notifyd.ctl("journal", "verify")
    check(": whole" in p.stdout, p.stdout)


@case("replay --from while notifyd runs: that event and all after it, once more, in order")
def replay_from(world):
    before = len(world.audit.numbers())
    begun = time.monotonic()
    p = world.notifyd.ctl("replay", "audit", "--from", ident(world, 1500))
    print("# %.2f s; it says: %s" % (time.monotonic() - begun, p.stdout.strip()))
    same(world.audit.until(before + N - 1500)[before:], list(range(1500, N)), "once more")
    quiet(world)


@case("replay --since while events go on coming: nothing lost, each in order after the replay")
def replay_since(world):
    before = len(world.audit.numbers())
    middle = dump(world, "--from", ident(world, 1000), "--count", "1")[0]
    feeder = threading.Thread(target=lambda: [send(world, 50) for _ in range(20)])
    feeder.start()
    time.sleep(0.05)
    world.notifyd.ctl("replay", "audit", "--since", middle["time"])
    feeder.join()


    def replayed():
        got = world.audit.numbers()[before:]
        return any(n < N for n in got) and got[-1] == world.next - 1
    wait_for("the newest event, after the replay", replayed)
    got = world.audit.numbers()[before:]
    back = next(i for i, n in enumerate(got) if n < N)
    same(got[:back], list(range(N, N + back)), "before it")
    check(got[back] <= 1000, "begins at %d" % got[back])
    same(got[back:], list(range(got[back], world.next)), "from it on")
    quiet(world)


@case("replay of a subscription that its client has open, and of one that nobody has")
def replay_subscription(world):
    world.sub.count(world.next)
    time.sleep(1.2)  # the acknowledgements are in the cursor
    connections, duplicates = world.sub.connections, world.sub.duplicates
    world.notifyd.ctl("replay", "local@sub", "--from", ident(world, 2500))
    wait_for("them again", lambda: world.sub.duplicates - duplicates >= world.next - 2500)
    same(world.sub.duplicates - duplicates, world.next - 2500, "delivered again")
    same(world.sub.connections, connections + 1, "connections")
    send(world, 10)
    world.sub.count(world.next)
    world.sub.close()
    time.sleep(0.3)
    world.notifyd.ctl("replay", "local@sub", "--from", ident(world, 2990))
    again = world.subscribe("sub")
    again.count(world.next - 2990)
    same(again.events[0]["vnd.example.n"], 2990, "the first")
    again.close()


@case("skip --to now of a sink that can't deliver, while notifyd runs")
def skip_live(world):
    world.audit.until(1)
    quiet(world)
    world.notifyd.stop()
    got = world.audit.numbers()
    os.rename(world.place, world.place + ".away")
    world.notifyd.start()
    send(world, 100)
    p = world.notifyd.ctl("skip", "audit", "--to", "now")
    check("from now on" in p.stdout, p.stdout)
    os.rename(world.place + ".away", world.place)
    send(world, 5)
    same(world.audit.until(len(got) + 5)[len(got):], list(range(world.next - 5, world.next)),
         "after the skip")


@case("replay and skip while notifyd is down; the wrong way round nothing moves")
def down(world):
    quiet(world)
    world.notifyd.stop()
    got = world.audit.numbers()
    world.notifyd.ctl("replay", "audit", "--from", ident(world, world.next - 20))
    p = world.notifyd.ctl("replay", "audit", "--from", ident(world, world.next - 10))
    check("not moved" in p.stdout, p.stdout)
    world.notifyd.ctl("skip", "audit", "--to", ident(world, world.next - 15))
    p = world.notifyd.ctl("skip", "audit", "--to", ident(world, world.next - 18))
    check("not moved" in p.stdout, p.stdout)
    world.notifyd.start()
    same(world.audit.until(len(got) + 15)[len(got):], list(range(world.next - 15, world.next)),
         "what came")
    quiet(world)


@case("%d replays, notifyd and its workers killed with -9 meanwhile: the end is always reached"
      % ROUNDS, timeout=240)
def kills(world):
    seed = int(os.environ.get("MBOXEVENT_SEED", random.randrange(1 << 30)))
    rnd = random.Random(seed)
    print("# MBOXEVENT_SEED=%d" % seed)
    ids = {r["event"]["vnd.example.n"]: r["id"] for r in dump(world)}
    for _ in range(ROUNDS):
        before = len(world.audit.numbers())
        n = rnd.randrange(world.next - 1500, world.next)
        world.notifyd.kill()  # a new one does not wait long before it starts a worker again
        world.notifyd.start()
        waits = [rnd.uniform(0, 0.6), rnd.uniform(0, 0.2)]

        def killer():
            for seconds in waits:
                time.sleep(seconds)
                for pid in world.notifyd.children():
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        t = threading.Thread(target=killer)
        t.start()
        try:
            world.notifyd.ctl("replay", "audit", "--from", ids[n])
        finally:
            t.join()
        got = world.audit.until(before + world.next - n, 60)[before:]
        same(sorted(set(got))[-(world.next - n):], list(range(n, world.next)), "delivered again")
        same(got[-(world.next - n):], list(range(n, world.next)), "in order to the end")
    left = [f for f in os.listdir(os.path.join(path(world), "cursors")) if f.startswith(".")]
    same(left, [], "requests that are left")


@case("what is no sink, no subscription, no event, no time is refused")
def refused(world):
    other = "00000000-0000-4000-8000-000000000000-0000000000000080"
    for code, args in (
            (64, ["replay", "audit"]), (64, ["replay", "audit", "--since", "soon"]),
            (64, ["replay", "audit", "--from", "7"]), (66, ["replay", "audit", "--from", other]),
            (66, ["replay", "nosuch", "--since", "1h"]), (64, ["replay", "local", "--since", "1h"]),
            (66, ["skip", "local@nosuch", "--to", "now"]), (64, ["skip", "audit"]),
            (64, ["skip", "reset", "--to", "now"]), (64, ["journal"]), (64, ["journal", "mend"]),
            (64, ["journal", "dump", "--count", "few"])):
        p = world.notifyd.ctl(*args, check=False)
        same(p.returncode, code, " ".join(args))
        check(p.stderr.startswith("notifyctl: "), p.stderr)
        check("cursors" not in p.stdout, p.stdout)


@case("replay to an event that is gone starts with the oldest, and says so")
def gone(world):
    first = ident(world, 0)
    world.notifyd.stop()
    segments = sorted(f for f in os.listdir(path(world)) if f.endswith(".seg"))
    os.unlink(os.path.join(path(world), segments[0]))
    p = world.notifyd.ctl("journal", "verify", check=False)
    same(p.returncode, 65, "verify")
    check(p.stdout.startswith("missing segment: position 0000000000000000, %d bytes"
                              % int(segments[1][:16], 16)), p.stdout)
    oldest = dump(world, "--count", "1")[0]["event"]["vnd.example.n"]
    before = len(world.audit.numbers())
    p = world.notifyd.ctl("replay", "audit", "--from", first, check=False)
    same(p.returncode, 65, "replay --from")
    check("gone" in p.stderr and "audit delivers again" in p.stdout, p.stderr + p.stdout)
    world.notifyd.start()
    same(world.audit.until(before + world.next - oldest)[before:],
         list(range(oldest, world.next)), "from the oldest on")
    p = world.notifyd.ctl("replay", "audit", "--since", "30d", check=False)
    same(p.returncode, 65, "replay --since")


@case("verify tells a flipped bit, a hole and a cut segment each by its place")
def damaged(world):
    world.notifyd.stop()
    records = dump(world)
    place = [int(r["id"][-16:], 16) for r in records]
    segments = sorted(int(f[:16], 16) for f in os.listdir(path(world)) if f.endswith(".seg"))
    base, after = segments[0], segments[1]

    def file(b):
        return os.path.join(path(world), "%016x.seg" % b)
    with open(file(base), "r+b") as f:
        f.seek(place[3] - base + 60)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 4]))
        f.seek(place[10] - base)
        f.write(bytes(place[12] - place[10]))
    cut = next(p for p in place if p > after + 20000)
    os.truncate(file(after), cut - after + 20)
    want = ["bad checksum: position %016x, %d bytes: %016x.seg, offset %d"
            % (place[3], place[4] - place[3], base, place[3] - base),
            "hole: position %016x, %d bytes: %016x.seg, offset %d"
            % (place[10], place[12] - place[10], base, place[10] - base),
            "cut short: position %016x, %d bytes: %016x.seg, offset %d"
            % (cut, segments[2] - cut, after, cut - after)]
    p = world.notifyd.ctl("journal", "verify", check=False)
    same(p.returncode, 65, "exit status")
    same([line for line in p.stdout.splitlines() if not line.startswith("missing")][:-1], want,
         "damage")
    lost = {i for i, q in enumerate(place) if i in (3, 10, 11) or cut <= q < segments[2]}
    same([r["id"] for r in dump(world)], [r["id"] for i, r in enumerate(records) if i not in lost],
         "what is left to read")


case.run(setup)
