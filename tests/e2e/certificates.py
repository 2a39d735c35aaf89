# SPDX-License-Identifier: BSD-3-Clause
"""A certificate authority of the test's own, and what it issues: right, wrong and expired."""

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Authority:
    """Its certificate is .file; what it issues goes to the same folder, certificates readable for
    all, keys (mode 0400) handed to `owner` by own()."""

    def __init__(self, folder, own=lambda path: None, name="Test authority"):
        self.folder, self.own = folder, own
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        self.certificate = self._build(self.name, self.key.public_key(), -60, 365).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
                self.key, hashes.SHA256())
        self.file = self._write("ca.pem", self.certificate.public_bytes(
            serialization.Encoding.PEM), 0o444)

    def _build(self, subject, public, first, last):
        now = datetime.datetime.utcnow()
        return x509.CertificateBuilder().subject_name(subject).issuer_name(
            self.name).public_key(public).serial_number(x509.random_serial_number()
                                                        ).not_valid_before(
            now + datetime.timedelta(days=first)).not_valid_after(
            now + datetime.timedelta(days=last))

    def _write(self, name, data, mode):
        """By renaming, as who replaces a certificate under a running server must."""
        path = os.path.join(self.folder, name)
        with open(path + ".new", "wb") as f:
            os.fchmod(f.fileno(), mode)
            f.write(data)
        self.own(path + ".new")
        os.rename(path + ".new", path)
        return path

    def issue(self, name, hosts=(), common_name=None, first=-30, last=30, client=False,
              passphrase=None, own=None):
        """(certificate's file, key's file), valid from day `first` to day `last` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._build(_name(common_name or name), key.public_key(), first, last)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(
            [ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        protection = (serialization.BestAvailableEncryption(passphrase.encode()) if passphrase
                      else serialization.NoEncryption())
        files = (self._write(name + ".pem", certificate.public_bytes(
            serialization.Encoding.PEM), 0o444), self._write(name + ".key", key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection), 0o400))
        (own or self.own)(files[1])
        return files
