"""Prometheus metrics, read off the status when somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import monitor
from monitor.messages import HealthKind, PresenceState
from monitor.web.status import AlertStatus, CameraStatus, ConfigStatus, MonitorStatus, StatusReport

Samples = Iterable[tuple[tuple[str, ...], float | None]]
"""Label values and a value each; None leaves the sample out."""


class StatusCollector(Collector):
    """Turns one `StatusReport` a scrape into metrics named `presence_…`."""

    def __init__(self, status: MonitorStatus) -> None:
        self._status = status

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the daemon."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of now."""
        report = self._status.report()
        build = [((monitor.__version__, report.model_id), 1.0)]
        yield _gauge("build_info", "Version and model; always 1.", ("version", "model"), build)
        yield from _camera_metrics(report.cameras)
        yield from _zone_metrics(report.cameras)
        yield from _pipeline_metrics(report)
        yield from _alert_metrics(report.alerts)
        yield from _config_metrics(report.config)
        yield from _diary_metrics(report)


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"presence_{name}", text, labels=labels)
    return _filled(family, samples)


def _counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(f"presence_{name}", text, labels=labels)
    return _filled(family, samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, value)
    return family


def _camera_metrics(cameras: tuple[CameraStatus, ...]) -> Iterator[Metric]:
    label = ("camera",)
    enabled = [camera for camera in cameras if camera.enabled]
    yield _gauge(
        "camera_up",
        "1 while frames come, 0 while the camera is not seen.",
        label,
        [((camera.name,), float(camera.seen)) for camera in enabled],
    )
    yield _gauge(
        "frame_age_seconds",
        "Age of the last decoded frame.",
        label,
        [((camera.name,), camera.frame_age) for camera in enabled],
    )
    yield _gauge(
        "score_age_seconds",
        "Age of the last score.",
        label,
        [((camera.name,), camera.score_age) for camera in enabled],
    )
    yield _counter(
        "frames",
        "Frames received from the camera, decoded, sampled, dropped for newer ones, and scored.",
        ("camera", "result"),
        [
            ((camera.name, result), float(getattr(camera, result)))
            for camera in enabled
            for result in ("received", "decoded", "sampled", "dropped", "scored")
        ],
    )
    yield _gauge(
        "keyframe_interval_seconds",
        "Seconds between the camera's keyframes; one second makes decoding cheapest.",
        label,
        [((camera.name,), camera.keyframes_every) for camera in enabled],
    )
    yield _gauge(
        "camera_dense",
        "1 while the camera is looked at closely, 0 while keyframes are enough.",
        label,
        [((camera.name,), float(camera.dense)) for camera in enabled],
    )
    yield _gauge(
        "camera_health",
        "1 while this happens to the camera's picture, else 0.",
        ("camera", "kind", "category"),
        [
            ((camera.name, kind.value, kind.category.value), float(kind in _kinds(camera)))
            for camera in enabled
            for kind in HealthKind
        ],
    )
    yield _counter(
        "reconnects",
        "Tries to open the source after the first.",
        label,
        [((camera.name,), float(camera.reconnects)) for camera in enabled],
    )


def _kinds(camera: CameraStatus) -> set[HealthKind]:
    return {each.kind for each in camera.health}


def _zone_metrics(cameras: tuple[CameraStatus, ...]) -> Iterator[Metric]:
    labels = ("camera", "zone")
    zones = [((camera.name, zone.name), zone) for camera in cameras for zone in camera.zones]
    yield _gauge(
        "occupied",
        "1 while somebody is there, 0 while nobody is; absent while unknown.",
        labels,
        [
            (names, float(zone.state is PresenceState.OCCUPIED))
            for names, zone in zones
            if zone.state is not PresenceState.UNKNOWN
        ],
    )
    yield _gauge(
        "score",
        "P(someone), as the network says of the last frame.",
        labels,
        [(names, zone.score) for names, zone in zones],
    )
    yield _gauge(
        "level",
        "Average or belief of what scores count for; held against the thresholds.",
        labels,
        [(names, zone.level) for names, zone in zones],
    )


