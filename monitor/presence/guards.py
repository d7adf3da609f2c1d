"""Scene guards of one camera: a pure function of (state, scene, time).

They watch the picture itself, whoever is in it, and say two things. To people: what happens to
the camera (`Change`, which becomes a CameraHealth message). To the zones: how far this picture
can be trusted (`Sight`).

* *Light switched, infrared switched*: the network sees a picture it has never seen, exposed for
  another light. Until it is steady again no change is confirmed, neither way; evidence goes on
  being gathered, so that who came in with the light is told as soon as it is steady.
* *Covered, moved, defocused, dark*, from the first sign on: no exit is confirmed, for nobody left
  just because nobody is seen. Somebody who is seen counts.
* *Covered and dark*, once certain: the camera is blind. That it shows nobody says nothing, so a
  zone is UNKNOWN after its `max_gap`.
* *Clutter* (rain, insects before an infrared lamp) is told, and changes nothing.

All holding together never lasts longer than `bound`, and must be out of use for as long as it was
in use before it may last that long again: light that flickers for hours hides nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.clock import Stamp
from monitor.config.guards import GuardConfig
from monitor.messages import HealthKind, Light, Scene
from monitor.presence.likeness import (
    Grid,
    Likeness,
    Motion,
    View,
    learned,
    likeness,
    motion,
    patches,
    view_of,
)

DARK_BELOW, DARK_CONTRAST = 20.0, 8.0
"""Mean and standard deviation of luma under which a picture shows nothing."""

INFRARED_BELOW, COLOUR_ABOVE = 1.5, 2.5
"""Saturation of pictures without and with colours; in between nothing changes. Daylight on grey
concrete has 2, infrared next to nothing."""

JUMP, TOGETHER = 12.0, 0.85
"""Grey levels that the whole picture, and the share of its cells that must, change at once."""

STEADY, STEADY_FOR = 3.0, 1.0
"""Mean grey levels between two pictures of a steady light, and seconds it must be steady."""

STALE = 5.0
"""Seconds after which a picture is no longer compared with the one before."""

MATURE = 20.0
"""Seconds a view must have been seen to be the usual one."""

CERTAIN_AFTER: Final[Mapping[HealthKind, float]] = MappingProxyType(
    {
        HealthKind.COVERED: 5.0,
        HealthKind.MOVED: 10.0,
        HealthKind.DEFOCUSED: 10.0,
        HealthKind.DARK: 3.0,
    }
)
"""Seconds a sign must last without a break: people pass close to cameras."""

OVER_AFTER = 3.0
"""Seconds without the sign after which it is over."""

ACCEPTED_AFTER = 120.0
"""Seconds after which a moved camera's new view is the usual one."""

MOST, LOST, ALL, BLURRED = 0.75, 0.6, 0.95, 0.35
"""Share of the blocks that must be different; that must be lost, in a known light and in a new one;
share of the sharpness that is left."""

VIEWS = 4
"""Usual views kept for each light: lamps on, lamps off, shutters down."""

RESTLESS, MANY, INSECT = 10.0, 5, 4
"""Grey levels, separate places, and cells of one that came and went, of a restless picture."""

CLUTTER_MEMORY, CLUTTER_FROM, CLUTTER_UNTIL = 20.0, 0.6, 0.2
"""Seconds over which restless pictures are averaged; shares that begin and end clutter."""

Views = tuple[View, ...]
Rated = Sequence[Likeness | None]
"""The likenesses of a picture to views, in their order."""

_SWITCHES = (HealthKind.LIGHT_SWITCHED, HealthKind.IR_SWITCHED)


