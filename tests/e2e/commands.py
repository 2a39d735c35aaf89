# SPDX-License-Identifier: BSD-3-Clause
"""Every command that changes a mailbox, and the events that must come of it."""

import imaplib
import re
import smtplib

from cyrus import message, ok
from expect import ABSENT, TEXT, Event, Place, form
from processes import Failed
from stage import ADMIN, BIG, Row, append, chain, mid, on, refused
from tour import JOHN

JANE = "jane@example.org"
ALARM = 2114416800  # 2037-01-01 10:00 UTC; calalarmd -t takes no later year

ICS = "\r\n".join((
    "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example.org//test//EN", "BEGIN:VEVENT",
    "UID:lunch@example.org", "DTSTAMP:20240101T000000Z", "DTSTART:20370101T100000Z",
    "DTEND:20370101T110000Z", "SUMMARY:%s", "LOCATION:The Crown", "DESCRIPTION:With caf\u00e9",
    "ORGANIZER:mailto:john@example.org",
    "ATTENDEE;PARTSTAT=ACCEPTED;CN=Jane:mailto:jane@example.org",
    "BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER:-PT15M", "DESCRIPTION:x", "END:VALARM",
    "END:VEVENT", "END:VCALENDAR", ""))
VCF = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:jane\r\nFN:Jane\r\nN:Jane;;;;\r\nEND:VCARD\r\n"
CALENDARS = "/dav/calendars/user/%s/" % JOHN
APPLE = "0715A26B-CA09-4730-A419-793000CA982E"
TOKEN = "2918390218931890821908309283098109381029309829018310983092892829"

CONF = {
    "aps_topic": "com.apple.mail.XServer.0d1e2f3a",
    "aps_topic_caldav": "com.apple.calendar.XServer.0d1e2f3a",
    "failedloginpause": "0",
    "httpmodules": "caldav carddav",
    "sendmail": "/bin/true",  # for invitations, which must go nowhere
    "notifyd_sinks": "local owners team",
    "notifyd_owners_type": "unix",
    "notifyd_owners_owners": JANE,
    "notifyd_team_type": "unix",
    "notifyd_team_mailboxes": "Old/* shared/*",
}


def appended(at, uid, subject, name="MessageAppend", **more):
    return Event(name, at, uid=uid, midset=mid(subject), **more)


def quota(root, limit):
    return on(ADMIN, "setquota", root, limit)


SHARED = Place("shared/team@example.org", "")
JOHNS = '"Other Users/john/Work"'


