#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Dead letters: kept whole, listed, sent again with the same id, deleted, bounded, through kills."""

import json
import os
import random
import re
import signal
import time

import tap

from harness import World
from processes import wait_for
from tap import check, same

case = tap.Cases()

# Dead letters of one wrong policy.
MANY = int(os.environ.get("MBOXEVENT_EACH", 3000))


def event(n, **more):
    return dict({"event": "MessageRead", "uidset": str(n + 1), "user": "john@example.org",
                 "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1424683682",
                 "vnd.example.n": n}, **more)


def setup():
    world = World("dead", preload=False)
    world.cyrus.configure({
        "mboxevent_segment_size": "64K", "mboxevent_retain": "1h",
        "notifyd_sinks": "local stuck",
        "notifyd_stuck_type": "fail", "notifyd_stuck_mode": "drop", "notifyd_stuck_from": "oldest",
        "notifyd_stuck_events": "MessageRead",  # no markers
    })
    world.notifyd.start()
    return world


def audit(world):
    """The sink `stuck` becomes one that takes all."""
    world.cyrus.conf.pop("notifyd_stuck_mode", None)
    world.cyrus.configure({"notifyd_stuck_type": "log",
                           "notifyd_stuck_path": world.box.at("run", "stuck.jsonl")})
    world.notifyd.reload()


def refuse(world):
    world.cyrus.conf.pop("notifyd_stuck_path", None)
    world.cyrus.configure({"notifyd_stuck_type": "fail", "notifyd_stuck_mode": "drop"})
    world.notifyd.reload()


def audited(world):
    try:
        with open(world.box.at("run", "stuck.jsonl"), encoding="utf-8") as f:
            return [json.loads(line)["vnd.example.n"] for line in f if line.endswith("\n")]
    except FileNotFoundError:
        return []


def ctl(world, *args, **more):
    return world.notifyd.ctl("dead-letters", *args, **more)


def listed(world, sink="stuck"):
    return [json.loads(line) for line in ctl(world, "list", sink, "--json").stdout.splitlines()]


def status(world, sink="stuck"):
    found = json.loads(world.notifyd.ctl("status", "--json").stdout)
    return next(s for s in found["sinks"] if s["name"] == sink)


def waiting(world):
    return status(world)["deadLetters"]["waiting"]


def until(world, count, timeout=60):
    wait_for("%d dead letters" % count, lambda: waiting(world) == count, timeout)


def kill_worker(world):
    """Of the sink, with -9; status may still name one that has ended."""
    def killed():
        try:
            os.kill(status(world)["pid"], signal.SIGKILL)
            return True
        except (KeyError, ProcessLookupError):
            return False
    wait_for("a worker to kill", killed)


@case("no dead letters yet; unix sinks have none")
def none(world):
    same(ctl(world, "list", "stuck").stdout, "", "list")
    same(ctl(world, "drop", "stuck", "--all").stdout, "0 dead letters of stuck deleted\n", "drop")
    same(waiting(world), 0, "status")
    p = ctl(world, "list", "local", check=False)
    same(p.returncode, 64, "of a unix sink")
    check("no dead letters" in p.stderr, p.stderr)


@case("what is wrong is refused, with the exit status that the manual says")
def refused(world):
    ident = "00000000-0000-4000-8000-000000000000-0000000000000080"
    for code, args in (
            (64, []), (64, ["bury"]), (64, ["list"]), (64, ["list", "stuck", ident]),
            (64, ["show", "stuck"]), (64, ["retry", "stuck"]), (64, ["drop", "stuck"]),
            (64, ["drop", "stuck", ident, "--all"]), (64, ["drop", "stuck", "7"]),
            (64, ["list", "stuck", "--all"]), (64, ["drop", "stuck", "--all", "--json"]),
            (66, ["list", "nosuch"]), (66, ["list", "../dead"]), (66, ["show", "stuck", ident]),
            (66, ["drop", "stuck", ident]), (66, ["retry", "stuck", ident]),
            (66, ["retry", "nosuch", "--all"])):
        p = ctl(world, *args, check=False)
        same(p.returncode, code, " ".join(args))
        check(p.stderr.startswith("notifyctl: "), p.stderr)


