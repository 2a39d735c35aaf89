# SPDX-License-Identifier: BSD-3-Clause
"""Ways to configure Cyrus's mailbox names, and what each of them must come to in documented URLs
and in the facts of records: always the same, but for the domain."""

import itertools
import re

from commands import APPLE, TOKEN
from cyrus import message, ok
from expect import SERVER, Event, Place, form
from stage import ADMIN, Row, append, chain, mid, on

# Those whose native events are kept as samples.
SAMPLES = ("virt-off-slash-alt", "virt-off-dot-std", "virt-userid-dot-alt", "virt-on-slash-std",
           "virt-on-dot-alt-default")


class Names:
    """One configuration, and how the admin and users spell mailboxes in it."""

    def __init__(self, virtdomains, sep, alt, defaultdomain=None, prefix="DELETED"):
        self.virtdomains, self.alt, self.defaultdomain = virtdomains, alt, defaultdomain
        self.prefix = prefix  # of deleted mailboxes
        self.sep = "/" if sep == "yes" else "."
        self.conf = {"virtdomains": virtdomains, "unixhierarchysep": sep, "altnamespace": alt,
                     "defaultdomain": defaultdomain,
                     "deletedprefix": prefix if prefix != "DELETED" else None}
        self.title = "virtdomains %s, unixhierarchysep %s, altnamespace %s%s" % (
            virtdomains, sep, alt, ", defaultdomain %s, deletedprefix %s" % (
                defaultdomain, prefix) if defaultdomain else "")
        self.short = "virt-%s-%s-%s%s" % (virtdomains, "slash" if sep == "yes" else "dot",
                                          "alt" if alt == "yes" else "std",
                                          "-default" if defaultdomain else "")
        self.sample = self.short in SAMPLES
        # Whether the users john, jane and mary.ann are of a domain in Cyrus's own spelling.
        self.domain = "" if virtdomains == "off" or defaultdomain else "@example.org"

    def user(self, local):
        """As it logs in, or as mail is addressed to it."""
        return local + ("@example.org" if self.virtdomains != "off" else "")

    def id(self, local):
        """As Cyrus spells it from then on."""
        return local + self.domain

    def escape(self, part):
        return part.replace(".", "^") if self.sep == "." else part

    def admin(self, local, *path, domain=None):
        """A user's mailbox as the admin calls it."""
        name = self.sep.join(["user"] + [self.escape(p) for p in (local,) + path])
        return '"%s"' % (name + (self.domain if domain is None else domain))

    def shared(self, *path):
        return '"%s"' % (self.sep.join(self.escape(p) for p in path) + self.domain)

    def own(self, *path):
        """A folder as its owner calls it."""
        first = [] if self.alt == "yes" else ["INBOX"]
        return '"%s"' % self.sep.join(first + [self.escape(p) for p in path])

    def below_inbox(self, name):
        """A folder of one's own whose path begins with INBOX."""
        first = ["INBOX"] if self.alt == "yes" else ["INBOX", "INBOX"]
        return '"%s"' % self.sep.join(first + [name])

    def others(self, local, *path):
        first = "Other Users" if self.alt == "yes" else "user"
        return '"%s"' % self.sep.join([first, self.escape(local)] + [self.escape(p) for p in path])

    def public(self, *path):
        first = ["Shared Folders"] if self.alt == "yes" else []
        return '"%s"' % self.sep.join(first + [self.escape(p) for p in path])

    def public_place(self, *path):
        """Nobody's, so its URL and its name stay as Cyrus writes them."""
        return Place(self.sep.join(self.escape(p) for p in path) + self.domain, "")

    def deleted_url(self, *path):
        """Nobody's too; its last part is the time. path: as in a URL."""
        name = self.sep.join([self.prefix, "user"] + [self.escape(p) for p in path] + [""])
        return form("URL", "%s[0-9A-F]{8}%s;UIDVALIDITY=\\d+" % (
            re.escape("imap://%s/%s" % (SERVER, name)),
            re.escape(self.domain.replace("@", "%40"))))

    def prepare(self, server):
        server.accounts = [(u, r) for u in ("john", "jane", "mary.ann", "jim")
                           for r in ("example.org", SERVER, "other.example")] + [(ADMIN, SERVER)]
        server.inboxes = []


def configurations():
    """All of virtdomains, separator and altnamespace; some of them with a default domain."""
    found = [Names(*one) for one in itertools.product(("off", "userid", "on"), ("yes", "no"),
                                                      ("yes", "no"))]
    found += [Names(v, s, a, "example.org", prefix) for v, s, a, prefix in (
        ("userid", "yes", "yes", "TRASHED"), ("userid", "no", "no", "DELETED"),
        ("on", "yes", "no", "DELETED"), ("on", "no", "yes", "TRASHED"))]
    return found