@dataclass(frozen=True, slots=True)
class Sight:
    """How far a picture can be trusted.

    `hold_entries`, `hold_exits`: such a change must not be confirmed now. `blind`: that nobody
    is seen says nothing. `comparable`: what is different from the picture before is motion.
    """

    light: Light = Light.COLOUR
    hold_entries: bool = False
    hold_exits: bool = False
    blind: bool = False
    comparable: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """Something began (`ended` is None) or is over. `accepted`: the new view is the usual now."""

    kind: HealthKind
    at: Stamp
    confirmed: Stamp
    ended: Stamp | None = None
    accepted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class GuardState:
    """What the guards of a camera remember; of bounded size.

    `luma`, `before`: the last picture and the one before it; `came`: the cells that are restless
    in between, by infrared. `views`: the usual views by light.
    `signs`: since when each sign is seen; `gone`: since when that of something `active` is not.
    `steady`: since when the light is. `restless`: share of restless pictures lately. `held`:
    seconds of holding that are used up.
    """

    seen: Stamp | None = None
    light: Light = Light.COLOUR
    luma: Grid | None = None
    before: Grid | None = None
    came: NDArray[np.bool_] | None = None
    views: Mapping[Light, Views] = field(default_factory=dict)
    signs: Mapping[HealthKind, Stamp] = field(default_factory=dict)
    active: Mapping[HealthKind, Stamp] = field(default_factory=dict)
    gone: Mapping[HealthKind, Stamp] = field(default_factory=dict)
    steady: Stamp | None = None
    restless: float = 0.0
    held: float = 0.0


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a picture led to."""

    state: GuardState
    sight: Sight
    changes: tuple[Change, ...] = ()


def guard(state: GuardState, scene: Scene, now: Stamp, settings: GuardConfig) -> Guarded:
    """Look at one picture. One that is not later than the last changes nothing."""
    if state.seen is not None and now.monotonic <= state.seen.monotonic:
        return Guarded(state, Sight(state.light))
    elapsed = now.since(state.seen) if state.seen is not None else 0.0
    if elapsed > STALE:
        state = replace(state, luma=None, before=None, came=None, steady=None)
    luma = scene.luma.astype(np.float32)
    light = _light(scene, state.light if state.seen is not None else None)
    moved = motion(luma, state.luma) if state.luma is not None else None
    switched = _switched(state, moved, light)
    state = _rested(state, moved, luma, light, elapsed)
    steady = (state.steady or state.seen) if moved and moved.change <= STEADY else None
    state = replace(state, seen=now, light=light, before=state.luma, luma=luma, steady=steady)
    state, changes = _switch(state, switched, now, settings)
    switching = any(kind in state.active for kind in _SWITCHES)
    view = view_of(scene)
    known = state.views.get(light, ())
    rated = [likeness(view, usual) for usual in known]
    if any(change.ended for change in changes) and _unlike(known, rated):
        known, rated = (replace(view, seconds=MATURE), *known)[:VIEWS], []
    signs = set() if switching else _signs(light, known, rated)
    if not signs and not switching and not any(usual.seconds >= MATURE for usual in known):
        signs = _first_signs(state.views, view)
    if not signs and not switching:
        known = _taught(known, rated, view, min(elapsed, STALE))
    state = replace(state, views={**state.views, light: known})
    state, more = _judge(state, signs, view, now)
    state, sight = _trust(state, switching, elapsed, now, settings)
    return Guarded(state, sight, changes + more)


def _light(scene: Scene, before: Light | None) -> Light:
    if _is_dark(scene):
        return Light.DARK
    if scene.saturation < INFRARED_BELOW:
        return Light.IR
    if scene.saturation > COLOUR_ABOVE or before in (None, Light.DARK):
        return Light.COLOUR
    assert before is not None
    return before


def _is_dark(scene: Scene) -> bool:
    return scene.brightness < DARK_BELOW and scene.contrast < DARK_CONTRAST


def _switched(state: GuardState, moved: Motion | None, light: Light) -> HealthKind | None:
    """Whether the light became another with this picture."""
    if state.seen is not None and {state.light, light} == {Light.COLOUR, Light.IR}:
        return HealthKind.IR_SWITCHED
    if moved is None or abs(moved.mean) < JUMP or moved.agreement < TOGETHER:
        return None
    return HealthKind.LIGHT_SWITCHED


def _switch(
    state: GuardState, switched: HealthKind | None, now: Stamp, settings: GuardConfig
) -> tuple[GuardState, tuple[Change, ...]]:
    """Begin and end what a switched light means."""
    active, changes = dict(state.active), []
    if switched is not None and not any(kind in active for kind in _SWITCHES):
        active[switched] = now
        changes.append(Change(switched, now, now))
    for kind in _SWITCHES:
        since = active.get(kind)
        if since is None or since == now:
            continue
        steady = state.steady is not None and now.since(state.steady) >= STEADY_FOR
        if steady or now.since(since) >= settings.bound:
            del active[kind]
            changes.append(Change(kind, since, now, ended=now))
    return replace(state, active=active), tuple(changes)


def _signs(light: Light, known: Views, rated: Rated) -> set[HealthKind]:
    """Of what a picture shows signs."""
    if light is Light.DARK:
        return {HealthKind.DARK}
    found = _likest(known, rated)
    if found is None:
        return set()
    if found.differs >= MOST:
        return {HealthKind.COVERED if found.lost >= LOST else HealthKind.MOVED}
    return {HealthKind.DEFOCUSED} if found.sharpness < BLURRED else set()


def _first_signs(views: Mapping[Light, Views], view: View) -> set[HealthKind]:
    """Signs in a light that is new here: a grey cover looks like infrared, but for its edges."""
    others = tuple(usual for views_then in views.values() for usual in views_then)
    found = _likest(others, [likeness(view, usual) for usual in others])
    return {HealthKind.COVERED} if found is not None and found.lost >= ALL else set()


def _likest(known: Views, rated: Rated) -> Likeness | None:
    """The likeness to the usual view that is most alike."""
    pairs = zip(known, rated, strict=False)
    judged = [like for usual, like in pairs if like is not None and usual.seconds >= MATURE]
    return min(judged, key=lambda each: (each.differs, -each.sharpness), default=None)


def _unlike(known: Views, rated: Rated) -> bool:
    """Whether the picture shows something, and none of the usual views: once a switched light
    is steady, that is one of them, too."""
    found = _likest(known, rated)
    return found is not None and found.differs >= MOST and found.lost < LOST


def _taught(known: Views, rated: Rated, view: View, seconds: float) -> Views:
    """The usual views after seeing `view`: the one it is like learns, or it is a new one."""
    fits = [
        (like.differs if like is not None else 0.0, index)
        for index, like in enumerate(rated)
        if like is None or like.differs < MOST
    ]
    if not fits:
        return known if known and not rated else (view, *known)[:VIEWS]
    index = min(fits)[1]
    taught = learned(known[index], view, seconds)
    return (*known[:index], taught, *known[index + 1 :])


def _judge(
    state: GuardState, signs: set[HealthKind], view: View, now: Stamp
) -> tuple[GuardState, tuple[Change, ...]]:
    """Signs that last make certain, and their lasting absence ends it."""
    since = {kind: state.signs.get(kind, now) for kind in signs}
    active, gone, changes = dict(state.active), dict(state.gone), []
    for kind, needed in CERTAIN_AFTER.items():
        if kind in signs:
            gone.pop(kind, None)
            if kind not in active and now.since(since[kind]) >= needed:
                active[kind] = since[kind]
                changes.append(Change(kind, since[kind], now))
        elif kind in active:
            gone.setdefault(kind, now)
            if now.since(gone[kind]) >= OVER_AFTER:
                changes.append(Change(kind, active.pop(kind), now, ended=gone.pop(kind)))
    state = replace(state, signs=since, active=active, gone=gone)
    state, clutter = _clutter(state, now)
    state, accepted = _accept(state, view, now)
    return state, (*changes, *clutter, *accepted)


def _accept(state: GuardState, view: View, now: Stamp) -> tuple[GuardState, tuple[Change, ...]]:
    """A moved camera that stays where it is has a new usual view."""
    since = state.active.get(HealthKind.MOVED)
    if since is None or now.since(since) < ACCEPTED_AFTER or HealthKind.MOVED in state.gone:
        return state, ()
    left = dict(state.active)
    del left[HealthKind.MOVED]
    views = {state.light: (replace(view, seconds=MATURE),)}
    change = Change(HealthKind.MOVED, since, now, ended=now, accepted=True)
    return replace(state, active=left, signs={}, views=views), (change,)


def _rested(
    state: GuardState, moved: Motion | None, luma: Grid, light: Light, elapsed: float
) -> GuardState:
    """How restless infrared pictures are: many places change at once, or some for one picture."""
    if light is not Light.IR:
        return replace(state, restless=0.0, came=None)
    if moved is None:
        return state
    cells, came = moved.moved(RESTLESS), state.came
    restless = np.count_nonzero(cells) >= MANY and patches(cells) >= MANY
    if not restless and came is not None and state.before is not None:
        number = np.count_nonzero(came)
        if number >= INSECT:
            stayed = motion(luma, state.before).moved(RESTLESS) & came
            restless = np.count_nonzero(stayed) <= number // 4
    rate = 1.0 - float(np.exp(-elapsed / CLUTTER_MEMORY))
    share = state.restless + rate * (float(restless) - state.restless)
    return replace(state, restless=share, came=cells)


def _clutter(state: GuardState, now: Stamp) -> tuple[GuardState, tuple[Change, ...]]:
    kind, active = HealthKind.CLUTTER, dict(state.active)
    since = active.get(kind)
    if since is None and state.restless >= CLUTTER_FROM:
        active[kind] = now
        return replace(state, active=active), (Change(kind, now, now),)
    if since is not None and state.restless <= CLUTTER_UNTIL:
        del active[kind]
        return replace(state, active=active), (Change(kind, since, now, ended=now),)
    return state, ()


def _trust(
    state: GuardState, switching: bool, elapsed: float, now: Stamp, settings: GuardConfig
) -> tuple[GuardState, Sight]:
    """How far this picture can be trusted, within the budget of holding."""
    doubtful = any(now.since(since) < settings.bound for since in state.signs.values())
    wanted = switching or doubtful
    held = state.held + elapsed if wanted else max(0.0, state.held - elapsed)
    hold = wanted and held < settings.bound
    blind = any(kind in state.active for kind in (HealthKind.COVERED, HealthKind.DARK))
    sight = Sight(
        state.light,
        hold_entries=switching and hold,
        hold_exits=hold,
        blind=blind,
        comparable=not switching and state.before is not None,
    )
    return replace(state, held=min(held, settings.bound)), sight
