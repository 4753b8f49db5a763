"""The PDF edition of a report, and the file that holds one edition."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from coldchain.errors import BadInput
from coldchain.report import content, page
from coldchain.report.evidence import Report


def as_pdf(report: Report) -> bytes:
    """The PDF edition (A4, PDF/A-3), with the JSON edition attached; the same report gives the same bytes."""
    import weasyprint  # takes half a second, and only this edition needs it

    facts = content.as_json(report)
    prepared = datetime.fromtimestamp(report.prepared_at_ms // 1000, UTC)
    attachment = weasyprint.Attachment(
        string=content.canonical(facts),
        name=f"{content.report_id(facts)}.json",
        description="JSON edition of this report",
        created=prepared,
        modified=prepared,
        relationship="Source",
    )
    # WeasyPrint would open this same profile by itself for PDF/A, but it leaves the file open
    icc = resources.files("weasyprint.pdf").joinpath("sRGB2014.icc").read_bytes()
    srgb = weasyprint.css.ColorProfile(io.BytesIO(icc), "sRGB2014.icc", "relative-colorimetric", "rgb")
    # a report carries everything it shows: a page that reaches for a file or an address stops here
    nothing = weasyprint.urls.URLFetcher(allowed_protocols=(), fail_on_errors=True)
    pdf: bytes = weasyprint.HTML(string=page.render(report, facts), url_fetcher=nothing).write_pdf(
        pdf_variant="pdf/a-3u",
        pdf_identifier=bytes.fromhex(facts["report_sha256"])[:16],
        attachments=[attachment],
        color_profiles={"--srgb": srgb},
        output_intent="--srgb",
    )
    return pdf


_EDITIONS: Mapping[str, Callable[[Report], bytes]] = {
    ".pdf": as_pdf,
    ".html": lambda report: page.as_html(report).encode(),
    ".json": lambda report: content.canonical(content.as_json(report)) + b"\n",
}


def write_report(report: Report, path: str | Path) -> None:
    """Write the edition that the suffix names (.pdf, .html, .json); the file appears complete or not at all."""
    path = Path(path)
    edition = _EDITIONS.get(path.suffix.lower())
    if edition is None:
        raise BadInput(f"no such edition of a report: end it in {', '.join(_EDITIONS)}", file=str(path))
    data = edition(report)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
