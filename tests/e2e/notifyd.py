# SPDX-License-Identifier: BSD-3-Clause
"""A private notifyd, and notifyctl beside it."""

import glob
import json
import os
import shlex
import shutil
import signal
import socket

from processes import Failed, children, wait_for


def program(build, *names):
    """A program of the build folder; behind libtool's wrapper the real one."""
    real = os.path.join(build, *names[:-1], ".libs", names[-1])
    path = real if os.path.exists(real) else os.path.join(build, *names)
    if not os.path.exists(path):
        raise Failed("%s is not built: run make" % path)
    return path


def place(box, build, name):
    """A program for the mail user, who may not be let into the build folder: it and what it loads
    copied to the box, behind a script that says where. The script's path."""
    lib = box.folder("lib")
    for path in [program(build, "notifyd", name)] + glob.glob(
            os.path.join(glob.escape(build), ".libs", "libnotifyd.so")) + glob.glob(
            os.path.join(glob.escape(build), ".libs", "sink_*.so")):
        if not os.path.exists(os.path.join(lib, os.path.basename(path))):  # it may run
            shutil.copy(path, lib)
    with open(box.at(name), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s \"$@\"\n"
                % (shlex.quote(lib), shlex.quote(os.path.join(lib, name))))
    os.chmod(box.at(name), 0o755)
    return box.at(name)


def hook(build):
    for folder in ("", "plugin", "plugin/cyrus", "lib"):
        path = os.path.join(build, folder, ".libs", "cyrus.so")
        if os.path.exists(path):
            return path
    raise Failed("cyrus.so is not built below %s: run make" % build)


class Notifyd:
    """conf: the dict of imapd.conf lines (Cyrus.conf); it says which sockets to wait for."""

    def __init__(self, box, build, imapd_conf, conf):
        self.box = box
        self.imapd_conf = imapd_conf
        self.conf = conf
        self.process = None
        self.starts = 0
        self.notifyd, self.notifyctl = (place(box, build, name) for name in ("notifyd", "notifyctl"))

    def sockets(self):
        """Where its unix sinks listen."""
        sinks = (self.conf.get("notifyd_sinks") or "").split()
        return [self.conf["notifyd_%s_path" % s] for s in sinks
                if self.conf.get("notifyd_%s_type" % s) == "unix"]

    def launch(self, log="notifyd", env=None):
        """Starts one and does not wait."""
        return self.box.start(log, [self.notifyd, "-C", self.imapd_conf], env=env,
                              user=self.box.user)

    def start(self, timeout=60, env=None):
        self.process = self.launch(env=env)
        self.starts += 1
        for path in self.sockets():
            wait_for("notifyd listens at %s" % path, lambda p=path: self._answers(p), timeout)
        return self

    def _answers(self, path):
        self.alive()
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            s.connect(path)
            return True
        except OSError:
            return False
        finally:
            s.close()

    def alive(self):
        if self.process is None or self.process.poll() is not None:
            raise Failed("notifyd ended with status %s; see %s"
                         % (self.process and self.process.returncode,
                            self.box.at("log", "notifyd.log")))

    def reload(self, answer="configuration reloaded"):
        """Sends SIGHUP and waits for the line of the log that answers it."""
        seen = self.log().count(answer)
        os.kill(self.process.pid, signal.SIGHUP)
        wait_for("log line %r" % answer, lambda: self.log().count(answer) > seen)

    def log(self):
        with open(self.box.at("log", "notifyd.log"), encoding="utf-8") as f:
            return f.read()

    def children(self):
        """Pids of workers and ingest."""
        return children(self.process.pid)

    def worker(self, name):
        """The pid of the worker of a sink, or None."""
        for pid in self.children():
            try:
                with open("/proc/%d/comm" % pid, encoding="utf-8") as f:
                    if f.read().strip() == "notifyd:" + name:
                        return pid
            except OSError:
                continue
        return None

    def stop(self, timeout=60):
        """With SIGTERM. Its exit status."""
        p, self.process = self.process, None
        return self.box.stop(p, signal.SIGTERM, timeout) if p else 0

    def kill(self):
        """kill -9 of the supervisor alone: its children must end by themselves."""
        p, self.process = self.process, None
        os.kill(p.pid, signal.SIGKILL)
        p.wait()
        self.box.started.remove(p)

    def ctl(self, *args, check=True, timeout=60, input=None):
        # status tells with 1 that something needs a look, as often something does in a test.
        looks = check and args[0] == "status"
        r = self.box.run([self.notifyctl, "-C", self.imapd_conf] + list(args),
                         check=check and not looks, timeout=timeout, input=input,
                         user=self.box.user)
        if looks and r.returncode not in (0, 1):
            raise Failed("status: exit %d\n%s%s" % (r.returncode, r.stdout, r.stderr))
        return r

    def dead(self, sink):
        """All dead letters of a sink, as `show` tells them."""
        text = self.ctl("dead-letters", "show", sink, "--all").stdout
        found, at = [], 0
        while at < len(text):
            one, at = json.JSONDecoder().raw_decode(text, at)
            found.append(one)
            at += 1  # the line feed
        return found
