#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""notifyctl status for people and for scripts: --watch on a terminal and elsewhere, exit codes, the
keys of --json."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import tap

from harness import World
from processes import Failed, wait_for
from tap import check, same

case = tap.Cases()

ENTER, LEAVE = b"\033[?1049h\033[?25l", b"\033[?25h\033[?1049l"
ESCAPE = re.compile(rb"\033\[[?0-9;]*[a-zA-Z]")


def event(n):
    return {"event": "MessageRead", "uidset": str(n + 1), "user": "john@example.org",
            "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1424683682"}


def setup():
    world = World("watch", preload=False)
    world.cyrus.configure({
        "notifyd_sinks": "local audit",
        "notifyd_audit_type": "log", "notifyd_audit_path": world.box.at("run", "audit.jsonl"),
    })
    world.notifyd.start()
    wait_for("its cursor", lambda: os.path.exists(world.box.at("journal", "cursors", "audit")))
    return world


class Terminal:
    """notifyctl status --watch on a terminal of its own."""

    def __init__(self, world, rows=24, columns=80, **env):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        whole = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        whole.update({"TERM": "xterm", **env})
        # a session of its own, whose controlling terminal this is, so that Ctrl-C is a signal
        self.process = subprocess.Popen(
            [world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "status", "--watch"],
            stdin=slave, stdout=slave, stderr=slave, env=whole, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.out = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                self.out += os.read(self.master, 1 << 16)
            except OSError:
                return

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def frames(self):
        """What was drawn, a frame a string, whole ones only."""
        return [f.split(b"\033[J")[0] for f in self.out.split(b"\033[H")[1:] if b"\033[J" in f]

    def plain(self, frame):
        return re.sub(r"\r+\n", "\n", ESCAPE.sub(b"", frame).decode())

    def frame(self, what, condition, after=0):
        def look():
            for f in self.frames()[after:]:
                if condition(self.plain(f)):
                    return f
            return None
        try:
            return wait_for(what, look)
        except Failed as e:
            raise Failed("%s: %r" % (e, self.out[-2000:])) from None

    def type(self, keys):
        os.write(self.master, keys)

    def ended(self):
        """Its exit status; the terminal is as it was, and the screen is given back."""
        code = self.process.wait(60)
        wait_for("the screen", lambda: self.out.rstrip().endswith(LEAVE))
        same(self.out.count(ENTER), self.out.count(LEAVE), "screens taken and given back")
        now = termios.tcgetattr(self.slave)
        same(now, self.before, "the terminal's settings")
        os.close(self.slave)
        os.close(self.master)
        return code


@case("exit status: 0 all is well, 1 something needs a look, and what that is")
def codes(world):
    ctl = world.notifyd.ctl
    r = ctl("status", check=False)
    wait_for("all is well", lambda: ctl("status", check=False).returncode == 0)
    same(json.loads(ctl("status", "--json").stdout)["attention"], [], "attention")
    world.cyrus.configure({"notifyd_sinks": "local audit broken", "notifyd_broken_type": "fail",
                           "notifyd_broken_mode": "open"})
    os.kill(world.notifyd.process.pid, signal.SIGHUP)
    wait_for("the sink", lambda: "sink broken does not deliver: refused to open" in
             ctl("status").stdout)
    r = ctl("status", "--json", check=False)
    same(r.returncode, 1, "exit status")
    found = json.loads(r.stdout)
    same(found["attention"], ["sink broken does not deliver: refused to open, as mode: open asks"],
         "attention")
    sinks = {s["name"]: s for s in found["sinks"]}
    check(sinks["broken"]["connection"] in ("retrying", "connecting"), sinks["broken"])
    check(sinks["broken"]["failures"] > 0, "failures")
    world.cyrus.configure({"notifyd_sinks": "local audit"})
    os.kill(world.notifyd.process.pid, signal.SIGHUP)
    wait_for("all is well", lambda: ctl("status", check=False).returncode == 0)
    same(ctl("status", "--frobnicate", check=False).returncode, 64, "usage")


@case("the keys of --json that scripts may rely on")
def keys(world):
    found = json.loads(world.notifyd.ctl("status", "--json").stdout)
    check(set(found) >= {"journal", "notifyd", "sinks", "subscriptions", "attention"}, found)
    check(set(found["journal"]) >= {"path", "uuid", "bytes", "segments", "oldest", "end",
                                    "eventsPerSecond", "lost", "lostReasons",
                                    "lostSecondsAgo"}, "journal")
    same(set(found["notifyd"]), {"running", "pid"}, "notifyd")
    for s in found["sinks"]:
        check(set(s) >= {"name", "type", "state", "connection", "since", "pid", "started",
                         "delivered", "dropped", "discarded", "resent", "failures",
                         "inFlight", "position", "updated", "error", "errorTime", "lag", "subscriptions"}, s)
    audit = next(s for s in found["sinks"] if s["name"] == "audit")
    same(set(audit["lag"]), {"events", "exact", "bytes", "seconds"}, "lag")
    with open(os.path.join(tap.top("TOP_SRCDIR"), "man", "notifyctl.8"), encoding="utf-8") as f:
        page = f.read()
    for key in set(found) | set(found["journal"]) | set(audit) | set(audit["lag"]):
        check(re.search(r"\b%s\b" % key, page), "notifyctl(8) says nothing of the key " + key)


@case("--watch draws in place, with rates, in the terminal's size, and q ends it")
def watch(world):
    t = Terminal(world)
    t.frame("a frame", lambda s: "notifyd runs" in s and "audit" in s and "connected" in s)
    check(t.out.startswith(ENTER), "the other screen")
    check(b"\033[32m" in t.out, "colour")
    before = len(t.frames())
    world.send([event(n) for n in range(2000)])
    frame = t.frame("a rate", lambda s: re.search(
        r"audit +connected +2000 +[1-9][0-9.]* +[#.]{10} ", s), before)
    lines = t.plain(frame).split("\n")
    check(all(len(line) <= 80 for line in lines) and len(lines) <= 24, lines)
    before = len(t.frames())
    t.resize(5, 40)
    frame = t.frame("a small frame", lambda s: all(
        len(line) <= 40 for line in s.split("\n")), before)
    check(len(t.plain(frame).split("\n")) <= 5, "rows")
    check(b"\033[2J" not in t.out, "drawn anew instead of in place")
    t.type(b"x")  # means nothing
    same(t.process.poll(), None, "it goes on")
    t.type(b"q")
    same(t.ended(), 0, "exit status")


@case("--watch gives the terminal back however it ends")
def ends(world):
    for what in (b"\003", b"\004", signal.SIGTERM, signal.SIGHUP):
        t = Terminal(world)
        t.frame("a frame", lambda s: "audit" in s)
        if isinstance(what, bytes):
            t.type(what)
        else:
            os.kill(t.process.pid, what)
        same(t.ended(), 0, "exit status after %r" % what)
    t = Terminal(world)
    t.frame("a frame", lambda s: "audit" in s)
    t.type(b"\032")  # Ctrl-Z
    wait_for("the screen given back", lambda: t.out.endswith(LEAVE))

    def stopped():
        with open("/proc/%d/stat" % t.process.pid, encoding="ascii") as f:
            return f.read().rpartition(")")[2].split()[0] == "T"
    wait_for("it stops", stopped)
    before = len(t.frames())
    os.kill(t.process.pid, signal.SIGCONT)
    t.frame("a frame again", lambda s: "audit" in s, before)
    t.type(b"q")
    same(t.ended(), 0, "exit status after Ctrl-Z")


@case("no colour where NO_COLOR is set; nothing but text where there is no terminal")
def colours(world):
    t = Terminal(world, NO_COLOR="1")
    t.frame("a frame", lambda s: "audit" in s)
    t.type(b"q")
    same(t.ended(), 0, "exit status")
    check(not re.search(rb"\033\[[0-9;]+m", t.out.replace(b"\033[0m", b"")), "colour")
    for more, term in (([], "xterm"), (["--json"], "xterm"), ([], "dumb")):
        p = subprocess.Popen([world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "status",
                              "--watch"] + more, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, env=dict(os.environ, TERM=term))
        got = b""
        times = (lambda: got.count(b'"journal":') if more else got.count(b"SINK "))
        while times() < 2:
            got += os.read(p.stdout.fileno(), 1 << 16)
        check(b"\033" not in got, "escapes")
        if more:
            same(json.loads(got.splitlines()[0])["notifyd"]["running"], True, "a line an object")
        p.stdout.close()
        same(p.wait(60), 0, "exit status once nobody reads")
        same(p.stderr.read(), b"", "errors")
        p.stderr.close()


@case("what a far side said reaches no terminal as a command")
def hostile(world):
    world.notifyd.stop()
    path = world.box.at("journal", "status", "audit")
    text = json.dumps({"version": 1, "state": "a\x1b]0;pwned\x07\x9b31mb", "pid": 1,
                       "error": "\x1b[2Jgone\u009b\x7f", "errorTime": 1.0})
    with open(path, "r+b") as f:
        f.write(text.encode().ljust(4095) + b"\n")
    t = Terminal(world)
    t.frame("a frame", lambda s: "notifyd is down" in s and "gone" in s)
    t.type(b"q")
    same(t.ended(), 0, "exit status")
    for bad in (b"\033]", b"\033[2J", b"\007", b"\xc2\x9b", b"\x7f"):
        check(bad not in t.out, "%r" % bad)
    r = world.notifyd.ctl("status", check=False)
    same(r.returncode, 1, "exit status with notifyd down")
    check("look: notifyd is down: nothing is delivered" in r.stdout, r.stdout)


case.run(setup)
