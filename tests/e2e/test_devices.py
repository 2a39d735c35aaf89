#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""notifyctl devices, while notifyd runs and while it does not."""

import json
import os
import shutil
import stat
import subprocess

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import wait_for
from tap import check, same

case = tap.Cases()

JOHN, JANE = "john@example.org", "jane@example.org"
TOKENS = {JOHN: "ab" * 32, JANE: "cd" * 32}


def setup():
    world = World("devices", conf={
        "notifyd_sinks": "local phones", "notifyd_phones_type": "apns",
        "notifyd_phones_push": "no", "notifyd_phones_push_due": "yes",
        "notifyd_other_type": "apns", "notifyd_other_push": "no",
        "notifyd_other_push_due": "yes"})
    world.box.own(world.box.folder("journal"))
    world.notifyd.start()
    world.live = world.subscribe()
    return world


def devices(world, *args, check=True, **more):
    return world.notifyd.ctl("devices", *args, check=check, **more)


def refused(world, code, text, *args, **more):
    r = devices(world, *args, check=False, **more)
    same((r.returncode, r.stdout), (code, ""), " ".join(args))
    check(text in r.stderr, r.stderr)
    for token in TOKENS.values():
        check(token not in r.stderr, "a token is told")


def register(world, user, account, mailboxes):
    world.send([{"event": "ApplePushService", "apsAccountId": account, "apsVersion": 2,
                 "apsDeviceToken": TOKENS[user].upper(), "apsSubtopic": "com.apple.mobilemail",
                 "mailboxes": mailboxes, "pid": 1, "user": user}])
    wait_for("%s is registered" % account,
             lambda: any(d["account"] == account for d in listed(world)))


def listed(world):
    r = devices(world, "list", "--json", check=False)
    return json.loads(r.stdout) if r.returncode == 0 else []


def new_mail(world, owner, folder="INBOX"):
    world.send([{"event": "MessageNew", "pid": 1, "user": owner, "uri":
                 "imap://%s@imap.example.org/%s;UIDVALIDITY=1/;UID=1" % (owner, folder)}])


@case("nothing is registered yet")
def empty(world):
    wait_for("the registry is there",
             lambda: devices(world, "list", check=False).returncode == 0)
    same(devices(world, "list").stdout, "There are no devices.\n")
    same(listed(world), [])


@case("list and show: shortened tokens, and what is watched")
def show(world):
    register(world, JOHN, "ACCOUNT-1", ["INBOX", "D&AOk-j&AOA-", "Shared Folders/team"])
    register(world, JANE, "ACCOUNT-2", [])
    text = devices(world, "list").stdout
    check("abababab..." in text and JOHN in text and "ACCOUNT-2" in text, text)
    one = devices(world, "show", "account-1").stdout
    for want in ("user:       " + JOHN, "kind:       mail", "token:      abababab...",
                 "expires:    never", "mailbox:    INBOX (INBOX of %s)" % JOHN,
                 "mailbox:    D&AOk-j&AOA- (D\u00e9j\u00e0 of %s)" % JOHN,
                 "mailbox:    Shared Folders/team (team@example.org, nobody's)"):
        check(want + "\n" in one, "%r is not in %s" % (want, one))
    same(devices(world, "show", "phones", TOKENS[JOHN][:10].upper()).stdout, one)
    for out in (text, one, json.dumps(listed(world))):
        for token in TOKENS.values():
            check(token not in out, "a token is shown")


