# SPDX-License-Identifier: BSD-3-Clause
"""The apns sink's client against a strict server: requests, answers, trouble of every kind."""

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import apns
import tap
from processes import Box, Failed, wait_for
from tap import check, same

case = tap.Cases()
BUILD = tap.top("TOP_BUILDDIR")


class World:
    def __init__(self):
        self.box = Box("apns")
        self.pushers = []
        try:
            self.authority = apns.Authority(self.box)
            self.apns = apns.Apns(self.box, BUILD, self.authority).start()
        except BaseException:
            self.box.close()
            raise

    def restart(self, *more):
        """The server without memory, with other arguments, on the same port."""
        self.close_pushers()
        self.apns.stop()
        if os.path.exists(self.apns.record):
            os.unlink(self.apns.record)
        self.apns.start(*more)

    def pusher(self, *more, **options):
        p = apns.Pusher(self.apns, BUILD, *more, **options)
        self.pushers.append(p)
        return p

    def close_pushers(self):
        for p in self.pushers:
            p.close()
        self.pushers = []

    def logs(self):
        return self.box.logs(25)

    def close(self):
        self.close_pushers()
        self.box.close()


def outcomes(answers):
    return [a["outcome"] for a in answers]


def devices(n, first=0):
    return [apns.device(first + i) for i in range(n)]


@case("by certificate: the path, the headers and the body that Apple wants")
def by_certificate(w):
    p = w.pusher()
    refs = p.push(apns.device(1), payload=apns.account(7), expiration=1700086400)
    refs += p.push(apns.device(2).upper(), payload='{"key":"a/b"}', priority=5,
                   expiration=0, collapse_id="account-2", type="alert", topic=apns.TOPIC)
    same(outcomes(p.wait(refs)), ["delivered", "delivered"])
    mail, dav = w.apns.requests()
    for r in mail, dav:
        for key in "at", "connection", "stream":
            r.pop(key)
    same(mail, {"status": 200, ":method": "POST", ":scheme": "https",
                ":authority": "localhost:%d" % w.apns.port,
                ":path": "/3/device/" + apns.device(1), "apns-topic": apns.TOPIC,
                "apns-push-type": "background", "apns-expiration": "1700086400",
                "content-type": "application/json", "reason": None, "action": None,
                "body": apns.account(7)}, "the mail push")
    same(dav, dict(mail, **{":path": "/3/device/" + apns.device(2).upper(),
                            "apns-push-type": "alert", "apns-priority": "5",
                            "apns-expiration": "0", "apns-collapse-id": "account-2",
                            "body": '{"key":"a/b"}'}), "the other push")
    p.finish()


@case("by token: one for many pushes, signed, renewed after 40 minutes and not before")
def by_token(w):
    w.restart()
    p = w.pusher("--topic", apns.TOPIC, token=True)
    same(set(outcomes(p.wait(p.push(*devices(50), topic=apns.TOPIC)))), {"delivered"})
    for minutes in 39, 41, 79, 82:
        w.apns.tell(clock_offset=minutes * 60)
        p.tell({"clock": minutes * 60})
        same(set(outcomes(p.wait(p.push(*devices(5), topic=apns.TOPIC)))), {"delivered"})
    tokens = [r["authorization"] for r in w.apns.requests()]
    same([len(set(tokens[:55])), len(set(tokens[55:65])), len(set(tokens[65:])), len(set(tokens))],
         [1, 1, 1, 3], "different tokens")
    check(tokens[0].startswith("bearer "), "no bearer token")
    same(w.apns.stats()["connections"], 1, "connections")
    p.finish()


