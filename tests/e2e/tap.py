# SPDX-License-Identifier: BSD-3-Clause
"""Test cases in a row, told in TAP: a plan, a line each, the logs of what failed."""

import os
import signal
import subprocess
import sys
import time
import traceback

from processes import Failed

SKIP = 77


def top(which):
    """TOP_SRCDIR or TOP_BUILDDIR, which automake sets."""
    path = os.environ.get(which)
    if not path:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    return os.path.abspath(path)


def skip_all(why):
    print("1..0 # SKIP " + why, flush=True)
    sys.exit(0)


def need(**programs):
    """Skips the whole test when a program is missing; package=path."""
    for package, path in programs.items():
        if not os.path.exists(path):
            skip_all("%s is missing (package %s): run contrib/deps test"
                     % (path, package.replace("_", "-")))


class Skip(Exception):
    """Raised by a case that can't run here; says why."""


class Cases:
    """Collects functions; each gets what the set-up returned."""

    def __init__(self):
        self.all = []

    def __call__(self, title, timeout=180):
        def add(fn):
            self.all.append((title, timeout, fn))
            return fn
        return add

    def run(self, setup, timeout=180):
        """setup() returns a world with close() and logs(). Never returns."""
        signal.signal(signal.SIGTERM, self._interrupted)
        signal.signal(signal.SIGINT, self._interrupted)
        signal.signal(signal.SIGALRM, self._late)
        print("1..%d" % len(self.all), flush=True)
        begun = time.monotonic()
        world = None
        failed = 0
        try:
            signal.alarm(timeout)
            try:
                world = setup()
            except (Failed, OSError, subprocess.SubprocessError) as e:
                self._tell(e)
                print("Bail out! the set-up failed", flush=True)
                sys.exit(1)
            finally:
                signal.alarm(0)
            print("# set-up: %.1f s" % (time.monotonic() - begun), flush=True)
            for n, (title, seconds, fn) in enumerate(self.all, 1):
                start = time.monotonic()
                signal.alarm(seconds)
                try:
                    fn(world)
                    signal.alarm(0)
                    print("ok %d - %s" % (n, title), flush=True)
                except Skip as e:
                    signal.alarm(0)
                    print("ok %d - %s # SKIP %s" % (n, title, e), flush=True)
                except Exception as e:
                    signal.alarm(0)
                    failed += 1
                    print("not ok %d - %s" % (n, title), flush=True)
                    self._tell(e)
                    for line in world.logs():
                        print("#   " + line, flush=True)
                print("#   %.2f s" % (time.monotonic() - start), flush=True)
        finally:
            signal.alarm(0)
            if world is not None:
                world.close()
        print("# %.1f s in all" % (time.monotonic() - begun), flush=True)
        sys.exit(1 if failed else 0)

    @staticmethod
    def _tell(e):
        text = str(e) if isinstance(e, Failed) else "".join(traceback.format_exception(e))
        for line in text.splitlines():
            print("# " + line, flush=True)

    @staticmethod
    def _late(*_):
        raise TimeoutError("out of time")

    @staticmethod
    def _interrupted(number, _):
        raise SystemExit(128 + number)


def same(got, want, what=""):
    if got != want:
        raise Failed("%s: got %r, expected %r" % (what or "value", got, want))


def check(condition, message):
    if not condition:
        raise Failed(message)
