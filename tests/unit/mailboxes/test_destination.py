"""Stored credentials go nowhere new, nor less protected."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.mailboxes.credentials.destination import Destination, canonical_host, fields_that_need_credentials

TLS = Destination(host="pop.example.org", port=995, security="tls", username="reader")
STARTTLS = replace(TLS, port=110, security="starttls")
CLEAR = replace(TLS, port=110, security="none", allow_cleartext_password=True)


def pem(*certificates: str, wide: bool = False) -> str:
    """Something like certificates; what is in them does not matter here."""
    blank = "\r\n" if wide else "\n"
    return "".join(
        f"-----BEGIN CERTIFICATE-----{blank}{blank.join(each)}{blank}-----END CERTIFICATE-----{blank}# told{blank}"
        for each in certificates
    )


@pytest.mark.parametrize(
    ("old", "change"),
    [
        (TLS, {}),
        (CLEAR, {}),
        (CLEAR, {"security": "tls", "port": 995}),
        (CLEAR, {"security": "tls", "port": 995, "allow_cleartext_password": False}),
        (STARTTLS, {"security": "tls", "port": 995}),
        (CLEAR, {"security": "starttls"}),
        (CLEAR, {"security": "tls"}),
        (replace(CLEAR, port=2110), {"security": "tls"}),
        (replace(CLEAR, port=2110), {"security": "starttls"}),
        (replace(CLEAR, port=995), {"security": "tls", "port": 110}),
        (TLS, {"host": "POP.Example.Org."}),
        (replace(TLS, host="bücher.example"), {"host": "XN--Bcher-Kva.example"}),
        (replace(TLS, host="[2001:DB8::1]"), {"host": "2001:db8:0::1"}),
        (replace(TLS, allow_apop=True), {"allow_apop": False}),
        (replace(CLEAR, allow_apop=True), {"allow_apop": False, "security": "starttls"}),
        (CLEAR, {"allow_cleartext_password": False}),
        (replace(TLS, ca_certificates=pem("ab", "cd")), {"ca_certificates": pem("cd", "ab", wide=True)}),
        (replace(TLS, ca_certificates=pem("ab", "cd")), {"ca_certificates": pem("cd")}),
    ],
)
def test_the_same_and_what_protects_better_is_free(old: Destination, change: dict[str, Any]) -> None:
    assert fields_that_need_credentials(old, replace(old, **change)) == ()


@pytest.mark.parametrize(
    ("old", "change", "fields"),
    [
        (TLS, {"host": "pop.example.com"}, ("host",)),
        (TLS, {"host": "pop.example.org.evil.example"}, ("host",)),
        (replace(TLS, host="fass.example"), {"host": "faß.example"}, ("host",)),
        (replace(TLS, host="127.0.0.1"), {"host": "127.1"}, ("host",)),
        (TLS, {"port": 996}, ("port",)),
        (TLS, {"port": 110}, ("port",)),
        (CLEAR, {"port": 995}, ("port",)),
        (STARTTLS, {"port": 995}, ("port",)),
        (CLEAR, {"port": 995, "security": "starttls"}, ("port",)),
        (CLEAR, {"port": 2995, "security": "tls"}, ("port",)),
        (replace(CLEAR, port=2110), {"port": 995, "security": "tls"}, ("port",)),
        (TLS, {"username": "Reader"}, ("username",)),
        (TLS, {"username": "reader "}, ("username",)),
        (TLS, {"security": "starttls"}, ("security",)),
        (TLS, {"security": "starttls", "port": 110}, ("port", "security")),
        (STARTTLS, {"security": "none"}, ("security",)),
        (TLS, {"security": "none", "port": 110, "allow_cleartext_password": True},
         ("port", "security", "allow_cleartext_password")),
        (TLS, {"allow_cleartext_password": True}, ("allow_cleartext_password",)),
        (TLS, {"allow_apop": True}, ("allow_apop",)),
        (CLEAR, {"allow_apop": True}, ("allow_apop",)),
        (replace(CLEAR, allow_apop=True), {"allow_apop": False}, ("allow_apop",)),
        (CLEAR, {"security": "tls", "port": 995, "host": "h"}, ("host",)),
        (CLEAR, {"security": "tls", "port": 995, "ca_certificates": pem("ab")}, ("ca_certificates",)),
        (TLS, {"ca_certificates": pem("ab")}, ("ca_certificates",)),
        (replace(TLS, ca_certificates=pem("ab")), {"ca_certificates": None}, ("ca_certificates",)),
        (replace(TLS, ca_certificates=pem("ab")), {"ca_certificates": ""}, ("ca_certificates",)),
        (replace(TLS, ca_certificates=pem("ab")), {"ca_certificates": "# none"}, ("ca_certificates",)),
        (replace(TLS, ca_certificates=pem("ab")), {"ca_certificates": pem("ab", "cd")}, ("ca_certificates",)),
        (replace(TLS, ca_certificates=pem("ab")), {"ca_certificates": pem("AB")}, ("ca_certificates",)),
    ],
)  # fmt: skip
def test_what_leads_elsewhere_or_protects_less_needs_them(
    old: Destination, change: dict[str, Any], fields: tuple[str, ...]
) -> None:
    assert fields_that_need_credentials(old, replace(old, **change)) == fields


destinations = st.builds(
    Destination,
    host=st.sampled_from(["a.example", "A.example.", "b.example"]),
    port=st.sampled_from([110, 995, 2110]),
    security=st.sampled_from(["none", "starttls", "tls"]),
    username=st.sampled_from(["u", "v"]),
    allow_cleartext_password=st.booleans(),
    allow_apop=st.booleans(),
    ca_certificates=st.sampled_from([None, pem("ab"), pem("ab", "cd")]),
)


@given(destinations, destinations)
def test_law_there_and_back_is_free_only_where_nothing_changes(old: Destination, new: Destination) -> None:
    if not fields_that_need_credentials(old, new) and not fields_that_need_credentials(new, old):
        assert replace(new, host=old.host) == old
        assert canonical_host(new.host) == canonical_host(old.host)


@given(destinations, destinations, destinations)
def test_law_no_detour_leads_elsewhere(first: Destination, second: Destination, third: Destination) -> None:
    if not fields_that_need_credentials(first, second) and not fields_that_need_credentials(second, third):
        assert canonical_host(third.host) == canonical_host(first.host)
        assert third.username == first.username
        assert not fields_that_need_credentials(first, third)


@given(st.text(max_size=80))
@example("\N{DIGIT ONE FULL STOP}")
@example("\N{FULLWIDTH DIGIT ZERO}::1")
def test_any_host_has_a_canonical_form_that_stays(host: str) -> None:
    assert canonical_host(canonical_host(host)) == canonical_host(host)
