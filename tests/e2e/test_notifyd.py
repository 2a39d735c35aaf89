#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The supervisor: sinks apart from each other, stalls, reloads, an orderly end."""

import json
import os
import signal
import socket
import subprocess
import time

import tap

from harness import World, real
from processes import Failed, wait_for
from tap import check, same

case = tap.Cases()


def event(n):
    return {"event": "MessageRead", "uidset": str(n + 1), "user": "john@example.org",
            "uri": "imap://john@example.org@imap.example.org/INBOX;UIDVALIDITY=1424683682",
            "vnd.example.n": n}


def setup():
    world = World("notifyd", preload=False)
    world.cyrus.configure({
        "mboxevent_segment_size": "64K",
        "notifyd_sinks": "local good broken",
        "notifyd_good_type": "log", "notifyd_good_path": world.box.at("run", "good.jsonl"),
        "notifyd_broken_type": "fail", "notifyd_broken_mode": "open",
    })
    world.notifyd.start()
    wait_for("all cursors", lambda: os.path.exists(world.box.at("journal", "cursors", "good")))
    return world


def lines(world, name="good.jsonl"):
    path = world.box.at("run", name)
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def numbers(events):
    return [e["vnd.example.n"] for e in real(events) if "vnd.example.n" in e]


def status(world, sink):
    found = json.loads(world.notifyd.ctl("status", "--json").stdout)
    for s in found["sinks"]:
        if s["name"] == sink:
            return s
    raise Failed("no sink %s in %s" % (sink, found))


@case("a sink that fails delays no other")
def apart(world):
    begun = time.monotonic()
    world.send([event(n) for n in range(1000)])
    wait_for("1000 lines", lambda: len(numbers(lines(world))) >= 1000)
    same(numbers(lines(world)), list(range(1000)), "lines in order")
    print("# %.2f s with a broken sink beside it" % (time.monotonic() - begun))
    wait_for("its error is told", lambda: "refused to open" in json.dumps(status(world, "broken")))


