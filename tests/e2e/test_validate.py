#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""notifyctl validate: what it says where, and its exit codes."""

import glob
import os
import subprocess
import tempfile

import tap
from tap import Cases, check, same

NOTIFYCTL = os.path.join(tap.top("TOP_BUILDDIR"), "notifyd", "notifyctl")
DATA = os.path.join(tap.top("TOP_SRCDIR"), "tests", "data")
OK, USAGE, DATAERR, NOINPUT = 0, 64, 65, 66
case = Cases()


class World:
    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="mboxevent-validate-")

    def file(self, data):
        path = os.path.join(self.directory.name, "events")
        with open(path, "wb") as f:
            f.write(data)
        return path

    def close(self):
        self.directory.cleanup()

    @staticmethod
    def logs():
        return []


def run(*args, data=b""):
    p = subprocess.run([NOTIFYCTL, "-C", "/nonexistent", "validate", *args], input=data,
                       capture_output=True, timeout=30, check=False)
    return p.returncode, p.stdout.decode("ascii"), p.stderr.decode()


def examples():
    with open(os.path.join(DATA, "documented-events.jsonl"), "rb") as f:
        return f.read().splitlines(keepends=True)


@case("documented events are valid; it needs no configuration")
def _(w):
    good = b"".join(examples()[:21])
    same(run(w.file(good)), (OK, "", ""))
    same(run("-", data=good), (OK, "", ""))
    same(run("-", data=good.rstrip(b"\n")), (OK, "", ""))
    same(run("-", data=b""), (OK, "", ""))
    same(run("-v", "-", data=good),
         (OK, "", "notifyctl: 21 events, 0 of them not in the documented form\n"))


@case("so is what real servers' events become, in every configuration")
def _(w):
    files = glob.glob(os.path.join(DATA, "cyrus-*-documented.jsonl")) + \
        glob.glob(os.path.join(DATA, "cyrus-*-more", "*", "expected"))
    check(len(files) > 2, files)
    for name in files:
        with open(name, "rb") as f:
            events = b"".join(line for line in f if line != b"DROP\n")
        same(run("-", data=events), (OK, "", ""), name)


@case("faults are told with file, line, event and parameter, and the rest is checked too")
def _(w):
    good = examples()[3]
    text = good + good.replace(b'"pid":7629', b'"pid":"7629"') + good + b"\n{\n" + \
        good.replace(b'"user":"john@example.org",', b"") + b'{"event":"Party"}\n'
    path = w.file(text)
    code, out, err = run(path)
    same(code, DATAERR)
    same(err, "")
    told = out.splitlines()
    same(told[0], path + ":2: Login: pid: must be a whole number, not a string")
    check(told[1].startswith(path + ":4: column "), told[1])
    check(told[2].startswith(path + ":5: column "), told[2])
    same(told[3:], [path + ":6: Login: user: is missing",
                    path + ":7: Party: event: is not the name of an event"])


@case("a line that is not canonical is a fault, unless --loose")
def _(w):
    good = examples()[3]
    for text in (good.replace(b",", b", "), b'{"z":1,' + good[1:],
                 good.replace(b"john", "j\u00f6hn".encode()), good.replace(b"\n", b"\r\n")):
        code, out, _ = run("-", data=text)
        same(code, DATAERR, text)
        check(out.startswith("-:1: Login: is not canonical: "), out)
        same(run("-l", "-", data=text), (OK, "", ""))
        same(run("--loose", "-", data=text), (OK, "", ""))
    same(run("-l", "-", data=good.replace(b'"user"', b'"User"'))[0], DATAERR)


@case("bytes that no terminal should see are escaped")
def _(w):
    code, out, _ = run("-", data=b'{"event":"\\u001b[31m\xc3\xbc"}\n\xff\xfe\x00\n')
    same(code, DATAERR)
    check(all(" " <= c <= "~" or c == "\n" for c in out), repr(out))
    check("\\u001b[31m\\u00fc" in out, out)
    same(len(out.splitlines()), 3)


@case("exit codes of sysexits.h")
def _(w):
    same(run(os.path.join(w.directory.name, "none"))[0], NOINPUT)
    same(run()[0], USAGE)
    same(run("a", "b")[0], USAGE)
    same(run("--nonsense", "-")[0], USAGE)
    code, out, _ = run("--help")
    same(code, OK)
    check("--loose" in out, out)


case.run(World)
