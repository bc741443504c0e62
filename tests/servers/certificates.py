"""A certificate authority of our own, and the server certificates that a client must accept or refuse."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CertificateKind = Literal["valid", "wrong_host", "expired"]

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class CertificateFiles:
    """What a TLS server is configured with. PEM files; the key is readable by its owner only."""

    certificate: Path
    key: Path


class CertificateAuthority:
    """Issues certificates that hold for clients which trust `ca_file`, and only for them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Maildelta test authority")
        self._certificate = self._self_signed()
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def server_certificate(self, kind: CertificateKind) -> CertificateFiles:
        """`valid` for localhost, 127.0.0.1 and ::1; `wrong_host` for another name; `expired` since yesterday."""
        match kind:
            case "valid":
                return self.issue("valid", hosts=_LOCAL_NAMES)
            case "wrong_host":
                return self.issue("wrong_host", hosts=("mail.elsewhere.example",))
            case "expired":
                return self.issue("expired", hosts=_LOCAL_NAMES, lasts=timedelta(days=-1))

    def issue(
        self, file_name: str, *, hosts: tuple[str, ...], lasts: timedelta = timedelta(days=30)
    ) -> CertificateFiles:
        """A server certificate for `hosts` (names or addresses) that ends after `lasts`, negative for the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            self._builder(
                _name(hosts[0]), key.public_key(), since=now - timedelta(days=60), until=now + lasts
            )
            .add_extension(
                x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, SHA256())
        )
        files = CertificateFiles(self._directory / f"{file_name}.pem", self._directory / f"{file_name}.key")
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.touch(mode=0o600)
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def _self_signed(self) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            self._builder(
                self._name,
                self._key.public_key(),
                since=now - timedelta(days=90),
                until=now + timedelta(days=90),
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_signs_certificates_only(), critical=True)
            .sign(self._key, SHA256())
        )

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *, since: datetime, until: datetime
    ) -> x509.CertificateBuilder:
        # Both key identifiers: Python 3.13 verifies with VERIFY_X509_STRICT, which asks for them (RFC 5280 §4.2.1).
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _signs_certificates_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