@case("a worker killed with -9 is started again and goes on where it was")
def worker(world):
    for n in range(5):
        pid = status(world, "good")["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for("a new worker", lambda p=pid: status(world, "good")["pid"] != p)
    world.send([event(n) for n in range(1000, 1100)])
    wait_for("line 1099", lambda: 1099 in numbers(lines(world)))
    same(sorted(set(numbers(lines(world)))), list(range(1100)), "all lines")


@case("SIGHUP: a configuration with an error is told and not taken")
def bad_reload(world):
    world.cyrus.configure({"notifyd_good_pth": "/tmp/x"})
    world.notifyd.reload("the configuration is not taken")
    check("notifyd_good_path" in world.notifyd.log(), "the nearest name is not told")
    world.send([event(1100)])
    wait_for("line 1100", lambda: 1100 in numbers(lines(world)))
    del world.cyrus.conf["notifyd_good_pth"]


@case("SIGHUP: sinks come and go; one that did not change keeps its process")
def reload(world):
    pid = status(world, "good")["pid"]
    del world.cyrus.conf["notifyd_broken_type"], world.cyrus.conf["notifyd_broken_mode"]
    world.cyrus.configure({
        "notifyd_sinks": "local good late",
        "notifyd_late_type": "log", "notifyd_late_path": world.box.at("run", "late.jsonl"),
        "notifyd_late_from": "oldest", "notifyd_late_users": "*@example.org",
    })
    world.notifyd.reload()
    same(status(world, "good")["pid"], pid, "pid of a sink that did not change")
    wait_for("the new sink begins at the oldest",
             lambda: numbers(lines(world, "late.jsonl")) == list(range(1101)))
    world.cyrus.configure({"notifyd_late_users": "jane@example.org"})
    world.notifyd.reload()
    world.send([event(1101), dict(event(1102), user="jane@example.org")])
    wait_for("its filter changed", lambda: 1102 in numbers(lines(world, "late.jsonl")))
    check(1101 not in numbers(lines(world, "late.jsonl")), "the old filter is in force")


@case("SIGHUP: a log file that was moved away is made anew")
def reopen(world):
    wait_for("line 1102", lambda: 1102 in numbers(lines(world)))
    os.rename(world.box.at("run", "good.jsonl"), world.box.at("run", "good.jsonl.1"))
    world.notifyd.reload()
    world.send([event(1103)])
    wait_for("the new file", lambda: numbers(lines(world)) == [1103])


@case("a worker that stalls is killed and started again; others go on")
def stall(world):
    world.cyrus.configure({
        "notifyd_sinks": "local good stuck", "notifyd_stall": "10s",
        "notifyd_stuck_type": "fail", "notifyd_stuck_mode": "stall",
    })
    for key in [k for k in world.cyrus.conf if k.startswith("notifyd_late_")]:
        del world.cyrus.conf[key]
    world.cyrus.configure({})
    world.notifyd.reload()
    wait_for("the stuck sink's cursor",
             lambda: os.path.exists(world.box.at("journal", "cursors", "stuck")))
    world.send([event(1104)])
    wait_for("line 1104 at the other", lambda: 1104 in numbers(lines(world)))

    def killed():
        text = world.notifyd.log()
        return "said nothing for" in text and "killed by signal 9" in text

    wait_for("the watchdog", killed)
    world.notifyd.alive()


@case("an event that can never be delivered is a dead letter, the rest goes on")
def dead(world):
    world.cyrus.configure({"notifyd_stuck_mode": "drop"})
    world.notifyd.reload()
    world.send([event(n) for n in range(1105, 1110)])

    def letters():
        return world.notifyd.dead("stuck")

    wait_for("dead letters", lambda: 1109 in [x["event"]["vnd.example.n"] for x in letters()])
    got = [x for x in letters() if x["event"]["vnd.example.n"] >= 1105]
    same([x["event"]["vnd.example.n"] for x in got], list(range(1105, 1110)), "dead letters")
    same(len({x["id"] for x in got}), 5, "ids")
    check(all("refused for ever" in x["reason"] for x in got), "reasons")


@case("events in a row that syslog can't take: a dead letter each, few lines")
def dead_row(world):
    box = world.box
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(box.at("run", "small-log"))
    box.own(box.at("run", "small-log"))
    world.cyrus.configure({
        "notifyd_sinks": "local good stuck sys", "notifyd_sys_type": "log",
        "notifyd_sys_path": "syslog:" + box.at("run", "small-log")})
    world.notifyd.reload()
    wait_for("its cursor", lambda: os.path.exists(box.at("journal", "cursors", "sys")))
    world.send([dict(event(n), pad="x" * (400000 + n)) for n in range(1110, 1116)] + [event(1116)])
    log.settimeout(20)
    check(b'"vnd.example.n":1116' in log.recv(1 << 20), "the event behind them")
    got = world.notifyd.dead("sys")
    same([x["event"]["vnd.example.n"] for x in got], list(range(1110, 1116)), "dead letters")
    same(len({x["reason"] for x in got}), 6, "a reason of its own each")
    same(len([x for x in world.notifyd.log().splitlines()
              if "sink=sys" in x and "dead letter" in x]), 1, "lines")
    log.close()
    del world.cyrus.conf["notifyd_sys_type"], world.cyrus.conf["notifyd_sys_path"]
    world.cyrus.configure({"notifyd_sinks": "local good stuck"})
    world.notifyd.reload()


@case("a supervisor that was stopped for long kills nobody")
def stopped(world):
    pid = status(world, "good")["pid"]
    os.kill(world.notifyd.process.pid, signal.SIGSTOP)
    time.sleep(12)  # notifyd_stall is 10 s
    os.kill(world.notifyd.process.pid, signal.SIGCONT)
    time.sleep(2.5)
    same(status(world, "good")["pid"], pid, "pid of a worker")


@case("SIGHUP: a worker that hangs lets go of its sink in the end")
def hung(world):
    # One hangs after a while, the other on what waits for it when it begins.
    world.cyrus.configure({"notifyd_sinks": "local good stuck early", "notifyd_early_type": "fail",
                           "notifyd_early_mode": "send", "notifyd_stuck_mode": "stall"})
    world.notifyd.reload()
    wait_for("its cursor", lambda: os.path.exists(world.box.at("journal", "cursors", "early")))
    world.send([event(1117)])
    wait_for("it waits", lambda: status(world, "early")["state"].startswith("retrying"))
    world.cyrus.configure({"notifyd_early_mode": "stall"})
    world.notifyd.reload()
    time.sleep(2)
    world.cyrus.configure({"notifyd_early_mode": "drop", "notifyd_stuck_mode": "drop"})
    world.notifyd.reload()

    def buried(sink):
        return 1117 in [x["event"]["vnd.example.n"] for x in world.notifyd.dead(sink)]

    for sink in ("stuck", "early"):
        wait_for("the next worker of " + sink, lambda name=sink: buried(name))
    del world.cyrus.conf["notifyd_early_type"], world.cyrus.conf["notifyd_early_mode"]
    world.cyrus.configure({"notifyd_sinks": "local good stuck"})
    world.notifyd.reload()


@case("a file of one sink that can't be read stops no other sink")
def secret(world):
    path = world.box.at("run", "password")
    with open(path, "w", encoding="utf-8") as f:
        f.write("secret")
    world.box.own(path)
    os.chmod(path, 0o600)
    world.cyrus.configure({
        "notifyd_sinks": "local good stuck mq", "notifyd_mq_type": "amqp",
        "notifyd_mq_url": "amqp://mail@127.0.0.1:1/", "notifyd_mq_password_file": path,
        "notifyd_mq_timeout": "5s"})
    world.notifyd.reload()
    os.unlink(path)
    pid = status(world, "good")["pid"]
    os.kill(pid, signal.SIGKILL)
    world.send([event(1118)])
    wait_for("line 1118", lambda: 1118 in numbers(lines(world)))
    for key in [k for k in world.cyrus.conf if k.startswith("notifyd_mq_")]:
        del world.cyrus.conf[key]
    world.cyrus.configure({"notifyd_sinks": "local good stuck"})
    world.notifyd.reload()


@case("the journal is trimmed behind all sinks, and holds what one has not had")
def trim(world):
    world.cyrus.configure({"notifyd_stuck_mode": "send"})
    world.notifyd.reload()
    for _ in range(4):
        world.send([event(n) for n in range(2000, 3000)])

    def segments():
        return len([n for n in os.listdir(world.box.at("journal")) if n.endswith(".seg")])

    wait_for("many segments", lambda: segments() > 8)
    time.sleep(2.5)  # two rounds of trimming
    check(segments() > 8, "segments went that a sink has not had: %d are left" % segments())
    world.cyrus.configure({"notifyd_sinks": "local good"})
    for key in [k for k in world.cyrus.conf if k.startswith("notifyd_stuck_")]:
        del world.cyrus.conf[key]
    world.cyrus.configure({})
    world.notifyd.reload()
    wait_for("they go once that sink is gone", lambda: segments() <= 2)


@case("-t finds errors without starting anything")
def test_option(world):
    r = world.box.run([world.notifyd.notifyd, "-C", world.cyrus.imapd_conf, "-t"], check=False)
    same(r.returncode, 0, "exit status of a good configuration")
    world.cyrus.configure({"notifyd_good_mode": "rw", "mboxevent_sync": "soon"})
    r = world.box.run([world.notifyd.notifyd, "-C", world.cyrus.imapd_conf, "-t"], check=False)
    same(r.returncode, 78, "exit status of a bad one")
    text = r.stderr
    check("notifyd_good_mode" in text and "mboxevent_sync" in text, "both errors: " + text)
    check(all(":" in line.split(" ")[1] for line in text.splitlines()), "file:line: " + text)
    del world.cyrus.conf["notifyd_good_mode"], world.cyrus.conf["mboxevent_sync"]
    world.cyrus.configure({})


@case("the notify socket: taken over by another program it is told, and taken back when free")
def taken(world):
    path = os.path.join(world.cyrus.conf["configdirectory"], "socket", "notify")
    path = world.cyrus.conf.get("notifysocket", path)
    os.unlink(path)
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.bind(path)
    os.chmod(path, 0o777)
    wait_for("the log line", lambda: "took the socket" in world.notifyd.log())
    other.close()

    def served():
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            s.connect(path)
            return True
        except OSError:
            return False
        finally:
            s.close()

    wait_for("it serves the socket again", served)


@case("SIGTERM to the whole group, as systemd does: an orderly end, nothing twice")
def term(world):
    p = subprocess.Popen([world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "send", "-"],
                         stdin=subprocess.PIPE, text=True)
    p.communicate("".join(json.dumps(event(n)) + "\n" for n in range(10000, 30000)))
    pid = world.notifyd.process.pid
    pids = [pid] + world.notifyd.children()
    for one in pids:
        try:
            os.kill(one, signal.SIGTERM)
        except ProcessLookupError:
            pass
    same(world.notifyd.process.wait(60), 0, "exit status")
    world.box.started.remove(world.notifyd.process)
    wait_for("its children are gone", lambda: not [
        x for x in pids if os.path.exists("/proc/%d" % x)])
    world.notifyd.start()
    wait_for("the last line", lambda: 29999 in numbers(lines(world)))
    got = [n for n in numbers(lines(world)) if n >= 10000]
    same(got == list(range(10000, 30000)), True, "each once, in order (%d lines)" % len(got))


case.run(setup)
