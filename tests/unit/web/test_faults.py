"""What is wrong with input is told in our words, whatever the library calls it."""

from typing import get_args

import pytest
from pydantic_core.core_schema import ErrorType

from app.errors import InputFault
from app.web.faults import faults_of


@pytest.mark.parametrize("kind", sorted({*get_args(ErrorType)} - {"value_error"}))
def test_no_fault_is_told_in_the_words_of_the_library(kind: str) -> None:
    error = {"type": kind, "loc": ("body", "port"), "msg": "Input should be odd", "ctx": {"min_length": 2}}
    (fault,) = faults_of([error])
    assert fault.pointer == "/port"
    assert fault.detail.startswith(("must ", "is "))


def test_what_we_say_ourselves_is_told_as_it_is() -> None:
    error = {"type": "value_error", "loc": ("body",), "msg": "Value error, either this or that"}
    assert faults_of([error]) == (InputFault("", "either this or that"),)
