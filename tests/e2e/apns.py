# SPDX-License-Identifier: BSD-3-Clause
"""A strict APNs server on the loopback (tests/apns/server.c), its certificates, and what pushes."""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import time

from processes import Failed, wait_for

TOPIC = "com.apple.mail.XServer.2d6b2b8e-7a53-4f0c-9c53-0a7d1e6c1f11"
KEY_ID = "ABC123DEFG"
TEAM_ID = "DEF123GHIJ"


def device(n):
    """A device token: 32 bytes in hex."""
    return hashlib.sha256(b"device %d" % n).hexdigest()


def account(n):
    """The payload that tells Mail to look."""
    return json.dumps({"aps": {"account-id": "%032X" % n}}, separators=(",", ":"))


class Authority:
    """A certificate authority of this test's own; and what it signs."""

    def __init__(self, box, name="authority"):
        self.box = box
        self.dir = box.folder(name)
        self.certificate, self.key = self._make("ca", "/CN=Test authority", [
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign"])

    def at(self, name):
        return os.path.join(self.dir, name)

    def _make(self, name, subject, more, days="3650"):
        pem, key = self.at(name + ".pem"), self.at(name + ".key")
        self.box.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-days", days,
                      "-keyout", key, "-out", pem] + more)
        os.chmod(key, 0o600)
        self.box.own(self.dir)
        return pem, key

    def server(self, name="server", names="DNS:localhost,IP:127.0.0.1"):
        return self._make(name, "/CN=localhost", [
            "-CA", self.certificate, "-CAkey", self.key,
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "subjectAltName=" + names])

    def client(self, topic=TOPIC, name="client"):
        """What Apple gives out: the topic is the subject's UID."""
        return self._make(name, "/UID=%s/CN=APSP/C=US" % topic if topic else "/CN=APSP", [
            "-CA", self.certificate, "-CAkey", self.key,
            "-addext", "basicConstraints=critical,CA:FALSE"])

    def token_key(self, name="AuthKey"):
        """A key for provider tokens, and its public half."""
        key, public = self.at(name + ".p8"), self.at(name + ".pub")
        self.box.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-out", key])
        self.box.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public])
        os.chmod(key, 0o600)
        self.box.own(self.dir)
        return key, public


