#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A journal short of room: sinks that are not required give way, required ones do not; a long
outage; the directory moved away. MBOXEVENT_OUTAGE: events of the outage."""

import json
import os

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from journal import Journal
from processes import wait_for
from tap import check, same

case = tap.Cases()

OUTAGE = int(os.environ.get("MBOXEVENT_OUTAGE", 6000))
MAX = 1 << 20
CHUNK = 100  # events of some 700 bytes: less than what is kept free for a burst
SEGMENT_HEADER = 128


def event(n):
    return {"event": "MessageRead", "uidset": str(n + 1), "user": "john@example.org",
            "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1424683682",
            "vnd.example.n": n, "vnd.example.pad": "x" * 400}


def setup():
    world = World("room", conf={
        "notifyd_sinks": "live dead", "mboxevent_max_size": "1M", "mboxevent_min_free": "0",
        "mboxevent_segment_size": "64K"})
    world.sent = 0
    for name in ("live", "dead"):
        world.cyrus.configure({
            "notifyd_%s_type" % name: "log",
            "notifyd_%s_path" % name: world.box.at(name, name + ".jsonl")})
        world.box.folder(name)
    world.cyrus.configure({"notifyd_dead_required": "no"})
    return world.start()


def numbers(world, name):
    try:
        with open(world.box.at(name, name + ".jsonl"), encoding="utf-8") as f:
            return [n for n in (json.loads(line).get("vnd.example.n") for line in f
                                if line.endswith("\n")) if n is not None]
    except FileNotFoundError:
        return []


def size(world):
    """Bytes of the journal's segments."""
    total = 0
    for name in os.listdir(world.cyrus.journal):
        if name.endswith(".seg"):
            try:
                total += os.stat(os.path.join(world.cyrus.journal, name)).st_size
            except FileNotFoundError:
                pass
    return total


def status(world):
    return json.loads(world.notifyd.ctl("status", "--json").stdout)


def sink(world, name):
    return [s for s in status(world)["sinks"] if s["name"] == name][0]


def send(world, n, check=True):
    done = world.notifyd.ctl("send", "-", check=check, input="".join(
        json.dumps(event(world.sent + i)) + "\n" for i in range(n)))
    world.sent += n
    return done


def away(world, name):
    """The sink can't write any more."""
    world.notifyd.stop()
    os.rename(world.box.at(name), world.box.at(name + ".away"))
    world.notifyd.start()


def back(world, name):
    world.notifyd.stop()
    os.rename(world.box.at(name + ".away"), world.box.at(name))
    world.notifyd.start()


def told(world, *words):
    return [line for line in world.notifyd.log().splitlines() if all(w in line for w in words)]


@case("a dead sink that is not required: nothing is refused, the other one gets everything")
def gives_way(world):
    wait_for("both sinks begin", lambda: sink(world, "live")["state"] == "connected" ==
             sink(world, "dead")["state"])
    send(world, 10)
    wait_for("both have 10", lambda: len(numbers(world, "live")) == 10 ==
             len(numbers(world, "dead")))
    away(world, "dead")
    most = 0
    while world.sent < 4000:
        send(world, CHUNK)
        most = max(most, size(world))
        # a writer is not faster than that for long: see room_relief()
        wait_for("room for more", lambda: status(world)["journal"]["room"]["left"] >= 1 << 17)
    wait_for("all lines", lambda: len(numbers(world, "live")) >= world.sent)
    same(numbers(world, "live"), list(range(world.sent)), "lines of the required sink")
    same(status(world)["journal"]["lost"], 0, "events lost")
    check(most <= MAX, "the journal grew to %d bytes" % most)
    same(len(told(world, "sink=dead", "short of room")), 1, "lines about the room")
    world.waiting = sink(world, "dead")["gone"]
    check(world.waiting["bytes"] > MAX, "the status of one that is still dead: %r" % world.waiting)
    text = world.notifyd.ctl("status").stdout
    check("deleted before it had them, 1 time, last" in text and "not required" in text,
          "not in the table: " + text)


