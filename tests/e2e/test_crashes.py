#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Events that end a process of stock Cyrus 3.6.1 by its own assertion, and the hook under which
it lives on, the event in its documented form."""

import imaplib
import re
import smtplib
import subprocess

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2")

import cyrus
from cyrus import message, ok
from devlog import Devlog
from expect import ABSENT, Event
from notifyd import hook
from processes import Box, Failed, wait_for
from stage import ADMIN, BIG, Row, Stage
from tap import check, same
from tour import JOHN

INBOX = "user/john@example.org"
ASSERTION = "filled_params(type, event)"
case = tap.Cases()


class Server:
    """A Cyrus with every group of events on. devlog: where it logs, else one of its own."""

    def __init__(self, preload, devlog=None):
        self.box = Box("crash")
        try:
            self.devlog = devlog or Devlog(self.box)
            self.cyrus = cyrus.Cyrus(self.box, hook(tap.top("TOP_BUILDDIR")) if preload else None)
            self.cyrus.start()
            self.stage = Stage(self.cyrus) if preload else None
        except BaseException:
            self.box.close()
            raise

    def quota(self, limit):
        admin = self.cyrus.admin()
        ok(admin.setquota(INBOX, limit))
        admin.logout()

    def fill(self):
        """John's inbox over its limit of STORAGE."""
        self.quota("(STORAGE 100)")
        john = self.cyrus.imap()
        ok(john.append("INBOX", None, None, message("Large", BIG * 9)))
        john.logout()
        self.quota("(STORAGE 5)")

    def syslog(self):
        if not self.devlog.active:
            return ""
        with open(self.devlog.file.name, encoding="utf-8", errors="replace") as f:
            return f.read()


class Both:
    def __init__(self):
        version = subprocess.run([cyrus.MASTER, "-V"], text=True, check=False,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
        print("# Cyrus: %s" % version.strip(), flush=True)
        self.hooked = Server(True)
        try:
            self.stock = Server(False, self.hooked.devlog)
        except BaseException:
            self.hooked.box.close()
            raise

    def logs(self):
        return self.hooked.box.logs() + self.stock.box.logs()

    def close(self):
        # The first to close ends the children of this process, the other's among them.
        self.stock.box.close()
        self.hooked.box.close()


def dies(server, service, act):
    """act() loses its connection, since the process at its other end ends by the assertion, and
    says so."""
    before = len(server.syslog())
    try:
        got = act()
    except (imaplib.IMAP4.abort, smtplib.SMTPRecipientsRefused) as e:
        check(ASSERTION in str(e), "stock %s: %s" % (service, e))
        print("# %s: %s" % (service, e), flush=True)
    else:
        raise Failed("stock %s answered %r: is this a Cyrus without that fault?" % (service, got))
    if server.devlog.active:
        told = re.compile(service + r"\[\d+\]: .*" + re.escape(ASSERTION))
        wait_for("syslog tells of the assertion in " + service,
                 lambda: told.search(server.syslog()[before:]))


def lives(server, act, *events):
    """act() is answered, and exactly these events come of it."""
    result = server.stage.run(Row("", act, *events))
    if result.bad:
        raise Failed("\n".join(result.bad))


def settle(stage):
    """Takes what belongs to no row."""
    stage.journal.until(lambda got: False, 0.3)


def append_over(server):
    return server.cyrus.imap().append("INBOX", None, None, message("Too much", BIG * 9))


def refused(answer):
    same(answer[0], "NO", "answer to APPEND (%r)" % (answer,))


@case("imapd: APPEND over a quota of STORAGE alone (QuotaExceed)")
def append(both):
    both.stock.quota("(STORAGE 5)")
    dies(both.stock, "imap", lambda: append_over(both.stock))
    stage = both.hooked.stage
    both.hooked.quota("(STORAGE 5)")
    stage.login(JOHN)
    settle(stage)
    lives(both.hooked, lambda s: refused(s[JOHN].append("INBOX", None, None,
                                                       message("Too much", BIG * 9))),
          Event("QuotaExceed", "INBOX", diskQuota=5, diskUsed=0, maxMessages=-1, messages=ABSENT))
    ok(stage[JOHN].noop())


@case("lmtpd: delivery over a quota of STORAGE alone (QuotaExceed)")
def deliver(both):
    both.stock.fill()
    dies(both.stock, "lmtpunix", lambda: both.stock.cyrus.deliver(message("Refused")))
    both.hooked.fill()
    settle(both.hooked.stage)

    def act(_):
        lmtp = smtplib.LMTP(both.hooked.cyrus.lmtp_socket)
        lmtp.ehlo()
        lmtp.mail("jane@example.org")
        code, text = lmtp.rcpt(JOHN)
        check(code >= 400 and b"quota" in text.lower(), "answer to RCPT: %d %r" % (code, text))
        same(lmtp.noop()[0], 250, "answer to NOOP by the same lmtpd")
        lmtp.close()

    lives(both.hooked, act, Event("QuotaExceed", "INBOX", diskQuota=5, maxMessages=-1,
                                  messages=ABSENT, service="lmtpunix"))


def setquota(limit, **want):
    @case("imapd: SETQUOTA %s (QuotaChange)" % limit)
    def change(both):
        admin = both.stock.cyrus.admin()
        dies(both.stock, "imap", lambda: admin.setquota(INBOX, limit))
        stage = both.hooked.stage
        if ADMIN not in stage.sessions:
            stage.login(ADMIN)
        settle(stage)
        lives(both.hooked, lambda s: ok(s[ADMIN].setquota(INBOX, limit)),
              Event("QuotaChange", "INBOX", **want))
        ok(stage[ADMIN].noop())


setquota("()", diskQuota=-1, maxMessages=-1)
setquota("(MESSAGE 50)", diskQuota=-1, maxMessages=50)
setquota("(X-NUM-FOLDERS 50)", diskQuota=-1, maxMessages=-1)


@case("imapd: EXPUNGE back within a quota of STORAGE alone (QuotaWithin)")
def within(both):
    both.stock.fill()
    dies(both.stock, "imap", lambda: expunge(both.stock.cyrus.imap()))
    both.hooked.quota("()")
    both.hooked.fill()
    settle(both.hooked.stage)
    stage = both.hooked.stage
    ok(stage[JOHN].select("INBOX"))
    ok(stage[JOHN].store("1:*", "+FLAGS", r"(\Deleted)"))
    settle(stage)
    lives(both.hooked, lambda s: ok(s[JOHN].expunge()),
          Event("QuotaWithin", "INBOX", diskQuota=5, maxMessages=-1, messages=ABSENT),
          Event("MessageExpunge", "INBOX", uidset="1:2"))
    ok(stage[JOHN].noop())


def expunge(john):
    ok(john.select("INBOX"))
    ok(john.store("1:*", "+FLAGS", r"(\Deleted)"))
    return john.expunge()


@case("the hook tells of it in syslog")
def told(both):
    if both.hooked.devlog.active:
        check("kept Cyrus alive: " + ASSERTION in both.hooked.syslog(), "it says nothing")


case.run(Both)
