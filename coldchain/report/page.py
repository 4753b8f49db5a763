"""The HTML edition: the values of the JSON edition in a template, and one plot per group of kits."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import jinja2
from markupsafe import Markup

from coldchain.instant import iso
from coldchain.model import Kind, Stage
from coldchain.report import content, notation, plot
from coldchain.report.content import Content
from coldchain.report.evidence import Report, Section

NO_BREAK_SPACE = "\u00a0"

_REASONS = {
    "limit": "limit exceeded",
    "data_missing": "more time without data than allowed",
    "data_integrity": "conflicting data",
}


_STAGES = {
    Stage.DEPOT: "in depots",
    Stage.TRANSIT: "in transit",
    Stage.SITE: "at sites",
    Stage.PATIENT: "with the patient",
}


def as_html(report: Report) -> str:
    """The HTML edition: one self-contained page without scripts, in which every name is escaped."""
    return render(report, content.as_json(report))


def render(report: Report, facts: Content) -> str:
    """The page that shows `facts`, the JSON edition of the report."""
    plots = [_plot(section, number) for number, section in enumerate(report.sections, start=1)]
    page = _templates().get_template("report.html.j2")
    return page.render(c=facts, report_id=content.report_id(facts), plots=plots)


def _plot(section: Section, number: int) -> Markup | None:
    """The plot of a group; None for a history without length, which has nothing to draw."""
    first = section.kits[0]
    history, profile = first.history, first.profile
    if history is None or not len(history.end_ms):
        return None
    drawing = plot.svg(
        history,
        name=f"plot-{number}",
        title=f"Temperature of {notation.kit_range(section.kit_ids)}",
        label_low_mc=profile.label_low_mc,
        label_high_mc=profile.label_high_mc,
        limits_mc={mc for limit in profile.limits for mc in (limit.low_mc, limit.high_mc) if mc is not None},
        excursions=first.assessment.excursions,
        custody=first.custody,
        breaches=[(row["breached_at_ms"], str(n)) for n, row in enumerate(content.events(section), start=1)],
    )
    return Markup(drawing)  # noqa: S704 - plot.svg escapes every name itself


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("coldchain.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "instant": iso,
        "instant_seconds": lambda at_ms: iso(at_ms - at_ms % 1000),
        "duration": notation.duration,
        "temperature": notation.temperature,
        "share": notation.share,
        "amount": _amount,
        "used": lambda row: _amount(row["used"], row["unit"]) if row["used"] is not None else row["state"],
        "remaining": _remaining,
        "worst_case": _worst_case,
        "stage": _STAGES.__getitem__,
        "share_left": _share_left,
        "energy": lambda j_mol: f"{notation.temperature(j_mol / 1000)} kJ/mol",
        "percent": lambda text: f"{format((Decimal(text) * 100).normalize(), 'f')} %",
        "reason": _REASONS.__getitem__,
        "custody_problem": _custody_problem,
        "by_trial_and_batch": _by_trial_and_batch,
    }
    return environment


def _amount(value: float, unit: str) -> str:
    match unit:
        case "ms":
            return notation.duration(int(value))
        case "count":
            return str(int(value))
    return f"{notation.temperature(value)} °C"


def _remaining(row: Content) -> str:
    """What is left of a limit, in words where it is no amount."""
    left, unit = row["remaining"], row["unit"]
    if left is None:
        return str(row["state"])
    if row["state"] == "kept" and not row["allowed"]:
        return "none is allowed"
    if row["state"] == "exceeded":
        # no-break spaces: in a narrow column the line may end after "by", not inside the amount
        return f"exceeded by {_amount(-left, unit).replace(' ', NO_BREAK_SPACE)}" if left < 0 else "exceeded"
    return _amount(left, unit) if left else "none left"


def _share_left(row: Content) -> str:
    """What is left of a stage's share."""
    left_ms = row["remaining_ms"]
    if left_ms is None:
        return "not computable"
    if left_ms < 0:
        return f"passed by {notation.duration(-left_ms).replace(' ', NO_BREAK_SPACE)}"
    return notation.duration(left_ms) if left_ms else "none left"


def _worst_case(row: Content, unknown_ms: int) -> str:
    """The worst case of a limit; unknown time may hide any number of events and any temperature."""
    if row["used"] is None:
        return str(row["state"])
    if row["worst_case_used"] is not None:
        return _amount(row["worst_case_used"], row["unit"])
    if row["kind"] in (Kind.EVENTS, Kind.MKT) and unknown_ms:
        return "not bounded"
    return _amount(row["used"], row["unit"])


def _custody_problem(text: str) -> str:
    """A custody finding of the history (`kind:places@instant`) for a person."""
    kind, _, instant = text.rpartition("@")
    since = f" from {iso(int(instant))}" if kind and instant.isdecimal() else ""
    name, _, places = (kind if since else text).partition(":")
    return name.replace("_", " ") + (f" of {places.replace('+', ' and ')}" if places else "") + since


def _by_trial_and_batch(rows: list[Content]) -> list[tuple[str, str, list[str]]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row["trial"], row["batch"]), []).append(row["kit"])
    return [(trial, batch, kits) for (trial, batch), kits in sorted(groups.items())]