def message_rows():
    return [
        Row("LOGIN", lambda s: s.login(JOHN), Event("Login")),
        Row("LOGIN refused", refuse_login),
        Row("CREATE", on(JOHN, "create", "Work"), Event("MailboxCreate", "Work")),
        Row("CREATE nested", on(JOHN, "create", "Trips/2024/Rome"),
            *(Event("MailboxCreate", at) for at in ("Trips", "Trips/2024", "Trips/2024/Rome"))),
        Row("APPEND", append(JOHN, "INBOX", "One"),
            appended("INBOX", 1, "One", messages=1, uidnext=2, unseenMessages=1)),
        Row("APPEND with flags", append(JOHN, "INBOX", "Two", r"(\Flagged \Seen $Work)"),
            appended("INBOX", 2, "Two", messages=2, uidnext=3, unseenMessages=1,
                     flagNames=r"\Flagged \Seen $Work")),
        Row("APPEND of three messages", multiappend,
            appended("INBOX", 3, "M1"), appended("INBOX", 4, "M2"), appended("INBOX", 5, "M3")),
        Row("FETCH BODY[]", chain(on(JOHN, "select", "INBOX"), on(JOHN, "fetch", "1", "BODY[]")),
            Event("MessageRead", "INBOX", uidset="1", midset=mid("One"), unseenMessages=3)),
        Row("STORE -FLAGS \\Seen", on(JOHN, "store", "1", "-FLAGS", r"(\Seen)"),
            Event("FlagsClear", "INBOX", uidset="1", flagNames=r"\Seen", unseenMessages=4)),
        Row("STORE +FLAGS \\Deleted \\Seen \\Answered $Later",
            on(JOHN, "store", "1", "+FLAGS", r"(\Answered $Later \Seen \Deleted)"),
            Event("MessageTrash", "INBOX", uidset="1"),
            Event("MessageRead", "INBOX", uidset="1"),
            Event("FlagsSet", "INBOX", uidset="1", flagNames=r"\Answered $Later")),
        Row("STORE -FLAGS of the same",
            on(JOHN, "store", "1", "-FLAGS", r"(\Answered $Later \Seen \Deleted)"),
            Event("FlagsClear", "INBOX", uidset="1",
                  flagNames=r"\Deleted \Answered \Seen $Later")),
        Row("STORE FLAGS, one for another", chain(
            on(JOHN, "store", "1", "FLAGS", r"(\Seen \Draft)")),
            Event("MessageRead", "INBOX", uidset="1"),
            Event("FlagsSet", "INBOX", uidset="1", flagNames=r"\Draft")),
        Row("STORE FLAGS that takes \\Seen away", on(JOHN, "store", "1", "FLAGS",
                                                     r"(\Flagged \Deleted)"),
            Event("FlagsClear", "INBOX", uidset="1", flagNames=r"\Draft \Seen"),
            Event("MessageTrash", "INBOX", uidset="1"),
            Event("FlagsSet", "INBOX", uidset="1", flagNames=r"\Flagged")),
        Row("STORE that changes nothing", on(JOHN, "store", "1", "+FLAGS", r"(\Flagged)")),
        Row("STORE on several", on(JOHN, "store", "3:5", "+FLAGS", r"(\Seen \Flagged)"),
            Event("MessageRead", "INBOX", uidset="3:5", midset=mid("M1", "M2", "M3")),
            Event("FlagsSet", "INBOX", uidset="3:5", flagNames=r"\Flagged")),
        Row("COPY of several", on(JOHN, "copy", "1:2,4", "Work"),
            Event("vnd.cmu.MessageCopy", "Work", uidset="1:3", oldUidset="1:2,4", old="INBOX",
                  messages=3, uidnext=4, midset=mid("One", "Two", "M2"))),
        Row("UID COPY of one", on(JOHN, "uid", "COPY", "5", "Trips/2024/Rome"),
            Event("vnd.cmu.MessageCopy", "Trips/2024/Rome", uidset="1", oldUidset="5",
                  old="INBOX", midset=mid("M3"))),
        Row("MOVE of several", on(JOHN, "uid", "MOVE", "3:4", "Work"),
            Event("vnd.cmu.MessageMove", "Work", uidset="4:5", oldUidset="3:4", old="INBOX"),
            Event("MessageExpunge", "INBOX", uidset="3:4", midset=mid("M1", "M2"), messages=3)),
        Row("EXPUNGE", on(JOHN, "expunge"), Event("MessageExpunge", "INBOX", uidset="1",
                                                  messages=2)),
        Row("UID EXPUNGE", chain(on(JOHN, "select", "Work"), on(JOHN, "store", "4:5", "+FLAGS",
                                                               r"(\Deleted)"),
                                 on(JOHN, "uid", "EXPUNGE", "5")),
            Event("MessageTrash", "Work", uidset="4:5"),
            Event("MessageExpunge", "Work", uidset="5", messages=4)),
        Row("CLOSE", on(JOHN, "close"),
            Event("MessageExpunge", "Work", uidset="1,4", messages=2)),
        Row("LMTP delivery", lambda s: s.cyrus.deliver(message("By LMTP")),
            appended("INBOX", 6, "By LMTP", "MessageNew", service="lmtpunix")),
        Row("LMTP delivery to two", lambda s: s.cyrus.deliver(message("To two"), (JOHN, JANE)),
            appended("INBOX", 7, "To two", "MessageNew", service="lmtpunix"),
            appended(Place("INBOX", JANE), 1, "To two", "MessageNew", service="lmtpunix",
                     user=JANE)),
    ]


