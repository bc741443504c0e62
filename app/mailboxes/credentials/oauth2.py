"""An OAuth 2.0 login as it is sent."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator

from app.mailboxes.credentials.secrets import OAuth2, OAuth2Provider
from app.mailboxes.wanted.shapes import Shaped
from app.web.sent import Sent


class _OAuth2(Sent):
    client_id: str = Field(
        min_length=1,
        max_length=1000,
        examples=["1234.apps.example.org"],
        description="Who the application is, as registered at the provider.",
    )
    client_secret: SecretStr | None = Field(
        None, min_length=1, max_length=8192, description="Write-only. Public clients have none."
    )
    refresh_token: SecretStr = Field(min_length=1, max_length=16384, description="Write-only.")
    scope: str | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="null: what the provider needs; `custom`: none is sent.",
    )


class ProviderOAuth2(_OAuth2):
    """Tokens of a provider whose token server is known."""

    provider: Literal[OAuth2Provider.GOOGLE, OAuth2Provider.MICROSOFT] = Field(
        examples=["google"], description="Whose tokens these are."
    )


class CustomOAuth2(_OAuth2):
    """Tokens of a token server of one's own."""

    provider: Literal[OAuth2Provider.CUSTOM] = Field(description="Any other provider.")
    token_url: str = Field(
        max_length=2000,
        examples=["https://login.example.org/oauth2/token"],
        description="Where tokens are asked for: https; `http` only inside MAILDELTA_ALLOWED_PRIVATE_NETWORKS.",
    )


class OAuth2Login(Shaped, _OAuth2):
    """What access tokens are got with, by the refresh token that a person's consent gave."""

    provider: OAuth2Provider
    token_url: str | None = Field(None, max_length=2000)

    @classmethod
    def shapes(cls) -> Any:
        return Annotated[ProviderOAuth2 | CustomOAuth2, Field(discriminator="provider")]

    @field_validator("token_url")
    @classmethod
    def _url_of_a_server(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parts = urlsplit(value)
                is_usable = parts.scheme in {"https", "http"} and parts.hostname and parts.port != 0
            except ValueError:  # a bad port's among them, in the words of a library
                is_usable = False
            if not is_usable:
                raise ValueError("must be an https URL")
            if "@" in parts.netloc or parts.fragment or not value.isascii() or not value.isprintable():
                raise ValueError("must have no user, no fragment and no odd characters")
            try:
                httpx.URL(value).host  # noqa: B018  who asks it is stricter: no octal IPv4 address, no false A-label
            except (httpx.InvalidURL, UnicodeError) as error:
                raise ValueError("must be an https URL of a host that can be asked") from error
        return value

    @model_validator(mode="after")
    def _url_belongs_to_custom(self) -> Self:
        if (self.provider is OAuth2Provider.CUSTOM) != (self.token_url is not None):
            raise ValueError("token_url goes with provider custom, and only with it")
        return self

    def opened(self) -> OAuth2:
        """The same as a value, for the vault."""
        return OAuth2(
            provider=self.provider,
            client_id=self.client_id,
            client_secret=self.client_secret.get_secret_value() if self.client_secret else None,
            refresh_token=self.refresh_token.get_secret_value(),
            token_url=self.token_url,
            scope=self.scope,
        )
