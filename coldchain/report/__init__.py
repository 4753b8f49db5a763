"""The stability impact report: one set of facts, written as PDF, HTML and JSON."""

from coldchain.report.content import as_json, content_sha256, report_id
from coldchain.report.document import as_pdf, write_report
from coldchain.report.evidence import LoggerEvidence, Report, ReportKit, Section, build, readings_sha256
from coldchain.report.page import as_html

__all__ = [
    "LoggerEvidence",
    "Report",
    "ReportKit",
    "Section",
    "as_html",
    "as_json",
    "as_pdf",
    "build",
    "content_sha256",
    "readings_sha256",
    "report_id",
    "write_report",
]
