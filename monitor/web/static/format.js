// Words for numbers and times. Data is UTC; people read their own zone.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export const REASONS = {
  vacated: "Left",
  signal_lost: "Camera lost",
  restart: "Restart",
  config_changed: "Settings changed",
  end_of_media: "End of video",
};

export const OUTAGES = {
  refused: "connection refused",
  unreachable: "host unreachable",
  unauthorized: "wrong user or password",
  not_found: "no such stream",
  timeout: "timed out",
  ended: "stream ended",
  corrupt: "damaged stream",
  frozen: "picture frozen",
  lagging: "falls behind",
  resolution_changed: "resolution changed",
  codec_unsupported: "codec not supported",
  stopped: "stopped",
  error: "error",
};

export const HEALTH = {
  covered: "Camera covered",
  moved: "Camera moved",
  defocused: "Out of focus",
  frozen: "Picture frozen",
  light_switched: "Light switched",
  ir_switched: "Infrared switched",
  clutter: "Rain or insects",
  dark: "Dark",
};

export const clockTime = (iso) => clock.format(new Date(iso));
export const fullTime = (iso) => full.format(new Date(iso));

export function dayName(iso) {
  const date = new Date(iso);
  const today = new Date();
  return date.toDateString() === today.toDateString() ? "Today" : day.format(date);
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const secondsSince = (iso) => (Date.now() - Date.parse(iso)) / 1000;
export const score = (value) => (value === null ? "–" : value.toFixed(2));
export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

export function age(seconds) {
  if (seconds === null) return "no frame yet";
  return seconds < 1.5 ? "live" : `${duration(seconds)} ago`;
}
