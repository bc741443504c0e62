"""PURE  Why there is no connection to a POP3 server, from the look-up of its name to its greeting."""

from app import pop3
from app.maildrops.causes.steps import USUAL_PORTS, Diagnosis, FailedStep
from app.network.addresses import AddressRefused, PortRefused
from app.network.lookups import HostUnknown, NameServerSilent


def dns(error: Exception, at: FailedStep) -> Diagnosis | None:
    """The name leads nowhere, or where this service does not go."""
    match error:
        case PortRefused():
            return Diagnosis(
                "This service does not connect to mail servers on that port.",
                "Use port 995 (tls) or 110 (starttls). If the mail server is meant to be there, add its port to "
                "MAILDELTA_ALLOWED_PORTS and start the service again.",
            )
        case AddressRefused():
            return Diagnosis(
                "The address is not a public one, and this service does not connect to such addresses unasked.",
                "If the mail server is meant to be there, add its network to MAILDELTA_ALLOWED_PRIVATE_NETWORKS and "
                "start the service again. Else check the host name.",
            )
        case NameServerSilent():
            return Diagnosis(
                "No name server that could know the name answered in time.",
                "Try again in a minute. If other names work, the domain's own name servers are down: tell whoever runs "
                "them. If none does, check the name server that this service uses.",
            )
        case HostUnknown():
            return Diagnosis(
                f"There is no address for the name {at.host}.",
                "Check the spelling of host; providers often call it pop.example.org or mail.example.org. If it is "
                "right, check the name server that this service uses.",
            )
    return None


def tcp(error: Exception, at: FailedStep) -> Diagnosis | None:
    """Nobody takes the connection."""
    if isinstance(error, pop3.Timeout):
        return Diagnosis(
            f"{at.host} does not answer on port {at.port}: a firewall lets nothing through, or nobody is there.",
            f"Check host and port ({USUAL_PORTS}), and that this machine may connect to it.",
        )
    if isinstance(error, pop3.ConnectFailed):
        return Diagnosis(
            f"{at.host} takes no connections on port {at.port}: no server listens there, or none that is reachable.",
            f"Check the port ({USUAL_PORTS}). Some providers open it only once POP3 is switched on in the account.",
        )
    return None


def tls(error: Exception, at: FailedStep) -> Diagnosis | None:
    """It cannot be protected, or not by a certificate that is trusted."""
    if isinstance(error, pop3.TlsFailed) and error.verify_code is not None:
        return _certificate(error.verify_code, at)
    if at.plain_words is not None:
        return _plain(at.plain_words, at)
    if at.security is pop3.Security.STARTTLS and isinstance(error, pop3.TlsFailed):
        if not at.offers_stls:
            return Diagnosis(
                f"The server on port {at.port} does not offer STLS: it cannot change over to TLS.",
                "Use security 'tls' with port 995. Only if the server has no TLS at all, and the network between is "
                "trusted, use 'none' with allow_cleartext_password.",
            )
        if error.reply is not None:
            return Diagnosis(
                "The server offers STLS and then refuses it: its TLS is not set up.",
                "Use security 'tls' with port 995, or tell the server's administrator.",
            )
    if isinstance(error, pop3.TlsFailed):
        return Diagnosis(
            "There is no common TLS version or cipher with the server: it may know nothing newer than TLS 1.1, or only "
            "ciphers and keys that are thought too weak today. Or it refuses this machine.",
            f"Check port and security ({USUAL_PORTS}). For an old server set allow_legacy_tls.",
        )
    return None


def _certificate(verify_code: int, at: FailedStep) -> Diagnosis:
    """By OpenSSL's X509_V_ERR_… numbers."""
    if verify_code in {62, 63, 64}:  # host name, mail address, IP address
        return Diagnosis(
            f"The certificate is for another name than {at.host}.",
            "Use the host name that the provider names; an alias or a bare address is not in the certificate.",
        )
    if verify_code == 10:
        return Diagnosis(
            "The server's certificate has expired.",
            "The server's administrator must renew it. If it should be good, check this machine's clock.",
        )
    if verify_code == 9:
        return Diagnosis(
            "The server's certificate is not valid yet.", "Check the clock of this machine and of the server."
        )
    if verify_code in {2, 18, 19, 20, 21}:  # the chain does not end at an authority that is trusted
        return Diagnosis(
            "The certificate is signed by an authority that is not trusted here, or by itself.",
            "For a private authority give its certificate in ca_certificates (PEM). For a public one the server must "
            "send the certificates in between.",
        )
    return Diagnosis("The server's certificate is not accepted.", "Tell the server's administrator.")


def _plain(words: str, at: FailedStep) -> Diagnosis:
    """The port was to speak TLS from the start, and speaks first, in clear text."""
    if words.upper().startswith(("+OK", "-ERR")):
        return Diagnosis(
            f"Port {at.port} speaks POP3 without TLS: the greeting came in clear text.",
            f"Use security 'tls' with port 995, or 'starttls' with port {at.port}.",
        )
    return _another_service(pop3.meaning_of(words), at)


def greeting(error: Exception, at: FailedStep) -> Diagnosis | None:
    """Who takes it does not greet as a POP3 server."""
    if at.speaks_tls:
        return Diagnosis(
            f"Port {at.port} speaks TLS from the start, and waits for us to begin it.",
            f"Use security 'tls' with port {at.port}.",
        )
    match error:
        case pop3.ProtocolError() | pop3.LimitExceeded():
            return _another_service(error.meaning, at)
        case pop3.Timeout():
            return Diagnosis(
                "The server takes the connection and says nothing.",
                f"Check port and security ({USUAL_PORTS}). If they are right, the server is busy: try again later.",
            )
        case pop3.ConnectionLost():
            return Diagnosis(
                "The server ended the connection before it said anything: it may have blocked this machine's address, "
                "often after many wrong logins.",
                f"Check port and security ({USUAL_PORTS}); if they are right, wait some hours or ask the provider.",
            )
    return None


def _another_service(meaning: pop3.Meaning | None, at: FailedStep) -> Diagnosis:
    kinds = {pop3.Meaning.SMTP, pop3.Meaning.IMAP, pop3.Meaning.HTTP, pop3.Meaning.SSH}
    who = meaning.value if meaning in kinds else "something that is not POP3"
    return Diagnosis(f"On port {at.port} answers {who}.", f"Use the port of the POP3 server: {USUAL_PORTS}.")