def _alert_metrics(alerts: AlertStatus) -> Iterator[Metric]:
    channels, label = alerts.channels, ("channel",)
    yield _gauge(
        "alert_channel_up",
        "1 while the channel works, 0 since its last try failed.",
        label,
        [((channel.name,), float(not channel.trouble)) for channel in channels],
    )
    for name, text in (
        ("queued", "Deliveries that are owed."),
        ("dead_letters", "Deliveries that were refused or expired and lie there."),
    ):
        samples = [((channel.name,), float(getattr(channel, name))) for channel in channels]
        yield _gauge(f"alert_{name}", text, label, samples)
    yield _gauge(
        "alert_oldest_seconds",
        "Age of the oldest delivery that is owed.",
        label,
        [((channel.name,), channel.oldest) for channel in channels],
    )
    yield _counter(
        "alert_deliveries",
        "Deliveries sent, tried in vain, and given up.",
        ("channel", "result"),
        [
            ((channel.name, result), float(getattr(channel, result)))
            for channel in channels
            for result in ("sent", "retried", "dead")
        ],
    )
    yield _gauge(
        "alert_latency_seconds",
        "Alert to delivery.",
        ("channel", "quantile"),
        [
            ((channel.name, quantile), value)
            for channel in channels
            for quantile, value in (("0.5", channel.latency_p50), ("0.99", channel.latency_p99))
        ],
    )
    failures = [((), float(alerts.failures))]
    yield _counter("alert_failures", "Alerts lost to errors of the rules.", (), failures)


def _pipeline_metrics(report: StatusReport) -> Iterator[Metric]:
    writer, workers = report.writer, report.workers
    for name, text, value in (
        ("writer_lag_seconds", "Age of the oldest message not committed.", writer.lag),
        ("writer_queue", "Messages that wait for the writer.", writer.queued),
        (
            "writer_up",
            "1 while the writer runs and can write.",
            writer.alive and not writer.trouble,
        ),
        ("workers", "Inference workers that are alive.", workers.alive),
        ("workers_wanted", "Inference workers that should be alive.", workers.wanted),
        ("batch_size_mean", "Mean number of patches in a batch.", workers.mean_batch),
        ("start_time_seconds", "When the monitor started, Unix time.", report.started.timestamp()),
    ):
        yield _gauge(name, text, (), [((), float(value))])
    yield _gauge(
        "latency_seconds",
        "Frame submitted to scored.",
        ("quantile",),
        [(("0.5",), workers.latency_p50), (("0.99",), workers.latency_p99)],
    )
    for name, text, count in (
        ("events", "Occupancies opened.", report.events_total),
        ("writer_failed", "Messages the database refused for good.", writer.failed),
        ("worker_restarts", "Workers that were replaced.", workers.restarts),
        ("batches", "Batches scored.", workers.batches),
    ):
        yield _counter(name, text, (), [((), float(count))])
    for name, text in (
        ("runs", "Runs of a scheduled job."),
        ("missed", "Runs that were missed."),
        ("failed", "Runs that failed."),
    ):
        samples = [((job.name,), float(getattr(job, name))) for job in report.jobs]
        yield _counter(f"jobs_{name}", text, ("job",), samples)


def _diary_metrics(report: StatusReport) -> Iterator[Metric]:
    """Of what is kept aside from the events: the score history, and pictures to learn from."""
    history, learning = report.history, report.learning
    if history.enabled:
        waiting = float(history.waiting)
        text = "Minutes of zones whose scores wait for the database."
        yield _gauge("history_waiting", text, (), [((), waiting)])
        yield _counter(
            "history_minutes",
            "Minutes of zones whose scores were written, and dropped for want of the database.",
            ("result",),
            [((name,), float(getattr(history, name))) for name in ("written", "dropped")],
        )
    yield _counter(
        "learning_pictures",
        "Pictures to learn from: kept, dropped in a rush, refused by a full folder.",
        ("result",),
        [((name,), float(getattr(learning, name))) for name in ("kept", "dropped", "refused")],
    )


def _config_metrics(config: ConfigStatus) -> Iterator[Metric]:
    yield _gauge(
        "config_generation",
        "The how manyth configuration since the start is in force.",
        (),
        [((), float(config.generation))],
    )
    yield _gauge(
        "config_last_reload_ok",
        "1 while the configuration file is in force, 0 while it was rejected.",
        (),
        [((), float(not config.rejected))],
    )
    since = config.since
    yield _gauge(
        "config_since_seconds",
        "When the configuration in force was taken, as Unix time.",
        (),
        [((), since.timestamp() if since else None)],
    )