@case("export: with whole tokens, for nobody else to read; import takes it")
def exported(world):
    path = world.box.at("run", "devices.jsonl")
    refused(world, 64, "--output", "export")
    same(devices(world, "export", "--output", path).stdout, "")
    world.box.own(path)
    same(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    with open(path, encoding="ascii") as f:
        text = f.read()
    same(sorted(json.loads(line)["token"] for line in text.splitlines()),
         sorted(TOKENS.values()))
    same(devices(world, "export", "-o", "-").stdout, text)
    refused(world, 73, "exists", "export", "-o", path)
    devices(world, "remove", "ACCOUNT-1")
    devices(world, "remove", "ACCOUNT-2")
    same(listed(world), [])
    devices(world, "import", path)
    same(devices(world, "export", "-o", "-").stdout, text)
    devices(world, "import", "phones", "-", input=text)
    same(devices(world, "export", "-o", "-").stdout, text)


@case("lines that come slowly do not hold the sink up")
def slowly(world):
    devices(world, "remove", "ACCOUNT-1")
    p = subprocess.Popen([world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "devices", "import",
                          "-"], stdin=subprocess.PIPE, text=True)
    try:
        p.stdin.write(json.dumps({"kind": "mail", "token": TOKENS[JOHN], "account": "SLOW",
                                  "user": JOHN}) + "\n")
        p.stdin.flush()
        wait_for("it waits for more", lambda: waits_for_input(p.pid))
        register(world, JANE, "MEANWHILE", [])
    finally:
        p.stdin.close()
        same(p.wait(60), 0, "exit status")
    check("SLOW" in devices(world, "list").stdout, "it is not there")
    check("locked" not in world.notifyd.log(), "the sink met a lock")
    devices(world, "remove", "SLOW")
    devices(world, "remove", "MEANWHILE")
    register(world, JOHN, "ACCOUNT-1", ["INBOX"])
    register(world, JANE, "ACCOUNT-2", [])


READ = "0" if os.uname().machine == "x86_64" else "63"  # of the systems that came after it


def waits_for_input(pid):
    """Blocked in read(2) of its standard input."""
    try:
        with open("/proc/%d/syscall" % pid, encoding="ascii") as f:
            return f.read().split()[:2] == [READ, "0x0"]
    except OSError:
        return False


@case("the running sink knows at once")
def running(world):
    def due(account):
        return world.live.find("PushDue", apsAccountId=account)
    new_mail(world, JOHN)
    due("ACCOUNT-1")
    devices(world, "remove", "ACCOUNT-1")
    world.live.events.clear()
    new_mail(world, JOHN)
    new_mail(world, JANE)
    due("ACCOUNT-2")
    check(not [e for e in world.live.events if e.get("apsAccountId") == "ACCOUNT-1"],
          "an event about a device that was removed")
    devices(world, "import", "-", input=json.dumps(
        {"kind": "mail", "token": TOKENS[JOHN], "account": "IMPORTED", "user": JOHN}) + "\n")
    new_mail(world, JOHN)
    due("IMPORTED")


@case("many at once do not hold the sink up")
def many(world):
    lines = "".join(json.dumps({
        "kind": "mail", "token": "%064x" % n, "account": "MANY-%d" % n,
        "user": "user%d@example.org" % n, "mailboxes": ["INBOX"]}) + "\n" for n in range(20000))
    devices(world, "import", "-", input=lines)
    register(world, JANE, "ACCOUNT-9", [])
    same(len(listed(world)), 20002)
    check("locked" not in world.notifyd.log(), "the sink met a lock")


@case("mistakes, each told once, without what the line holds")
def mistakes(world):
    refused(world, 64, "list, show", "forget")
    refused(world, 64, "list, show")
    refused(world, 64, "missing", "show")
    refused(world, 64, "no apns sink nowhere", "list", "nowhere")
    refused(world, 64, "no apns sink local", "list", "local")
    refused(world, 66, "begins with that", "show", "nothing")
    refused(world, 64, "devices begin with that", "remove", "MANY-1")
    refused(world, 66, "has registered with other", "list", "other")
    refused(world, 66, "No such file", "import", "/nowhere")
    good = {"kind": "mail", "token": TOKENS[JOHN], "account": "A", "user": JOHN}
    for bad, text in (("{", "not a JSON object"), ("[1]", "kind must be"),
                      (json.dumps({**good, "kind": "x"}), "kind must be"),
                      (json.dumps({**good, "token": "xyz" + TOKENS[JOHN]}), "token must be"),
                      (json.dumps({**good, "account": "A B"}), "account must be"),
                      (json.dumps({**good, "kind": "caldav"}), "account must be USER"),
                      (json.dumps({**good, "user": ""}), "user is missing")):
        refused(world, 65, "-:2: " + text, "import", "-",
                input=json.dumps({**good, "account": "GOOD"}) + "\n" + bad + "\n")
    check(any(d["account"] == "GOOD" for d in listed(world)), "good lines are taken all the same")


@case("a sink that is off still has its devices; several sinks must be told apart")
def several(world):
    world.cyrus.configure({"notifyd_sinks": "local phones other"})
    refused(world, 64, "several", "list")
    check(devices(world, "list", "phones").stdout, "nothing")
    world.cyrus.configure({"notifyd_sinks": "local"})
    refused(world, 64, "names no sink", "list")
    check("GOOD" in devices(world, "list", "phones").stdout, "its devices are gone")
    world.notifyd.stop()
    check("GOOD" in devices(world, "list", "phones").stdout, "its devices are gone")


@case("root's notifyctl writes as the mail user, and its own files as root")
def root(world):
    if os.geteuid() != 0:
        print("# not root: nothing to give up")
        return
    def run(*args):
        return subprocess.run([world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "devices",
                               *args], text=True, capture_output=True, check=False, timeout=60)
    journal = world.cyrus.conf["mboxevent_journal"]
    registry = os.path.join(journal, "devices-phones.sqlite3")
    own = world.box.at("root")
    os.mkdir(own, 0o700)
    out = os.path.join(own, "devices.jsonl")
    r = run("export", "phones", "--output", out)
    same((r.returncode, os.stat(out).st_uid), (0, 0), r.stderr)
    uid = os.stat(journal).st_uid
    r = run("import", "phones", out)
    same(r.returncode, 0, r.stderr)
    same({os.stat(os.path.join(journal, n)).st_uid for n in os.listdir(journal)}, {uid})
    # a file of root's in the registry's place is neither read nor given away
    secret = os.path.join(own, "secret")
    shutil.copy(registry, secret)
    os.chmod(secret, 0o600)
    os.rename(registry, registry + ".away")
    os.link(secret, registry)
    for args in (["list", "phones"], ["import", "phones", out]):
        r = run(*args)
        check(r.returncode and not r.stdout, "%s: %s" % (args[0], r.stdout))
        same((os.stat(secret).st_uid, os.stat(secret).st_nlink), (0, 2), args[0])


case.run(setup)
