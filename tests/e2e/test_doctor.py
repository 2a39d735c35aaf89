#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""notifyctl doctor: nothing to find, and each thing broken in turn."""

import json
import os
import shutil
import subprocess

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import Failed, wait_for
from tap import check, same

case = tap.Cases()


def setup():
    return World("doctor").start()


def findings(world, conf=None):
    """As 'error: ...' and 'warning: ...'. What belongs to a test's own folder is left out, and what
    is said of the hook where it would be installed, which this test does not use."""
    r = world.box.run([world.notifyd.notifyctl, "-C", conf or world.cyrus.imapd_conf, "doctor",
                       "--json"], check=False)
    if r.returncode not in (0, 78):
        raise Failed("exit %d: %s" % (r.returncode, r.stderr))
    lines = ["%s: %s" % (f["severity"], f["finding"]) for f in json.loads(r.stdout)]
    same(r.returncode, 78 if lines else 0, "exit status")
    return [line for line in lines if "is where old files are cleaned away" not in line
            and "the hook /" not in line]


def finds(world, *words, conf=None):
    got = findings(world, conf)
    for word in words:
        check(any(word in line for line in got), "%r is not in %r" % (word, got))


def none(world, word):
    got = findings(world)
    check(not any(word in line for line in got), "%r" % got)


@case("all is well: no finding but those on a test's folder; --json and text agree")
def well(world):
    imap = world.cyrus.imap()
    wait_for("no finding", lambda: findings(world) == [])
    r = world.notifyd.ctl("doctor", check=False)
    check("is where old files are cleaned away" in r.stdout, r.stdout)
    check(r.stdout.rstrip().endswith("warnings"), r.stdout)
    imap.logout()


@case("as a user who may not look into the mail processes: it says so")
def unprivileged(world):
    if os.geteuid() != 0:
        return
    r = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                        world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "doctor"],
                       stdout=subprocess.PIPE, text=True, check=False)
    check("run this as root" in r.stdout, r.stdout)


@case("the journal: its mode, in memory")
def journal(world):
    path = world.cyrus.journal
    os.chmod(path, 0o755)
    finds(world, "has mode 0755")
    os.chmod(path, 0o700)
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK):
        return
    conf = world.box.at("memory.conf")
    with open(world.cyrus.imapd_conf, encoding="utf-8") as f, \
            open(conf, "w", encoding="utf-8") as out:
        out.write(f.read().replace("mboxevent_journal: " + path, "mboxevent_journal: " + memory))
    finds(world, "is in memory (tmpfs)", conf=conf)


@case("a sink that does not deliver, notifyd that does not run, a cursor that belongs to nobody")
def sinks(world):
    world.cyrus.configure({"notifyd_sinks": "local broken", "notifyd_broken_type": "log",
                           "notifyd_broken_path": world.box.at("nowhere", "log"),
                           "notifyd_broken_from": "oldest"})
    world.notifyd.stop()
    finds(world, "notifyd does not run", "nobody listens at", "sink broken can't be reached: the "
          "directory %s/ is missing; make it" % world.box.at("nowhere"))
    none(world, "sink local")
    world.notifyd.start()
    wait_for("the sink is found", lambda: any(
        "sink broken does not deliver: retrying" in line for line in findings(world)))
    world.cyrus.configure({"notifyd_sinks": "local", "notifyd_broken_type": None,
                           "notifyd_broken_path": None, "notifyd_broken_from": None})
    world.notifyd.stop()
    world.notifyd.start()
    finds(world, "cursors/broken is the place of a sink that notifyd_sinks does not name")
    os.unlink(os.path.join(world.cyrus.journal, "cursors", "broken"))


@case("a hook that was replaced while mail processes run")
def replaced(world):
    imap = world.cyrus.imap()
    none(world, "replaced")
    shutil.copy(world.cyrus.hook, world.cyrus.hook + ".new")
    os.rename(world.cyrus.hook + ".new", world.cyrus.hook)
    finds(world, "run a hook that was replaced since")
    other = world.cyrus.imap()
    finds(world, "run a hook that was replaced since")
    imap.logout()
    other.logout()


@case("no hook in the mail processes, and what makes Cyrus crash then; its own notifyd's socket")
def stock(world):
    world.cyrus.stop()
    world.notifyd.stop()
    hook, world.cyrus.hook = world.cyrus.hook, None
    services, world.cyrus.services = world.cyrus.services, (
        ' notify cmd="/usr/lib/cyrus/bin/notifyd -C %s" listen="%s" proto="udp" prefork=1\n'
        % (world.cyrus.imapd_conf, world.cyrus.conf["notifysocket"]))
    world.cyrus.configure({"event_content_inclusion_mode": "message", "event_extra_params":
                           world.cyrus.conf["event_extra_params"] + " messageContent"})
    world.cyrus.start()
    world.notifyd.start()
    imap = world.cyrus.imap()
    finds(world, "the hook is not loaded in", "imapd (", "event_groups: quota: without the hook",
          "event_content_inclusion_mode: message: without the hook")
    if os.path.exists("/usr/lib/cyrus/bin/notifyd"):
        finds(world, "is served by /usr/lib/cyrus/bin/")
    imap.logout()
    world.cyrus.stop()
    finds(world, "no mail process runs with")
    world.cyrus.hook, world.cyrus.services = hook, services


case.run(setup)
