// The camera cards: built once, then kept up to date in place.

import { drawn, icon, make, setText } from "./dom.js";
import { HEALTH, OUTAGES, age, capital, duration, score, secondsSince } from "./format.js";

const SPAN = 180; // scores and levels a sparkline shows, one a second
const WIDTH = 300;
const HEIGHT = 46;
const cards = new Map();
const histories = new Map();
const RANK = { occupied: 2, unknown: 1, vacant: 0 };

export function remember(camera, { name, scores, levels }) {
  histories.set(`${camera}/${name}`, { scores: scores.slice(-SPAN), levels: levels.slice(-SPAN) });
}

export function showCameras(container, cameras, { fresh }) {
  const names = new Set(cameras.map((camera) => camera.name));
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.root.remove();
      cards.delete(name);
    }
  }
  for (const camera of cameras) {
    let card = cards.get(camera.name);
    if (!card) {
      card = buildCard(camera);
      cards.set(camera.name, card);
      container.append(card.root);
    }
    if (fresh) for (const zone of camera.zones) note(camera.name, zone);
    card.camera = camera;
    card.received = performance.now();
    update(card);
  }
  container.setAttribute("aria-busy", "false");
}

export function tick() {
  for (const card of cards.values()) showTimes(card);
}

function note(camera, zone) {
  const key = `${camera}/${zone.name}`;
  const history = histories.get(key) ?? { scores: [], levels: [] };
  for (const [values, value] of [[history.scores, zone.score], [history.levels, zone.level]]) {
    values.push(value);
    if (values.length > SPAN) values.shift();
  }
  histories.set(key, history);
}

function buildCard(camera) {
  const card = { zones: new Map() };
  card.title = make("h3", { textContent: camera.name });
  card.facts = make("span", { className: "facts" });
  card.picture = make("img", { alt: `Recent picture of ${camera.name}`, hidden: true, decoding: "async" });
  card.picture.addEventListener("load", () => { card.picture.hidden = false; card.waiting = false; card.none.hidden = card.seen; });
  card.picture.addEventListener("error", () => { card.picture.hidden = true; card.waiting = false; });
  card.none = make("div", { className: "none" }, icon("off"), make("b"), make("span"));
  card.age = make("span", { className: "age" });
  card.health = make("p", { className: "health", hidden: true });
  card.list = make("div");
  card.root = make("article", { className: "camera", data: { camera: camera.name } },
    make("div", { className: "camera-head" }, card.title, card.facts),
    make("div", { className: "frame" }, card.picture, card.none, card.age),
    card.health, card.list);
  card.root.setAttribute("aria-label", `Camera ${camera.name}`);
  return card;
}

function update(card) {
  const { camera } = card;
  const seen = camera.frame_age !== null && camera.frame_age <= camera.max_gap;
  const state = camera.zones.map((zone) => zone.state).sort((a, b) => RANK[b] - RANK[a])[0] ?? "unknown";
  Object.assign(card.root.dataset, { seen: String(seen), enabled: String(camera.enabled), state });
  card.seen = seen;
  const facts = [
    camera.width && `${camera.width}×${camera.height}`,
    camera.fps && `${Math.round(camera.fps)} fps`,
    camera.codec && camera.codec.toUpperCase(),
  ].filter(Boolean);
  setText(card.facts, facts.join(" · "));
  card.facts.title = `${camera.sampled} sampled, ${camera.scored} scored, ${camera.dropped} dropped, ${camera.reconnects} reconnects`;
  const [sign, headline, detail] = card.none.children;
  card.none.hidden = seen && !card.picture.hidden;
  sign.firstChild.setAttribute("href", seen ? "#icon-picture" : "#icon-off");
  setText(headline, !camera.enabled ? "Switched off" : seen ? "Waiting for a picture" : "Not seen");
  setText(detail, seen || !camera.enabled ? "" : OUTAGES[camera.outage] ?? capital(camera.state));
  const health = camera.health ?? [];
  setText(card.health, health.map((each) => HEALTH[each.kind] ?? capital(each.kind)).join(" · "));
  card.health.title = health.map((each) => each.detail).join("; ");
  card.health.hidden = !health.length;
  card.health.dataset.tamper = String(health.some((each) => each.category === "tamper"));
  card.list.hidden = !camera.enabled;
  for (const zone of camera.zones) updateZone(card, zone);
  showTimes(card);
}