@case("every answer of Apple's, and others")
def every_answer(w):
    w.restart()
    p = w.pusher()
    rows = [
        ({"status": 200}, "delivered", 0, 0),
        ({"status": 400, "reason": "BadDeviceToken"}, "bad token", 0, 0),
        ({"status": 400, "reason": "DeviceTokenNotForTopic"}, "not for topic", 0, 0),
        ({"status": 400, "reason": "TopicDisallowed"}, "topic refused", 0, 0),
        ({"status": 400, "reason": "BadExpirationDate"}, "drop", 0, 0),
        ({"status": 400, "body": "no JSON {"}, "drop", 0, 0),
        ({"status": 404, "reason": "BadPath"}, "drop", 0, 0),
        ({"status": 410, "reason": "Unregistered", "timestamp": 1454402113452}, "gone",
         1454402113452, 0),
        ({"status": 410, "body": ""}, "gone", 0, 0),
        ({"status": 413, "reason": "PayloadTooLarge"}, "drop", 0, 0),
        ({"status": 429, "reason": "TooManyRequests"}, "back off", 0, 0),
        ({"status": 429, "reason": "TooManyRequests", "retry_after": 90}, "back off", 0, 90000),
        ({"status": 418, "body": "x" * 900}, "drop", 0, 0),
    ]
    found = devices(len(rows))
    for d, row in zip(found, rows):
        w.apns.script(d, row[0])
    answers = p.wait(p.push(*found))
    for row, a in zip(rows, answers):
        same((a["outcome"], a["timestamp_ms"], a["retry_after_ms"], a["status"]),
             (row[1], row[2], row[3], row[0]["status"]), repr(row[0]))
        check(row[0].get("reason", "") in a["reason"], "%r: reason %s" % (row[0], a["reason"]))
    # None of these says anything against the connection.
    same(w.apns.stats()["connections"], 1, "connections")


@case("the server refuses what Apple refuses")
def strict(w):
    w.restart()
    p = w.pusher()
    good = {"topic": apns.TOPIC}
    rows = [
        ({"topic": "com.example.other"}, "TopicDisallowed"),
        ({"type": "bogus"}, "InvalidPushType"),
        ({"priority": 3}, "BadPriority"),
        ({"priority": 10}, "BadPriority"),
        ({"payload": "{"}, "BadPayload"),
        ({"payload": "[]"}, "BadPayload"),
    ]
    for fields, reason in rows:
        a = p.wait(p.push(apns.device(1), **dict(good, **fields)))[0]
        check(reason in a["reason"], "%r: %s" % (fields, a["reason"]))
    a = p.wait(p.push("ab" * 8))[0]
    same(a["outcome"], "bad token", "a short device token")
    same(outcomes(p.wait(p.push(apns.device(1)))), ["delivered"])


@case("what can't be sent is not taken")
def never(w):
    w.restart()
    p = w.pusher()
    rows = [{"payload": ""}, {"payload": json.dumps({"key": "x" * 4086})},
            {"collapse_id": "x" * 65}, {"collapse_id": "a\r\nb: c"}, {"topic": "a b"},
            {"type": ""}, {"token": "ab/../cd"}, {"token": ""}, {"token": "ab" * 101},
            {"expiration": -1}]
    for n, fields in enumerate(rows, 1):
        p.push(apns.device(1), **fields)
        wait_for("%r is not taken" % fields,
                 lambda n=n: len([x for x in p.said() if "never" in x]) == n)
    same(outcomes(p.wait(p.push(apns.device(1), payload=json.dumps({"key": "x" * 4085})))),
         ["delivered"], "4096 bytes")
    same(len(w.apns.requests()), 1, "requests")


@case("one push until the first success, then as many as SETTINGS allow")
def one_until_success(w):
    w.restart("--max-streams", "7", "--until-success")
    w.apns.script("*", {"status": 200, "delay_ms": 150}, repeat=True)
    p = w.pusher("--inflight", "100")
    same(set(outcomes(p.wait(p.push(*devices(60))))), {"delivered"})
    at = [r["at"] for r in w.apns.requests()]
    check(at[1] - at[0] >= 150, "the second came %d ms after the first" % (at[1] - at[0]))
    same(w.apns.stats()["most"], 7, "most at once")
    # The caller's own bound, where the server allows more.
    w.restart("--max-streams", "1000")
    w.apns.script("*", {"status": 200, "delay_ms": 150}, repeat=True)
    p = w.pusher("--inflight", "12")
    same(set(outcomes(p.wait(p.push(*devices(60))))), {"delivered"})
    at = [r["at"] for r in w.apns.requests()]
    check(at[1] - at[0] >= 150, "the second came %d ms after the first" % (at[1] - at[0]))
    same(w.apns.stats()["most"], 12, "most at once")


