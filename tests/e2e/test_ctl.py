#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""notifyctl, and notifyd's own options: what an admin types."""

import grp
import json
import os
import pwd
import subprocess
import time

import tap

from harness import World
from processes import wait_for
from tap import check, same

case = tap.Cases()
EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_NOPERM, EX_CONFIG = 64, 65, 66, 77, 78


def event(n, user="john@example.org", name="MessageRead"):
    return {"event": name, "uidset": str(n + 1), "user": user,
            "uri": "imap://%s@imap.example.org/INBOX;UIDVALIDITY=1424683682" % user,
            "vnd.example.n": n}


def setup():
    world = World("ctl", preload=False)
    world.notifyd.start()
    return world


def numbers(text):
    return [e["vnd.example.n"] for e in map(json.loads, text.splitlines())
            if "vnd.example.n" in e]


@case("--help and --version, and wrong usage")
def usage(world):
    for program in (world.notifyd.notifyd, world.notifyd.notifyctl):
        for option in ("--help", "-h"):
            r = world.box.run([program, option])
            check("usage: " in r.stdout.lower() and not r.stderr, "%s %s" % (program, option))
        r = world.box.run([program, "--version"])
        check("mboxevent" in r.stdout and r.stdout.count("\n") == 1, r.stdout)
        r = world.box.run([program, "--frobnicate"], check=False)
        same(r.returncode, EX_USAGE, "exit status")
        check(r.stderr and not r.stdout, "errors go to stderr")
    for command in ("tail", "status", "subscriptions", "send", "check", "doctor",
                    "validate"):
        check(command in world.notifyd.ctl(command, "--help").stdout, command + " --help")
    same(world.notifyd.ctl("frobnicate", check=False).returncode, EX_USAGE, "unknown command")


@case("tail: all of it, by event, by user, since, and pretty")
def tail(world):
    world.send([event(0), event(1, "jane@example.org"), event(2, name="MessageTrash")])
    time.sleep(1.2)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(1.2)
    world.send([event(3)])
    ctl = world.notifyd.ctl
    same(numbers(ctl("tail").stdout), [0, 1, 2, 3], "tail")
    same(numbers(ctl("tail", "--event", "MessageTrash").stdout), [2], "--event")
    same(numbers(ctl("tail", "--user", "jane@example.org").stdout), [1], "--user")
    same(numbers(ctl("tail", "--since", since).stdout), [3], "--since a time")
    same(numbers(ctl("tail", "--since", "1h").stdout), [0, 1, 2, 3], "--since a duration")
    pretty = ctl("tail", "--since", since, "--pretty").stdout
    check("\n    " in pretty or "\n  " in pretty, "pretty: %r" % pretty[:80])
    same(json.loads(pretty)["vnd.example.n"], 3, "pretty is JSON still")
    same(ctl("tail", "--since", "yesterday", check=False).returncode, EX_USAGE, "a bad time")


