# SPDX-License-Identifier: BSD-3-Clause
"""A temporary folder, the processes started in it, and their sure end."""

import ctypes
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
MARKS = []  # of the ports that are ours


class Failed(Exception):
    """What a person should read: no traceback needed."""


def mail_user():
    """Whom Cyrus and notifyd run as: Debian's cyrus when we are root, else ourselves."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    try:
        pwd.getpwnam("cyrus")
    except KeyError:
        raise Failed("there is no user cyrus: install cyrus-imapd (contrib/deps cyrus)") from None
    return "cyrus"


def identity(user):
    """Arguments of Popen that make a process run as user; none when we are not root."""
    if os.geteuid() != 0 or user is None:
        return {}
    who = pwd.getpwnam(user)
    return {
        "user": who.pw_uid,
        "group": who.pw_gid,
        "extra_groups": os.getgrouplist(user, who.pw_gid),
    }


def wait_for(what, fn, timeout=60, every=0.02):
    """Calls fn until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() > end:
            raise Failed("%s: not within %d s" % (what, timeout))
        time.sleep(every)


def pss(pid):
    """Memory of one process in MB, its share of what it has in common with others; 0: it is gone."""
    try:
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
            return sum(int(line.split()[1]) for line in f if line.startswith("Pss:")) / 1024
    except (OSError, ProcessLookupError):
        return 0


def children(pid):
    """Pids of all processes below pid, nearest first."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, encoding="ascii", errors="replace") as f:
                    fields = f.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents.setdefault(int(fields[1]), []).append(int(name))
    found = []
    todo = [pid]
    while todo:
        below = parents.get(todo.pop(0), [])
        found += below
        todo += below
    return found


class Box:
    """A folder of its own, readable for the mail user; whatever is started in it ends with it.

    Processes that detach themselves come back to us as to the nearest subreaper, so that
    close() finds them all by their descent, never by a name."""

    def __init__(self, name, path=None, keep=False):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.keep = keep or bool(os.environ.get("MBOXEVENT_KEEP"))
        self.path = path or tempfile.mkdtemp(prefix="mboxevent-%s-" % name)
        os.chmod(self.path, 0o755)
        os.makedirs(self.at("log"), exist_ok=True)
        self.user = mail_user()
        self.started = []
        self.closers = []

    def at(self, *names):
        return os.path.join(self.path, *names)

    def own(self, path):
        """Hands a path and what is below it to the mail user."""
        if os.geteuid() != 0:
            return
        who = pwd.getpwnam(self.user)
        os.chown(path, who.pw_uid, who.pw_gid)
        for top, folders, files in os.walk(path):
            for one in folders + files:
                os.chown(os.path.join(top, one), who.pw_uid, who.pw_gid, follow_symlinks=False)

    def folder(self, *names, mode=0o755):
        path = self.at(*names)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        self.own(path)
        return path

    @staticmethod
    def port():
        """A TCP port of the loopback that is ours until this process ends, bound or not: from below
        those that the kernel gives to whoever connects, and marked by the name of an abstract socket,
        which no other test beside this one can have."""
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
            end = int(f.read().split()[0])
        if end < 12000:  # it gives nearly all
            end = 32000
        for _ in range(1000):
            port = random.randrange(min(10000, end - 1), end)
            mark = socket.socket(socket.AF_UNIX)
            try:
                mark.bind("\0mboxevent-test-port-%d" % port)
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            except OSError:
                mark.close()
                continue
            MARKS.append(mark)
            return port
        raise Failed("no TCP port from 10000 to %d is free" % (end - 1))

    def start(self, name, argv, env=None, user=None, **more):
        """Starts a process in a session of its own; its output goes to log/<name>.log."""
        whole = dict(os.environ, LC_ALL="C.UTF-8", **(env or {}))
        whole.pop("LD_PRELOAD", None)
        whole.update(env or {})
        more.setdefault("stdin", subprocess.DEVNULL)
        with open(self.at("log", name + ".log"), "ab") as log:
            p = subprocess.Popen(argv, env=whole, cwd=self.path, stdout=log, stderr=log,
                                 start_new_session=True, **identity(user), **more)
        p.label = name
        self.started.append(p)
        return p

    def run(self, argv, timeout=60, user=None, input=None, check=True, env=None):
        """Runs a command to its end; its output is text."""
        r = subprocess.run(argv, timeout=timeout, input=input, text=True, cwd=self.path,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env=dict(os.environ, LC_ALL="C.UTF-8", **(env or {})),
                           **({"stdin": subprocess.DEVNULL} if input is None else {}),
                           **identity(user))
        if check and r.returncode != 0:
            raise Failed("%s: exit %d\n%s%s" % (" ".join(argv), r.returncode, r.stdout, r.stderr))
        return r

    def stop(self, p, sig=signal.SIGTERM, timeout=15):
        """Ends a process; what is left of its descendants is killed. Its exit status."""
        below = children(p.pid) if p.poll() is None else []
        if p.poll() is None:
            os.kill(p.pid, sig)
        try:
            p.wait(timeout)
        except subprocess.TimeoutExpired:
            os.kill(p.pid, signal.SIGKILL)
            p.wait()
        mine = set(children(os.getpid()))
        for pid in below:
            if pid in mine:
                self._kill(pid)
        if p in self.started:
            self.started.remove(p)
        return p.returncode

    @staticmethod
    def _kill(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def descendants(self):
        return children(os.getpid())

    def close(self):
        """Ends all of it. When a fault is the reason, its logs are told before they go."""
        fault = isinstance(sys.exc_info()[1], (Failed, OSError, subprocess.SubprocessError))
        if fault and not self.keep:
            print("".join("#   %s\n" % line for line in self.logs()), end="", flush=True)
        for fn in reversed(self.closers):
            try:
                fn()
            except Exception as e:  # the others must still be ended
                print("# while cleaning up: %s" % e, flush=True)
        self.closers = []
        for p in reversed(list(self.started)):
            self.stop(p)
        for _ in range(100):  # orphans that came to us
            for pid in children(os.getpid()):
                self._kill(pid)
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(0.02)
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)

    def logs(self, lines=25):
        """The ends of all logs, for a person who looks for a fault."""
        out = []
        for name in sorted(os.listdir(self.at("log"))):
            with open(self.at("log", name), encoding="utf-8", errors="replace") as f:
                tail = f.read()[-200000:].splitlines()[-lines:]
            if tail:
                out += ["--- " + self.at("log", name)] + tail
        return out
