"""`headcount site`: the folder that is published, served as any server does."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen
from xml.etree import ElementTree as ET

import pytest

from headcount.cli import main
from headcount.errors import ExitCode
from helpers import miniature_results


class Quiet(SimpleHTTPRequestHandler):
    """Logs no request."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a site of a few cells. Their builds are named like releases."""
    rows = miniature_results(tmp_path / "results", "correct", "wrong-heads")
    text = rows.read_text().replace('"correct"', '"1.6.0"').replace('"wrong-heads","kind"', '"1.6.1","kind"')
    rows.write_text(text)
    folder = tmp_path / "site"
    code = main(["site", str(rows), "-o", str(folder), "--address", "https://example.org/headcount"])
    assert code in (ExitCode.CLEAN, ExitCode.INDETERMINATE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def got(address: str) -> str:
    with urlopen(address) as answer:  # noqa: S310 - on this machine
        return str(answer.read().decode())


def test_the_site_has_a_report_badges_and_a_feed(served: str) -> None:
    assert "<h1>Headcount</h1>" in got(served)
    badge = json.loads(got(f"{served}badges/1.6.0.json"))
    assert badge == {
        "schemaVersion": 1,
        "label": "head pruning 1.6.0",
        "message": "2 of 2 calls right",
        "color": "brightgreen",
    }
    assert json.loads(got(f"{served}badges/1.6.0-vit.json"))["label"] == "head pruning 1.6.0 vit"
    assert "message" in json.loads(got(f"{served}badges/newest.json"))
    atom = "{http://www.w3.org/2005/Atom}"
    entries = ET.fromstring(got(f"{served}feed.xml")).findall(f"{atom}entry")  # noqa: S314 - our own
    told = {entry.findtext(f"{atom}title"): entry.findtext(f"{atom}content") or "" for entry in entries}
    assert next(iter(told)) == "Torch-Pruning 1.6.1"
    assert "brings 410-total-heads" in told["Torch-Pruning 1.4.1"]
    assert "mends 410-total-heads" in told["Torch-Pruning 1.4.2"]
