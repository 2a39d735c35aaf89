# SPDX-License-Identifier: BSD-3-Clause
"""A private RabbitMQ node on the loopback: own ports, name, folders, cookie and epmd."""

import os
import pwd
import secrets
import signal
import time

import pika

from processes import Failed, wait_for

BIN = "/usr/lib/rabbitmq/bin"
EPMD = "/usr/bin/epmd"


class Rabbit:
    """tls: (authority's file, certificate, key) for a second port, amqps, which a client may open
    with a certificate (EXTERNAL). plugins: names. beside: a node that this one is to form a
    cluster with, by its cookie and epmd; it must answer when this one begins."""

    def __init__(self, box, name="mboxevent", tls=None, plugins=(), beside=None):
        self.box, self.label = box, name
        self.user = "rabbitmq" if os.geteuid() == 0 else None
        self.dir = box.at("rabbit-" + name)
        self.beside = beside
        os.makedirs(self.dir, mode=0o755)
        for sub in ("mnesia", "log", "home"):
            os.makedirs(self.at(sub))
        self.cookie = beside.cookie if beside else secrets.token_hex(16)
        self._write(os.path.join("home", ".erlang.cookie"), self.cookie, 0o400)
        self.port, dist = box.port(), box.port()
        self.tls_port = box.port() if tls else None
        self.epmd_port = beside.epmd_port if beside else box.port()
        self.node = "%s-%d@localhost" % (name, self.port)
        self._write("rabbitmq.conf", self._conf(tls))
        self._write("plugins", "[%s].\n" % ",".join(plugins))
        self._write("env", "")
        if self.user:
            who = pwd.getpwnam(self.user)
            for top, folders, files in os.walk(self.dir):
                for one in [top] + [os.path.join(top, x) for x in folders + files]:
                    os.chown(one, who.pw_uid, who.pw_gid)
        self.env = {
            "HOME": self.at("home"),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_CONF_ENV_FILE": self.at("env"),
            "RABBITMQ_CONFIG_FILE": self.at("rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.at("advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.at("plugins"),
            "RABBITMQ_MNESIA_BASE": self.at("mnesia"),
            "RABBITMQ_LOG_BASE": self.at("log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": self.at("pid"),
            # The node listens for others on the loopback alone, and starts no epmd of its own.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2",
        }
        self.epmd = self.server = None

    def at(self, *names):
        return os.path.join(self.dir, *names)

    def _write(self, name, text, mode=0o644):
        with open(self.at(name), "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), mode)
            f.write(text)

    def _conf(self, tls):
        lines = ["listeners.tcp.1 = 127.0.0.1:%d" % self.port,
                 "disk_free_limit.absolute = 50MB",
                 "log.file.level = warning"]
        if self.beside:
            lines += ["cluster_formation.peer_discovery_backend = "
                      "rabbit_peer_discovery_classic_config",
                      "cluster_formation.classic_config.nodes.1 = %s" % self.beside.node,
                      "cluster_formation.classic_config.nodes.2 = %s" % self.node]
        if tls:
            lines += ["listeners.ssl.1 = 127.0.0.1:%d" % self.tls_port,
                      "ssl_options.cacertfile = %s" % tls[0],
                      "ssl_options.certfile = %s" % tls[1],
                      "ssl_options.keyfile = %s" % tls[2],
                      "ssl_options.verify = verify_peer",
                      "ssl_options.fail_if_no_peer_cert = false",
                      "ssl_cert_login_from = common_name",
                      "auth_mechanisms.1 = PLAIN",
                      "auth_mechanisms.2 = EXTERNAL"]
        return "\n".join(lines) + "\n"

    def begin(self):
        """Starts it without waiting: it takes seconds, in which others can start."""
        if not self.beside and not self.epmd:
            self.epmd = self.box.start("epmd-" + self.label, [
                EPMD, "-port", str(self.epmd_port), "-address", "127.0.0.1"], user=self.user)
        self.server = self.box.start("rabbitmq-" + self.label, [BIN + "/rabbitmq-server"],
                                     env=self.env, user=self.user)

    def ready(self, timeout=90):
        wait_for("RabbitMQ answers on port %d" % self.port, self._up, timeout, every=0.2)

    def _up(self):
        if self.server.poll() is not None:
            raise Failed("RabbitMQ ended with status %d" % self.server.returncode)
        try:
            self.connect().close()
            return True
        except (pika.exceptions.AMQPError, OSError):
            return False

    def start(self):
        self.begin()
        self.ready()

    def connect(self):
        return pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", self.port, connection_attempts=1, socket_timeout=5,
            blocked_connection_timeout=30))

    def url(self, user="guest"):
        return "amqp://%s@127.0.0.1:%d/" % (user, self.port)

    def ctl(self, *args, timeout=60):
        return self.box.run([BIN + "/rabbitmqctl", "-n", self.node] + list(args), timeout=timeout,
                            user=self.user, env=self.env).stdout

    def eval(self, erlang):
        return self.ctl("eval", erlang)

    def stop(self, sig=signal.SIGTERM):
        """The node; its epmd too, when that is its own."""
        self.halt(sig)
        if self.epmd:
            self.box.stop(self.epmd, sig, timeout=30)
        self.epmd = None

    def halt(self, sig=signal.SIGTERM):
        """The node alone."""
        if self.server:
            self.box.stop(self.server, sig, timeout=30)
        self.server = None

    def queue(self, name, timeout=60):
        """Waits until a queue is there."""
        def there():
            connection = self.connect()
            try:
                return connection.channel().queue_declare(name, passive=True)
            except pika.exceptions.ChannelClosedByBroker:
                return None
            finally:
                connection.close()
        wait_for("queue %s is declared" % name, there, timeout, every=0.1)

    def settled(self, name, timeout=60):
        """Waits until a quorum queue outlives a kill -9: Ra writes its name to a table on disk about
        a second after it was declared, and a node killed before that never finds the queue again."""
        base = self.at("mnesia")

        def written():
            for top, _, files in os.walk(base):
                if "names.dets" in files:
                    with open(os.path.join(top, "names.dets"), "rb") as f:
                        if name.encode() in f.read():
                            return True
            return False
        wait_for("quorum queue %s is on the broker's disk" % name, written, timeout, every=0.1)

    def collect(self, queue, expected, timeout=60):
        """Consumes the queue until `expected` says so or time is up: expected(messages) -> bool.
        The messages, as (properties, body), acknowledged."""
        got = []
        connection = self.connect()
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)

        def take(ch, method, properties, body):
            got.append((properties, body))
            ch.basic_ack(method.delivery_tag)

        channel.basic_consume(queue, take)
        end = time.monotonic() + timeout
        while time.monotonic() < end and not expected(got):
            connection.process_data_events(0.2)
        connection.close()
        return got
