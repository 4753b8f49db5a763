"""The PDF edition and the files."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
from pathlib import Path

import pytest
from pypdf import PdfReader
from pypdf.generic import StreamObject
from weasyprint.urls import FatalURLFetchingError

from coldchain.errors import BadInput
from coldchain.model import Kit
from coldchain.report import Report, as_html, as_json, as_pdf, content_sha256, page, report_id, write_report
from coldchain.report.content import canonical
from report.cases import CUSTODY, Case


@pytest.fixture(scope="module")
def pdf(excursion: Report) -> bytes:
    return as_pdf(excursion)


def pages(data: bytes) -> list[str]:
    return [" ".join(sheet.extract_text().split()) for sheet in PdfReader(io.BytesIO(data)).pages]


def test_the_text_of_the_pdf_holds_what_decides(excursion: Report, pdf: bytes) -> None:
    text = " ".join(pages(pdf))
    facts = as_json(excursion)
    assert "Outside the allowance" in text
    assert "K-0001" in text
    assert facts["report_sha256"] in text
    assert "exceeded by 3 h 15 min" in text
    assert "not a decision" in text
    for row in facts["sections"][0]["limits"]:
        assert row["id"] in text
        assert row["condition"] in text


def test_every_page_has_number_id_kits_and_hash(excursion: Report, pdf: bytes) -> None:
    facts = as_json(excursion)
    sheets = pages(pdf)
    for number, text in enumerate(sheets, start=1):
        assert f"page {number} of {len(sheets)}" in text
        assert f"{report_id(facts)} K-0001" in text
        assert f"report sha256 {facts['report_sha256']}" in text


def test_the_same_report_gives_the_same_bytes(excursion: Report, pdf: bytes) -> None:
    assert as_pdf(Case().report()) == pdf
    assert as_html(Case().report()) == as_html(excursion)


def test_the_pdf_says_when_it_was_prepared_and_not_when_it_was_rendered(pdf: bytes) -> None:
    metadata = PdfReader(io.BytesIO(pdf)).metadata
    assert metadata is not None
    assert [str(metadata[key]) for key in ("/CreationDate", "/ModDate")] == ["D:20260306000000Z"] * 2


def test_the_pdf_is_an_archivable_a4_document_with_embedded_fonts(pdf: bytes) -> None:
    reader = PdfReader(io.BytesIO(pdf))
    sheet = reader.pages[0]
    assert [round(float(side)) for side in (sheet.mediabox.width, sheet.mediabox.height)] == [595, 842]
    metadata = reader.root_object["/Metadata"].get_object()
    assert isinstance(metadata, StreamObject)
    assert b"pdfaid" in metadata.get_data()
    assert not re.search(rb"/BaseFont /(Helvetica|Times|Courier)", pdf)


def test_the_json_edition_travels_inside_the_pdf(excursion: Report, pdf: bytes) -> None:
    (name, versions), *others = PdfReader(io.BytesIO(pdf)).attachments.items()
    facts = as_json(excursion)
    assert not others
    assert name == f"{report_id(facts)}.json"
    assert versions == [canonical(facts)]


def test_three_hundred_kits_are_a_range_on_page_one_and_a_list_in_the_appendix() -> None:
    kits = tuple(Kit(f"K-{n:04}", "B22", "TRIAL-7", "mab-017") for n in range(1, 301))
    sheets = pages(as_pdf(Case(kits=kits).report()))
    assert "K-0001 to K-0300 (300 kits)" in sheets[0]
    assert "K-0150" not in sheets[0]
    assert len(sheets) <= 6
    appendix = " ".join(sheets)[" ".join(sheets).rindex("Appendix") :]
    assert all(kit.id in appendix for kit in kits)


def test_a_kit_without_custody_has_a_pdf() -> None:
    text = " ".join(pages(as_pdf(Case(custody=()).report())))
    assert "Not computable" in text


def test_rendering_opens_no_connection_and_logs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("a report must not use the network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    with caplog.at_level(logging.WARNING):
        as_pdf(Case(custody=CUSTODY[:1]).report())
    assert not caplog.records


@pytest.mark.parametrize("address", ["file:///etc/hostname", "http://127.0.0.1:9/a.css", "data:text/css,p{}"])
def test_a_page_that_reaches_out_is_refused(monkeypatch: pytest.MonkeyPatch, excursion: Report, address: str) -> None:
    linked = as_html(excursion).replace("</head>", f'<link rel="stylesheet" href="{address}"></head>')
    monkeypatch.setattr(page, "render", lambda *_: linked)
    with pytest.raises(FatalURLFetchingError) as caught:
        as_pdf(excursion)
    assert "disallowed protocol" in str(caught.value.__cause__)


@pytest.mark.parametrize("suffix", [".json", ".html", ".pdf", ".PDF"])
def test_the_suffix_chooses_the_edition(excursion: Report, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report{suffix}"
    write_report(excursion, path)
    begin = {".json": b'{"as_of_ms":', ".html": b"<!DOCTYPE html>", ".pdf": b"%PDF-"}[suffix.lower()]
    assert path.read_bytes().startswith(begin)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_json_file_verifies_against_its_own_hash(excursion: Report, tmp_path: Path) -> None:
    write_report(excursion, tmp_path / "report.json")
    facts = json.loads((tmp_path / "report.json").read_bytes())
    assert facts["report_sha256"] == content_sha256(facts)


def test_another_suffix_is_refused_by_name(excursion: Report, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"report\.docx.*\.pdf, \.html, \.json"):
        write_report(excursion, tmp_path / "report.docx")
    assert not list(tmp_path.iterdir())


def test_who_reads_the_old_file_is_not_disturbed(excursion: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_report(excursion, path)
        assert reader.read() == b"old"


def test_a_failed_write_leaves_the_old_file_and_no_debris(
    excursion: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_report(excursion, path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