@case("SETTINGS may clamp it to one, and widen it again, on the way")
def clamped(w):
    w.restart("--max-streams", "50")
    p = w.pusher()
    same(set(outcomes(p.wait(p.push(*devices(100))))), {"delivered"})
    since = len(p.states())
    w.apns.tell(max_streams=1)
    p.until("one stream", lambda s: s["streams"] == 1 and ", 1 stream" in s["words"], since=since)
    w.apns.tell(forget=True)
    w.apns.script("*", {"status": 200, "delay_ms": 5}, repeat=True)
    same(set(outcomes(p.wait(p.push(*devices(30))))), {"delivered"})
    same(w.apns.stats()["most"], 1, "most at once")
    w.apns.tell(max_streams=9)
    p.until("nine streams", lambda s: s["streams"] == 9)
    same(set(outcomes(p.wait(p.push(*devices(60))))), {"delivered"})
    same(w.apns.stats()["most"], 9, "most at once")
    same(w.apns.stats()["connections"], 1, "connections")


def deliver(p, found, timeout=60):
    """As a caller does: pushes again what was answered with again. How many pushes it took."""
    tries = 0
    left = list(found)
    while left:
        tries += len(left)
        answers = p.wait(p.push(*left), timeout)
        check(set(outcomes(answers)) <= {"delivered", "again"}, repr(answers))
        left = [d for d, a in zip(left, answers) if a["outcome"] == "again"]
    return tries


@case("a connection that is cut: all under way come again, once each, on a new one")
def cut(w):
    w.restart()
    p = w.pusher()
    deliver(p, devices(1))
    w.apns.script("*", {"status": 200, "delay_ms": 20}, repeat=True)
    w.apns.tell(close_after=40)
    found = devices(100)
    answers = p.wait(p.push(*found))
    lost = [a for a in answers if a["outcome"] == "again"]
    check(len(lost) >= 40, "%d were lost" % len(lost))
    check(all(a["status"] == 0 and "closed the connection" in a["reason"]
              or "connection lost" in a["reason"] for a in lost), repr(lost[0]))
    deliver(p, found)
    delivered = {r[":path"] for r in w.apns.requests() if r["action"] is None}
    check({"/3/device/" + d for d in found} <= delivered, "some were never delivered")
    same(w.apns.stats()["connections"], 2, "connections")
    p.finish()


@case("a connection that the server ends while it is idle is made again when there is a push")
def idle(w):
    w.restart()
    p = w.pusher()
    deliver(p, devices(1))
    w.apns.stop()
    s = p.until("it is told", lambda s: s["condition"] in ("idle", "waiting"), since=2)
    check("the server closed the connection" in s["words"] or "lost" in s["words"], s["words"])
    w.apns.start()
    deliver(p, devices(3))
    same(p.states()[-1]["connects"], 2, "connections")
    p.finish()


@case("GOAWAY: what it processes is finished, the rest comes again on a new connection")
def goaway(w):
    w.restart()
    p = w.pusher()
    deliver(p, devices(1))
    w.apns.script("*", {"status": 200, "delay_ms": 200}, repeat=True)
    w.apns.tell(goaway_after=30)
    found = devices(100)
    answers = p.wait(p.push(*found))
    same(outcomes(answers).count("delivered") >= 30, True, "finished")
    again = [a for a in answers if a["outcome"] == "again"]
    for a in again:
        check("went away" in a["reason"], a["reason"])
    deliver(p, found)
    rows = w.apns.requests()
    first = [r for r in rows if r["connection"] == 1]
    same(len(first), 31, "pushes on the first connection")
    same(w.apns.stats()["connections"], 2, "connections")
    p.finish()