@case("back again, it is told once what it did not get, to the byte, and has the rest")
def gap(world):
    at = int(sink(world, "dead")["gone"]["from"], 16)
    oldest = int(status(world)["journal"]["oldest"], 16)
    back(world, "dead")
    wait_for("the newest event", lambda: world.sent - 1 in numbers(world, "dead"))
    got = numbers(world, "dead")
    same(got[:10], list(range(10)), "what it had")
    same(got[10:], list(range(got[10], world.sent)), "the rest, in order")
    check(got[10] > 500, "its backlog was kept from %d on" % got[10])
    same(len(told(world, "deleted before this sink had them", "sink=dead")), 1, "lines of the gap")
    gone = sink(world, "dead")["gone"]
    same(gone["times"], 1, "gaps in the status")
    same(gone["bytes"], oldest - SEGMENT_HEADER - at, "bytes in the status")
    same(gone, world.waiting, "the status before it was back, and after")
    same(sink(world, "live")["gone"], None, "the other sink's")
    world.notifyd.stop()
    world.notifyd.start()
    same(sink(world, "dead")["gone"], gone, "after a restart")


@case("a long outage of a required sink: the journal keeps its size, losses are counted, mail goes on",
      600)
def outage(world):
    world.cyrus.configure({"notifyd_dead_required": "yes"})
    away(world, "dead")
    wait_for("what both have goes", lambda: status(world)["journal"]["room"]["left"] > MAX / 2)
    world.kept = world.sent
    refused = 0
    while world.sent < world.kept + OUTAGE:
        before = world.sent
        done = send(world, 2000, check=False)
        refused += done.returncode != 0
        check(size(world) <= MAX, "the journal has %d bytes" % size(world))
        same(world.sent, before + 2000)
    check(refused, "nothing was refused")
    same(status(world)["journal"]["room"]["left"], 0, "room left")
    john = world.cyrus.imap()
    same(john.append("INBOX", None, None, b"Subject: Outage\r\n\r\nText\r\n")[0], "OK", "APPEND")
    same(john.select("INBOX")[0], "OK", "SELECT")
    before = status(world)["journal"]["lost"]
    for i in range(20):
        same(john.store("1", "%sFLAGS" % "+-"[i % 2], r"(\Flagged)")[0], "OK", "STORE")
    john.logout()
    lost = status(world)["journal"]["lost"]
    check(lost >= before + 20, "lost: %d, and then %d" % (before, lost))
    text = world.notifyd.ctl("status").stdout
    check("room      none: events are refused" in text and "%d events" % lost in text, text)
    wait_for("it is told", lambda: told(world, "events are refused", "mboxevent_max_size",
                                        "furthest behind is the sink dead"))
    same(len(told(world, "events are refused")), 1, "lines on it")
    p = send(world, 1, check=False)
    check(p.returncode != 0 and "mboxevent_max_size" in p.stdout + (p.stderr or ""),
          "notifyctl send does not say why: %s" % p.stdout)
    same(sink(world, "dead")["gone"]["times"], 1, "what a required sink lost")


@case("back again, it gets all that was kept, and events are taken again by the same processes")
def drains(world):
    john = world.cyrus.imap()
    john.select("INBOX")
    back(world, "dead")

    def taken():
        same(john.store("1", "+FLAGS", r"(\Seen)")[0], "OK", "STORE")
        same(john.store("1", "-FLAGS", r"(\Seen)")[0], "OK", "STORE")
        send(world, 1, check=False)
        return world.sent - 1 in numbers(world, "dead")

    wait_for("an event is taken again", taken, 60, 0.3)

    def nothing_lost():
        lost = status(world)["journal"]["lost"]
        for i in range(2):
            same(john.store("1", "%sFLAGS" % "+-"[i], r"(\Seen)")[0], "OK", "STORE")
        return status(world)["journal"]["lost"] == lost

    # a process that was refused asks again ten times a second
    wait_for("nothing more is lost", nothing_lost)
    john.logout()
    wait_for("both have the same end", lambda: numbers(world, "dead")[-1:] ==
             numbers(world, "live")[-1:])
    live = [n for n in numbers(world, "live") if n >= world.kept]
    check(len(live) > 500, "only %d were kept" % len(live))
    same([n for n in numbers(world, "dead") if n >= world.kept], live, "lines of both sinks")


