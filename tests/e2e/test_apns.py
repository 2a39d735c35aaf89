#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Apple Push, from a phone's registration over IMAP with a real Cyrus to the request at a strict
server of the provider API: who gets one, when, and what kills and outages leave of it."""

import hashlib
import json
import os
import signal
import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2")

import apns
import commands
from cyrus import message, ok
from harness import World
from processes import wait_for
from stage import Stage
from tap import check, same

case = tap.Cases()

JOHN, JANE = "john@example.org", "jane@example.org"
MAIL, CALENDAR = apns.TOPIC, commands.CONF["aps_topic_caldav"]
GATHER = 5  # seconds
QUIET = 0.8 # seconds without a request, where none must come


class Phones(World):
    def __init__(self):
        super().__init__("apns", conf={
            "aps_topic": MAIL, "aps_topic_caldav": CALENDAR, "failedloginpause": "0",
            "notifyd_sinks": "local phones", "notifyd_phones_type": "apns",
            "notifyd_phones_gather": "%ds" % GATHER, "notifyd_phones_push_due": "yes",
            "notifyd_phones_owners": JOHN})
        try:
            self.apns = apns.Apns(self.box, self.build)
            self.cyrus.configure({"notifyd_phones_url": self.apns.url,
                                  "notifyd_phones_cafile": self.apns.cafile})
            self.authenticate(token=True)
            self.apns.start("--topic", MAIL, "--topic", CALENDAR)
        except BaseException:
            self.box.close()
            raise
        self.seen = 0

    def authenticate(self, token):
        a = self.apns
        self.cyrus.configure({
            "notifyd_phones_token_key": a.token_key if token else None,
            "notifyd_phones_key_id": apns.KEY_ID if token else None,
            "notifyd_phones_team_id": apns.TEAM_ID if token else None,
            "notifyd_phones_certificate": None if token else a.client_certificate,
            "notifyd_phones_key": None if token else a.client_key})

    def pushes(self, n, timeout=60):
        """The next n requests; that no more come is for quiet() to see."""
        wait_for("%d pushes" % n, lambda: len(self.apns.requests()) >= self.seen + n, timeout)
        new = self.apns.requests()[self.seen:self.seen + n]
        self.seen += n
        return new

    def quiet(self):
        """Everything is seen, and no request is due."""
        self.settled()
        time.sleep(QUIET)
        same(self.apns.requests()[self.seen:], [], "requests beside those that must come")

    def status(self):
        return next(s for s in json.loads(self.notifyd.ctl("status", "--json").stdout)["sinks"]
                    if s["name"] == "phones")

    def settled(self):
        wait_for("the sink has seen everything",
                 lambda: (self.status()["lag"] or {}).get("events") == 0)

    def devices(self):
        r = self.notifyd.ctl("devices", "list", "--json", check=False)
        return json.loads(r.stdout) if r.returncode == 0 else []

    def worker(self):
        return self.status()["pid"]

    def enrol(self, session, token, account, mailboxes='"INBOX"'):
        ok(session.xatom("XAPPLEPUSHSERVICE", "aps-version", "2", "aps-account-id", account,
                         "aps-device-token", token, "aps-subtopic", "com.apple.mobilemail",
                         "mailboxes (%s)" % mailboxes))

    def flags(self, n):
        """As many events about John's inbox, at once."""
        self.send([{"event": "FlagsSet", "flagNames": "\\Flagged", "pid": 1, "uidset": "1",
                    "uri": "imap://%s@imap.example.org/INBOX;UIDVALIDITY=1" % JOHN,
                    "user": JOHN}] * n)


def setup():
    world = Phones()
    world.start()
    world.live = world.subscribe()
    world.stage = Stage(world.cyrus)
    world.john, world.jane = world.cyrus.imap(JOHN), world.cyrus.imap(JANE)
    return world


@case("XAPPLEPUSHSERVICE registers, and a delivery makes one push with all that Apple wants")
def deliver(world):
    world.enrol(world.john, apns.device(1).upper(), "ACCOUNT-1", '"INBOX" "D&AOk-j&AOA-" "Nowhere"')
    wait_for("the device is registered", lambda: world.devices())
    now = int(time.time())
    world.cyrus.deliver(message("Push"))
    p, = world.pushes(1)
    same(p["status"], 200)
    same((p[":method"], p[":path"]), ("POST", "/3/device/" + apns.device(1)))
    same(json.loads(p["body"]), {"aps": {"account-id": "ACCOUNT-1"}})
    same(p["apns-topic"], MAIL)
    same(p["apns-push-type"], "background")
    same(p["apns-collapse-id"], "ACCOUNT-1")
    same(p.get("apns-priority"), None)
    check(0 <= int(p["apns-expiration"]) - now - 86400 < 600, "expires %r" % p["apns-expiration"])
    world.quiet()


@case("what was due is an event too, without the token")
def push_due(world):
    e = world.live.find("PushDue", user=JOHN)
    same(e["apsAccountId"], "ACCOUNT-1")
    same(e["apsDeviceHash"], hashlib.sha256(apns.device(1).encode()).hexdigest())
    same(e["mailboxes"], ["INBOX"])
    same(e["reason"], "new")
    check(apns.device(1) not in json.dumps(world.live.events).lower(), "a token in an event")


@case("another's append to the inbox pushes its owner")
def by_owner(world):
    ok(world.john.setacl("INBOX", JANE, "lrswipte"))
    ok(world.jane.append('"Other Users/john"', None, None, message("From Jane")))
    p, = world.pushes(1)
    same(json.loads(p["body"]), {"aps": {"account-id": "ACCOUNT-1"}})
    world.quiet()