def mailbox_rows():
    return [
        Row("RENAME of a tree", on(JOHN, "rename", "Trips", "Old/trips"),
            Event("MailboxRename", "Old/trips", old="Trips")),
        Row("RENAME of a leaf", on(JOHN, "rename", "Old/trips/2024/Rome", '"Old/trips/Roma bella"'),
            Event("MailboxRename", "Old/trips/Roma bella", old="Old/trips/2024/Rome")),
        Row("CREATE, international", on(JOHN, "create", '"D&AOk-j&AOA- &ZeVnLA-"'),
            Event("MailboxCreate", "D\u00e9j\u00e0 \u65e5\u672c")),
        Row("RENAME, international", on(JOHN, "rename", '"D&AOk-j&AOA- &ZeVnLA-"', '"R&-D"'),
            Event("MailboxRename", "R&D", old="D\u00e9j\u00e0 \u65e5\u672c")),
        Row("CREATE, a name with dots", on(JOHN, "create", "v1.2/notes.txt"),
            Event("MailboxCreate", "v1.2"), Event("MailboxCreate", "v1.2/notes.txt")),
        Row("CREATE, a name with an @", on(JOHN, "create", "at@example.net"),
            Event("MailboxCreate", "at@example.net")),
        Row("CREATE below a folder INBOX of the inbox", on(JOHN, "create", "INBOX/low"),
            Event("MailboxCreate", "INBOX/INBOX/low")),
        Row("SUBSCRIBE", on(JOHN, "subscribe", "v1.2"), Event("MailboxSubscribe", "v1.2")),
        Row("UNSUBSCRIBE", on(JOHN, "unsubscribe", "v1.2"), Event("MailboxUnSubscribe", "v1.2")),
        Row("SETACL", on(JOHN, "setacl", "Work", JANE, "lrswipte"),
            Event("AclChange", "Work", aclSubject=JANE, aclRights="lrswipte")),
        Row("LOGIN of another", lambda s: s.login(JANE), Event("Login", user=JANE)),
        Row("APPEND to another's folder", append(JANE, JOHNS, "From Jane"),
            appended("Work", 6, "From Jane", user=JANE)),
        Row("STORE in another's folder", chain(on(JANE, "select", JOHNS),
                                               on(JANE, "store", "1", "+FLAGS", r"(\Answered)")),
            Event("FlagsSet", "Work", uidset="2", flagNames=r"\Answered", user=JANE)),
        Row("COPY from another's folder", on(JANE, "copy", "1", "INBOX"),
            Event("vnd.cmu.MessageCopy", Place("INBOX", JANE), uidset="2", oldUidset="2",
                  old="Work", user=JANE)),
        Row("SUBSCRIBE to another's folder", on(JANE, "subscribe", JOHNS),
            Event("MailboxSubscribe", "Work", user=JANE)),
        Row("DELETEACL", on(JOHN, "deleteacl", "Work", JANE),
            Event("AclChange", "Work", aclSubject=JANE, aclRights=None)),
        Row("LOGOUT", lambda s: s.logout(JANE), Event("Logout", user=JANE)),
        Row("DELETE of a folder with others below (refused)",
            refused(lambda s: s[JOHN].delete("v1.2"))),
        Row("DELETE", on(JOHN, "delete", '"Old/trips/Roma bella"'),
            Event("MailboxDelete", "Old/trips/Roma bella")),
        Row("LOGIN of the admin", lambda s: s.login(ADMIN), Event("Login", user=ADMIN)),
        Row("undelete (RENAME from DELETED by the admin)",
            lambda s: ok(s[ADMIN].rename('"%s"' % s.deleted("Roma"),
                                         "user/john/Roma@example.org")),
            Event("MailboxRename", "Roma", user=ADMIN,
                  old=form("URL", r"imap://imap\.example\.org/DELETED/user/john/Old/trips/"
                                  r"Roma%20bella/[0-9A-F]{8}%40example\.org;UIDVALIDITY=\d+"))),
        Row("CREATE, a shared folder", on(ADMIN, "create", "shared/team@example.org"),
            Event("MailboxCreate", Place("shared", ""), user=ADMIN),
            Event("MailboxCreate", SHARED, user=ADMIN)),
        Row("SETACL on a shared folder", on(ADMIN, "setacl", "shared/team@example.org", "anyone",
                                            "lrswipte"),
            Event("AclChange", SHARED, user=ADMIN, aclSubject="anyone", aclRights="lrswipte")),
        Row("APPEND to a shared folder", append(JOHN, '"Shared Folders/shared/team"', "Shared"),
            appended(SHARED, 1, "Shared")),
        Row("LMTP delivery to a shared folder",
            lambda s: s.cyrus.deliver(message("Posted"), ["+shared/team@example.org"]),
            appended(SHARED, 2, "Posted", "MessageNew", service="lmtpunix", user=None)),
    ]