@case("a subscription of a unix sink that is not required gives way, is told, and counted")
def subscription(world):
    world.notifyd.stop()
    world.cyrus.configure({"notifyd_sinks": "live local", "notifyd_local_required": "no"})
    world.notifyd.start()
    client = world.subscribe("indexer", reconnect=False)
    send(world, 10)
    client.wait(lambda e: len([x for x in e if "vnd.example.n" in x]) >= 10)
    client.close()
    lost, begun = status(world)["journal"]["lost"], world.sent
    while world.sent < begun + 3000:
        send(world, CHUNK)
        wait_for("room for more", lambda: status(world)["journal"]["room"]["left"] >= 1 << 17)
    same(status(world)["journal"]["lost"], lost, "events lost")
    waiting = sink(world, "local")["gone"]
    check(waiting["bytes"] > MAX / 2, "gone, before it comes back: %r" % waiting)
    client = world.subscribe("indexer", reconnect=False)
    client.wait(lambda e: e and e[-1].get("vnd.example.n") == world.sent - 1)
    client.close()
    # It still gets what the sink had in memory when it was deleted.
    after = sink(world, "local")["gone"]
    check(MAX / 2 < after["bytes"] <= waiting["bytes"] and after["from"] >= waiting["from"],
          "gone, after it came back: %r, before: %r" % (after, waiting))
    same((after["times"], after["to"]), (waiting["times"], waiting["to"]), "gone, to where")
    same(len([line for line in client.other if "gap" in str(line)]), 1, "lines that tell it so")


@case("status says who forces the journal to disk, and how far that is")
def syncing(world):
    send(world, 10)
    wait_for("all is synced", lambda: status(world)["journal"]["sync"]["unsynced"] == 0)
    same(status(world)["journal"]["sync"]["mode"], "interval", "while notifyd is up")
    check("every 200 ms; not yet forced to disk: nothing" in world.notifyd.ctl("status").stdout,
          "not in the table")
    world.notifyd.stop()
    send(world, 10)
    sync = status(world)["journal"]["sync"]
    same(sync["mode"], "none", "while it is down")
    check(5000 < sync["unsynced"] < 12000, "%r is not known to be on the disk" % sync["unsynced"])
    check("would not survive a power cut" in world.notifyd.ctl("status").stdout, "not told")
    world.cyrus.configure({"mboxevent_sync": "always"})
    same(status(world)["journal"]["sync"]["mode"], "always", "with mboxevent_sync: always")
    world.cyrus.configure({"mboxevent_sync": "200ms"})


@case("the directory moved away and made anew: notifyd stops, imapd goes over to the new one")
def moved(world):
    world.notifyd.start()
    john = world.cyrus.imap()
    john.select("INBOX")
    same(john.store("1", "+FLAGS", r"(\Flagged)")[0], "OK", "STORE")
    old = world.cyrus.journal
    os.rename(old, old + ".moved")
    process, world.notifyd.process = world.notifyd.process, None
    same(process.wait(60), 73, "notifyd's exit status")
    world.box.started.remove(process)
    check(told(world, "was removed or replaced"), "not told")
    # Nowhere to go yet: what comes stays where the directory went.
    same(john.store("1", "-FLAGS", r"(\Flagged)")[0], "OK", "STORE")
    world.box.folder(os.path.basename(old))
    world.notifyd.start()
    wait_for("both sinks", lambda: sink(world, "live")["state"] == "connected")

    def over():
        same(john.store("1", "+FLAGS", r"(\Answered)")[0], "OK", "STORE")
        same(john.store("1", "-FLAGS", r"(\Answered)")[0], "OK", "STORE")
        return any(name.endswith(".seg") for name in os.listdir(old))

    wait_for("the same imapd writes to the new one", over)
    john.logout()
    same(status(world)["journal"]["lost"], 0, "events lost")
    check([r for r in Journal(old + ".moved").new() if r.name == "FlagsClear"],
          "what came before, and in between, is there")


case.run(setup)
