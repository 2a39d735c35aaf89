#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""An upgrade to a version of the journal that the old hook does not know, which has yet to come:
tests/next has notifyd and hook built as if this were it. Mail processes that still have the old hook
lose nothing."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2")

from cyrus import message, ok
from harness import World
from notifyd import Notifyd, program
from processes import children, identity, wait_for
from tap import check, same

case = tap.Cases()
KILLS = 6
PIECE = 200


class Next(Notifyd):
    """The notifyd to come, in the place of today's."""

    def __init__(self, world):
        super().__init__(world.box, world.build, world.cyrus.imapd_conf, world.cyrus.conf)
        self.notifyd, self.notifyctl = (
            shutil.copy(program(world.build, "tests", "next", name), world.box.at("next-" + name))
            for name in ("notifyd", "notifyctl"))


def setup():
    world = World("versions", conf={
        "notifyd_sinks": "local audit", "notifyd_audit_type": "log",
        "mboxevent_segment_size": "256K", "mboxevent_sync": "50ms"})
    world.audit = world.box.at("run", "audit")
    world.cyrus.configure({"notifyd_audit_path": world.audit})
    world.start()
    world.today = world.notifyd
    world.next = Next(world)
    world.subscriber = world.subscribe("all")
    world.sent = 0
    world.old = world.cyrus.imap()  # a process with the old hook, for all of this test
    ok(world.old.select("INBOX"))
    return world


def segments(world, *below):
    folder = os.path.join(world.cyrus.journal, *below)
    return sorted(n for n in os.listdir(folder) if n.endswith(".seg"))