def bearer(key, key_id=KEY_ID, team_id=TEAM_ID, now=None):
    """A provider token by other means than the product's."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    text = part(json.dumps({"alg": "ES256", "kid": key_id}).encode()) + b"." + part(
        json.dumps({"iss": team_id, "iat": int(now or time.time())}).encode())
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text, check=True,
                         stdout=subprocess.PIPE).stdout
    numbers, at = b"", 2
    for _ in range(2):
        length = der[at + 1]
        numbers += der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length
    return (text + b"." + part(numbers)).decode()


class Apns:
    """The server. Extra arguments are its own: --topic, --max-streams, --until-success, ..."""

    def __init__(self, box, build, authority=None, name="apns"):
        self.box = box
        self.name = name
        self.program = os.path.join(build, "tests", "apns", "server")
        self.authority = authority or Authority(box)
        self.certificate, self.key = self.authority.server()
        self.client_certificate, self.client_key = self.authority.client()
        self.token_key, self.public = self.authority.token_key()
        self.record = box.at(name + ".requests")
        self.port = box.port()
        self.control = self.process = None

    @property
    def cafile(self):
        return self.authority.certificate

    @property
    def url(self):
        return "https://localhost:%d" % self.port

    def start(self, *more, record=True):
        ready = self.box.at(self.name + ".ready")
        if os.path.exists(ready):
            os.unlink(ready)
        self.process = self.box.start(self.name, [
            self.program, "--port", str(self.port), "--ready", ready, "--certificate",
            self.certificate, "--key", self.key, "--cafile", self.cafile, "--token-key",
            "%s:%s:%s" % (KEY_ID, TEAM_ID, self.public)]
            + (["--record", self.record] if record else []) + list(more))
        wait_for("the APNs server is ready", lambda: self._up(ready))
        with open(ready, encoding="ascii") as f:
            self.control = json.load(f)["control"]
        return self

    def _up(self, ready):
        if self.process.poll() is not None:
            raise Failed("the APNs server ended with status %d" % self.process.returncode)
        return os.path.exists(ready)

    def stop(self):
        if self.process:
            self.box.stop(self.process)
            self.process = None

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def tell(self, **command):
        """A command of tests/apns/script.h."""
        with socket.create_connection(("127.0.0.1", self.control), timeout=30) as s:
            s.sendall(json.dumps(command).encode() + b"\n")
            answer = json.loads(s.makefile().readline())
        if "error" in answer:
            raise Failed("%r: %s" % (command, answer["error"]))
        return answer

    def script(self, which, *answers, repeat=False):
        self.tell(device=which, answers=list(answers), repeat=repeat)

    def stats(self):
        return self.tell(stats=True)

    def requests(self):
        """All that were recorded, oldest first."""
        if not os.path.exists(self.record):
            return []
        with open(self.record, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]


class Pusher:
    """tests/apns/pusher.c: the sink's client, told what to push."""

    def __init__(self, apns, build, *more, token=False, timeout=30000, retry_max=300, url=None,
                 cafile=None, certificate=None, key=None):
        self.apns = apns
        self.box = apns.box
        self.name = "pusher-%d" % len(os.listdir(self.box.at("log")))
        self.log = self.box.at("log", self.name + ".log")
        self.argv = [os.path.join(build, "tests", "apns", "pusher"), "--url", url or apns.url,
                     "--cafile", cafile or apns.cafile, "--timeout", str(timeout),
                     "--retry-max", str(retry_max)]
        if token:
            self.argv += ["--token-key", apns.token_key, "--key-id", KEY_ID, "--team-id", TEAM_ID]
        else:
            self.argv += ["--certificate", certificate or apns.client_certificate,
                          "--key", key or apns.client_key]
        self.process = self.box.start(self.name, self.argv + list(more), stdin=subprocess.PIPE)
        self.refs = 0

    def tell(self, *lines):
        self.process.stdin.write("".join(json.dumps(x) + "\n" for x in lines).encode())
        self.process.stdin.flush()

    def push(self, *devices, **fields):
        """References of pushes, one a device."""
        fields.setdefault("payload", account(1))
        first = self.refs + 1
        self.refs += len(devices)
        self.tell(*[{"push": first + n, "token": d, **fields} for n, d in enumerate(devices)])
        return list(range(first, self.refs + 1))

    def said(self):
        with open(self.log, encoding="utf-8") as f:
            text = f.read()
        if self.process.poll() not in (None, 0):
            raise Failed("the pusher ended with status %d: %s" % (self.process.returncode, text))
        return [json.loads(line) for line in text.splitlines(True)
                if line.startswith("{") and line.endswith("\n")]

    def answers(self):
        """By reference; a second answer is an error."""
        found = {}
        for line in self.said():
            if "answer" in line:
                if line["answer"] in found:
                    raise Failed("push %d was answered twice" % line["answer"])
                found[line["answer"]] = line
        return found

    def wait(self, refs, timeout=60):
        """Answers of these, in their order."""
        wait_for("answers", lambda: set(refs) <= set(self.answers()), timeout)
        found = self.answers()
        return [found[r] for r in refs]

    def states(self):
        return [x for x in self.said() if "condition" in x]

    def until(self, what, fn, timeout=60, since=0):
        """The first state that fn likes, of all but the first so many."""
        def look():
            return next((s for s in self.states()[since:] if fn(s)), None)
        try:
            return wait_for(what, look, timeout)
        except Failed as e:
            raise Failed("%s; states: %r" % (e, self.states())) from None

    def finish(self, timeout=60):
        """Its own end, when all is answered: what it kept it must have freed."""
        self.process.stdin.close()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed("the pusher does not end") from None
        if status != 0:
            raise Failed("the pusher ended with status %d" % status)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.box.stop(self.process)
