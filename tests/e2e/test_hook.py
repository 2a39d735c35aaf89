#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""An unmodified Cyrus with the preloaded hook."""

import imaplib
import os
import re
import shutil
import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2")

from cyrus import message, ok
from harness import Stock, World, real
from processes import wait_for
from tap import check, same
import tour

case = tap.Cases()

ICS = ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example.org//test//EN\r\nBEGIN:VEVENT\r\n"
       "UID:1@example.org\r\nDTSTAMP:20240101T000000Z\r\nDTSTART:20240101T100000Z\r\n"
       "DTEND:20240101T110000Z\r\nSUMMARY:Lunch\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")


def setup():
    # Small segments, so that there are many.
    world = World("hook", conf={"mailnotifier": "log", "mboxevent_segment_size": "64K"})
    world.stock = Stock(world.box)
    world.cyrus.configure({"notifyd_forward": world.stock.path})
    world.start()
    world.durable = world.subscribe("hook")
    world.live = world.subscribe()
    return world


def subject(text):
    """The parameters by which an event of message(text) is known."""
    return {"vnd.cmu.midset": ["<%s@example.org>" % "-".join(text.lower().split())]}


@case("each act of a mail user brings its documented event")
def walk(world):
    world.walk(world.live)


@case("the same events, in the same order, reach a durable subscription")
def durable(world):
    last = world.live.events[-1]
    world.durable.wait(lambda e: last in e)
    events = real(world.durable.events)
    same(events[events.index(world.live.events[0]):], world.live.events, "events")
    same(len(set(world.durable.ids)), len(world.durable.ids), "distinct ids")


@case("every line is in the canonical form")
def canonical(world):
    check(len(world.live.raw) > 20, "too few lines")
    for line in world.live.raw:
        wrong = tour.canonical(line)
        check(wrong is None, wrong)


@case("notifyctl tail reads the same events from the journal")
def tail(world):
    lines = world.notifyd.ctl("tail").stdout.splitlines()
    missing = [line for line in world.live.raw if line not in lines]
    check(not missing, "not in the output of tail: %s" % missing[:3])


@case("CalDAV: an event put into a calendar")
def caldav(world):
    if not os.path.exists("/usr/lib/cyrus/bin/httpd"):
        return
    since = len(world.live.events)
    world.cyrus.caldav_put("lunch.ics", ICS)
    e = world.live.find("MessageNew", since, service="http")
    wrong = tour.matches(e, {"uri": tour.url("%23calendars/Default", tail="/;UID=1"),
                             "user": "john@example.org"})
    check(wrong is None, wrong)


@case("an event of 300 kB passes")
def large(world):
    people = ["person%05d@example.org" % n for n in range(8000)]
    lines = [", ".join(people[n:n + 10]) for n in range(0, len(people), 10)]
    john = world.cyrus.imap()
    ok(john.append("INBOX", None, None,
                   message("Large", headers="Cc: " + ",\r\n ".join(lines) + "\r\n")))
    e = world.live.find("MessageAppend", **subject("Large"))
    size = len(tour.json.dumps(e))
    check(size > 300000, "the event has only %d bytes" % size)
    world.durable.find("MessageAppend", **subject("Large"))
    john.logout()


@case("over quota: imapd answers NO and lives, QuotaExceed arrives")
def quota(world):
    admin = world.cyrus.admin()
    ok(admin.setquota("user/john@example.org", "(STORAGE 600)"))
    john = world.cyrus.imap()
    status, text = john.append("INBOX", None, None,
                               message("Too much", body=("x" * 70 + "\r\n") * 10000))
    same(status, "NO", "answer to APPEND (%r)" % text)
    ok(john.noop())
    e = world.live.find("QuotaExceed")
    wrong = tour.matches(e, {"diskQuota": 600, "maxMessages": -1, "user": "john@example.org",
                             "uri": tour.plain("INBOX")})
    check(wrong is None, wrong)
    john.logout()
    ok(admin.setquota("user/john@example.org", "()"))
    admin.logout()


@case("class MAIL takes the server's own way, EVENT does not")
def other_class(world):
    world.cyrus.deliver(message("For the stock notifyd"))
    got = wait_for("the datagram of class MAIL",
                   lambda: [d for d in world.stock.got if b"For the stock" in b"".join(d)])
    same(got[0][:2], [b"log", b"MAIL"], "method and class")
    check(all(d[1] != b"EVENT" for d in world.stock.got), "an EVENT went to the socket")
    world.live.find("MessageNew", **subject("For the stock notifyd"))


