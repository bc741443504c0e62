"""The benchmark of reading by the API works: it counts answers of the service and of the bare routes beside it."""

from benchmarks.answers.measured import measured


def test_a_page_is_read_beside_bare_routes_that_answer_the_same() -> None:
    said: list[str] = []
    told = measured([1_000], seconds=0.1, say=said.append, only="a page of 50, gzip")
    head, _, row = told.splitlines()
    assert head.startswith("| what is read | octets | 1,000 messages | bare, made |")
    name, octets, ours, made, _, kept, _ = (cell.strip().replace(",", "") for cell in row.split("|")[1:-1])
    assert name == "a page of 50 gzip"
    assert int(octets) > 10_000
    assert min(int(ours), int(made), int(kept)) > 0