def logged(world):
    with open(world.audit, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def subjects(events):
    return [e["vnd.cmu.midset"][0] for e in events if e["event"] == "MessageAppend"]


def append(session, subject):
    ok(session.append("INBOX", None, None, message(subject)))
    return "<%s@example.org>" % "-".join(subject.lower().split())


def events(first, n):
    return "".join(json.dumps({"event": "MessageRead", "user": "john@example.org",
                               "uidset": str(first + i),
                               "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1"}
                              ) + "\n" for i in range(n))


def tool(world, which):
    """Appends what it reads, as a process with that one's version of the journal; Popen."""
    return subprocess.Popen([which.notifyctl, "-C", world.cyrus.imapd_conf, "send", "-"],
                            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                            cwd=world.box.path, **identity(world.box.user))


def ended(p):
    p.stdin.close()
    return p.wait(60)


def uids(world):
    return [int(e["uidset"]) for e in logged(world) if e["event"] == "MessageRead"]


@case("while today's notifyd is down a backlog is left for the one to come")
def backlog(world):
    world.mids = [append(world.old, "before")]
    world.subscriber.find("MessageAppend", **{"vnd.cmu.midset": world.mids})
    same(world.today.stop(), 0, "status of notifyd")
    world.mids += [append(world.old, "backlog %d" % i) for i in range(50)]
    old = tool(world, world.today)
    old.stdin.write(events(1, 3000))
    same(ended(old), 0, "status of send")
    check(len(segments(world)) >= 3, "segments: %s" % segments(world))


@case("the next version's hook makes its own directory, and needs no daemon for that")
def hook_first(world):
    # As a package does: processes that run keep the old file, new ones load the new one.
    shutil.copy(program(world.build, "libnexthook.so"), world.cyrus.hook + ".new")
    os.chmod(world.cyrus.hook + ".new", 0o755)
    os.rename(world.cyrus.hook + ".new", world.cyrus.hook)
    # Those that wait for a connection since before still have the old one.
    for _ in range(20):
        session = world.cyrus.imap()
        with open("/proc/%d/maps" % imapd(world, session), encoding="utf-8") as f:
            new = world.cyrus.hook + "\n" in f.read()
        if new:
            break
    check(new, "no process with the new hook")
    world.new = session
    ok(world.new.select("INBOX"))
    world.mids.append(append(world.new, "first of the new hook"))
    same(len(segments(world, "v2")), 1, "segments of version 2")


def imapd(world, session):
    """The process that serves it: whose socket the other end of ours is."""
    port = session.sock.getsockname()[1]
    for pid in children(world.cyrus.master.pid):
        for fd in os.listdir("/proc/%d/fd" % pid):
            try:
                link = os.readlink("/proc/%d/fd/%s" % (pid, fd))
            except OSError:
                continue
            if link.startswith("socket:[") and link[8:-1] == inode(port, world.cyrus.imap_port):
                return pid
    raise LookupError("no process serves port %d" % port)


def inode(port, server):
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if (int(fields[1].split(":")[1], 16), int(fields[2].split(":")[1], 16)) == (
                    server, port):
                return fields[9]
    return None


@case("the notifyd to come delivers the backlog, what old processes append, and what new ones do")
def both(world):
    world.notifyd = world.next
    world.next.start()
    for i in range(30):
        world.mids.append(append(world.old, "old %d" % i))
        world.mids.append(append(world.new, "new %d" % i))
    wait_for("all in the log", lambda: len(subjects(logged(world))) >= len(world.mids))
    for prefix in ("old", "new"):
        want = [m for m in world.mids if m.startswith("<" + prefix)]
        same([s for s in subjects(logged(world)) if s in want], want, "order of one process")
    same(sorted(subjects(logged(world))), sorted(world.mids), "each once in the log")
    same(uids(world), list(range(1, 3001)), "the backlog")
    world.subscriber.wait(lambda e: len(subjects(e)) >= len(world.mids))
    same(sorted(subjects(world.subscriber.events)), sorted(world.mids), "of the subscription")
    same([o for o in world.subscriber.other if "gap" in o], [], "gaps")
    status = json.loads(world.next.ctl("status", "--json").stdout)
    same([s["name"] for s in status["sinks"]], ["local", "audit"], "sinks in status")
    same(world.next.ctl("journal", "verify", check=False).returncode, 0, "verify")


@case("what takes over is killed while old and new tools append: each event once, in order")
def killed(world):
    first, behind = 3001, 1000000
    old, new = tool(world, world.today), tool(world, world.next)
    rng = random.Random(1)
    done = kills = 0
    while kills < KILLS:
        for p, uid in ((old, first + done), (new, behind + done)):
            p.stdin.write(events(uid, PIECE))
            p.stdin.flush()
        done += PIECE
        # It syncs what it took five times a second: most kills come before it could confirm.
        time.sleep(rng.uniform(0.02, 0.06))
        if done % (8 * PIECE) == 0:
            kills += bool(kill(world))
    same((ended(old), ended(new)), (0, 0), "status of send")
    wait_for("all in the log", lambda: len(uids(world)) >= 3000 + 2 * done, 60, every=0.3)
    time.sleep(1)
    got = uids(world)
    print("# %d events of each, %d kills" % (done, kills))
    same([u for u in got if first <= u < behind], list(range(first, first + done)),
         "of the old tool, each once")
    same([u for u in got if u >= behind], list(range(behind, behind + done)), "of the new tool")


def kill(world, sig=signal.SIGKILL):
    """What takes over, where it has not been killed just now. Its pid, or None."""
    pid = world.next.worker("-older")
    try:
        if pid:
            os.kill(pid, sig)
        return pid
    except ProcessLookupError:
        return None


@case("what is taken over gives its room back, and the loss count stays one")
def trimmed(world):
    wait_for("segments of version 1 are deleted", lambda: len(segments(world)) <= 1)
    same(json.loads(world.next.ctl("status", "--json").stdout)["journal"]["lost"], 0, "lost")
    doctor = world.next.ctl("doctor", check=False).stdout
    check("older" not in doctor, doctor)


@case("while it can't tell where the versions meet nothing is deleted, and it says so at a start")
def unreadable(world):
    follows = os.path.join(world.cyrus.journal, "follows-v1")
    # After so many kills it may be seconds until it is started again.
    wait_for("something takes over", lambda: kill(world, signal.SIGSTOP))
    old = tool(world, world.today)
    old.stdin.write(events(2000001, 5000))
    same(ended(old), 0, "status of send")
    count = len(segments(world))
    check(count > 3, "segments: %s" % segments(world))
    with open(follows, "r+", encoding="ascii") as f:
        text = f.read()
        f.seek(len("mboxevent-journal-follows 1\nat 0"))
        f.write("7")
    new = tool(world, world.next)  # a writer needs to know nothing of it
    new.stdin.write(events(2005001, 100))
    same(ended(new), 0, "status of send of the new tool")
    time.sleep(2.5)  # it trims each second
    same(len(segments(world)), count, "segments that are left")
    same(world.next.stop(), 0, "status of notifyd")
    p = world.next.launch("damaged")
    same(p.wait(60), 73, "status of a notifyd that finds it damaged")
    check("follows-v" in "\n".join(world.box.logs(5)), "it does not say what is damaged")
    os.rename(follows, follows + ".kept")
    p = world.next.launch("gone")
    same(p.wait(60), 73, "status of a notifyd that finds it gone")
    with open(follows + ".kept", "w", encoding="ascii") as f:
        f.write(text)
    os.rename(follows + ".kept", follows)
    world.next.start()
    wait_for("all in the log", lambda: sum(u > 2000000 for u in uids(world)) >= 5100)
    same(sorted(u for u in uids(world) if u > 2000000), list(range(2000001, 2005101)),
         "each once")


@case("a journal that the notifyd to come has made: a process with the old hook loses nothing")
def fresh(world):
    world.next.stop()
    journal, log = world.cyrus.journal, world.audit
    conf = {"mboxevent_journal": world.box.folder("fresh", mode=0o700),
            "notifyd_audit_path": world.box.at("run", "fresh"), "notifyd_audit_from": "oldest"}
    world.cyrus.configure(conf)
    world.next.start()
    for which, first in ((world.today, 1), (world.next, 101), (world.today, 201)):
        p = tool(world, which)
        p.stdin.write(events(first, 100))
        same(ended(p), 0, "status of send")
    world.audit = conf["notifyd_audit_path"]
    wait_for("all in the log", lambda: os.path.exists(world.audit) and len(uids(world)) >= 300)
    same(sorted(uids(world)), [n for k in (1, 101, 201) for n in range(k, k + 100)], "each once")
    world.next.stop()
    world.audit = log
    world.cyrus.configure({"mboxevent_journal": journal, "notifyd_audit_path": log})
    world.next.start()


@case("nothing is lost when the notifyd to come is stopped and started again")
def restarted(world):
    same(world.next.stop(), 0, "status of notifyd")
    world.mids.append(append(world.old, "old while it was down"))
    world.mids.append(append(world.new, "new while it was down"))
    world.next.start()
    wait_for("both in the log", lambda: len(subjects(logged(world))) >= len(world.mids))
    same(sorted(subjects(logged(world))), sorted(world.mids), "each once in the log")
    same(len(set(world.subscriber.ids)), len(world.subscriber.ids), "distinct ids")


@case("today's notifyd leaves a cursor in the part that it can't read alone, and says so")
def back(world):
    same(world.next.stop(), 0, "status of notifyd")
    world.today.process = world.today.launch("back")
    wait_for("it says what to do", lambda: "cursors/audit stands in a part of the journal that only a later "
             "version reads" in "\n".join(world.box.logs(50)))
    world.today.stop()
    world.next.start()
    world.mids.append(append(world.new, "after that"))
    wait_for("it goes on", lambda: len(subjects(logged(world))) >= len(world.mids))


case.run(setup)
