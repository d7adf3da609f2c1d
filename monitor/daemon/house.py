"""The house: every room made once, and each one's output joined to the next one's input.

One `_make_…` a room, and one `_on_…` a message that goes between rooms: whoever adds a room adds
one of the former, whoever must hear of something adds a line to one of the latter. A room may name
one that is made after it only in a message's method, for messages flow once all are made.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from sqlalchemy import Engine

from monitor.alerts.room import AlertRoom
from monitor.capture import CaptureFleet, CaptureRoom, Photographer, make_capture
from monitor.clock import Clock
from monitor.config import MonitorConfig
from monitor.config.changes import Changes, compare, in_force
from monitor.daemon.book import DatabaseBook
from monitor.daemon.journal import Journal
from monitor.daemon.recollection import Recollection
from monitor.daemon.status import DaemonStatus, Rooms, Watch
from monitor.daemon.voice import zone_readings
from monitor.events.history import ScoreRecorder
from monitor.events.marks import Mark
from monitor.events.models import OccupancyEvent
from monitor.events.snapshots import SnapshotStore
from monitor.events.spool import default_spool
from monitor.events.writer import Commit, EventWriter
from monitor.imaging import jpeg
from monitor.inference.pool import InferencePool
from monitor.jobs import Job, JobRoom
from monitor.learning import Kind, LearningRoom
from monitor.messages import (
    Attention,
    CameraHealth,
    Frame,
    Outage,
    Photo,
    Progress,
    Score,
    Transition,
)
from monitor.presence import PresenceRoom
from monitor.storage import audit
from monitor.telemetry import configure_logging
from monitor.web.doorkeeper import Doorkeeper
from monitor.web.sessions import Sessions

ARMING_EVERY = 5.0
"""Seconds between two looks which schedules are armed."""

KINDS = {Mark.FALSE_ALARM: Kind.NOBODY, Mark.CORRECT: Kind.SOMEONE}
"""What a marked event's picture shows."""

PICTURE_PATIENCE = 3.0
"""Seconds a delivery with snapshot waits for one that is being written."""