def session_rows(n):
    rows = [Row("LOGIN of the admin", lambda s: s.login(ADMIN), Event("Login", user=ADMIN))]
    for local in ("john", "jane", "mary.ann"):
        rows.append(Row("CREATE, the inbox of " + local, on(ADMIN, "create", n.admin(local)),
                        Event("MailboxCreate", Place("INBOX", n.id(local)), user=ADMIN)))
    for local in ("john", "jane", "mary.ann"):
        rows.append(Row("LOGIN of " + local,
                        lambda s, local=local: login(s, n, local), Event("Login",
                                                                         user=n.id(local))))
    return rows


def login(s, n, local):
    s.sessions[local] = s.cyrus.imap(n.user(local))


def own_rows(n, local):
    """What a user does in mailboxes of its own."""
    me = n.id(local)

    def at(name):
        return Place(name, me)

    def event(name, where, **more):
        return Event(name, at(where), user=me, **more)

    return [
        Row("CREATE nested", on(local, "create", n.own("Archive", "2024")),
            event("MailboxCreate", "Archive"), event("MailboxCreate", "Archive/2024")),
        Row("CREATE, a name with a dot", on(local, "create", n.own("v1.2")),
            event("MailboxCreate", "v1.2")),
        Row("CREATE, a name with an @", on(local, "create", n.own("at@sign")),
            event("MailboxCreate", "at@sign")),
        Row("CREATE, international", on(local, "create", n.own("D&AOk-j&AOA- vu")),
            event("MailboxCreate", "D\u00e9j\u00e0 vu")),
        Row("CREATE below a folder INBOX of the inbox",
            on(local, "create", n.below_inbox("low")), event("MailboxCreate", "INBOX/INBOX/low")),
        Row("CREATE, a folder called user", on(local, "create", n.own("user", "x")),
            event("MailboxCreate", "user"), event("MailboxCreate", "user/x")),
        Row("APPEND to the inbox", append(local, "INBOX", "One"),
            event("MessageAppend", "INBOX", uid=1, midset=mid("One"))),
        Row("COPY", chain(on(local, "select", "INBOX"), on(local, "copy", "1", n.own("v1.2"))),
            event("vnd.cmu.MessageCopy", "v1.2", uidset="1", oldUidset="1", old=at("INBOX"))),
        Row("MOVE", on(local, "uid", "MOVE", "1", n.own("at@sign")),
            event("vnd.cmu.MessageMove", "at@sign", uidset="1", oldUidset="1", old=at("INBOX")),
            event("MessageExpunge", "INBOX", uidset="1")),
        Row("STORE", chain(on(local, "select", n.own("at@sign")),
                           on(local, "store", "1", "+FLAGS", r"(\Seen \Flagged)")),
            event("MessageRead", "at@sign", uidset="1"),
            event("FlagsSet", "at@sign", uidset="1", flagNames=r"\Flagged")),
        Row("SUBSCRIBE", on(local, "subscribe", n.own("at@sign")),
            event("MailboxSubscribe", "at@sign")),
        Row("UNSUBSCRIBE", on(local, "unsubscribe", n.own("at@sign")),
            event("MailboxUnSubscribe", "at@sign")),
        Row("RENAME of a tree", on(local, "rename", n.own("Archive"), n.own("Old mail")),
            event("MailboxRename", "Old mail", old=at("Archive"))),
        Row("DELETE", on(local, "delete", n.own("Old mail", "2024")),
            event("MailboxDelete", "Old mail/2024")),
        Row("LMTP delivery", lambda s: s.cyrus.deliver(message("Two"), [n.user(local)]),
            event("MessageNew", "INBOX", uid=2, service="lmtpunix")),
    ]


