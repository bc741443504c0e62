"""The OpenAPI document as schemathesis reads it: no request makes an error of ours, or a status that is not in it."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.service import API_KEY, ServiceProcess

SECONDS = int(float(os.environ.get("FUZZ_SECONDS", "0")))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"
HOOKS = """\
import schemathesis

@schemathesis.hook
def map_query(context, query):
    # A long poll of a minute tells nothing that one of a second does not.
    if query and str(query.get("wait", "")).isdigit():
        query["wait"] = min(int(query["wait"]), 1) if int(query["wait"]) <= 60 else query["wait"]
    return query

@schemathesis.hook
def before_load_schema(context, raw_schema):
    # OpenAPI 3.1 has no word for one event: the document has the schema of each event's data, and that of the text.
    # Schemathesis takes what stands there for the schema of an event: it is given one, with that same data.
    streams = [
        answer["content"]["text/event-stream"]
        for path in raw_schema["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict)
        for answer in operation.get("responses", {}).values()
        if "text/event-stream" in answer.get("content", {})
    ]
    assert streams, "the document has no stream of events"
    for stream in streams:
        _data, text = stream["schema"]["anyOf"]
        assert text["contentSchema"], "the data of an event is not in the document"
        event = {"type": "string", "enum": ["progress", "done"]}
        stream["schema"] = {
            "type": "object",
            "properties": {"event": event, "data": text},
            "required": ["event", "data"],
            "additionalProperties": False,
        }
"""

EACH_TIME = {
    "values at the edges": ["--phases", "coverage", "--mode", "positive"],
    "all others": ["--phases", "examples,fuzzing,stateful", "--max-examples", "3"],
}
FOR_LONG = {"all": ["--phases", "examples,coverage,fuzzing,stateful", "--max-time", str(SECONDS)]}
RUNS = FOR_LONG if SECONDS else EACH_TIME


@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.parametrize("run", RUNS)
def test_no_request_makes_an_error_of_ours_or_a_status_that_is_not_documented(
    run: str, tmp_path: Path
) -> None:
    """The same requests each time; with FUZZ_SECONDS others, for so long."""
    (tmp_path / "hooks.py").write_text(HOOKS)
    service = ServiceProcess(
        tmp_path / "data", MAILDELTA_CONNECT_TIMEOUT_SECONDS="0.2", MAILDELTA_WRONG_KEYS_PER_MINUTE="0"
    )
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"http://127.0.0.1:{service.port}/openapi.json",
        "--header", f"Authorization: Bearer {API_KEY}", "--checks", CHECKS, "--warnings", "off",
        "--suppress-health-check", "all", "--continue-on-failure", "--workers", "2", "--request-timeout", "120",
        *([] if SECONDS else ["--generation-deterministic"]), *RUNS[run],
    ]  # fmt: skip
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path), "NO_COLOR": "1"}
    with service.started():
        # Made at the first request, which takes longer on a busy machine than schemathesis waits.
        httpx.get(f"http://127.0.0.1:{service.port}/openapi.json", timeout=120).raise_for_status()
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 0, ended.stdout[-10_000:] + ended.stderr[-2000:]
    assert "unexpected_error" not in service.log