@case("notifyd killed: mail goes on, the events arrive when it is back")
def killed(world):
    world.notifyd.kill()
    john = world.cyrus.imap()
    for n in range(50):
        ok(john.append("INBOX", None, None, message("While away %d" % n)))
    john.logout()
    world.notifyd.start()
    for n in range(50):
        world.durable.find("MessageAppend", **subject("While away %d" % n))
    mids = [e["vnd.cmu.midset"][0] for e in world.durable.events
            if e["event"] == "MessageAppend" and "while-away" in str(e.get("vnd.cmu.midset"))]
    same(mids, [subject("While away %d" % n)["vnd.cmu.midset"][0] for n in range(50)], "order")


@case("imap_mboxevent_format: native concerns imapd alone")
def service_prefix(world):
    world.cyrus.stop()
    world.cyrus.configure({"imap_mboxevent_format": "native"})
    world.cyrus.start()
    live = world.subscribe()
    john = world.cyrus.imap()
    ok(john.append("INBOX", None, None, message("From imapd")))
    e = live.find("MessageAppend", **subject("From imapd"))
    check(e["uri"].startswith("imap://imap.example.org/user/john%40example.org;"), e["uri"])
    world.cyrus.deliver(message("From lmtpd"))
    e = live.find("MessageNew", **subject("From lmtpd"))
    check(e["uri"].startswith("imap://john@example.org@imap.example.org/INBOX;"), e["uri"])
    john.logout()
    world.cyrus.stop()
    world.cyrus.configure({"imap_mboxevent_format": None})
    world.cyrus.start()


def mail_works(world, what):
    """APPEND, STORE and a delivery, each answered OK."""
    john = world.cyrus.imap()
    ok(john.append("INBOX", None, None, message(what)))
    ok(john.select("INBOX"))
    ok(john.store("1", "+FLAGS", r"(\Flagged)"))
    ok(john.store("1", "-FLAGS", r"(\Flagged)"))
    world.cyrus.deliver(message(what + " by LMTP"))
    john.logout()


@case("journal full: mail goes on, the loss is counted, and told")
def full(world):
    world.cyrus.stop()
    world.notifyd.stop()
    world.cyrus.configure({"mboxevent_max_size": "128K"})
    world.cyrus.start()
    john = world.cyrus.imap()
    ok(john.select("INBOX"))
    for n in range(250):
        ok(john.store("1", "%sFLAGS" % "+-"[n % 2], r"(\Flagged)"))
    mail_works(world, "Full")
    john.logout()
    status = world.notifyd.ctl("status", check=False).stdout
    check(re.search(r"(?m)^lost +[1-9]", status), "status does not tell of lost events: " + status)
    check(re.search(r"(?m)^ +[1-9]\d* max_size: the journal was full", status), status)
    world.cyrus.stop()
    world.cyrus.configure({"mboxevent_max_size": None})
    world.cyrus.start()
    world.notifyd.start()
    mail_works(world, "Room again")
    world.durable.find("MessageAppend", **subject("Room again"))


@case("journal not a folder: mail goes on")
def closed(world):
    os.rename(world.cyrus.journal, world.cyrus.journal + ".away")
    with open(world.cyrus.journal, "w", encoding="ascii"):
        pass
    mail_works(world, "No folder")
    os.unlink(world.cyrus.journal)
    os.rename(world.cyrus.journal + ".away", world.cyrus.journal)


@case("journal removed: mail goes on, in old and in new processes")
def removed(world):
    john = world.cyrus.imap()
    ok(john.append("INBOX", None, None, message("Before")))
    world.notifyd.stop()
    shutil.rmtree(world.cyrus.journal)
    ok(john.append("INBOX", None, None, message("After")))
    ok(john.noop())
    mail_works(world, "Removed")
    world.cyrus.stop()
    world.cyrus.start()
    mail_works(world, "Still removed")
    try:
        john.logout()
    except (OSError, imaplib.IMAP4.error):
        pass  # its server was restarted


@case("a new journal is taken up")
def remade(world):
    world.box.folder("journal", mode=0o700)
    world.notifyd.start()
    live = world.subscribe()
    time.sleep(0.2)  # who was refused asks again after 100 ms
    mail_works(world, "New journal")
    live.find("MessageAppend", **subject("New journal"))


case.run(setup)
