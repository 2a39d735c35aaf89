#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a service manager and notifyd say to each other, and the units that are shipped."""

import json
import os
import re
import shutil
import signal
import socket

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from cyrus import message
from harness import World
from processes import Failed, wait_for
from tap import check, same

case = tap.Cases()
ANALYZE = "/usr/bin/systemd-analyze"
EVENT = {"event": "MessageRead", "user": "john", "uidset": "7",
         "uri": "imap://john@imap.example.org/INBOX;UIDVALIDITY=1"}


class Manager:
    """Stands for systemd: listens at NOTIFY_SOCKET, and holds the notify socket of Cyrus."""

    def __init__(self, world):
        self.world = world
        path = world.box.at("run", "manager")
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(path)
        self.told.settimeout(60)
        world.box.own(path)
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.listening.bind(world.cyrus.conf["notifysocket"])
        os.chmod(world.cyrus.conf["notifysocket"], 0o666)
        self.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000", "LISTEN_FDS": "1"}

    def start(self):
        """As systemd does: the socket is descriptor 3, the pid is told to that process alone."""
        fd = self.listening.fileno()
        self.world.notifyd.process = self.world.box.start(
            "notifyd", ["/bin/sh", "-c", "exec 3<&%d; LISTEN_PID=$$ exec %s -C %s" % (
                fd, self.world.notifyd.notifyd, self.world.cyrus.imapd_conf)],
            env=self.environment, user=self.world.box.user, pass_fds=[fd])

    def until(self, word):
        """What it was told, to the first message with that line."""
        got = []
        while True:
            got.append(self.told.recv(4096).decode())
            if word in got[-1].split("\n"):
                return got

    def close(self):
        self.told.close()
        self.listening.close()


def setup():
    world = World("systemd", preload=False)
    try:
        world.manager = Manager(world)
        world.subscribers.append(world.manager)
    except BaseException:
        world.close()
        raise
    return world


@case("READY=1 comes when the sinks' sockets are there, WATCHDOG=1 goes on coming")
def ready(world):
    world.manager.start()
    world.manager.until("READY=1")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(world.local)
    s.close()
    for _ in range(3):
        world.manager.until("WATCHDOG=1")


@case("a datagram at the manager's socket becomes an event")
def lent(world):
    got = world.subscribe()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(world.cyrus.conf["notifysocket"])
    s.send("\0".join(["notifyd", "EVENT", "", "", "", "0", json.dumps(EVENT), ""]).encode())
    got.find("MessageRead")


@case("SIGHUP: RELOADING=1 with the time, then READY=1")
def hup(world):
    os.kill(world.notifyd.process.pid, signal.SIGHUP)
    told = world.manager.until("RELOADING=1")
    check(re.search(r"^MONOTONIC_USEC=\d+$", told[-1], re.M), told[-1])
    world.manager.until("READY=1")


@case("a socket that was lent is taken again when notifysocket comes back to it")
def back(world):
    path, process = world.cyrus.conf["notifysocket"], world.notifyd.process
    for to in (path + ".other", path):
        world.cyrus.configure({"notifysocket": to})
        os.kill(process.pid, signal.SIGHUP)
        world.manager.until("RELOADING=1")
        world.manager.until("READY=1")
    check("another program" not in world.notifyd.log(), "it takes the manager for another program")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(path)
    s.send("\0".join(["notifyd", "EVENT", "", "", "", "0",
                      json.dumps({**EVENT, "uidset": "9"}), ""]).encode())
    wait_for("its event", lambda: '"uidset":"9"' in world.notifyd.ctl("tail").stdout, every=0.2)


@case("SIGTERM: STOPPING=1; the manager's socket stays, and what comes meanwhile waits in it")
def stop(world):
    process = world.notifyd.process
    os.kill(process.pid, signal.SIGTERM)
    world.manager.until("STOPPING=1")
    same(process.wait(60), 0, "exit status")
    check(os.path.exists(world.cyrus.conf["notifysocket"]), "the socket's file is gone")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(world.cyrus.conf["notifysocket"])
    s.send("\0".join(["notifyd", "EVENT", "", "", "", "0",
                      json.dumps({**EVENT, "uidset": "8"}), ""]).encode())
    world.manager.start()
    world.manager.until("READY=1")
    wait_for("the event that waited", lambda: '"uidset":"8"' in world.notifyd.ctl("tail").stdout,
             every=0.2)


@case("no child inherits what was said to the supervisor")
def environment(world):
    for pid in world.notifyd.children():
        with open("/proc/%d/environ" % pid, "rb") as f:
            for word in (b"NOTIFY_SOCKET=", b"LISTEN_FDS=", b"WATCHDOG_USEC="):
                check(word not in f.read(), "%d: %r" % (pid, word))


@case("the units: no mistake in them, and hardened")
def units(world):
    if not os.path.exists(ANALYZE):
        raise Failed("systemd-analyze is missing: run contrib/deps test")
    folder = world.box.folder("units")
    source = os.path.join(tap.top("TOP_SRCDIR"), "contrib", "systemd")
    for name in ("notifyd.service", "notifyd.socket"):
        with open(os.path.join(source, name + ".in"), encoding="utf-8") as f:
            text = f.read().replace("@sbindir@", os.path.dirname(world.notifyd.notifyd))
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    world.box.run([ANALYZE, "verify", "--man=no", os.path.join(folder, "notifyd.service"),
                   os.path.join(folder, "notifyd.socket")])
    r = world.box.run([ANALYZE, "security", "--offline=yes", "--threshold=20", "--no-pager",
                       os.path.join(folder, "notifyd.service")])
    print("# " + r.stdout.strip().split("\n")[-1].encode("ascii", "replace").decode())
    shutil.rmtree(folder)


@case("without systemd: as a DAEMON of cyrus.conf, started again when it dies")
def daemon(world):
    world.notifyd.stop()
    world.manager.listening.close()
    os.unlink(world.cyrus.conf["notifysocket"])
    world.cyrus.daemons = ' mboxevent cmd="%s -C %s"\n' % (
        world.notifyd.notifyd, world.cyrus.imapd_conf)
    world.cyrus.start()
    pid = lambda: json.loads(world.notifyd.ctl("status", "--json").stdout)["notifyd"]["pid"]
    first = wait_for("Cyrus started it", pid, every=0.2)
    world.cyrus.deliver(message("under-master"))
    wait_for("the event", lambda: "under-master" in world.notifyd.ctl("tail").stdout, every=0.2)
    os.kill(first, signal.SIGKILL)
    wait_for("it is started again", lambda: pid() not in (None, first), 60, every=0.5)
    world.cyrus.stop()
    wait_for("it ends with Cyrus", lambda: pid() is None, every=0.2)


case.run(setup)
