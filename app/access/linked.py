"""Routes that a signed link opens too, and the links that answers hold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Security
from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope as Asgi

from app.access.links import FIRST_KEY
from app.access.routes import CALLER, Access, Admission, By
from app.access.service import Caller, Scope
from app.errors import AppError, without_secrets
from app.web.features import feature_of
from app.web.pages import located

_PARAMETER = "link"
IS_LINKED = "maildelta.is_linked"  # the scope of a request that a link has let in


def requires_or_link(scope: Scope) -> Any:
    """A route's dependency, of its ``dependencies``: a key with this scope, or a signed link to this very path."""
    return Security(LinkedAdmission(scope), scopes=[scope.value])


class LinkedAdmission(Admission):
    """Judges the link where there is no key."""

    async def admit(self, scope: Asgi) -> None:
        """Raises 401, 403 or 429."""
        query: bytes = scope["query_string"]
        word = QueryParams(query).get(_PARAMETER) if query else None
        if word is None or "authorization" in Headers(scope=scope):
            await super().admit(scope)
            return
        access = feature_of(scope["app"], Access)
        address = scope["client"][0] if scope.get("client") else ""
        link = access.links.opened(word, _path(scope))
        caller = await access.gate.behind_link(link, client=address) if link else None
        if caller is None:
            access.gate.count_wrong(address)
            detail = (
                "The link was cut, is of something else, has run out, or the key in whose name it was made is gone or "
                "has another secret: ask for a new one by include=raw_url."
            )
            raise AppError(401, "link_not_valid", detail, headers={"WWW-Authenticate": "Bearer"})
        scope["maildelta.key"] = caller.key
        access.gate.admit(caller, self.needed)
        scope[CALLER], scope[IS_LINKED] = caller, True


async def _linked(
    request: Request,
    link: Annotated[
        str | None,
        Query(
            alias=_PARAMETER,
            max_length=200,
            description="In place of a key: what `raw_url`, or the `url` of an attachment, holds.",
        ),
    ] = None,
) -> bool:
    return bool(request.scope.get(IS_LINKED))


Linked = Annotated[bool, Depends(_linked)]
"""Whether a link has let the request in; for routes that ``require_or_link``."""


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """Makes links in the name of who asks."""

    request: Request
    access: Access
    caller: Caller

    def to(self, path: str) -> str:
        """The address of a path of ours, as one that opens without a key for a while."""
        number = FIRST_KEY if self.caller.key_id is None else self.caller.key_id
        word = self.access.links.signed(path, key_number=number, secret=self.caller.secret)
        return located(self.request, f"{path}?{_PARAMETER}={word}")


async def _link_maker(request: Request, by: By) -> Callable[[], LinkMaker]:
    access = feature_of(request.app, Access)

    def made() -> LinkMaker:
        if not access.links.can_sign:
            raise without_secrets()
        return LinkMaker(request, access, by)

    return made


MakesLinks = Annotated[Callable[[], LinkMaker], Depends(_link_maker)]
"""Called where links are wanted: makes what makes them. Raises 409 where there is no secret key."""


def _path(scope: Asgi) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