@case("list, show and status tell what is there")
def tell(world):
    world.send([event(n, user="jane@example.org") for n in range(5)])
    until(world, 5)
    lines = ctl(world, "list", "stuck").stdout.splitlines()
    same(len(lines), 5, "lines")
    check(re.fullmatch(r'\d{4}-\d\d-\d\dT[0-9:.]+Z [0-9a-f-]{53} MessageRead '
                       r'user="jane@example.org" reason="refused for ever, as mode: drop asks"',
                       lines[0]), lines[0])
    of = {r["id"]: r for r in map(json.loads, world.notifyd.ctl(
        "journal", "dump", "--json").stdout.splitlines())}
    for letter in world.notifyd.dead("stuck"):
        record = of[letter["id"]]
        for key in ("type", "user", "owner", "mailbox", "native", "lost", "event"):
            same(letter[key], record[key], key)
        same(letter["time"][:23], record["time"][:23], "time")
        same(letter["position"], letter["id"][-16:], "position")
        same((letter["sink"], letter["attempts"], letter["retry"]), ("stuck", 1, False), "facts")
        check(letter["died"] >= letter["time"][:23], letter["died"])
    same([x["id"] for x in listed(world)], list(of)[-5:], "order")
    one = listed(world)[2]["id"]
    same(json.loads(ctl(world, "show", "stuck", one).stdout)["event"], of[one]["event"], "show ID")
    told = status(world)["deadLetters"]
    same(told["since"], listed(world)[0]["died"], "since")
    check("5 dead letters since" in world.notifyd.ctl("status").stdout, "status for people")


@case("retry that fails again: they stay in place, with the attempt counted")
def again(world):
    first, second = [x["id"] for x in listed(world)][1:3]
    p = ctl(world, "retry", "stuck", second, first)
    check(p.stdout.startswith("2 dead letters of stuck"), p.stdout)
    wait_for("two attempts", lambda: [x["attempts"] for x in listed(world)] == [1, 2, 2, 1, 1])
    check(all(not x["retry"] for x in listed(world)), "nothing is asked for any more")
    check(listed(world)[1]["tried"] > listed(world)[1]["died"], "time of the attempt")


@case("drop deletes those named, and says which are not there")
def dropped(world):
    ids = [x["id"] for x in listed(world)]
    other = ids[0][:-1] + "f"
    p = ctl(world, "drop", "stuck", ids[3], other, ids[1], check=False)
    same((p.returncode, p.stdout), (66, "2 dead letters of stuck deleted\n"), "drop")
    check(other in p.stderr, p.stderr)
    same([x["id"] for x in listed(world)], [ids[0], ids[2], ids[4]], "what is left")
    same(waiting(world), 3, "status")


@case("retry delivers the same events, in order, to that sink alone; new events follow")
def delivered(world):
    beside = world.subscribe()
    audit(world)
    world.send([event(5)])
    wait_for("a new event", lambda: audited(world) == [5])
    ctl(world, "retry", "stuck", "--all")
    wait_for("all three", lambda: len(audited(world)) == 4)
    same(audited(world), [5, 0, 2, 4], "lines")
    until(world, 0)
    same(listed(world), [], "list")
    wait_for("the files are gone", lambda: os.listdir(
        world.box.at("journal", "dead", "stuck")) == ["count"])
    world.send([event(6)])
    wait_for("the next event", lambda: audited(world)[4:] == [6])
    beside.wait(lambda e: any(x.get("vnd.example.n") == 6 for x in e))
    same([e["vnd.example.n"] for e in beside.events if "vnd.example.n" in e], [5, 6], "beside")


@case("retry while notifyd is down is done at the next start, and once")
def down(world):
    refuse(world)
    world.send([event(n) for n in range(10, 20)])
    until(world, 10)
    world.notifyd.stop()
    ids = [x["id"] for x in listed(world)]
    ctl(world, "drop", "stuck", ids[9])
    p = ctl(world, "retry", "stuck", *ids[2:], check=False)
    same(p.returncode, 66, "the last is gone, which is told; the others are asked for")
    same(status(world)["deadLetters"]["retrying"], 7, "asked for")
    world.cyrus.conf.pop("notifyd_stuck_mode", None)
    world.cyrus.configure({"notifyd_stuck_type": "log",
                           "notifyd_stuck_path": world.box.at("run", "stuck.jsonl")})
    before = len(audited(world))
    world.notifyd.start()
    until(world, 2)
    same(audited(world)[before:], list(range(12, 19)), "lines")
    same([x["id"] for x in listed(world)], ids[:2], "what was not asked for")
    ctl(world, "drop", "stuck", "--all")