def quota_rows():
    johns = "user/john@example.org"
    one = {"maxMessages": -1, "messages": ABSENT}
    return [
        Row("SETQUOTA STORAGE", quota(johns, "(STORAGE 20)"),
            Event("QuotaChange", "INBOX", diskQuota=20, maxMessages=-1)),
        Row("APPEND over quota (refused)",
            refused(lambda s: s[JOHN].append("INBOX", None, None, message("Big", BIG * 30))),
            Event("QuotaExceed", "INBOX", diskQuota=20, **one)),
        Row("APPEND that fits", append(JOHN, "Work", "Fits", body=BIG * 9),
            appended("Work", 7, "Fits")),
        Row("SETQUOTA below the use", quota(johns, "(STORAGE 5)"),
            Event("QuotaChange", "INBOX", diskQuota=5)),
        Row("LMTP delivery over quota (refused)", over_lmtp,
            Event("QuotaExceed", "INBOX", diskQuota=5, service="lmtpunix", **one)),
        Row("SETQUOTA above the use", quota(johns, "(STORAGE 50)"),
            Event("QuotaChange", "INBOX", diskQuota=50),
            Event("QuotaWithin", "INBOX", diskQuota=50, **one)),
        Row("SETQUOTA below the use again", quota(johns, "(STORAGE 5)"),
            Event("QuotaChange", "INBOX", diskQuota=5)),
        Row("EXPUNGE back within quota", chain(
            on(JOHN, "select", "Work"), on(JOHN, "uid", "STORE", "7", "+FLAGS", r"(\Deleted)"),
            on(JOHN, "expunge")),
            Event("MessageTrash", "Work", uidset="7"),
            Event("QuotaWithin", "INBOX", diskQuota=5, **one),
            Event("MessageExpunge", "Work", uidset="7")),
        Row("SETQUOTA STORAGE and MESSAGE", quota(johns, "(STORAGE 50 MESSAGE 100)"),
            Event("QuotaChange", "INBOX", diskQuota=50, maxMessages=100)),
        Row("SETQUOTA MESSAGE", quota(johns, "(MESSAGE 50)"),
            Event("QuotaChange", "INBOX", diskQuota=-1, maxMessages=50)),
        Row("SETQUOTA X-NUM-FOLDERS", quota(johns, "(X-NUM-FOLDERS 50)"),
            Event("QuotaChange", "INBOX", diskQuota=-1, maxMessages=-1)),
        Row("SETQUOTA ()", quota(johns, "()"),
            Event("QuotaChange", "INBOX", diskQuota=-1, maxMessages=-1)),
        Row("SETQUOTA of a shared root", quota("shared/team@example.org", "(STORAGE 5)"),
            Event("QuotaChange", SHARED, user=None, diskQuota=5)),
        Row("APPEND over a shared quota (refused)",
            refused(lambda s: s[JOHN].append('"Shared Folders/shared/team"', None, None,
                                             message("Big", BIG * 9))),
            Event("QuotaExceed", SHARED, user=None, diskQuota=5, **one)),
    ]


def other_rows():
    # Cyrus makes the calendars now, and tells of their rights alone.
    homes = [("", 2), ("/Default", 2), ("/Inbox", 2), ("/Outbox", 1), ("/Attachments", 2)]
    first = [Event("AclChange", "#calendars" + home, aclSubject=(JOHN, "anyone")[n],
                   service="http")
             for home, times in homes for n in range(times)]
    put = {"service": "http", "davFilename": "lunch.ics", "davUid": "lunch@example.org"}
    return [
        Row("cyr_expire with the hook", lambda s: run_expire(s, True),
            appended("Roma", 2, "Old 1"), Event("MessageExpire", "Roma", uidset="1:2",
                                                user=None, service="cyr_expire",
                                                midset=mid("M3", "Old 1"))),
        Row("cyr_expire without it, through the socket", lambda s: run_expire(s, False),
            appended("Roma", 3, "Old 0"), Event("MessageExpire", "Roma", uidset="3",
                                                user=None, service="cyr_expire",
                                                midset=mid("Old 0"))),
        Row("CalDAV PUT, the first", put_event("Lunch"),
            *first, Event("MessageNew", "#calendars/Default", uid=1, messages=1, **put)),
        Row("CalDAV PUT over it", put_event("Dinner"),
            Event("MessageNew", "#calendars/Default", uid=2, **put)),
        Row("the alarm, by calalarmd", alarm,
            Event("CalendarAlarm", user=None, userId=JOHN, action="display", calendarName=TEXT,
                  calendarColor="", summary="Dinner", location="The Crown",
                  description="With caf\u00e9",
                  start="20370101T100000Z", end="20370101T110000Z",
                  alarmTime="20370101T094500Z", allDay=0, uid="lunch@example.org",
                  attendeeNames=["Jane"], attendeeEmails=["mailto:jane@example.org"],
                  attendeeStatus=["ACCEPTED"], organizer="mailto:john@example.org",
                  alarmRecipients=[])),
        Row("CalDAV push (ApplePushServiceDAV)", push_dav,
            Event("ApplePushServiceDAV", apsTopic=CONF["aps_topic_caldav"], apsDeviceToken=TOKEN,
                  expiry=86400, mailboxUser=JOHN, mbtype="c")),
        Row("CalDAV DELETE", lambda s: s.http("DELETE", CALENDARS + "Default/lunch.ics"),
            Event("MessageExpunge", "#calendars/Default", uidset="2", service="http")),
        Row("CalDAV MKCOL", lambda s: s.http("MKCOL", CALENDARS + "work/")),
        Row("CalDAV DELETE of a calendar", lambda s: s.http("DELETE", CALENDARS + "work/"),
            Event("MailboxDelete", "#calendars/work", service="http")),
        Row("CardDAV PUT",
            lambda s: s.http("PUT", "/dav/addressbooks/user/%s/Default/jane.vcf" % JOHN, VCF,
                             Content_Type="text/vcard"),
            Event("MessageNew", "#addressbooks/Default", uid=1, service="http",
                  davFilename="jane.vcf", davUid="jane")),
        Row("XAPPLEPUSHSERVICE", push_mail,
            Event("ApplePushService", apsVersion=2, apsSubtopic="com.apple.mobilemail",
                  apsAccountId=APPLE, apsDeviceToken=TOKEN,
                  mailboxes=["INBOX", "Work", "D&AOk-j&AOA-"])),
        Row("DELETE of a tree (a user)", delete_user,
            Event("AclChange", "INBOX", user=ADMIN, aclSubject=ADMIN),
            Event("MailboxDelete", "INBOX", user=ADMIN)),
    ]


