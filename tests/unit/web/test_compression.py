"""Who gets answers compressed."""

import pytest

from app.web.requests.compression import takes_gzip


@pytest.mark.parametrize(
    "accepted",
    ["gzip", "GZIP", "x-gzip", "br, gzip", "gzip;q=0.001", "br;q=1, gzip;q=0.5, *;q=0", "identity;q=0.5, gzip",
     "identity, gzip", "deflate,gzip;Q=1.0", "gzip;q=x"],
)  # fmt: skip
def test_who_takes_gzip_gets_it(accepted: str) -> None:
    assert takes_gzip(accepted)


@pytest.mark.parametrize(
    "accepted",
    ["", "br", "identity", "*", "gzip;q=0", "gzip ; Q = 0.000", "notgzip", "gzipx", "gzip;q=0, *",
     "identity, gzip;q=0.5", "identity;q=0.8, x-gzip;q=0.2", "gzip;q=-1", "gzip;q=nan"],
)  # fmt: skip
def test_who_refuses_it_or_prefers_it_plain_does_not(accepted: str) -> None:
    assert not takes_gzip(accepted)