@case("%d in a row, kill -9 of workers and of notifyd meanwhile: each is there once" % MANY,
      timeout=120 + MANY // 50)
def killed(world):
    refuse(world)
    world.send([event(n) for n in range(100, 100 + MANY)])
    deadline = time.monotonic() + 60 + MANY // 100
    for n in range(8):
        count = waiting(world)
        if n % 3 == 2:
            world.notifyd.kill()
            world.notifyd.start()
        else:
            kill_worker(world)
        if count < MANY:
            wait_for("more of them", lambda c=count: waiting(world) > c or c == MANY,
                     max(1, deadline - time.monotonic()))
    until(world, MANY, 60 + MANY // 100)
    got = [x["event"]["vnd.example.n"] for x in world.notifyd.dead("stuck")]
    same(got, list(range(100, 100 + MANY)), "numbers")


@case("retry --all through kill -9: none is lost, order is kept but for what comes twice",
      timeout=120 + MANY // 50)
def retried(world):
    path = world.box.at("run", "stuck.jsonl")
    if os.path.exists(path):
        os.unlink(path)
    audit(world)
    ctl(world, "retry", "stuck", "--all")
    for _ in range(4):
        time.sleep(random.random() * MANY / 50000)  # somewhere in the middle, mostly
        kill_worker(world)
    until(world, 0, 60 + MANY // 100)
    got = audited(world)
    want = list(range(100, 100 + MANY))
    same(sorted(set(got)), want, "numbers")
    print("# %d of %d came twice" % (len(got) - MANY, MANY))
    seen, firsts = set(), []
    for n in got:
        if n not in seen:
            firsts.append(n)
        seen.add(n)
    same(firsts, want, "order")


@case("full: the sink stops and says so, others go on, nothing is lost; room makes it go on",
      timeout=120)
def full(world):
    world.cyrus.configure({"notifyd_stuck_dead_letters": "1M"})
    refuse(world)
    beside = world.subscribe()
    many = 600
    world.send([event(n, pad="x" * 3000) for n in range(2000000, 2000000 + many)])
    wait_for("a status that says so", lambda: "dead letters are full" in (
        status(world)["error"] or ""))
    kept = waiting(world)
    check(200 < kept < 400, "%d are kept" % kept)
    check(status(world)["deadLetters"]["bytes"] <= 1 << 20, "bytes")
    beside.wait(lambda e: sum("pad" in x for x in e) == many)
    check(status(world)["lag"]["events"] >= many - kept, "the rest waits in the journal")
    same([x["event"]["vnd.example.n"] for x in world.notifyd.dead("stuck")],
         list(range(2000000, 2000000 + kept)), "those that are kept")
    audit(world)  # the mistake is mended: what waits is delivered, then the dead letters
    ctl(world, "retry", "stuck", "--all")
    until(world, 0, 60)
    wait_for("all lines", lambda: sorted(n for n in audited(world) if n >= 2000000)
             == list(range(2000000, 2000000 + many)), 60)


@case("full, and then dropped: the sink goes on by itself")
def relieved(world):
    refuse(world)
    world.send([event(n, pad="x" * 3000) for n in range(3000000, 3000400)])
    wait_for("a status that says so", lambda: "dead letters are full" in (
        status(world)["error"] or ""))
    kept = waiting(world)
    p = ctl(world, "drop", "stuck", "--all")
    same(p.stdout, "%d dead letters of stuck deleted\n" % kept, "drop")
    until(world, 400 - kept, 60)
    ctl(world, "drop", "stuck", "--all")


@case("a sink that refuses for now does not lose them: they wait, and new events do not")
def for_now(world):
    world.send([event(4000000)])
    until(world, 1)
    world.cyrus.conf.pop("notifyd_stuck_dead_letters", None)
    world.cyrus.configure({"notifyd_stuck_mode": "send"})
    world.notifyd.reload()
    ctl(world, "retry", "stuck", "--all")
    wait_for("an attempt", lambda: "refused for now" in (status(world)["error"] or ""))
    same(status(world)["deadLetters"]["retrying"], 1, "asked for still")
    same(listed(world)[0]["attempts"], 1, "an attempt that may yet succeed is none")
    audit(world)
    wait_for("it is delivered", lambda: 4000000 in audited(world))
    until(world, 0)


@case("letters that cannot be read keep no new event from being delivered")
def unreadable(world):
    refuse(world)
    world.send([event(5000000)])
    until(world, 1)
    world.notifyd.stop()
    bad = os.path.join(world.cyrus.journal, "dead", "stuck", "7fffffffffffffff.dead")
    os.symlink("nowhere", bad)
    world.cyrus.conf.pop("notifyd_stuck_mode", None)
    world.cyrus.configure({"notifyd_stuck_type": "log",
                           "notifyd_stuck_path": world.box.at("run", "stuck.jsonl")})
    world.notifyd.start()
    p = ctl(world, "retry", "stuck", "--all", check=False)
    same(p.returncode, 74, "retry says that it failed")
    wait_for("an attempt", lambda: "cannot read dead letters" in (status(world)["error"] or ""))
    world.send([event(5000001)])
    wait_for("a new event", lambda: 5000001 in audited(world))
    os.unlink(bad)
    ctl(world, "retry", "stuck", "--all")
    wait_for("the dead letter", lambda: 5000000 in audited(world))
    until(world, 0)


case.run(setup)
