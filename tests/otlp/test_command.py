"""``clew receive`` as a person runs it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.otlp.running import Command, free_ports, one_span, post, running, traces

from clew.collectors.errors import CollectError
from clew.collectors.otlp.access import Access, Address
from clew.reconstruct import open_store

TOKEN = "open sesame"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
        return subprocess.run(
            [sys.executable, "-m", "clew.cli.main", "receive", *arguments],
            cwd=tmp_path,
            env={**kept, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def test_it_says_where_it_listens_takes_spans_and_tells_at_the_end_what_it_took(tmp_path: Path) -> None:
    grpc_port, http_port = free_ports(2)
    command = Command(
        tmp_path / "clew.duckdb", "--json", "--scope", "staging", grpc=grpc_port, http=http_port
    )
    command.wait_until_ready()
    assert post(http_port, "/v1/traces", traces(one_span(1), one_span(2))).status == 200
    assert post(http_port, "/v1/traces", b"nonsense").status == 400
    status, out, err = command.end()
    assert status == 0
    assert json.loads(out) == {
        "schema": json.loads(out)["schema"],
        "requests": 2, "records": 2, "rejected": 0, "refused": 1, "put_off": 0,
    }  # fmt: skip
    assert err == (
        f"OTLP/gRPC          http://127.0.0.1:{grpc_port}\nOTLP/HTTP, Zipkin  http://127.0.0.1:{http_port}\n"
    )
    with open_store(tmp_path / "clew.duckdb") as store:
        assert [(each.source, each.scope, each.records, each.rejects) for each in store.sources()] == [
            ("otlp", "staging", 2, 1)
        ]


@pytest.mark.parametrize("option", ["--grpc", "--http"])
def test_an_address_that_others_reach_needs_a_token_or_certificates(
    run: Run, option: str, tmp_path: Path
) -> None:
    done = run(option, "0.0.0.0:0")
    assert done.returncode == 2
    told = " ".join(done.stderr.split())
    assert "0.0.0.0:0 can be reached from outside, and anybody could write into the store" in told
    assert not (tmp_path / "clew.duckdb").exists()
    assert "--token-file" in done.stderr
    assert "--tls-client-ca" in done.stderr


def test_wrong_use_is_told_with_the_way_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for arguments, told in (
        (["--http", "nowhere"], "'nowhere' is no address to listen at"),
        (["--token-file", "missing"], "the token cannot be read from missing"),
        (["--token-file", "empty"], "empty holds no token"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert told in done.stderr.replace("\n       ", " ")


def test_an_address_that_is_taken_is_told(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option, other in (("--http", "--grpc"), ("--grpc", "--http")):
            done = run(option, f"127.0.0.1:{port}", other, "none")
            assert done.returncode == 4
            assert f"cannot listen at 127.0.0.1:{port}" in done.stderr


def test_without_its_libraries_it_says_what_to_type(run: Run, tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('no uvicorn', name='uvicorn')\n")
    done = run(PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "clew receive needs the module uvicorn" in done.stderr
    assert "pip install 'clew[otlp]'" in done.stderr


def test_who_does_not_show_the_token_is_turned_away(tmp_path: Path) -> None:
    import grpc
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

    with running(tmp_path / "clew.duckdb", access=Access(token=TOKEN)) as here:
        for given in ("", "Bearer another", "Basic open sesame", "open sesame"):
            assert here.post("/v1/traces", traces(one_span(1)), authorization=given).status == 401
        assert here.post("/v1/traces", traces(one_span(1)), authorization=f"Bearer {TOKEN}").status == 200
        assert here.get("/healthz").status == 200
        with grpc.insecure_channel(f"127.0.0.1:{here.grpc}") as channel:
            export = TraceServiceStub(channel).Export  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.RpcError) as refused:
                export(ExportTraceServiceRequest())
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            export(ExportTraceServiceRequest(), metadata=[("authorization", f"Bearer {TOKEN}")])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:4317", ("127.0.0.1", 4317)),
        ("[::1]:0", ("::1", 0)),
        ("4318", ("127.0.0.1", 4318)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert Address.of(text) == Address(*address)
    assert Address.of(text).is_loopback


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:port", "host:65536", "host:-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CollectError):
        Address.of(text)


def test_certificates_are_asked_for_on_both_roads(tmp_path: Path) -> None:
    import grpc
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

    _certificates(tmp_path)
    ca, key, cert = (tmp_path / name for name in ("ca.pem", "key.pem", "cert.pem"))
    access = Access(certificate=cert, key=key, client_ca=ca)
    with running(tmp_path / "clew.duckdb", access=access) as here:
        context = ssl.create_default_context(cafile=str(ca))
        stranger = http.client.HTTPSConnection("localhost", here.http, context=context, timeout=20)
        with pytest.raises(OSError, match=r"(?i)certificate|reset|eof|closed|broken"):
            _post(stranger)
        stranger.close()
        context.load_cert_chain(cert, key)
        known = http.client.HTTPSConnection("localhost", here.http, context=context, timeout=20)
        assert _post(known) == b"{}"
        known.close()
        credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), cert.read_bytes())
        with grpc.secure_channel(f"localhost:{here.grpc}", credentials) as channel:
            TraceServiceStub(channel).Export(ExportTraceServiceRequest())  # type: ignore[no-untyped-call]
        with grpc.secure_channel(
            f"localhost:{here.grpc}", grpc.ssl_channel_credentials(ca.read_bytes())
        ) as channel:
            with pytest.raises(grpc.RpcError) as refused:
                TraceServiceStub(channel).Export(ExportTraceServiceRequest(), timeout=5)  # type: ignore[no-untyped-call]
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_certificates_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    loopback = Address("127.0.0.1", 0)
    missing = tmp_path / "missing"
    for access in (
        Access(certificate=missing),
        Access(client_ca=missing),
        Access(certificate=missing, key=missing),
    ):
        with pytest.raises(CollectError):
            access.check(loopback)


def _post(connection: http.client.HTTPConnection) -> bytes:
    connection.request("POST", "/v1/traces", traces(one_span(1)), {"Content-Type": "application/json"})
    return connection.getresponse().read()


def _certificates(folder: Path) -> None:
    """A certificate of its own for localhost, which signs itself."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
