#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The conversion of lib/native.c a second time, written from its rules without regard to speed.

usage: reference.py [virtdomains=userid] [defaultdomain=D] [modseq=yes] < native > documented

Reads one native event a line, writes the documented one, or the word DROP, or ASIS where the
event is not understood. It made cyrus-3.6.1-documented.jsonl.
"""
import json
import re
import sys
from urllib.parse import unquote

MAILBOX_EVENTS = {"MailboxCreate", "MailboxDelete", "MailboxRename", "AclChange", "MailboxModseq",
                  "MailboxReset"}
QUOTA_EVENTS = {"QuotaChange", "QuotaExceed", "QuotaWithin"}
SYSTEM_FLAGS = {f.lower(): f for f in ("\\Answered", "\\Deleted", "\\Draft", "\\Flagged",
                                       "\\Recent", "\\Seen")}
NATIVE_URL = re.compile(r"imap://([^/]*)(?:/([^;]*?)(/;(?!UIDVALIDITY=).*|;.*)?)?\Z",
                        re.S | re.I)


def plain(part, sep):
    """A native name without percent-encoding, ^ undone where dots separate."""
    text = unquote(part)
    return text.replace("^", ".") if sep == "." else text


def candidates(path, options):
    """The owners a path below user/ may have: (owner, spelling in a URL, folder components)."""
    sep = path[4]
    rest = path[5:]
    found = []

    def add(local_and_folder, domain):
        local, *folder = local_and_folder.split(sep)
        spelled = re.sub(r"%5[Ee]|\^", ".", local) if sep == "." else local
        spelled = spelled.replace("%40", "@")
        owner = plain(local, sep)
        if domain:
            owner += "@" + unquote(domain)
            spelled += "@" + domain
        if local:
            found.append((owner, spelled, folder))

    if options["virtdomains"] and "%40" in rest:
        head, domain = rest.rsplit("%40", 1)
        whole_local = rest.split(sep)[0]
        if domain and head and "/" not in domain:
            if "@" in unquote(whole_local):
                add(head, domain)
                return sep, found
            if domain != options["defaultdomain"]:
                add(head, domain)
    add(rest, "")
    return sep, found


def bare(user, options):
    suffix = "@" + options["defaultdomain"]
    return user[:-len(suffix)] if user.endswith(suffix) and user != suffix else user


def document_url(url, user, acl, options):
    match = NATIVE_URL.match(url)
    authority, path, tail = match.groups()
    if "@" in authority or not path or not path.startswith(("user/", "user.")):
        return url
    if path[4] == "." and "/" in path:
        return url
    sep, found = candidates(path, options)
    if not found:
        return url
    owner, spelled, folder = found[0]
    if len(found) == 2:
        # with the domain split off first, whole second
        ids = [user] + acl.split("\t")[0::2]
        for name in ids:
            if name == found[0][0]:
                break
            if bare(name, options) == found[1][0]:
                owner, spelled, folder = found[1]
                break
    if folder and folder != [""]:
        if sep == ".":
            folder = [re.sub(r"%5[Ee]|\^", ".", f) for f in folder]
        if folder[0].upper() == "INBOX":
            folder = ["INBOX"] + folder
        name = "/".join(folder)
    else:
        name = "INBOX"
    return "%s://%s@%s/%s%s" % (url[:4], spelled, authority, name, tail or "")


def is_url(value):
    if not isinstance(value, str):
        return False
    match = NATIVE_URL.match(value)
    return bool(match) and not match.group(1).endswith("@") and match.group(1) != ""


def convert(event, options):
    name = event.get("event")
    if not isinstance(name, str) or not name:
        return "ASIS"
    if name == "MailboxModseq" and not options["modseq"]:
        return "DROP"
    out = dict(event)
    user = event.get("user") if isinstance(event.get("user"), str) else ""
    acl = event.get("vnd.cmu.mailboxACL")
    acl = acl if isinstance(acl, str) else ""

    if "uri" in event and not is_url(event["uri"]):
        return "ASIS"
    if name in MAILBOX_EVENTS and "uri" not in event and not is_url(event.get("mailboxID")):
        return "ASIS"
    for key in ("uri", "oldMailboxID", "mailboxID"):
        if is_url(event.get(key)):
            out[key] = document_url(event[key], user, acl, options)

    if not is_url(event.get("mailboxID")):
        unique = out.pop("mailboxID", None)
        if unique is not None and unique != "":
            out["vnd.mboxevent.jmapId" if "mailboxUniqueId" in out else "mailboxUniqueId"] = unique
        if name in MAILBOX_EVENTS:
            out["mailboxID"] = out["uri"]

    uid = re.search(r"/;UID=([1-9]\d*)\Z", out["uri"]) if "uri" in out else None
    if name in ("MessageNew", "MessageAppend") and uid and isinstance(out.get("messageContent"), str):
        out["messageContent"] = {uid.group(1): out["messageContent"]}
        if name == "MessageNew":
            out.setdefault("uidset", uid.group(1))

    if isinstance(out.get("flagNames"), str):
        out["flagNames"] = " ".join(SYSTEM_FLAGS.get(f.lower(), f)
                                    for f in out["flagNames"].split(" "))
    uidset = out.get("uidset")
    if isinstance(uidset, str) and len(set(re.split("[,:]", uidset))) > 1:
        out.pop("modseq", None)
    if out.get("user") == "":
        del out["user"]
    if name == "AclChange":
        out.setdefault("aclRights", None)
    if name in QUOTA_EVENTS:
        out.setdefault("diskQuota", -1)
        out.setdefault("maxMessages", -1)
    return json.dumps(dict(sorted(out.items())), separators=(",", ":"), ensure_ascii=True)


def main():
    options = {"virtdomains": "off", "defaultdomain": "internal", "modseq": "no"}
    options.update(argument.split("=", 1) for argument in sys.argv[1:])
    options["virtdomains"] = options["virtdomains"] != "off"
    options["modseq"] = options["modseq"] == "yes"
    for line in sys.stdin.buffer:
        print(convert(json.loads(line), options))


if __name__ == "__main__":
    main()
