"""How many syncs at once a mail server gets."""

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from app.runs.admission.server_limits import ServerLimits

Ends = st.lists(st.tuples(st.sampled_from(["a.example", "b.example"]), st.booleans()), max_size=200)


def test_a_server_that_does_not_answer_gets_half_and_half_again_down_to_one() -> None:
    limits = ServerLimits(32)
    shares = []
    for _ in range(7):
        limits.ended("a.example", has_answered=False)
        shares.append(limits.lowered["a.example"])
    assert shares == [16, 8, 4, 2, 1, 1, 1]
    assert list(limits.lowered) == ["a.example"]


def test_a_server_that_answers_again_gets_one_more_each_time_until_it_is_forgotten() -> None:
    limits = ServerLimits(4)
    for _ in range(3):
        limits.ended("a.example", has_answered=False)
    shares = []
    for _ in range(3):
        limits.ended("a.example", has_answered=True)
        shares.append(limits.lowered.get("a.example"))
    assert shares == [2, 3, None]


@given(most=st.integers(1, 40), ends=Ends)
def test_a_share_is_never_under_one_nor_over_the_most_and_is_the_server_s_own(
    most: int, ends: list[tuple[str, bool]]
) -> None:
    limits, alone = ServerLimits(most), ServerLimits(most)
    for server, has_answered in ends:
        limits.ended(server, has_answered=has_answered)
        if server == "a.example":
            alone.ended(server, has_answered=has_answered)
        assert all(1 <= share < most for share in limits.lowered.values())
    assert limits.lowered.get("a.example") == alone.lowered.get("a.example")


def test_one_address_has_one_share_however_many_names_it_has() -> None:
    limits = ServerLimits(2)
    assert [limits.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert limits.enter("192.0.2.2")
    limits.leave("192.0.2.1")
    assert limits.enter("192.0.2.1")


def test_a_name_whose_addresses_are_full_gets_nothing_until_one_of_them_has_room() -> None:
    limits = ServerLimits(1)
    assert limits.enter("192.0.2.1")
    assert limits.enter("192.0.2.2")
    limits.turn_away("many.example", ["192.0.2.1", "192.0.2.2"])
    assert limits.lowered == {"many.example": 0}
    limits.leave("192.0.2.2")
    assert limits.lowered == {}


def test_an_address_that_does_not_answer_gets_less_under_all_its_names() -> None:
    limits = ServerLimits(8)
    for number in range(3):
        limits.ended(f"n{number}.example", "192.0.2.1", has_answered=False)
    assert limits.lowered == {f"n{number}.example": 4 for number in range(3)}
    assert [limits.enter("192.0.2.1") for _ in range(2)] == [True, False]


def test_in_a_private_network_each_port_is_a_server_of_its_own() -> None:
    limits = ServerLimits(1, private=[ip_network("127.0.0.0/8")])
    assert limits.address_key("127.0.0.1", 110) == (True, "127.0.0.1:110")
    assert limits.address_key("192.0.2.1", 110) == (False, "192.0.2.1")


def test_of_servers_that_get_less_a_thousand_are_known() -> None:
    limits = ServerLimits(8)
    for number in range(3_000):
        limits.ended(f"n{number}.example", f"a{number}", has_answered=False)
    assert len(limits.lowered) == 1_000
