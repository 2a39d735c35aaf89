#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The Debian packages in a fresh Debian: installed, used as README says, upgraded, removed, purged.

Takes minutes and root; `make check-full` runs it. The chroot comes by debootstrap from where this
machine's apt gets its packages."""

import glob
import json
import os
import re
import shlex
import signal
import smtplib
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import tap

if os.geteuid() != 0:
    tap.skip_all("not root")
tap.need(debootstrap="/usr/sbin/debootstrap", lintian="/usr/bin/lintian", debhelper="/usr/bin/dh",
         util_linux="/usr/bin/unshare")
if os.environ.get("MBOXEVENT_UNSHARED") != "1":  # what is mounted goes with this process
    os.environ["MBOXEVENT_UNSHARED"] = "1"
    os.execv("/usr/bin/unshare", ["unshare", "--mount", "--propagation", "private",
                                  sys.executable, "-B"] + sys.argv)

from processes import Box, Failed, wait_for
from tap import check, same

case = tap.Cases()
TOP = tap.top("TOP_SRCDIR")
OURS = ["libmboxevent1", "libmboxevent-dev", "mboxevent-cyrus", "notifyd", "notifyd-amqp",
        "notifyd-apns"]
IMAPD_CONF = """
event_notifier: mboxevent
event_groups: message quota flags access mailbox subscription calendar applepushservice
event_extra_params: messages timestamp uidnext vnd.cmu.midset vnd.cmu.envelope
autocreate_users: anyone
autocreate_post: yes
notifyd_metrics: /run/notifyd/metrics
"""
CYRUS_CONF = """
START {
 recover cmd="/usr/sbin/cyrus ctl_cyrusdb -r"
}
SERVICES {
 lmtpunix cmd="lmtpd" listen="/run/cyrus/socket/lmtp" prefork=0
}
"""


def mirror():
    """The archive that this machine's apt uses, as it is configured."""
    r = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(COMPONENT)",
                        "Created-By: Packages"], stdout=subprocess.PIPE, text=True, check=True)
    for line in r.stdout.splitlines():
        site, codename, component = line.split()
        if component == "main" and not re.search("-|security", codename):
            return site, codename
    raise Failed("apt-get indextargets names no archive of Debian")