@case("GOAWAY that tells of a bad certificate is a refusal")
def goaway_refused(w):
    w.restart()
    p = w.pusher()
    w.apns.tell(goaway_after=1, reason="BadCertificate")
    p.wait(p.push(apns.device(1)))
    s = p.until("refused", lambda s: s["condition"] == "refused")
    check("BadCertificate" in s["words"] and "renew" in s["words"], s["words"])
    deliver(p, devices(3))


@case("streams that are reset come again; the connection stays")
def reset(w):
    w.restart()
    p = w.pusher()
    deliver(p, devices(1))
    found = devices(3, 10)
    w.apns.script(found[0], {"action": "reset", "code": 7})
    w.apns.script(found[1], {"action": "reset", "code": 2})
    answers = p.wait(p.push(*found))
    same(outcomes(answers), ["again", "again", "delivered"])
    check("refused the stream" in answers[0]["reason"], answers[0]["reason"])
    check("reset the stream" in answers[1]["reason"], answers[1]["reason"])
    same(deliver(p, found), 3, "pushes")
    same(w.apns.stats()["connections"], 1, "connections")


@case("a push without answer is given up, others go on meanwhile")
def one_slow(w):
    w.restart()
    p = w.pusher(timeout=5000)
    deliver(p, devices(1))
    w.apns.script(apns.device(50), {"action": "never"})
    slow = p.push(apns.device(50))
    for n in range(10):
        same(outcomes(p.wait(p.push(*devices(5, n * 5)))), ["delivered"] * 5)
    a = p.wait(slow)[0]
    same((a["outcome"], a["status"], a["reason"]), ("again", 0, "no answer in time"))
    same(deliver(p, [apns.device(50)]), 1, "pushes")
    same(w.apns.stats()["connections"], 1, "connections")


@case("who slept too long itself takes the answers that came meanwhile")
def slept(w):
    w.restart()
    p = w.pusher(timeout=2000)
    deliver(p, devices(1))
    w.apns.script("*", {"status": 200, "delay_ms": 700}, repeat=True)
    refs = p.push(*devices(20))
    wait_for("they are under way", lambda: len(w.apns.requests()) == 21)
    os.kill(p.process.pid, signal.SIGSTOP)
    try:
        time.sleep(3)
    finally:
        os.kill(p.process.pid, signal.SIGCONT)
    same(set(outcomes(p.wait(refs))), {"delivered"})
    same(w.apns.stats()["connections"], 1, "connections")


@case("a server that answers PING and no push is left for another connection")
def mute(w):
    w.restart()
    p = w.pusher(timeout=3000)
    deliver(p, devices(1))
    w.apns.script("*", {"action": "never"}, repeat=True)
    answers = p.wait(p.push(*devices(20)))
    check(all(a["outcome"] == "again" and "no " in a["reason"] for a in answers), repr(answers[0]))
    check(w.apns.stats()["pings"] >= 1, "no PING was sent")
    w.apns.tell(forget=True)
    deliver(p, devices(20))
    same(w.apns.stats()["connections"], 2, "connections")
    p.finish()


@case("a server that allows no stream any more is left for another connection")
def none_allowed(w):
    w.restart("--max-streams", "50")
    p = w.pusher(timeout=3000)
    deliver(p, devices(1))
    since = len(p.states())
    w.apns.tell(max_streams=0)
    p.until("SETTINGS", lambda s: s["streams"] < 50, since=since)
    same(outcomes(p.wait(p.push(apns.device(1)))), ["again"])
    w.apns.tell(max_streams=50)
    deliver(p, devices(20))
    check(w.apns.stats()["connections"] >= 2, "connections")
    p.finish()


@case("a server that lives and is slow is waited for; it is asked whether it lives")
def all_slow(w):
    w.restart()
    p = w.pusher(timeout=12000)
    w.apns.script("*", {"status": 200, "delay_ms": 4000})
    same(outcomes(p.wait(p.push(apns.device(1)))), ["delivered"])
    check(w.apns.stats()["pings"] >= 1, "no PING was sent")
    same(w.apns.stats()["connections"], 1, "connections")