function buildZone(card, zone) {
  const view = {};
  view.badge = make("span", { className: "state" });
  view.words = make("span", { className: "words" });
  view.value = make("b");
  view.level = make("span", { className: "level" }, make("i"), make("span"));
  view.score = make("span", { className: "score" }, view.value, make("small", {}, make("i"), "score"));
  view.enter = make("span", { className: "enter" }, make("i"), make("span"));
  view.exit = make("span", { className: "exit" }, make("i"), make("span"));
  view.area = drawn("path", { class: "area" });
  view.curve = drawn("path", { class: "curve" });
  view.enterLine = drawn("line", { class: "limit enter", x1: 0, x2: WIDTH });
  view.exitLine = drawn("line", { class: "limit exit", x1: 0, x2: WIDTH });
  view.spark = drawn("svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    view.enterLine, view.exitLine, view.area, view.curve);
  view.root = make("div", { className: "zone" },
    view.badge, view.score, view.words, view.level, view.spark,
    make("div", { className: "legend" }, view.exit, view.enter));
  card.list.append(view.root);
  card.zones.set(zone.name, view);
  return view;
}

function updateZone(card, zone) {
  const view = card.zones.get(zone.name) ?? buildZone(card, zone);
  view.zone = zone;
  if (view.badge.dataset.state !== zone.state) {
    view.badge.dataset.state = zone.state;
    view.badge.replaceChildren(icon(zone.state), capital(zone.state));
  }
  setText(view.value, score(zone.score));
  setText(view.level.lastChild, `level ${score(zone.level)}`);
  view.score.title = view.level.title = zone.score === null ? "" : meaning(zone);
  setText(view.enter.lastChild, `occupied from ${zone.enter_threshold}`);
  setText(view.exit.lastChild, `vacant below ${zone.exit_threshold}`);
  drawSpark(view, zone, histories.get(`${card.camera.name}/${zone.name}`) ?? { scores: [], levels: [] });
}

const meaning = (zone) =>
  `Score: the network gives the last picture ${score(zone.score)}, and beside the empty zone that counts for ${score(zone.counts)}. `
  + `Level: what scores counted for of late comes to ${score(zone.level)}; that is held against the limits.`;

const height = (value) => (HEIGHT - 2) - value * (HEIGHT - 4);

// The score as an area, the level as a line: that is what crosses the thresholds.
function drawSpark(view, zone, { scores, levels }) {
  for (const [line, at] of [[view.enterLine, zone.enter_threshold], [view.exitLine, zone.exit_threshold]]) {
    line.setAttribute("y1", height(at));
    line.setAttribute("y2", height(at));
  }
  view.curve.setAttribute("d", trace(levels).curve);
  view.area.setAttribute("d", trace(scores).area);
  view.spark.setAttribute("aria-label",
    `The last minutes; now score ${score(zone.score)}, level ${score(zone.level)}`);
}

function trace(values) {
  let curve = "";
  let area = "";
  let begun = null;
  values.forEach((value, index) => {
    const x = WIDTH - ((values.length - 1 - index) / (SPAN - 1)) * WIDTH;
    if (value === null) {
      if (begun !== null) area += `L${x.toFixed(1)} ${HEIGHT}Z`;
      begun = null;
      return;
    }
    const point = `${x.toFixed(1)} ${height(value).toFixed(1)}`;
    curve += begun === null ? `M${point}` : `L${point}`;
    area += begun === null ? `M${x.toFixed(1)} ${HEIGHT}L${point}` : `L${point}`;
    begun ??= x;
  });
  if (begun !== null) area += `L${WIDTH} ${HEIGHT}Z`;
  return { curve, area };
}

function showTimes(card) {
  const { camera } = card;
  const extra = (performance.now() - card.received) / 1000;
  setText(card.age, camera.frame_age === null ? age(null) : age(camera.frame_age + extra));
  card.age.hidden = !camera.enabled;
  for (const view of card.zones.values()) {
    const { zone } = view;
    const named = camera.zones.length > 1 || zone.name !== "frame";
    const since = zone.since ? `for ${duration(secondsSince(zone.since))}` : "";
    const background = zone.explained != null ? "background" : "";
    const text = [since, zone.pending, background].filter(Boolean).join(" · ");
    const wanted = `${named ? zone.name : ""}|${text}`;
    if (view.said !== wanted) {
      view.said = wanted;
      view.words.replaceChildren(...(named ? [make("b", { textContent: zone.name }), ` ${text}`] : [text]));
    }
  }
}

// Pictures are asked for only while somebody can see them.
export function refreshPictures() {
  if (document.hidden) return;
  for (const card of cards.values()) {
    const box = card.root.getBoundingClientRect();
    const visible = box.bottom > 0 && box.top < innerHeight;
    if (!visible || !card.camera.enabled || card.waiting || (!card.seen && card.picture.src)) continue;
    card.waiting = true;
    card.picture.src = `/api/cameras/${encodeURIComponent(card.camera.name)}/picture.jpg?t=${Date.now()}`;
  }
}

export const cameraCount = () => cards.size;
