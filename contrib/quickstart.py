# SPDX-License-Identifier: BSD-3-Clause
"""The second half of contrib/quickstart: the servers, the tour, the events."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))

import tour
from harness import World, real
from processes import Failed, mail_user

COLOR = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(code, text):
    return "\033[%sm%s\033[0m" % (code, text) if COLOR else text


def say(text=""):
    try:
        print(text, flush=True)
    except BrokenPipeError:  # a reader who has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(line):
    """One event: its name, then the JSON as it came, broken between parameters."""
    event = json.loads(line)
    say("  " + paint("1;32", event["event"]))
    width = min(shutil.get_terminal_size().columns, 120) - 5
    rows = [["{"]]
    used = 1
    for i, (key, value) in enumerate(event.items()):
        name, text = json.dumps(key), json.dumps(value, separators=(",", ":"))
        end = "}" if i == len(event) - 1 else ","
        size = len(name) + len(text) + 2
        if used + size > width and used > 1:
            rows.append([" "])
            used = 1
        rows[-1].append(paint("36", name) + ":" + text + end)
        used += size
    for row in rows:
        say("    " + "".join(row))


def folder(below):
    """A new folder for the servers, and the name to use for it: Cyrus takes no white space in the
    names of files, and a socket's name is at most 107 bytes long."""
    if below is None:
        path = tempfile.mkdtemp(prefix="mboxevent-quickstart-")
        return path, path
    os.makedirs(below, exist_ok=True)
    path = tempfile.mkdtemp(prefix="mboxevent-", dir=os.path.realpath(below))
    os.chmod(path, 0o755)
    up = os.path.dirname(path)
    while up != "/" and os.geteuid() == 0:
        if not os.stat(up).st_mode & stat.S_IXOTH:
            os.rmdir(path)
            raise Failed("%s is closed to user %s, whom Cyrus runs as; name a folder that all can "
                         "reach, or none" % (up, mail_user()))
        up = os.path.dirname(up)
    if len(path) <= 60 and not any(c.isspace() for c in path):
        return path, path
    link = os.path.join(tempfile.mkdtemp(prefix="mboxevent-link-"), "d")
    os.chmod(os.path.dirname(link), 0o755)
    os.symlink(path, link)
    return path, link


def remove(path, link):
    shutil.rmtree(path, ignore_errors=True)
    if link != path:
        os.unlink(link)
        os.rmdir(os.path.dirname(link))


def walk(world):
    """The tour. The number of steps whose events did not all come."""
    subscriber = world.subscribe()
    shown = 0
    missing = []

    def catch_up():
        nonlocal shown
        for line, event in list(zip(subscriber.raw, subscriber.events))[shown:]:
            shown += 1
            if real([event]):
                show(line)

    for step in tour.Tour(world.cyrus).steps():
        say(paint("1", "> " + step.title))
        since = shown
        wrong = []
        try:
            step.act()
            subscriber.wait(lambda e: not tour.find(e, step, since)[1], 10)
        except Failed as e:
            wrong = tour.find(subscriber.events, step, since)[1] or [str(e)]
        catch_up()
        for why in wrong:
            say(paint("1;31", "  MISSING ") + why)
            missing.append("%s: %s" % (step.title, why))
    catch_up()
    return shown, missing


def going_on(world):
    """Leaves the servers to themselves."""
    c, at = world.cyrus, world.box.at
    world.devlog.close()
    say("""
It keeps running. To go on (users john@example.org and jane@example.org, password secret):

  read mail      IMAP at 127.0.0.1:%d      LMTP at %s
  live events    echo | socat -t 86400 - UNIX-CONNECT:%s
  the journal    %s -C %s tail -f --pretty
  its state      %s -C %s status
  settings       %s; the lines that matter on a server of yours:"""
        % (c.imap_port, c.lmtp_socket, world.local, at("notifyctl"), c.imapd_conf,
           at("notifyctl"), c.imapd_conf, c.imapd_conf))
    for key in ("event_notifier", "event_groups", "mboxevent_journal", "notifyd_sinks",
                "notifyd_local_type", "notifyd_local_path"):
        say("                   %s: %s" % (key, c.conf[key]))
    say("  hook           Environment=LD_PRELOAD=... in a systemd drop-in for cyrus-imapd.service"
        "\n  stop           kill %d %d && rm -r %s\n"
        % (c.master.pid, world.notifyd.process.pid, world.box.path))


def failed(world, why):
    say(paint("1;31", "\nquickstart: ") + why)
    if world:
        say("What Cyrus, notifyd and the system log said is in %s; the ends of it:"
            % world.box.at("log"))
        for line in world.logs(8):
            say("  " + line)
    return 1


def main():
    begun = time.monotonic()
    keep = "--keep" in sys.argv[1:]
    given = [a for a in sys.argv[1:] if a != "--keep"]
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    world = path = link = None
    status = None
    try:
        path, link = folder(given[0] if given else None)
        say("Starting a private Cyrus IMAP with the hook, and notifyd, below %s" % path)
        world = World("quickstart", path=link, keep=True).start()
        count, missing = walk(world)
        if missing:
            status = failed(world, "%d expected events did not come:\n  %s"
                            % (len(missing), "\n  ".join(missing)))
        else:
            status = 0
            say(paint("1;32", "\nEvery expected event came, %d in all, in %.0f s."
                      % (count, time.monotonic() - begun)))
    except (Failed, OSError, subprocess.SubprocessError) as e:
        status = failed(world, str(e))
    finally:
        if keep and status == 0:
            going_on(world)
        else:
            if world:
                world.close()
            if path and (status != 1 or not world):  # of a failure the logs stay
                remove(path, link)
    if status == 0 and not keep:
        say("Stopped all that was started. How to do this on a server of yours: README.")
    sys.exit(status)


main()
