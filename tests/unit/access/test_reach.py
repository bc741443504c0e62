"""No route reads beyond what its caller reaches, nor names what reaches everything."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import ColumnElement, column, literal_column

from app.access import reach as reaches
from app.access import routes as access
from app.access.reach import ALL_MAILBOXES, Reach
from app.access.routes import Admission
from app.access.service import Scope
from app.main import create_app
from tests.service import settings_for

ROOT = Path(reaches.__file__).parents[1]
# They are about the key itself, or what is sent with them.
ASK_NOBODY = {"/whoami"}


def routes(folder: Path) -> Iterator[tuple[APIRoute, Admission]]:
    for context in iter_route_contexts(create_app(settings_for(folder)).routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            asked = [each.dependency for each in route.dependencies]
            for admission in (each for each in asked if isinstance(each, Admission)):
                yield route, admission


def called(dependant: Dependant) -> set[object]:
    return {dependant.call}.union(*map(called, dependant.dependencies))


def test_every_route_asks_what_its_caller_reaches_or_is_for_those_who_reach_all(tmp_path: Path) -> None:
    """A route that forgets it has no ``Reach`` to hand on; one that reads by itself is found here."""
    asks = {access._reach, access._watch, access._caller}
    found = list(routes(tmp_path))
    forgot = [
        route.path
        for route, admission in found
        if admission.needed is not Scope.ADMIN
        and not admission.of_all
        and not asks & called(route.dependant)
        and route.path not in ASK_NOBODY
    ]
    assert len(found) > 30
    assert forgot == []


def test_no_route_names_what_reaches_everything() -> None:
    for path in ROOT.rglob("*routes.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert "ALL_MAILBOXES" not in names, path


@pytest.mark.parametrize(
    ("mailbox_ids", "labels", "reach"),
    [
        (None, None, ALL_MAILBOXES),
        ([3, 1, 3], None, Reach(False, (1, 3))),
        (None, ["b", "a", "b"], Reach(False, (), ("b", "a"))),
        ([2], ["a"], Reach(False, (2,), ("a",))),
        ([], None, Reach(False)),  # bound, to nothing: not to be taken for bound to none
        (None, [], Reach(False)),
    ],
)
def test_a_key_without_any_bond_reaches_all(
    mailbox_ids: list[int] | None, labels: list[str] | None, reach: Reach
) -> None:
    assert Reach.bound_to(mailbox_ids, labels) == reach


def test_all_mailboxes_are_no_condition_and_none_is_a_false_one() -> None:
    mailbox_id: ColumnElement[int] = column("mailbox_id")
    assert ALL_MAILBOXES.of(mailbox_id) == ALL_MAILBOXES.among(mailbox_id) == ()
    (nothing,) = Reach(False).of(mailbox_id)
    assert str(nothing.compile(compile_kwargs={"literal_binds": True})) in {"false", "0 = 1"}
    (some,) = Reach(False, (1, 2), ("a",)).of(literal_column("m"))
    assert "gives_reach" in str(some)