class House:
    """Makes the rooms of one monitor; starting and stopping them is the daemon's part."""

    def __init__(self, config: MonitorConfig, engine: Engine, clock: Clock) -> None:
        self._config, self._engine, self._clock = config, engine, clock
        self._watch = Watch()
        self._journal = Journal()
        self.book = DatabaseBook(engine, config.snapshots.folder)
        self._alerts = self._make_alerts()
        self._writer = self._make_writer()
        self._pool = self._make_pool()
        self._presence = self._make_presence()
        self._capture = self._make_capture()
        self._photographer = self._make_photographer()
        self._jobs = self._make_jobs()
        self._history = self._make_history()
        self._learning = self._make_learning()
        self.keeper = self._make_keeper()
        self.rooms = Rooms(
            capture=self._capture,
            photographer=self._photographer,
            pool=self._pool,
            presence=self._presence,
            recollection=Recollection(self._presence, engine.url),
            writer=self._writer,
            jobs=self._jobs,
            journal=self._journal,
            alerts=self._alerts,
            history=self._history,
            learning=self._learning,
        )
        self.status = DaemonStatus(config, self.rooms, self._watch, clock)

    @property
    def config(self) -> MonitorConfig:
        """The configuration in force."""
        return self._config

    def reconfigure(self, wanted: MonitorConfig) -> Changes:
        """Go by another configuration, as far as that takes no restart; tells what changed.

        Cameras that stay as they were notice nothing. Readers end before presence changes and
        begin after it, so that no picture is judged by settings it was not cut for.
        """
        changes, config = compare(self._config, wanted), in_force(self._config, wanted)
        reopened = {name: config.cameras[name] for name in (*changes.started, *changes.reopened)}
        if "logging" in changes.sections:
            configure_logging(config.logging)
            if isinstance(self._capture, CaptureFleet):
                self._capture.log_by(config.logging)
        self._alerts.reconfigure(config)
        self._capture.drop((*changes.stopped, *changes.reopened))
        self._presence.reconfigure(config.cameras, changes.ended, self._clock.now())
        self._photographer.replace_cameras(config.cameras)
        self._jobs.reconfigure(config)
        self._learning.reconfigure(config.learning, config.cameras)
        self._watch.forget(changes.stopped)
        self._config = config
        self.status.reconfigure(config)
        self.keeper.reconfigure(config.web)
        self._capture.add(reopened)
        return changes

    def _make_alerts(self) -> AlertRoom:
        return AlertRoom(
            self._engine,
            self._config,
            clock=self._clock,
            picture=self._picture,
            readings=lambda: zone_readings(self._presence),
        )

    def _make_writer(self) -> EventWriter:
        snapshots = self._config.snapshots
        return EventWriter(
            self._engine,
            spool=default_spool(self._engine.url),
            snapshots=SnapshotStore(snapshots.folder) if snapshots.enabled else None,
            clock=self._clock,
            on_committed=self._on_committed,
            in_transaction=self._alerts.in_transaction,
        )

    def _make_pool(self) -> InferencePool:
        return InferencePool(self._config.inference, on_score=self._on_score, clock=self._clock)

    def _make_presence(self) -> PresenceRoom:
        snapshots = self._config.snapshots
        encode = partial(jpeg.encode, quality=snapshots.quality, max_side=snapshots.max_side)
        return PresenceRoom(
            self._config.cameras,
            on_message=self._on_message,
            on_attention=self._on_attention,
            on_health=self._on_message,
            on_peak=self._on_peak,
            encode=encode if snapshots.enabled else None,
            model_id=self._pool.model_id,
        )

    def _make_capture(self) -> CaptureRoom | CaptureFleet:
        return make_capture(
            self._config.cameras,
            on_frame=self._on_frame,
            on_outage=self._on_outage,
            clock=self._clock,
            max_side=self._config.snapshots.max_side,
            settings=self._config.capture,
            logging=self._config.logging,
        )

    def _make_photographer(self) -> Photographer:
        return Photographer(
            self._config.cameras,
            on_photo=self._on_photo,
            clock=self._clock,
            max_side=self._config.snapshots.max_side,
        )

    def _make_jobs(self) -> JobRoom:
        return JobRoom(
            self._engine,
            self._config,
            clock=self._clock,
            health=lambda: self.status.summary(),  # noqa: PLW0108  (made after the jobs)
            more=[Job("arming", ARMING_EVERY, 1.0, self._alerts.look_at_arming)],
        )

    def _make_history(self) -> ScoreRecorder | None:
        if not self._config.history.enabled:
            return None
        return ScoreRecorder(self._engine, clock=self._clock)

    def _make_learning(self) -> LearningRoom:
        return LearningRoom(self._config.learning, self._config.cameras)

    def _make_keeper(self) -> Doorkeeper:
        file = default_spool(self._engine.url).with_suffix(".logins")
        return Doorkeeper(
            self._config.web,
            Sessions(file),
            note=partial(audit.record, self._engine),
            clock=self._clock,
        )

    # What goes between the rooms, each in the thread of the room that sends it.

    def _picture(self, event_id: UUID) -> bytes | None:
        """A channel wants an event's picture, which may be on its way; in the channel's thread."""
        self._writer.await_snapshot(event_id, PICTURE_PATIENCE)
        return self.book.snapshot(event_id)

    def _on_frame(self, frame: Frame) -> None:
        """Capture has a picture; in its camera's own thread."""
        self._watch.on_frame(frame)
        self._pool.submit(frame)

    def _on_score(self, score: Score) -> None:
        """Inference has a score; in the pool's thread."""
        self._watch.on_score(score)
        self._presence.on_score(score)
        counted = self._counted(score)
        if self._history is not None:
            self._history.on_score(score, counted)
        self._learning.on_score(score, counted)

    def _counted(self, score: Score) -> float:
        """What presence has just taken a score for; one that came late was left out."""
        sensed = self._presence.sensed(score.camera, score.zone)
        if sensed is None or sensed.observation.at != score.frame.stamp:
            return score.value
        return sensed.observation.score

    def _on_outage(self, outage: Outage) -> None:
        """A camera is not seen; in its thread or the watchdog's. Must not block."""
        self._presence.on_outage(outage)
        self._alerts.on_outage(outage)

    def _on_message(self, message: Transition | Progress | CameraHealth) -> None:
        """Presence has something to keep; in the thread that brought the news. Must not block."""
        self._writer.put(message)
        if not isinstance(message, CameraHealth):
            self._learning.on_message(message)

    def _on_peak(self, camera: str) -> None:
        """Presence has never seen more of an occupancy: a photo is worth it. Must not block."""
        self._photographer.request(camera)

    def _on_photo(self, photo: Photo) -> None:
        """The photographer has a better picture; in its own thread."""
        self._presence.on_photo(photo)

    def _on_attention(self, attention: Attention) -> None:
        """Presence wants a camera looked at closely, or no longer. Must not block."""
        self._capture.attend(attention)
        self._pool.attend(attention)

    def on_mark(self, event: OccupancyEvent) -> None:
        """An operator said of an event whether it was right; in a thread of the web server."""
        kind = KINDS[event.mark] if event.mark else None
        picture = self.book.snapshot(event.id) if kind else None
        self._learning.on_mark(kind, (event.camera, event.zone), str(event.id), picture)

    def _on_committed(self, commit: Commit) -> None:
        """The database has a message; in the writer's thread."""
        self._journal.on_committed(commit)
        self._alerts.on_committed()
