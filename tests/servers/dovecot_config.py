"""The configuration of a private Dovecot, as text: one for 2.3, one for 2.4, which renamed much."""

import grp
import re
from dataclasses import dataclass
from pathlib import Path

from tests.servers.certificates import CertificateFiles, CertificateKind
from tests.servers.processes import Account

_SESSIONS = 1000  # at once; far above what the tests open

# Dovecot 2.4 has other names for what a unique-id is made of.
_UIDL_VARIABLES_2_4 = {
    "u": "uid",
    "v": "uidvalidity",
    "f": "filename",
    "g": "guid",
    "m": "md5",
}


@dataclass(frozen=True)
class DovecotSettings:
    """What a test chooses. `uidl_format` is in the notation of Dovecot 2.3."""

    lock_session: bool = False
    uidl_format: str = "%08Xu%08Xv"
    certificate: CertificateKind = "valid"
    auth_mechanisms: str = "plain login"
    extra: str = ""


@dataclass(frozen=True)
class DovecotPlace:
    """Where it runs, and as whom. `service_owner` is None when root starts it: then Debian's own users serve."""

    directory: Path
    host: str
    port: int
    tls_port: int
    certificate: CertificateFiles
    mail_owner: Account
    service_owner: Account | None

    @property
    def config_file(self) -> Path:
        return self.directory / "dovecot.conf"

    @property
    def log_file(self) -> Path:
        return self.directory / "dovecot.log"

    @property
    def passwd_directory(self) -> Path:
        return self.directory / "users"

    def home(self, username: str) -> Path:
        return self.directory / "mail" / username


def configuration(place: DovecotPlace, settings: DovecotSettings, *, version: tuple[int, int]) -> str:
    """The text of `dovecot.conf` for this version of Dovecot."""
    is_2_4 = version >= (2, 4)
    own = _for_2_4(place, settings) if is_2_4 else _for_2_3(place, settings)
    # A login process that serves one connection only, the default, would make the number of processes the limit.
    any_number = "restart_request_count = unlimited" if is_2_4 else "service_count = 0"
    return own + _for_both(place, settings, any_number_of_connections=any_number) + settings.extra + "\n"


def uidl_format_2_4(uidl_format: str) -> str:
    """A format of 2.3, such as `%08Xu%08Xv`, in the notation of 2.4."""

    def variable(match: re.Match[str]) -> str:
        width, letter = match.group("width"), match.group("letter")
        name = _UIDL_VARIABLES_2_4[letter]
        return f"%{{{name} | hex({int(width)})}}" if match.group("hex") else f"%{{{name}}}"

    return re.sub(r"%(?P<width>\d*)(?P<hex>X?)(?P<letter>[a-z])", variable, uidl_format)


def _for_2_3(place: DovecotPlace, settings: DovecotSettings) -> str:
    return f"""
mail_location = maildir:~/Maildir
disable_plaintext_auth = no
ssl_cert = <{place.certificate.certificate}
ssl_key = <{place.certificate.key}
pop3_uidl_format = {settings.uidl_format}
stats_writer_socket_path =
passdb {{
  driver = passwd-file
  args = username_format=%u {place.passwd_directory}/%u
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {place.passwd_directory}/%u
}}
"""


def _for_2_4(place: DovecotPlace, settings: DovecotSettings) -> str:
    return f"""
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
mail_driver = maildir
mail_path = ~/Maildir
auth_allow_cleartext = yes
ssl_server_cert_file = {place.certificate.certificate}
ssl_server_key_file = {place.certificate.key}
pop3_uidl_format = {uidl_format_2_4(settings.uidl_format)}
passdb passwd-file {{
  passwd_file_path = {place.passwd_directory}/%{{user}}
  auth_username_format = %{{user}}
}}
userdb passwd-file {{
  passwd_file_path = {place.passwd_directory}/%{{user}}
  auth_username_format = %{{user}}
}}
"""


def _for_both(place: DovecotPlace, settings: DovecotSettings, *, any_number_of_connections: str) -> str:
    return f"""
base_dir = {place.directory}/run
state_dir = {place.directory}/state
log_path = {place.log_file}
protocols = pop3
listen = {place.host}
ssl = yes
first_valid_uid = 1
auth_mechanisms = {settings.auth_mechanisms}
auth_failure_delay = 0
mail_max_userip_connections = {_SESSIONS}
mail_fsync = never
pop3_lock_session = {"yes" if settings.lock_session else "no"}
{_services_as(place.service_owner)}
service auth {{
  client_limit = {3 * _SESSIONS}
}}
service anvil {{
  chroot =
  client_limit = {3 * _SESSIONS}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service pop3-login {{
  chroot =
  client_limit = {_SESSIONS}
  process_min_avail = 1
  process_limit = 4
  {any_number_of_connections}
  inet_listener pop3 {{
    port = {place.port}
  }}
  inet_listener pop3s {{
    port = {place.tls_port}
    ssl = yes
  }}
}}
service pop3 {{
  process_limit = {_SESSIONS}
}}
"""


def _services_as(owner: Account | None) -> str:
    if owner is None:
        return ""
    return f"""default_internal_user = {owner.name}
default_internal_group = {_group_name(owner.gid)}
default_login_user = {owner.name}
"""


def _group_name(gid: int) -> str:
    return grp.getgrgid(gid).gr_name
