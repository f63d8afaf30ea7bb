// The page's signs, drawn as strokes on 24 × 24. They say nothing to a screen reader: words beside them do.
import { svg } from "./dom.js";

const PATHS = {
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  check: "M5 12.5l4.5 4.500L19 7.5",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M4.9 4.900l1.4 1.400M17.7 17.700l1.4 1.400M2 12h2M20 12h2M4.9 19.100l1.4-1.400M17.7 6.300l1.4-1.4",
  moon: "M20 14.500A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.500z",
  pulse: "M3 12h4l3-8 4 16 3-8h4",
  table: "M4 5h16v14H4zM4 10h16M10 10v9",
  gear: "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.600l2.1 2.100M16.3 16.300l2.1 2.100M5.6 18.400l2.1-2.100M16.3 7.700l2.1-2.1",
  stream: "M4 12a8 8 0 0 1 16 0M7.5 12a4.5 4.5 0 0 1 9 0M12 12v.01M4 18h16",
  hook: "M9 4v5a4 4 0 1 0 6 3.500M15 20v-5a4 4 0 1 0-6-3.5",
  users:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.6-3.6 3-5.5 6.5-5.500s5.9 1.9 6.5 5.500M16 4.500a3.5 3.5 0 0 1 0 6.500M18 15c2 .7 3.2 2.4 3.5 5",
  key: "M14.5 13.500a5 5 0 1 0-4-4L3 17v4h4v-3h3v-3z M16.5 7.500v.01",
  layers: "M12 3l9 5-9 5-9-5zM3 13l9 5 9-5",
  list: "M9 6h11M9 12h11M9 18h11M4.5 6v.01M4.5 12v.01M4.5 18v.01",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
  pencil: "M4 20l1-4L16.5 4.500l3 3L8 19zM14 7l3 3",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  upload: "M12 16V5M7 9.500L12 4.500l5 5M5 20h14",
  download: "M12 4v11M7 10.500l5 5 5-5M5 20h14",
  filter: "M4 5h16l-6 8v6l-4-2v-4z",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  up: "M5 15l7-7 7 7",
  down: "M5 9l7 7 7-7",
  refresh: "M20 11a8 8 0 1 0-2.3 6.700M20 5v6h-6",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.500l12 7.5-12 7.500z",
  exit: "M14 5H5v14h9M10 12h11M17 8l4 4-4 4",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  globe: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  warning: "M12 4l9 16H3zM12 10v4M12 17v.01",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2",
  columns: "M4 5h16v14H4zM9.3 5v14M14.7 5v14",
  text: "M5 6h14M12 6v13M9 19h6",
  editor: "M5 6h14M5 10h9M5 14h14M5 18h9",
  number: "M9 4L7 20M17 4l-2 16M4 9h16M4 15h16",
  bool: "M8 7h8a5 5 0 0 1 0 10H8A5 5 0 0 1 8 7zM16 14a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  date: "M5 6h14v14H5zM5 10h14M9 3.500v4M15 3.500v4",
  select: "M4 6l2 2 3-3M4 12l2 2 3-3M4 18l2 2 3-3M13 7h7M13 13h7M13 19h7",
  relation: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.700L12 7M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.700L12 17",
  json: "M9 4c-3 0-3 1-3 4s-1 4-3 4c2 0 3 1 3 4s0 4 3 4M15 4c3 0 3 1 3 4s1 4 3 4c-2 0-3 1-3 4s0 4-3 4",
  email: "M3.5 6h17v12h-17zM4 7l8 6 8-6",
  geoPoint:
    "M12 21c4-5 6.5-8 6.5-11a6.5 6.5 0 0 0-13 0c0 3 2.5 6 6.5 11zM12 12.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  bolt: "M13 3L5 14h6l-1 7 8-11h-6z",
  branch:
    "M7 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM7 20a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM17 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM7 8v8M17 10c0 4-6 3-10 6",
  disk: "M12 9c4.4 0 8-1.3 8-3s-3.6-3-8-3-8 1.3-8 3 3.6 3 8 3zM4 6v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
  book: "M5 4h10a4 4 0 0 1 4 4v12H9a4 4 0 0 1-4-4zM5 16a4 4 0 0 1 4-4h10",
};

const ALIASES = { url: "globe", autodate: "date", password: "lock", secret: "lock", id: "key" };

/** A sign by its name; `name` may be a field's type. */
export function icon(name, extra) {
  const path = PATHS[name] ?? PATHS[ALIASES[name]] ?? PATHS.text;
  return svg(
    `svg.icon${extra ? `.${extra}` : ""}`,
    { viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("path", { d: path }),
  );
}

/** The mark of the page. */
export function mark() {
  const wave = (y, opacity) => svg("path", { d: `M6 ${y}c2.5-2.4 4.5-2.4 7 0s4.5 2.4 7 0 4.5-2.4 6 0`, opacity });
  return svg(
    "svg.mark",
    { viewBox: "0 0 32 32", "aria-hidden": "true" },
    svg("rect", { width: 32, height: 32, rx: 8 }),
    svg("g", null, wave(13, 0.55), wave(19, 1)),
  );
}