@case("a dead connection is noticed, and left")
def dead(w):
    w.restart()
    p = w.pusher(timeout=2000)
    deliver(p, devices(1))
    w.apns.freeze()
    try:
        answers = p.wait(p.push(*devices(20)))
        same(set(outcomes(answers)), {"again"})
        check(all("PING" in a["reason"] for a in answers), answers[0]["reason"])
        # The kernel still takes connections for it.
        refs = p.push(*devices(20))
        p.until("another attempt", lambda s: "TLS was not set up" in s["words"])
    finally:
        w.apns.thaw()
    p.wait(refs)
    deliver(p, devices(20))
    p.finish()


@case("nobody listens: nothing is taken, it is tried again and said; then all goes")
def nobody(w):
    w.restart()
    w.apns.stop()
    p = w.pusher()
    refs = p.push(*devices(5))
    s = p.until("it is told", lambda s: s["condition"] == "waiting")
    check("refused" in s["words"] and "retrying in" in s["words"]
          and "127.0.0.1:%d" % w.apns.port in s["words"], s["words"])
    same(p.answers(), {}, "answers")
    w.apns.start()
    same(set(outcomes(p.wait(refs))), {"delivered"})


@case("a name that does not exist, and a server that is no HTTP/2 server", 300)
def not_apns(w):
    p = w.pusher(url="https://no-such-host.invalid")
    p.push(apns.device(1))
    s = p.until("it is told", lambda s: s["condition"] == "waiting", 120)
    check("no-such-host.invalid can't be looked up" in s["words"]
          or "takes too long" in s["words"], s["words"])

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(w.apns.certificate, w.apns.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            while True:
                try:
                    with listener.accept()[0] as s, context.wrap_socket(s, server_side=True) as t:
                        t.recv(1)
                except (OSError, ValueError):
                    if listener.fileno() < 0:
                        return
        threading.Thread(target=serve, daemon=True).start()
        p = w.pusher(url="https://localhost:%d" % listener.getsockname()[1])
        p.push(apns.device(1))
        s = p.until("it is told", lambda s: s["condition"] == "waiting")
        check("does not speak HTTP/2" in s["words"], s["words"])
        p.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        def talk():
            s = listener.accept()[0]
            s.sendall(b"220 mail.example.org ESMTP\r\n")
            s.close()
        threading.Thread(target=talk, daemon=True).start()
        p = w.pusher(url="https://127.0.0.1:%d" % listener.getsockname()[1])
        p.push(apns.device(1))
        s = p.until("it is told", lambda s: s["condition"] == "waiting")
        check("TLS failed" in s["words"] or "lost" in s["words"], s["words"])


@case("500 and 503: the push comes again, on another connection, after a while")
def trouble(w):
    w.restart()
    p = w.pusher()
    for status, reason in (500, "InternalServerError"), (503, "ServiceUnavailable"):
        before = w.apns.stats()["connections"]
        w.apns.script(apns.device(1), {"status": status, "reason": reason})
        a = p.wait(p.push(apns.device(1)))[0]
        same((a["outcome"], a["status"], a["reason"]),
             ("again", status, reason))
        deliver(p, devices(10))
        same(w.apns.stats()["connections"] - max(before, 1), 1, "new connections")
    s = p.until("it is told", lambda s: s["condition"] == "waiting")
    check("InternalServerError" in s["words"], s["words"])


@case("a refused provider token: said what to do, nothing else is sent, tried again slowly")
def refused(w):
    w.restart()
    p = w.pusher(token=True, retry_max=1500)
    w.apns.script("*", {"status": 403, "reason": "InvalidProviderToken"})
    a = p.wait(p.push(apns.device(1), topic=apns.TOPIC))[0]
    same((a["outcome"], a["status"]), ("again", 403))
    more = p.push(*devices(10, 1), topic=apns.TOPIC)
    s = p.until("refused", lambda s: s["condition"] == "refused")
    check("provider token refused (403 InvalidProviderToken: check token_key, key_id and team_id)"
          in s["words"], s["words"])
    same(set(outcomes(p.wait(more))), {"delivered"})
    at = [r["at"] for r in w.apns.requests()]
    check(at[1] - at[0] >= 750, "tried again after %d ms" % (at[1] - at[0]))
    same(w.apns.stats()["connections"], 2, "connections")


@case("a token by another key is refused by the server's own check")
def wrong_key(w):
    w.restart()
    other, _ = w.authority.token_key("Other")
    p = w.pusher("--token-key", other, token=True)
    a = p.wait(p.push(apns.device(1), topic=apns.TOPIC))[0]
    same((a["outcome"], a["status"]), ("again", 403))
    check(a["reason"].startswith("InvalidProviderToken: check token_key"), a["reason"])
    p = w.pusher("--key-id", "OTHERKEYID", token=True)
    a = p.wait(p.push(apns.device(1), topic=apns.TOPIC))[0]
    same((a["outcome"], a["status"]), ("again", 403))
    check(a["reason"].startswith("InvalidProviderToken: check token_key"), a["reason"])
    # Tokens name no topic.
    p = w.pusher("--topic", apns.TOPIC, token=True)
    p.push(apns.device(1))
    wait_for("a push without topic is not taken", lambda: any("never" in x for x in p.said()))


@case("ExpiredProviderToken: renewed once, then reported as a clock that is wrong")
def expired(w):
    w.restart()
    p = w.pusher(token=True, retry_max=1000)
    deliver_token = dict(topic=apns.TOPIC)
    same(set(outcomes(p.wait(p.push(*devices(20), **deliver_token)))), {"delivered"})
    # One is under way with the old token when the others learn of it, and has its answer later.
    w.apns.script(apns.device(99), {"status": 403, "reason": "ExpiredProviderToken",
                                    "delay_ms": 3000})
    slow = p.push(apns.device(99), **deliver_token)
    wait_for("it is under way", lambda: len(w.apns.requests()) == 21)
    # The server's clock is ahead; the client's token is old enough for another.
    w.apns.tell(clock_offset=3700)
    p.tell({"clock": 1300})
    answers = p.wait(p.push(*devices(20), **deliver_token))
    for a in answers:
        check(a["outcome"] == "delivered" or a["reason"].startswith("ExpiredProviderToken"), repr(a))
    check("again" in outcomes(answers), "it did not expire")
    same(set(outcomes(p.wait(p.push(*devices(20), **deliver_token)))), {"delivered"})
    same(outcomes(p.wait(slow)), ["again"])
    same(len({r["authorization"] for r in w.apns.requests()}), 2, "different tokens")
    check(all(s["condition"] != "refused" for s in p.states()), "refused though renewed")
    # Now the new one, which is young.
    w.apns.tell(clock_offset=10000)
    answers = p.wait(p.push(*devices(20), **deliver_token)[:1])
    check(answers[0]["reason"].startswith("ExpiredProviderToken"), answers[0]["reason"])
    s = p.until("it is told", lambda s: s["condition"] == "refused")
    check("check this machine's clock" in s["words"], s["words"])
    same(len({r["authorization"] for r in w.apns.requests()}), 2, "different tokens")


@case("certificates: the server's that is not trusted, ours that is not taken")
def certificates(w):
    w.restart("--require")
    other = apns.Authority(w.box, "other")
    p = w.pusher(cafile=other.certificate)
    p.push(apns.device(1))
    s = p.until("it is told", lambda s: s["condition"] == "waiting")
    check("the certificate of localhost is refused" in s["words"] and "cafile" in s["words"],
          s["words"])
    certificate, key = other.client()
    p = w.pusher(certificate=certificate, key=key)
    p.push(apns.device(1))
    s = p.until("it is told", lambda s: s["condition"] == "refused")
    check("certificate refused (localhost does not take our certificate" in s["words"], s["words"])
    # By its address, which the certificate names too.
    p = w.pusher(url="https://127.0.0.1:%d" % w.apns.port)
    same(outcomes(p.wait(p.push(apns.device(1)))), ["delivered"])


@case("a server's certificate must be for the host")
def another_host(w):
    own = w.apns.certificate, w.apns.key
    w.apns.certificate, w.apns.key = w.authority.server(
        "elsewhere", "DNS:apns.example.org,DNS:*.localhost,IP:127.0.0.2")
    w.restart()
    for host, what in ("localhost", "hostname"), ("127.0.0.1", "IP address"):
        p = w.pusher(url="https://%s:%d" % (host, w.apns.port))
        p.push(apns.device(1))
        s = p.until("it is told", lambda s: s["condition"] == "waiting")
        check("the certificate of %s is refused: %s mismatch" % (host, what) in s["words"],
              s["words"])
    same(w.apns.requests(), [], "requests")
    w.apns.certificate, w.apns.key = own


@case("configuration errors name the file and what to do")
def configuration(w):
    program = os.path.join(BUILD, "tests", "apns", "pusher")
    a = w.authority
    c, k = w.apns.client_certificate, w.apns.client_key
    token = ["--token-key", w.apns.token_key, "--key-id", "A", "--team-id", "B"]
    base = ["--url", "sandbox", "--cafile", w.apns.cafile]
    old = a.at("old.pem")
    w.box.run(["openssl", "req", "-new", "-key", k, "-subj", "/UID=x/CN=y", "-out", old + ".csr"])
    w.box.run(["openssl", "x509", "-req", "-in", old + ".csr", "-signkey", k, "-days", "-1",
               "-out", old])
    loose = a.at("loose.p8")
    with open(loose, "w", encoding="ascii") as f:
        f.write("x")
    os.chmod(loose, 0o644)
    rows = [
        (["--url", "http://x"] + token, "url: must be production, sandbox or https://HOST[:PORT]"),
        (["--url", "https://x:0"] + token, "url: must be"),
        (["--url", "https://x/3/device"] + token, "url: must be"),
        (base, "certificate: must be set with key, or else token_key"),
        (base + ["--certificate", c], "certificate: must be set with key"),
        (base + ["--certificate", c, "--key", k] + token, "not both"),
        (base + token[:4], "token_key: needs key_id and team_id beside it"),
        (base + ["--certificate", "/nowhere", "--key", k], "/nowhere can't be used"),
        (base + ["--certificate", c, "--key", w.apns.token_key], "does not belong to the cert"),
        (base + ["--certificate", old, "--key", k], "%s has expired: renew it" % old),
        (base + ["--cafile", "/nowhere"] + token, "/nowhere can't be used"),
        (base + ["--token-key", loose] + token[2:], loose + " holds a secret that others"),
        (base + token, None),
        (base + ["--certificate", c, "--key", k], None),
    ]
    for argv, says in rows:
        r = subprocess.run([program, "--check"] + argv, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        same(r.returncode, 1 if says else 0, repr(argv) + r.stderr)
        check(says is None or says in r.stderr, "%r: %s" % (argv, r.stderr))
        check(len(r.stderr.splitlines()) == (1 if says else 0), r.stderr)


@case("no token of a device, no provider token and no key in what it says")
def secrets(w):
    words = [d for n in range(200) for d in (apns.device(n), apns.device(n).upper())]
    for path in w.apns.client_key, w.apns.token_key:
        with open(path, encoding="ascii") as f:
            words += [x for x in f.read().splitlines() if not x.startswith("-")]
    words += ["bearer", "eyJ"]
    seen = 0
    for name in os.listdir(w.box.at("log")):
        if not name.startswith("pusher"):
            continue
        with open(w.box.at("log", name), encoding="utf-8") as f:
            text = f.read()
        seen += len(text)
        for word in words:
            if word in text:
                raise Failed("%s holds %s..." % (name, word[:8]))
    check(seen > 10000, "they said little")


if __name__ == "__main__":
    tap.need(openssl="/usr/bin/openssl")
    case.run(World)