class Debian:
    """A chroot. Daemons are started in it as their units say, but for the sandbox."""

    def __init__(self, box):
        self.box = box
        self.root = box.at("debian")
        self.running = []
        site, codename = mirror()
        print("# debootstrap of %s" % codename, flush=True)
        box.run(["debootstrap", "--variant=minbase", codename, self.root, site], timeout=600)
        # Nothing of this machine is mounted in it: the folder is deleted in the end.
        box.run(["mount", "-t", "proc", "proc", self.at("proc")])
        box.closers.append(lambda: box.run(["umount", "--lazy", self.at("proc")]))
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        self.write("/etc/apt/apt.conf.d/50test", 'APT::Install-Recommends "false";\n'
                   'Dpkg::Use-Pty "0";\n')

    def at(self, path):
        return os.path.join(self.root, path.lstrip("/"))

    def write(self, path, text, mode=0o644):
        with open(self.at(path), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(f.name, mode)

    def read(self, path):
        with open(self.at(path), encoding="utf-8") as f:
            return f.read()

    def run(self, *argv, check=True, timeout=300, input=None, env=None):
        return self.box.run(["chroot", self.root, "/usr/bin/env", "-i",
                             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive",
                             "LC_ALL=C.UTF-8", *(env or []), *argv], timeout=timeout, check=check,
                            input=input)

    def install(self, *debs):
        for deb in debs:
            self.box.run(["cp", deb, self.at("/tmp/")])
        return self.run("apt-get", "install", "-q", "-y", "--allow-downgrades",
                        *["/tmp/" + os.path.basename(d) for d in debs])

    def installed(self):
        r = self.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n")
        return {line.split()[1] for line in r.stdout.splitlines() if line.startswith("ii")}

    def start(self, unit):
        """As its unit and the drop-ins of it say: user, environment, command line."""
        lines = self.read("/lib/systemd/system/" + unit).splitlines()
        for path in sorted(glob.glob(self.at("/lib/systemd/system/%s.d/*.conf" % unit))):
            with open(path, encoding="utf-8") as f:
                lines += f.read().splitlines()
        setting = lambda name: [v for k, eq, v in (line.partition("=") for line in lines)
                                if k == name and eq]
        script = ""
        for word in " ".join(setting("Environment")).split():
            script += "export %s\n" % shlex.quote(word)
        for path in setting("EnvironmentFile"):
            script += "set -a; . %s; set +a\n" % path
        for name in setting("RuntimeDirectory"):
            script += "mkdir -p /run/%s\n" % name
            for user in setting("User"):
                script += "chown %s /run/%s\n" % (user, name)
        to = "setpriv --reuid %s --regid %s --init-groups " % (
            setting("User")[0], setting("Group")[0]) if setting("User") else ""
        for line in setting("ExecStartPre"):
            script += to + line + " || exit\n"
        # A variable is a word to systemd, several without braces: the shell's own rule does.
        script += "exec " + to + setting("ExecStart")[0] + "\n"
        self.write("/tmp/start", script)
        p = self.box.start(unit, ["chroot", self.root, "/usr/bin/env", "-i",
                                  "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "/bin/sh", "/tmp/start"])
        self.running.append(p)
        return p

    def stop(self):
        while self.running:
            self.box.stop(self.running.pop())


class World:
    def __init__(self):
        self.box = Box("packages")
        try:
            print("# build", flush=True)
            self.box.run([os.path.join(TOP, "contrib", "debian", "build"), self.box.at("debs")],
                         timeout=900, env={"DEB_BUILD_OPTIONS": "nocheck parallel=2"})
            self.debian = Debian(self.box)
        except BaseException:
            self.box.close()
            raise

    def debs(self, *names):
        return [p for n in names for p in glob.glob(self.box.at("debs", n + "_*.deb"))]

    def deliver(self, subject):
        """Over LMTP: the first message makes the INBOX."""
        client = smtplib.LMTP(self.debian.at("/run/cyrus/socket/lmtp"))
        client.sendmail("jane@example.org", ["john"],
                        "From: jane@example.org\nSubject: %s\n\nText\n" % subject)
        client.quit()

    def tail(self, subject):
        """Waits for its MessageNew in the journal."""
        return wait_for("the event of %s" % subject, lambda: [
            line for line in self.debian.run("notifyctl", "tail", check=False).stdout.splitlines()
            if '"event":"MessageNew"' in line and subject in line], every=0.5)

    def metrics(self):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(self.debian.at("/run/notifyd/metrics"))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(1 << 16), b"")).decode()
        finally:
            client.close()

    def doctor(self):
        """Its findings; "" for none."""
        r = self.debian.run("notifyctl", "doctor", "--json", check=False)
        found = [f["finding"] for f in json.loads(r.stdout)]
        same(r.returncode, 78 if found else 0, "exit status of doctor")
        return "\n".join(found)

    def logs(self):
        return self.box.logs(40)

    def close(self):
        self.box.close()


@case("lintian finds no error", 300)
def lintian(world):
    r = world.box.run(["lintian", "--allow-root", "--fail-on", "error"] + glob.glob(
        world.box.at("debs", "*.changes")), check=False, timeout=280)
    print("".join("# %s\n" % line for line in r.stdout.splitlines()[:20]), end="")
    same(r.returncode, 0, "lintian")


@case("every binary is hardened: PIE or shared, full RELRO, stack protector, fortified")
def hardened(world):
    for deb in world.debs(*OURS):
        folder = world.box.at("unpacked", os.path.basename(deb))
        world.box.folder("unpacked")
        world.box.run(["dpkg-deb", "-x", deb, folder])
        for top, _, files in os.walk(folder):
            for path in (os.path.join(top, f) for f in files):
                if os.path.islink(path):
                    continue
                with open(path, "rb") as f:
                    if f.read(4) != b"\x7fELF":
                        continue
                r = world.box.run(["readelf", "-W", "-h", "-l", "-d", "--dyn-syms", path]).stdout
                name = os.path.relpath(path, folder)
                check("DYN (" in r, name + ": not PIE")
                check("GNU_RELRO" in r and "NOW" in r, name + ": no full RELRO")
                check("__stack_chk_fail" in r, name + ": no stack protector")
                check(re.search(r"__\w+_chk@", r.replace("__stack_chk", "")),
                      name + ": not fortified")


@case("a log-and-socket installation has neither librabbitmq nor curl", 600)
def lean(world):
    world.debian.run("apt-get", "update", "-q")
    world.debian.install(*world.debs("notifyd", "mboxevent-cyrus"))
    there = world.debian.installed()
    same([p for p in there if re.match("librabbitmq|libcurl", p)], [], "installed")
    world.debian.write("/etc/imapd.conf", "notifyd_sinks: mq\nnotifyd_mq_type: amqp\n")
    r = world.debian.run("notifyd", "-t", check=False)
    same(r.returncode, 78, "exit status")
    check("not installed" in r.stderr, r.stderr)
    os.unlink(world.debian.at("/etc/imapd.conf"))


@case("with Cyrus, as README says: a message, its event, status", 600)
def used(world):
    d = world.debian
    rest = [n for n in OURS if world.debs(n) and n not in d.installed()]
    d.install(*world.debs(*rest))
    d.run("apt-get", "install", "-q", "-y", "cyrus-imapd")
    d.write("/etc/imapd.conf", d.read("/etc/imapd.conf") + IMAPD_CONF)
    d.write("/etc/cyrus.conf", CYRUS_CONF)
    same(d.run("stat", "-c", "%a %U %G", "/var/spool/mboxevent").stdout, "700 cyrus mail\n",
         "the journal")
    d.start("notifyd.service")
    wait_for("notifyd's socket", lambda: os.path.exists(d.at("/run/notifyd/events")))
    d.start("cyrus-imapd.service")
    wait_for("Cyrus's LMTP socket", lambda: os.path.exists(d.at("/run/cyrus/socket/lmtp")), 60)
    world.deliver("first-message")
    print("# " + world.tail("first-message")[0][:200])
    check("listening" in d.run("notifyctl", "status").stdout, "status")
    wait_for("it in the metrics", lambda: re.search(
        r'^mboxevent_events_total\{group="message"\} [1-9]', world.metrics(), re.M))


@case("doctor finds nothing there, and then each thing that is broken", 300)
def doctor(world):
    d, journal = world.debian, "/var/spool/mboxevent"
    conf = d.read("/etc/imapd.conf")
    wait_for("no finding", lambda: world.doctor() == "", every=1)

    def finds(*words):
        found = world.doctor()
        for word in words:
            check(word in found, "%r is not in %s" % (word, found))
    os.chmod(d.at(journal), 0o755)
    finds("has mode 0755")
    os.chmod(d.at(journal), 0o700)
    more = "notifyd_sinks: local mq audit\nnotifyd_local_type: unix\n" \
           "notifyd_mq_type: amqp\nnotifyd_mq_url: amqp://guest@127.0.0.1:9/\n" \
           "notifyd_audit_type: log\nnotifyd_audit_path: /nowhere/audit\n"
    d.write("/etc/imapd.conf", conf + more)
    finds("sink mq can't be reached: 127.0.0.1:9: connection refused",
          "sink audit can't be reached: the directory /nowhere/ is missing")
    d.write("/etc/imapd.conf", conf + "mboxevent_journal: /tmp/journal\n")
    d.run("install", "-d", "-o", "cyrus", "-g", "mail", "-m", "700", "/tmp/journal")
    finds("/tmp/journal is where old files are cleaned away")
    d.write("/etc/imapd.conf", conf)
    cursor = d.at(journal + "/cursors/orphan")
    d.write("/etc/imapd.conf", conf + "notifyd_sinks: local orphan\nnotifyd_local_type: unix\n"
            "notifyd_orphan_type: null\n")
    d.running[0].send_signal(signal.SIGHUP)
    wait_for("its cursor", lambda: os.path.exists(cursor))
    d.write("/etc/imapd.conf", conf)
    d.running[0].send_signal(signal.SIGHUP)
    finds("cursors/orphan is the place of a sink that notifyd_sinks does not name")
    os.unlink(cursor)
    # a second hook: what runs has the first one
    hook = glob.glob(d.at("/usr/lib/*/mboxevent/cyrus.so"))[0]
    world.box.run(["cp", "-p", hook, hook + ".new"])
    os.rename(hook + ".new", hook)
    world.deliver("keeps-lmtpd-there")
    finds("run a hook that was replaced since")
    d.running[0].terminate()  # notifyd
    wait_for("notifyd has ended", lambda: "notifyd does not run" in world.doctor(), every=1)
    d.stop()
    # stock Cyrus, as it would be without the drop-in
    dropin = d.at("/lib/systemd/system/cyrus-imapd.service.d/mboxevent.conf")
    os.rename(dropin, dropin + ".off")
    d.start("notifyd.service")
    d.start("cyrus-imapd.service")
    wait_for("Cyrus answers", lambda: _try(lambda: world.deliver("without-hook")), 60, every=1)
    finds("the hook is not loaded in", "event_groups: quota: without the hook")
    d.stop()
    os.rename(dropin + ".off", dropin)
    d.start("notifyd.service")
    d.start("cyrus-imapd.service")
    wait_for("Cyrus answers", lambda: _try(lambda: world.deliver("hook-again")), 60, every=1)
    world.tail("hook-again")
    wait_for("no finding", lambda: world.doctor() == "", every=1)


@case("upgraded while it all runs: journal and cursors stay", 300)
def upgraded(world):
    d = world.debian
    newer = []
    world.box.folder("newer")
    for deb in world.debs(*[n for n in OURS if world.debs(n)]):
        folder = world.box.at("newer", os.path.basename(deb))
        world.box.run(["dpkg-deb", "-R", deb, folder])
        control = os.path.join(folder, "DEBIAN", "control")
        with open(control, encoding="utf-8") as f:
            text = re.sub(r"(?m)^(Version: .*|Depends: .*= )(0\.1\.0)", r"\g<1>\g<2>+1", f.read())
        with open(control, "w", encoding="utf-8") as f:
            f.write(re.sub(r"\(= 0\.1\.0\)", "(= 0.1.0+1)", text))
        newer.append(folder + ".deb")
        world.box.run(["dpkg-deb", "-b", folder, newer[-1]])
    before = d.run("notifyctl", "tail").stdout
    d.install(*newer)
    d.stop()
    d.start("notifyd.service")
    d.start("cyrus-imapd.service")
    wait_for("Cyrus answers", lambda: _try(lambda: world.deliver("second-message")), 60, every=1)
    world.tail("second-message")
    check(d.run("notifyctl", "tail").stdout.startswith(before), "what was there before is not")


def _try(fn):
    try:
        fn()
        return True
    except (OSError, smtplib.SMTPException):
        return False


@case("removed, the journal stays; purged, nothing does", 300)
def removed(world):
    d = world.debian
    d.stop()
    there = [n for n in OURS if n in d.installed()]
    d.run("apt-get", "remove", "-q", "-y", *there)
    check(glob.glob(d.at("/var/spool/mboxevent/*.seg")), "the journal went with the package")
    check(not os.path.exists(d.at("/lib/systemd/system/cyrus-imapd.service.d/mboxevent.conf")),
          "Cyrus would go on loading a hook that is gone")
    d.run("dpkg", "--purge", *there)
    r = d.run("find", "/", "-xdev", "-not", "-path", "/proc/*", "-not", "-path", "/tmp/*", "(",
              "-iname", "*mboxevent*", "-o", "-iname", "*notifyd*", ")", check=False)
    left = [line for line in r.stdout.splitlines()
            if not re.match("/usr/lib/cyrus|/usr/share/(doc|man)/.*cyrus|/var/log|/run|"
                            "/usr/share/man/man8/cyrus-notifyd|/var/(cache|lib)/(dpkg|apt)", line)]
    same(left, [], "left over")


case.run(World, 1200)
