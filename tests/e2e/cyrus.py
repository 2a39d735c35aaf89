# SPDX-License-Identifier: BSD-3-Clause
"""A private Cyrus IMAP of the distribution on the loopback, with or without the hook."""

import base64
import http.client
import imaplib
import os
import shutil
import smtplib

from processes import Failed, wait_for

BIN = "/usr/lib/cyrus/bin"
MASTER = "/usr/sbin/cyrmaster"
PASSWORD = "secret"
EXTRA_PARAMS = ("bodyStructure clientAddress diskUsed flagNames messageSize messages modseq service "
                "timestamp uidnext vnd.cmu.midset vnd.cmu.unseenMessages vnd.cmu.envelope "
                "vnd.cmu.sessionId vnd.cmu.davFilename vnd.cmu.davUid")

imaplib._MAXLINE = 10 << 20  # our own server may answer with long lines


class Cyrus:
    """Users cyrus (the admin), john@example.org and jane@example.org. hook: the shared object to
    preload, or None. conf: lines of imapd.conf that the test wants, ours and Cyrus's."""

    def __init__(self, box, hook=None, conf=None, devlog=None):
        self.box = box
        self.dir = box.folder("cyrus")
        self.imap_port = box.port()
        self.http_port = box.port()
        self.lmtp_socket = box.at("cyrus", "run", "lmtp")
        self.imapd_conf = box.at("imapd.conf")
        self.journal = box.folder("journal", mode=0o700)
        self.master = None
        self.accounts = [("cyrus", "imap.example.org"), ("john", "example.org"),
                         ("jane", "example.org")]
        self.inboxes = ["user/john@example.org", "user/jane@example.org"]
        self.services = self.daemons = ""  # more lines for cyrus.conf
        self.hook = None
        if hook:
            # The build folder may be closed to the mail user.
            self.hook = shutil.copy(hook, box.at("cyrus.so"))
            os.chmod(self.hook, 0o755)
        at = lambda *names: box.at("cyrus", *names)
        for name in ("conf", "conf/db", "conf/socket", "spool", "run", "proc", "lock", "sieve"):
            box.folder("cyrus", name)
        self.conf = {
            "configdirectory": at("conf"),
            "proc_path": at("proc"),
            "mboxname_lockpath": at("lock"),
            "defaultpartition": "default",
            "partition-default": at("spool"),
            "cyrus_user": box.user,
            "admins": "cyrus",
            "servername": "imap.example.org",
            "virtdomains": "userid",
            "unixhierarchysep": "yes",
            "altnamespace": "yes",
            "sieveusehomedir": "no",
            "sievedir": at("sieve"),
            "httpmodules": "caldav",
            "caldav_alarm_db_path": at("conf", "alarm.sqlite3"),
            "conversations": "yes",
            "allowplaintext": "yes",
            "sasl_pwcheck_method": "auxprop",
            "sasl_auxprop_plugin": "sasldb",
            "sasl_sasldb_path": at("sasldb2"),
            "sasl_mech_list": "PLAIN LOGIN",
            "lmtpsocket": self.lmtp_socket,
            "idlesocket": at("run", "idle"),
            "notifysocket": box.at("run", "notify"),
            "event_notifier": "mboxevent",
            "event_groups": "message quota flags access mailbox subscription calendar "
                            "applepushservice",
            "event_content_inclusion_mode": "standard",
            "event_extra_params": EXTRA_PARAMS,
            "mboxevent_journal": self.journal,
        }
        box.folder("run")
        self.configure(conf or {})

    def configure(self, conf):
        """Changes lines (None: takes them out) and writes the file. Cyrus reads it when a
        process starts."""
        self.conf.update(conf)
        with open(self.imapd_conf + ".new", "w", encoding="utf-8") as f:
            for key, value in self.conf.items():
                if value is not None:
                    f.write("%s: %s\n" % (key, value))
        self.box.own(self.imapd_conf + ".new")
        os.rename(self.imapd_conf + ".new", self.imapd_conf)

    def start(self):
        box, at = self.box, self.box.at
        if not os.path.exists(at("cyrus", "sasldb2")):
            for user, realm in self.accounts:
                box.run(["/usr/sbin/saslpasswd2", "-p", "-c", "-f", at("cyrus", "sasldb2"),
                         "-u", realm, user], input=PASSWORD)
            box.own(at("cyrus", "sasldb2"))
        option = "-C %s" % self.imapd_conf
        with open(at("cyrus.conf"), "w", encoding="utf-8") as f:
            f.write("START {\n recover cmd=\"%s/ctl_cyrusdb %s -r\"\n}\n" % (BIN, option))
            f.write("SERVICES {\n")
            f.write(" imap cmd=\"%s/imapd %s\" listen=\"127.0.0.1:%d\" prefork=1\n"
                    % (BIN, option, self.imap_port))
            if os.path.exists(BIN + "/httpd"):
                f.write(" http cmd=\"%s/httpd %s\" listen=\"127.0.0.1:%d\" prefork=0\n"
                        % (BIN, option, self.http_port))
            f.write(" lmtpunix cmd=\"%s/lmtpd -a %s\" listen=\"%s\" prefork=0\n"
                    % (BIN, option, self.lmtp_socket))
            f.write(self.services + "}\nEVENTS {\n}\nDAEMON {\n" + self.daemons + "}\n")
        env = {"LD_PRELOAD": self.hook} if self.hook else {}
        self.master = box.start("cyrus", [MASTER, "-C", self.imapd_conf, "-M", at("cyrus.conf"),
                                          "-p", at("cyrus", "master.pid"), "-D"], env=env)
        admin = wait_for("Cyrus answers IMAP on port %d" % self.imap_port, self._up)
        for inbox in self.inboxes:
            if admin.list('""', inbox)[1] == [None]:
                ok(admin.create(inbox))
        admin.logout()

    def _up(self):
        if self.master.poll() is not None:
            raise Failed("Cyrus ended with status %d; it tells why in syslog alone (%s)"
                         % (self.master.returncode, self.box.at("log")))
        try:
            return self.admin()
        except (OSError, imaplib.IMAP4.error):
            return None

    def stop(self):
        if self.master:
            self.box.stop(self.master)
            self.master = None

    def imap(self, user="john@example.org"):
        """A session that is logged in."""
        i = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=30)
        i.login(user, PASSWORD)
        return i

    def admin(self):
        return self.imap("cyrus")

    def deliver(self, message, recipients=("john@example.org",), sender="jane@example.org"):
        """Over LMTP, as a mail transport does. message: bytes with CRLF."""
        lmtp = smtplib.LMTP(self.lmtp_socket)
        lmtp.sock.settimeout(30)
        try:
            lmtp.sendmail(sender, list(recipients), message)
        finally:
            lmtp.close()

    def caldav_put(self, name, text, user="john@example.org"):
        """Puts an iCalendar object into the user's default calendar."""
        h = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        login = base64.b64encode(("%s:%s" % (user, PASSWORD)).encode()).decode()
        h.request("PUT", "/dav/calendars/user/%s/Default/%s" % (user, name), body=text.encode(),
                  headers={"Authorization": "Basic " + login, "Content-Type": "text/calendar"})
        status = h.getresponse().status
        h.close()
        if status not in (201, 204):
            raise Failed("CalDAV PUT: status %d" % status)


def ok(answer):
    """The data of an IMAP answer that must be OK."""
    if answer[0] != "OK":
        raise Failed("IMAP: %r" % (answer,))
    return answer[1]


def message(subject, body="Hello.\r\n", headers=""):
    return ("From: Jane <jane@example.org>\r\nTo: John <john@example.org>\r\nSubject: %s\r\n"
            "Date: Mon, 23 Feb 2015 14:50:00 +0100\r\nMessage-ID: <%s@example.org>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n%s\r\n%s"
            % (subject, "-".join(subject.lower().split()), headers, body)).encode()