def shared_rows(n):
    """John's folder with others, a folder of nobody's, and what the admin does."""
    john, jane = n.id("john"), n.id("jane")
    low = Place("INBOX/INBOX/low", john)
    team = n.public_place("public", "team.x")
    # Without a domain the admin can't write an @ that is not a domain's.
    by_admin = "b@c" if n.domain or n.virtdomains == "off" else "b.c"
    return [
        Row("SETACL", on("john", "setacl", n.own("at@sign"), n.id("jane"), "lrswipte"),
            Event("AclChange", Place("at@sign", john), user=john, aclSubject=jane,
                  aclRights="lrswipte")),
        Row("APPEND to another's folder", append("jane", n.others("john", "at@sign"), "Jane's"),
            Event("MessageAppend", Place("at@sign", john), user=jane, uid=2)),
        Row("COPY from another's folder", chain(on("jane", "select", n.others("john", "at@sign")),
                                                on("jane", "copy", "2", "INBOX")),
            Event("vnd.cmu.MessageCopy", Place("INBOX", jane), user=jane, uidset="1",
                  oldUidset="2", old=Place("at@sign", john)) if n.domain or
            n.virtdomains == "off" else
            # A default domain, and an @ in the name: nothing tells whose the old folder is.
            Event("vnd.cmu.MessageCopy", Place("INBOX", jane), user=jane, uidset="1",
                  oldUidset="2", old=Place("at", "john@sign"))),
        Row("DELETEACL", on("john", "deleteacl", n.own("at@sign"), n.id("jane")),
            Event("AclChange", Place("at@sign", john), user=john, aclSubject=jane,
                  aclRights=None)),
        Row("CREATE by the admin below a user", on(ADMIN, "create", n.admin("john", by_admin)),
            Event("MailboxCreate", Place(by_admin, john), user=ADMIN)),
        Row("SETACL by the admin", on(ADMIN, "setacl", n.admin("john", "INBOX", "low"), ADMIN,
                                      "lrswipkxtecdan"),
            Event("AclChange", low, user=ADMIN, aclSubject=ADMIN)),
        Row("SETQUOTA", on(ADMIN, "setquota", n.admin("mary.ann"), "(STORAGE 100)"),
            Event("QuotaChange", Place("INBOX", n.id("mary.ann")), user=n.id("mary.ann"),
                  diskQuota=100)),
        Row("undelete", lambda s: ok(s[ADMIN].rename('"%s"' % s.deleted("2024", n.prefix),
                                                     n.admin("john", "2024"))),
            Event("MailboxRename", Place("2024", john), user=ADMIN,
                  old=n.deleted_url("john", "Old%20mail", "2024"))),
        Row("CREATE, folders of nobody's", chain(on(ADMIN, "create", n.shared("public")),
                                                 on(ADMIN, "create",
                                                    n.shared("public", "team.x"))),
            Event("MailboxCreate", n.public_place("public"), user=ADMIN),
            Event("MailboxCreate", team, user=ADMIN)),
        Row("SETACL on it", on(ADMIN, "setacl", n.shared("public", "team.x"), "anyone",
                               "lrswipte"),
            Event("AclChange", team, user=ADMIN, aclSubject="anyone", aclRights="lrswipte")),
        Row("APPEND to it", append("john", n.public("public", "team.x"), "Posted"),
            Event("MessageAppend", team, user=john, uid=1)),
        Row("SUBSCRIBE to it", on("john", "subscribe", n.public("public", "team.x")),
            Event("MailboxSubscribe", team, user=john)),
        Row("SETQUOTA of it", on(ADMIN, "setquota", n.shared("public", "team.x"),
                                 "(STORAGE 5)"),
            Event("QuotaChange", team, user=None, diskQuota=5)),
        Row("XAPPLEPUSHSERVICE", lambda s: ok(s["john"].xatom(
            "XAPPLEPUSHSERVICE", "aps-version", "2", "aps-account-id", APPLE, "aps-device-token",
            TOKEN, "aps-subtopic", "com.apple.mobilemail",
            "mailboxes (INBOX %s)" % n.own("v1.2"))),
            Event("ApplePushService", user=john, apsVersion=2, apsDeviceToken=TOKEN,
                  mailboxes=["INBOX", n.own("v1.2").strip('"')])),
        Row("DELETE of a tree (a user)", chain(
            on(ADMIN, "setacl", n.admin("mary.ann"), ADMIN, "lrswipkxtecdan"),
            on(ADMIN, "delete", n.admin("mary.ann"))),
            Event("AclChange", Place("INBOX", n.id("mary.ann")), user=ADMIN, aclSubject=ADMIN),
            Event("MailboxDelete", Place("INBOX", n.id("mary.ann")), user=ADMIN)),
    ]


def domain_rows(n):
    """Users whom only the admin meets here: of another domain, or of none; where virtdomains is
    off, one with an @ in its name."""
    if n.virtdomains == "off":
        others = [("john@example.org", "", "john@example.org")]
    else:
        others = [("jim", "@other.example", "jim@other.example")]
        if not n.defaultdomain:
            others.append(("jim", "", "jim"))
    rows = []
    for local, domain, whole in others:
        last = "x@y" if domain or n.virtdomains == "off" else "x"
        rows += [
            Row("CREATE, the inbox of " + whole,
                on(ADMIN, "create", n.admin(local, domain=domain)),
                Event("MailboxCreate", Place("INBOX", whole), user=ADMIN)),
            Row("CREATE, a folder of " + whole,
                on(ADMIN, "create", n.admin(local, "R&-D", last, domain=domain)),
                Event("MailboxCreate", Place("R&D", whole), user=ADMIN),
                Event("MailboxCreate", Place("R&D/" + last, whole), user=ADMIN)),
            Row("SETQUOTA for " + whole,
                on(ADMIN, "setquota", n.admin(local, domain=domain), "(STORAGE 10)"),
                Event("QuotaChange", Place("INBOX", whole), user=whole, diskQuota=10)),
        ]
    return rows


def rows(n):
    found = session_rows(n)
    for local in ("john", "mary.ann"):
        found += [Row("%s: %s" % (local, r.title), r.act, *r.events) for r in own_rows(n, local)]
    return found + shared_rows(n) + domain_rows(n)