def refuse_login(s):
    i = imaplib.IMAP4("127.0.0.1", s.cyrus.imap_port, timeout=30)
    try:
        i.login(JOHN, "wrong")
    except i.error:
        i.logout()
    else:
        raise Failed("a wrong password was accepted")


def multiappend(s):
    parts = [b"APPEND INBOX"]
    for subject in ("M1", "M2", "M3"):
        text = message(subject)
        parts += [b" {%d+}\r\n" % len(text), text]
    s.raw(JOHN, *parts)


def over_lmtp(s):
    try:
        s.cyrus.deliver(message("Too much"))
    except smtplib.SMTPRecipientsRefused as e:
        if b"quota" not in e.recipients[JOHN][1].lower():
            raise
        return
    raise Failed("the delivery was accepted")


def run_expire(s, preload):
    """The message's Date is of 2015."""
    ok(s[JOHN].append("Roma", None, None, message("Old %d" % preload)))
    ok(s[ADMIN].xatom("SETMETADATA", '"user/john/Roma@example.org"',
                      '(/shared/vendor/cmu/cyrus-imapd/expire "1")'))
    s.tool("cyr_expire", "-E", "1", "-X", "1", "-c", preload=preload)


def put_event(summary):
    return lambda s: s.http("PUT", CALENDARS + "Default/lunch.ics", ICS % summary,
                            Content_Type="text/calendar")


def alarm(s):
    s.tool("calalarmd", "-d", "-t", str(ALARM))


def push_dav(s):
    text = s.http("PROPFIND", CALENDARS + "Default/",
                  '<?xml version="1.0"?><d:propfind xmlns:d="DAV:" '
                  'xmlns:cs="http://calendarserver.org/ns/"><d:prop><cs:pushkey/></d:prop>'
                  '</d:propfind>', Depth="0", Content_Type="application/xml")
    key = re.search(r"pushkey>([^<]+)<", text)
    if not key:
        raise Failed("no pushkey: %s" % text)
    s.http("GET", "/applepush/subscribe?token=%s&key=%s" % (TOKEN, key.group(1)))


def push_mail(s):
    ok(s[JOHN].create("D&AOk-j&AOA-"))
    s.skip()
    ok(s[JOHN].xatom("XAPPLEPUSHSERVICE", "aps-version", "2", "aps-account-id",
                     APPLE, "aps-device-token", TOKEN,
                     "aps-subtopic", "com.apple.mobilemail",
                     'mailboxes ("INBOX" "Work" "Nowhere" "D&AOk-j&AOA-")'))


def delete_user(s):
    ok(s[ADMIN].setacl("user/john@example.org", ADMIN, "lrswipkxtecdan"))
    ok(s[ADMIN].delete("user/john@example.org"))


def main_rows():
    return message_rows() + mailbox_rows() + quota_rows() + other_rows()
