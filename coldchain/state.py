"""What the core knows (`State`), and what one step would change in it (`Step`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from coldchain import history, streams
from coldchain.history import BEGINNING_MS, Record, Series
from coldchain.model import Assessment, EarlyWarning, QuarantineEvent
from coldchain.patience import Patience
from coldchain.profiles import StabilityProfile
from coldchain.readings import ChannelKey, Lost, ReadingBatch
from coldchain.registry import Registry
from coldchain.streams import NONE_QUIET, Quiet, Streams
from coldchain.tally import Measures, Tally

Archive = Callable[[ChannelKey], Iterable[ReadingBatch]]
"""Everything that is stored of a channel, the readings that a state has put away included."""


MOST_WHOLE = 2_000_000
"""Readings of channels that late data have needed whole, 12 bytes each. A backlog comes in many pieces, and each would
read its channel's whole past again."""


@dataclass(slots=True)
class State:
    """Everything known so far. Changed by `adopt` alone.

    `settled`, `unverified`: readings by channel; the latter have impossible device times and are never judged.
    `records`: what the channels say of each place. `streams`: quiet readings that are not in `settled` or not in
    `records` yet; whoever looks there brings them there first, as `series` and `places` do. `whole`: of some channels
    everything, what was put away included, as of when that was last needed. `lost`: readings that were taken and never
    came. `tallies`: what each kit group had been exposed to when its past was put away; the rest of its life is in
    `records`. `counted_ms`: up to when any tally counts the time of each place. `silent_until`: up to where a silent
    place counts as unknown. `patience`: for each place, how long its kit groups need no look. `assessments`: the last
    of each kit group, in brief if there is an archive; `judged_ms`: when it was made [ms UTC]. `as_of_ms`: a
    fixed evaluation instant, None for the default of SEMANTICS 2.4. `is_live`: kits are judged by their route up to
    now; otherwise, in a replay, by the whole route. `archive`: where the past can be read again; without one nothing is
    put away.
    """

    registry: Registry
    rules: Mapping[str, StabilityProfile]
    measures: Mapping[str, Measures]
    as_of_ms: int | None = None
    is_live: bool = False
    archive: Archive | None = None
    settled: dict[ChannelKey, Series] = field(default_factory=dict)
    unverified: dict[ChannelKey, Series] = field(default_factory=dict)
    whole: dict[ChannelKey, Series] = field(default_factory=dict)
    lost: dict[ChannelKey, tuple[Lost, ...]] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    streams: Streams = field(default_factory=Streams)
    tallies: dict[str, Tally] = field(default_factory=dict)
    counted_ms: dict[str, int] = field(default_factory=dict)
    silent_until: dict[str, int] = field(default_factory=dict)
    patience: dict[str, Patience] = field(default_factory=dict)
    assessments: dict[str, Assessment] = field(default_factory=dict)
    judged_ms: dict[str, int] = field(default_factory=dict)
    events: dict[str, dict[str, QuarantineEvent]] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    arrivals: int = 0

    @property
    def series(self) -> dict[ChannelKey, Series]:
        """Everything known of every channel, but for what was put away."""
        for key in self.streams.waiting():
            self.settle(key)
        return self.settled

    @property
    def places(self) -> dict[str, Record]:
        """What is known of every place, but for what was put away."""
        for place in self.streams.unread_places():
            self.settle_place(place)
        return self.records

    def last_ms(self, key: ChannelKey) -> int | None:
        """The instant of the last reading of a channel, None if there is none."""
        series = self.settled.get(key)
        if series is None or not len(series):
            return None
        return max(int(series.at_ms[-1]), self.streams.last_ms(key))

    def settle(self, key: ChannelKey, more: Quiet = NONE_QUIET) -> None:
        """Bring the quiet readings of a channel into its series, and `more` that follow them."""
        waiting = self.streams.take(key, more)
        if waiting is not None:
            self.settled[key], _ = history.merge(self.settled[key], *waiting)

    def settle_place(self, place: str) -> None:
        """Bring the quiet readings of a place into its record."""
        if self.streams.unread_ms(place) > BEGINNING_MS:
            for key in self.registry.channels_of.get(place, ()):
                self.settle(key)
            self.records[place] = place_record(self.registry, place, self.settled, self.lost, self.records[place])
            self.streams.read(place)

    def count(self, tallies: Mapping[str, Tally]) -> None:
        """Take in what kit groups had been exposed to."""
        self.tallies.update(tallies)
        for group, tally in tallies.items():
            for segment in self.registry.groups[group].fate.route:
                self.counted_ms[segment.place] = max(tally.as_of_ms, self.counted_ms.get(segment.place, BEGINNING_MS))

    def expect(self, place: str) -> None:
        """Note which readings of a place will be quiet, as far as its record and its patience tell."""
        self.settle_place(place)
        waits, record = self.patience.get(place), self.records.get(place)
        counted_ms = self.counted_ms.get(place, BEGINNING_MS)
        for key in self.registry.channels_of.get(place, ()):
            expected = None
            if waits is not None and record is not None and key in self.settled:
                series, lost = self.settled[key], self.lost.get(key, ())
                expected = streams.expected(self.registry, key, series, lost, place, record, waits, counted_ms)
            self.streams.expect(key, place, expected)