@case("a mailbox that was asked for in modified UTF-7; one that was not")
def mailboxes(world):
    ok(world.john.create("D&AOk-j&AOA-"))
    ok(world.john.create("Work"))
    world.enrol(world.john, apns.device(1), "ACCOUNT-2", '"INBOX" "D&AOk-j&AOA-"')
    wait_for("the account id is the new one",
             lambda: [d["account"] for d in world.devices()] == ["ACCOUNT-2"])
    ok(world.john.append("Work", None, None, message("Work")))
    ok(world.john.append("D&AOk-j&AOA-", None, None, message("Deja")))
    p, = world.pushes(1)
    same(json.loads(p["body"]), {"aps": {"account-id": "ACCOUNT-2"}})
    world.quiet()


@case("a user whose events the filter leaves out gets none")
def filtered(world):
    world.enrol(world.jane, apns.device(2), "JANE")
    world.cyrus.deliver(message("To Jane"), (JANE,))
    world.quiet()
    same([d["user"] for d in world.devices()], [JOHN])


@case("1,000 changes with kill -9 among them are one push")
def gathering(world):
    begun = time.monotonic()
    world.flags(500)
    world.settled()
    was = world.worker()
    os.kill(was, signal.SIGKILL)
    world.flags(500)
    wait_for("the worker is another", lambda: world.worker() not in (0, was))
    world.settled()
    took = time.monotonic() - begun
    world.pushes(1)
    if took < GATHER - 1:
        world.quiet()
    else:  # on a slow machine they do not fit into one window
        time.sleep(GATHER + QUIET)
        more = len(world.apns.requests()) - world.seen
        check(more <= took / GATHER + 1, "%d pushes more" % more)
        world.seen += more


@case("pushes wait for a server that is down, through kill -9 of everything")
def outage(world):
    world.apns.stop()
    world.cyrus.deliver(message("In the dark"))
    world.settled()
    wait_for("the log tells it", lambda: "; pushes wait" in world.notifyd.log())
    wait_for("status tells it", lambda: "retrying" in world.status()["state"] or
             "refused" in world.status()["state"])
    workers = world.notifyd.children()
    world.notifyd.kill()
    for pid in workers:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    world.apns.start("--topic", MAIL, "--topic", CALENDAR)
    world.notifyd.start()
    p, = world.pushes(1)
    same(p["status"], 200)
    world.live = world.subscribe()


@case("a server that is overloaded gets the push again")
def overloaded(world):
    world.apns.script(apns.device(1), {"status": 503, "reason": "ServiceUnavailable"})
    world.cyrus.deliver(message("Again"))
    same([p["status"] for p in world.pushes(2)], [503, 200])
    world.quiet()


@case("a calendar's device is pushed to when it changes")
def calendar(world):
    s = world.stage
    commands.put_event("Lunch")(s)
    commands.push_dav(s)
    wait_for("the device is registered",
             lambda: any(d["kind"] == "caldav" for d in world.devices()))
    world.quiet()
    commands.put_event("Dinner")(s)
    p, = world.pushes(1)
    same((p["status"], p["apns-topic"], p["apns-priority"]), (200, CALENDAR, "5"))
    body = json.loads(p["body"])
    same(sorted(body), ["dataChangedTimestamp", "key", "pushRequestSubmittedTimestamp"])
    check(body["key"].startswith(JOHN + "/"), body["key"])
    world.quiet()


@case("410: a device that is gone is removed, unless it registered since")
def gone(world):
    world.apns.script(apns.device(1), {"status": 410, "reason": "Unregistered",
                                       "timestamp": 1000})
    world.cyrus.deliver(message("Gone"))
    same(world.pushes(1)[0]["status"], 410)
    world.quiet()
    check(any(d["account"] == "ACCOUNT-2" for d in world.devices()), "it is removed")
    world.apns.script(apns.device(1), {"status": 410, "reason": "Unregistered",
                                       "timestamp": int(time.time() * 1000) + 3600000})
    world.cyrus.deliver(message("Gone indeed"))
    same(world.pushes(1)[0]["status"], 410)
    wait_for("it is removed", lambda: all(d["kind"] != "mail" for d in world.devices()))
    world.cyrus.deliver(message("For nobody"))
    world.quiet()


@case("BadDeviceToken removes the device too")
def bad_token(world):
    world.enrol(world.john, apns.device(3), "ACCOUNT-3")
    wait_for("the device is registered",
             lambda: any(d["account"] == "ACCOUNT-3" for d in world.devices()))
    world.apns.script(apns.device(3), {"status": 400, "reason": "BadDeviceToken"})
    world.cyrus.deliver(message("Bad"))
    same(world.pushes(1)[0]["status"], 400)
    wait_for("it is removed", lambda: all(d["kind"] != "mail" for d in world.devices()))


@case("with a client certificate, whose topic is mail's alone")
def certificate(world):
    world.authenticate(token=False)
    world.notifyd.stop()
    world.notifyd.start()
    world.enrol(world.john, apns.device(4), "ACCOUNT-4")
    wait_for("the device is registered",
             lambda: any(d["account"] == "ACCOUNT-4" for d in world.devices()))
    world.cyrus.deliver(message("Certified"))
    p, = world.pushes(1)
    same((p["status"], p["apns-topic"]), (200, MAIL))
    commands.put_event("Supper")(world.stage)  # its device is another topic's
    world.quiet()


@case("no token in logs and status")
def secrets(world):
    text = (world.notifyd.ctl("status").stdout + world.notifyd.log() +
            world.notifyd.ctl("devices", "list").stdout)
    for n in range(1, 5):
        check(apns.device(n) not in text.lower(), "a token is in %s" % text)


case.run(setup)
