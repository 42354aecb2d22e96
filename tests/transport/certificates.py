"""A throwaway authority, a broker's and a client's certificate, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files. broker: key and certificate in one file, as Kafka wants it. stranger: another authority's."""

    ca: Path
    broker: Path
    certificate: Path
    key: Path
    stranger: Path


def make_certificates(folder: Path) -> Certificates:
    folder.mkdir(parents=True)
    ca, stranger = _authority(folder, "ca"), _authority(folder, "stranger")
    _signed(folder, "broker", "subjectAltName=IP:127.0.0.1")
    _signed(folder, "client", "subjectAltName=DNS:client")
    broker = folder / "broker-both.pem"
    broker.write_text((folder / "broker.key").read_text() + (folder / "broker.pem").read_text() + ca.read_text())
    return Certificates(ca, broker, folder / "client.pem", folder / "client.key", stranger)


def _authority(folder: Path, name: str) -> Path:
    _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=vigil-test-{name}",
             "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    return folder / f"{name}.pem"


def _signed(folder: Path, name: str, extension: str) -> None:
    (folder / f"{name}.ext").write_text(f"{extension}\n")
    _openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN=vigil-{name}",
             "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
