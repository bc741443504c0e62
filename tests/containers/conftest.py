"""The image, built once for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.containers.image import Image, built_image


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image of this tree. Building takes about 35 seconds on two cores."""
    with built_image() as image:
        yield image