@case("tail -f follows across segments until its reader goes")
def follow(world):
    world.cyrus.configure({"mboxevent_segment_size": "64K"})
    p = subprocess.Popen([world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "tail", "-f"],
                         stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    got = []
    for k in range(5):
        world.send([event(n) for n in range(100 + 300 * k, 400 + 300 * k)])
        for _ in range(300):
            got.append(json.loads(p.stdout.readline())["vnd.example.n"])
    same(got, list(range(100, 1600)), "lines in order")
    p.stdout.close()
    world.send([event(2000)])
    same(p.wait(60), 0, "exit status once nobody reads")


@case("send tells each bad line and sends the others")
def send(world):
    text = json.dumps(event(3000)) + "\nnonsense\n[]\n{\"user\":\"x\"}\n" + json.dumps(event(3001))
    r = world.notifyd.ctl("send", "-", check=False, input=text)
    same(r.returncode, EX_DATAERR, "exit status")
    told = [line.split(":")[1] for line in r.stderr.splitlines()
            if line.startswith("standard input:")]
    same(told, ["2", "3", "4"], "lines told of: " + r.stderr)
    same(numbers(world.notifyd.ctl("tail").stdout)[-2:], [3000, 3001], "the others")
    same(world.notifyd.ctl("send", "/nonexistent", check=False).returncode, EX_NOINPUT, "no file")


@case("subscriptions: listed with their lag, and removed")
def subscriptions(world):
    s = world.subscribe("indexer", origin="newest", reconnect=False)
    wait_for("its cursor", lambda: os.path.exists(
        world.box.at("journal", "cursors", "local@indexer")))
    s.close()
    world.send([event(n) for n in range(4000, 4010)])
    listed = world.notifyd.ctl("subscriptions").stdout
    check("indexer" in listed and "10" in listed, listed)
    time.sleep(0.5)  # the worker sees that the client has gone
    world.notifyd.ctl("subscriptions", "--remove", "local@indexer")
    check("indexer" not in world.notifyd.ctl("subscriptions").stdout, "it is still there")


@case("check tells every fault of the configuration, by file and line")
def check_command(world):
    same(world.notifyd.ctl("check", check=False).returncode, 0, "a good configuration")
    world.cyrus.configure({"notifyd_local_mod": "0660", "mboxevent_sync": "soon"})
    r = world.notifyd.ctl("check", check=False)
    same(r.returncode, EX_CONFIG, "exit status")
    text = r.stdout + r.stderr
    check("notifyd_local_mode" in text and "mboxevent_sync" in text, text)
    check(world.cyrus.imapd_conf + ":" in text, "file and line: " + text)
    del world.cyrus.conf["notifyd_local_mod"], world.cyrus.conf["mboxevent_sync"]
    world.cyrus.configure({})


@case("status works with notifyd down, and says so")
def down(world):
    check("running" in world.notifyd.ctl("status").stdout, "up")
    world.notifyd.stop()
    r = world.notifyd.ctl("status")
    check("not running" in r.stdout or "down" in r.stdout, r.stdout)
    check(json.loads(world.notifyd.ctl("status", "--json").stdout)["sinks"], "sinks")


@case("started by root it makes the journal for the mail user and becomes that user")
def root(world):
    if os.geteuid() != 0:
        print("# not root: nothing to drop")
        return
    journal, sockets = world.box.at("journal2"), world.box.at("sockets")
    group = grp.getgrnam("mail").gr_name
    world.cyrus.configure({"mboxevent_journal": journal,
                           "notifyd_local_path": os.path.join(sockets, "events"),
                           "notifyd_local_mode": "0620", "notifyd_local_group": group})
    p = world.box.start("root", [world.notifyd.notifyd, "-C", world.cyrus.imapd_conf])
    path = os.path.join(sockets, "events")
    wait_for("its socket", lambda: os.path.exists(path))
    uid = pwd.getpwnam(world.box.user).pw_uid
    same(os.stat(journal).st_uid, uid, "owner of the journal")
    same(os.stat(journal).st_mode & 0o7777, 0o700, "its mode")
    same(os.stat(path).st_mode & 0o777, 0o620, "mode of the socket")
    same(os.stat(path).st_gid, grp.getgrnam("mail").gr_gid, "group of the socket")
    with open("/proc/%d/status" % p.pid, encoding="ascii") as f:
        ids = next(line.split()[1:] for line in f if line.startswith("Uid:"))
    same(ids, [str(uid)] * 4, "real, effective and saved user of notifyd")
    subprocess.run([world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "send", "-"],
                   input=json.dumps(event(0)) + "\n", text=True, check=True)
    same({os.stat(os.path.join(journal, n)).st_uid for n in os.listdir(journal)}, {uid},
         "what root's notifyctl makes is the mail user's")
    same(world.box.stop(p), 0, "exit status")


@case("what the mail user puts into the journal does not lead root's notifyctl to a file of root's")
def led(world):
    if os.geteuid() != 0:
        print("# not root: nothing to be led to")
        return
    journal, secret = world.cyrus.conf["mboxevent_journal"], world.box.at("secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write("secret\n")
    os.chmod(secret, 0o600)
    before = os.stat(secret)
    for args in (["replay", "trap", "--since", "oldest"], ["skip", "trap", "--to", "now"]):
        link = os.path.join(journal, "cursors", "trap")
        os.link(secret, link)
        p = subprocess.run([world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf] + args,
                           text=True, capture_output=True, check=False, timeout=60)
        check(p.returncode, "refused: " + p.stderr)
        os.unlink(link)
        after = os.stat(secret)
        same((after.st_uid, after.st_mode, after.st_size),
             (before.st_uid, before.st_mode, before.st_size), "the file, after " + args[0])
        with open(secret, encoding="ascii") as f:
            same(f.read(), "secret\n", "its contents")


case.run(setup)
