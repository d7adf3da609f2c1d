"""The channels: one module a kind, all behind `monitor.alerts.notices.Channel`."""
