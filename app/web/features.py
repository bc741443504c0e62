"""What a handler works with: its feature, found by FastAPI's ``Depends``."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from fastapi import FastAPI, Request

Kind = TypeVar("Kind")


def serve(app: FastAPI, features: Iterable[object]) -> None:
    """Have the handlers of an application work with these, one of each class."""
    app.state.features = {type(one): one for one in features}


def feature_of(app: FastAPI, kind: type[Kind]) -> Kind:
    """The feature of a class that an application serves."""
    found: Kind = app.state.features[kind]
    return found


def served(kind: type[Kind]) -> Callable[[Request], Awaitable[Kind]]:
    """A dependency that gives the feature of this class."""

    async def found(request: Request) -> Kind:  # a coroutine: FastAPI calls plain functions in a thread
        return feature_of(request.app, kind)

    return found