def place_record(
    registry: Registry,
    place: str,
    series: Mapping[ChannelKey, Series],
    lost: Mapping[ChannelKey, Sequence[Lost]],
    before: Record,
) -> Record:
    """What the channels of a place say of it; what the record `before` has put away stays so."""
    channels = {
        key: history.channel_record(key, series[key], registry.loggers[key.logger], lost.get(key, ()))
        for key in registry.channels_of.get(place, ())
        if key in series
    }
    return history.place_record(registry.monitoring_of.get(place, ()), channels, before)


def know(state: State, events: Iterable[QuarantineEvent], warnings: Iterable[EarlyWarning]) -> None:
    """Take in events and warnings that stand in the ledger."""
    for event in events:
        state.events.setdefault(event.kit, {})[event.id] = event
    state.warned.update(warning.id for warning in warnings)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What of a live state cannot be had from the registry and the rules, as a checkpoint keeps it.

    `put_away`: of each place, up to when its past is put away, and the last known instant in that.
    """

    series: Mapping[ChannelKey, Series] = field(default_factory=dict)
    unverified: Mapping[ChannelKey, Series] = field(default_factory=dict)
    lost: Mapping[ChannelKey, tuple[Lost, ...]] = field(default_factory=dict)
    put_away: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    silent_until: Mapping[str, int] = field(default_factory=dict)
    arrivals: int = 0


def remember(state: State) -> Remembered:
    """What a checkpoint of this state keeps; it shares the state's arrays, which never change."""
    return Remembered(
        dict(state.series),
        dict(state.unverified),
        dict(state.lost),
        {place: (record.since_ms, record.known_before_ms) for place, record in state.records.items()},
        dict(state.tallies),
        dict(state.silent_until),
        state.arrivals,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What one step changes; nothing is changed until `adopt`.

    `fresh` is aligned with the batches of the step: of each, the readings not known before. `quiet` are those among
    them that nothing else here is about. `assessments` are those made again, by kit group; `outcomes` those among them
    that say something new: another verdict, breach or warning. `judged_ms`: when kit groups were judged again, those
    whose assessment stays as it was included.
    """

    fresh: tuple[ReadingBatch, ...] = ()
    quiet: Quiet = NONE_QUIET
    assessments: Mapping[str, Assessment] = field(default_factory=dict)
    outcomes: Mapping[str, Assessment] = field(default_factory=dict)
    judged_ms: Mapping[str, int] = field(default_factory=dict)
    events: tuple[QuarantineEvent, ...] = ()
    warnings: tuple[EarlyWarning, ...] = ()
    series: Mapping[ChannelKey, Series] = field(default_factory=dict)
    unverified: Mapping[ChannelKey, Series] = field(default_factory=dict)
    whole: Mapping[ChannelKey, Series] = field(default_factory=dict)
    lost: Mapping[ChannelKey, tuple[Lost, ...]] = field(default_factory=dict)
    places: Mapping[str, Record] = field(default_factory=dict)
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    silent_until: Mapping[str, int] = field(default_factory=dict)
    patience: Mapping[str, Patience] = field(default_factory=dict)
    arrivals: int = 0


def adopt(state: State, change: Step) -> None:
    """Make what a step found the state; called once it is stored."""
    for key, series in change.series.items():
        if key in state.settled and series.since_ms != state.settled[key].since_ms:
            state.whole.pop(key, None)  # what is put away now is not in it
    state.whole.update(change.whole)
    while len(state.whole) > 1 and sum(map(len, state.whole.values())) > MOST_WHOLE:
        del state.whole[next(iter(state.whole))]
    state.settled.update(change.series)
    state.unverified.update(change.unverified)
    state.lost.update(change.lost)
    state.records.update(change.places)
    state.count(change.tallies)
    state.silent_until.update(change.silent_until)
    state.patience.update(change.patience)
    brief = change.assessments
    if state.archive is not None:  # a service has many groups, and makes an assessment anew when somebody asks
        brief = {group: found.in_brief() for group, found in brief.items()}
    state.assessments.update(brief)
    state.judged_ms.update(change.judged_ms)
    know(state, change.events, change.warnings)
    state.arrivals += change.arrivals
    for place in change.places:
        state.streams.read(place)
    for place in change.places.keys() | change.patience.keys():
        state.expect(place)
    _keep(state, change.quiet)


def _keep(state: State, quiet: Quiet) -> None:
    """Put quiet readings where they wait; what a ring cannot hold of a message is settled with it."""
    kept = 0
    while (kept := state.streams.append(quiet, kept)) < len(quiet):
        rest = quiet.run(kept)
        state.settle(state.streams.keys[quiet.row[kept]], rest)
        kept += len(rest)
