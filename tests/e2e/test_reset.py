#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""MailboxReset: a folder that was deleted and made again, renames, restarts and kills between."""

import json
import os
import signal
import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2")

from cyrus import message, ok
from harness import World
from processes import wait_for
from tap import check, same
import tour

case = tap.Cases()

MANY = 2000


def setup():
    world = World("reset", conf={"notifyd_mailbox_reset": "yes"})
    world.start()
    world.live = world.subscribe()
    world.john = world.cyrus.imap()
    settled(world)
    return world


def reset_status(world):
    return next(s for s in json.loads(world.notifyd.ctl("status", "--json").stdout)["sinks"]
                if s["name"] == "reset")


def settled(world):
    """Waits until the sink has seen all there is."""
    wait_for("the sink reset has seen everything",
             lambda: (reset_status(world)["lag"] or {}).get("events") == 0)


def remake(world, name):
    """Deletes it and makes it again. Its UIDVALIDITY before and after."""
    was = uidvalidity(world, name)
    # Cyrus keeps what is deleted under a name with the time in seconds: one a second.
    wait_for("%s is deleted" % name, lambda: world.john.delete(name)[0] == "OK", every=0.1)
    ok(world.john.create(name))
    return was, uidvalidity(world, name)


def running(world, other):
    """The pid of the sink's process; 0 while it is the other one or none lives."""
    s = reset_status(world)
    pid = s.get("pid", 0)
    return pid if pid != other and not s["state"].startswith("restarting") else 0


def resets(world):
    return [e for e in world.live.events if e["event"] == "MailboxReset"]


def uidvalidity(world, name):
    return ok(world.john.status(name, "(UIDVALIDITY)"))[0].decode().rpartition(" ")[2].strip(")")


def folder(name, value):
    return "imap://john@example.org@imap.example.org/%s;UIDVALIDITY=%s" % (name, value)


@case("a folder deleted and made again is a reset, with both values")
def recreate(world):
    ok(world.john.create("Work"))
    was = uidvalidity(world, "Work")
    ok(world.john.delete("Work"))
    settled(world)
    same(resets(world), [], "resets before it was made again")
    ok(world.john.create("Work"))
    now = uidvalidity(world, "Work")
    check(was != now, "Cyrus gave it the same UIDVALIDITY")
    e = world.live.find("MailboxReset", mailboxID=folder("Work", now))
    wrong = tour.matches(e, {"uidValidity": now, "prevUidValidity": was, "service": "notifyd",
                             "uri": folder("Work", now), "user": "john@example.org"})
    check(wrong is None, wrong)
    same(len(resets(world)), 1, "resets")
    line = next(r for r in world.live.raw if "MailboxReset" in r)
    wrong = tour.canonical(line)
    check(wrong is None, wrong)


@case("a tree that is renamed is none, neither is mail that follows")
def rename(world):
    for name in ("Tree", "Tree/a", "Tree/a/b"):
        ok(world.john.create(name))
    before = len(resets(world))
    ok(world.john.rename("Tree", "Moved"))
    for name in ("Moved", "Moved/a", "Moved/a/b"):
        ok(world.john.append(name, None, None, message("In " + name.replace("/", " "))))
    world.live.find("MessageAppend", **{"vnd.cmu.midset": ["<in-moved-a-b@example.org>"]})
    settled(world)
    same(len(resets(world)), before, "resets")


@case("a child of a deleted tree, made again, is one")
def child(world):
    was = uidvalidity(world, "Moved/a/b")
    for name in ("Moved/a/b", "Moved/a", "Moved"):
        ok(world.john.delete(name))
    ok(world.john.create("Moved/a/b"))
    now = uidvalidity(world, "Moved/a/b")
    e = world.live.find("MailboxReset", mailboxID=folder("Moved/a/b", now))
    same(e["prevUidValidity"], was, "prevUidValidity")


@case("what was remembered outlives notifyd, and what happens meanwhile is seen")
def restart(world):
    settled(world)
    same(world.notifyd.stop(), 0, "notifyd's exit status")
    was, now = remake(world, "Work")
    world.notifyd.start()
    world.late = world.subscribe("late", origin="oldest")
    e = world.late.find("MailboxReset", mailboxID=folder("Work", now))
    same(e["prevUidValidity"], was, "prevUidValidity")


@case("killed with -9 again and again: each of %d resets arrives" % MANY)
def kills(world):
    url = folder("Box%d", "%d")
    world.send([{"event": "MailboxCreate", "user": "john@example.org", "uri": url % (n, 1000 + n)}
                for n in range(MANY)])
    settled(world)
    pid, killed = 0, 0
    for start in range(0, MANY, 100):
        world.send([{"event": "MailboxCreate", "user": "john@example.org",
                     "uri": url % (n, 5000 + n)} for n in range(start, start + 100)])
        if start % 400 == 0:
            pid = wait_for("another process", lambda p=pid: running(world, p))
            os.kill(pid, signal.SIGKILL)
            killed += 1
    expected = {url % (n, 5000 + n) for n in range(MANY)}

    def got():
        return {e["mailboxID"]: e["prevUidValidity"] for e in world.late.events
                if e["event"] == "MailboxReset" and "/Box" in e["mailboxID"]}

    world.late.wait(lambda _: set(got()) >= expected, 60)
    same(got(), {url % (n, 5000 + n): str(1000 + n) for n in range(MANY)}, "resets")
    seen = [e for e in world.late.events if e["event"] == "MailboxReset"
            and "/Box" in e["mailboxID"]]
    print("# killed %d times, %d duplicates" % (killed, len(seen) - MANY))


@case("its own events start nothing: the journal comes to rest")
def rest(world):
    settled(world)
    end = json.loads(world.notifyd.ctl("status", "--json").stdout)["journal"]["end"]
    time.sleep(2.5)
    same(json.loads(world.notifyd.ctl("status", "--json").stdout)["journal"]["end"], end,
         "end of the journal")


@case("switched off and on by SIGHUP")
def switch(world):
    world.cyrus.configure({"notifyd_mailbox_reset": "no"})
    world.notifyd.process.send_signal(signal.SIGHUP)
    wait_for("the sink is gone", lambda: len(world.notifyd.children()) == 2)
    names = [s["name"] for s in json.loads(world.notifyd.ctl("status", "--json").stdout)["sinks"]]
    same(names, ["local"], "sinks")
    world.cyrus.configure({"notifyd_mailbox_reset": "yes"})
    world.notifyd.process.send_signal(signal.SIGHUP)
    settled(world)
    was, now = remake(world, "Work")
    e = world.late.find("MailboxReset", mailboxID=folder("Work", now))
    same(e["prevUidValidity"], was, "prevUidValidity")


case.run(setup)
