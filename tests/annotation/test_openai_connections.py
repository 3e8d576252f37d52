"""Connections that TLS refuses, lists of models that fail, and requests that are counted."""

import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from project.annotation.engines.openai import client
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.config.annotation import AnnotateConfig, ServerConfig
from project.support.errors import AssayError, Incomplete
from tests.helpers.faulty_server import EXACT, LISTED, FaultyServer
from tests.helpers.serving import LETTERS, TEXTS, prompt_of, task_prompt


@pytest.fixture(autouse=True)
def short_delays(monkeypatch):
    monkeypatch.setattr(client, "_FIRST_DELAY", 0.01)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A file with a certificate that nobody has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


def annotator_at(url):
    return OpenAIAnnotator(
        AnnotateConfig(annotator="openai", annotator_model="model"),
        ServerConfig(annotator_url=url, annotator_tokenizer="none", request_retries=1),
    )


def read_at(url):
    annotator = annotator_at(url)
    try:
        return annotator.read(prompt_of(), TEXTS[:1])
    finally:
        annotator.close()


@pytest.fixture
def tls_server(certificate, monkeypatch):
    server = FaultyServer(LETTERS, can={LISTED})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    # For clients that refuse the certificate.
    monkeypatch.setattr(server.http, "handle_error", lambda *_: None)
    with server:
        yield server


def test_a_certificate_that_cannot_be_verified_is_named_at_once(tls_server):
    with pytest.raises(AssayError, match=r"certificate verify failed \(.*SSL_CERT_FILE") as caught:
        read_at(tls_server.url.replace("http:", "https:"))
    assert not isinstance(caught.value, Incomplete)


def test_an_https_address_of_a_server_without_tls_is_named(monkeypatch):
    with (
        FaultyServer(LETTERS, can={LISTED}) as server,
        pytest.raises(AssayError, match=r"does not speak TLS.*begins with http://"),
    ):
        monkeypatch.setattr(server.http, "handle_error", lambda *_: None)
        read_at(server.url.replace("http:", "https:"))


def test_an_http_address_of_a_server_with_tls_is_asked_about(tls_server):
    with pytest.raises(Incomplete, match="does it speak https"):
        read_at(tls_server.url)


@pytest.mark.parametrize(("status", "noted"), [(500, True), (503, True), (404, False), (302, True)])
def test_a_list_of_models_that_fails_does_not_end_the_reading(
    serve, vocabulary, tiny_llm, small_task, status, noted
):
    server, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={EXACT}, settings={"request_retries": 1}
    )

    # Each server has a class of handlers of its own.
    server.http.RequestHandlerClass.do_GET = lambda handler: handler.send(
        status, {"error": {"message": "no list here"}}, {}
    )

    answers = annotator.read(task_prompt(small_task, "name"), TEXTS[:2])

    assert answers.error == [None, None]
    assert ("list of models cannot be read" in " ".join(annotator.notes)) is noted
