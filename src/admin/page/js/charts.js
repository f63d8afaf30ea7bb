// Lines over time, as SVG. Each chart says in words what it shows, and follows the pointer and the arrow keys.
import { h, newId, replace, svg } from "./dom.js";
import { duration } from "./format.js";

const WIDTH = 520;
const HEIGHT = 132;
const TOP = 10;
const BOTTOM = 18;
const LEFT = 2;
/** Values a chart has room for, and those that it has room for even if there are fewer. */
const POINTS = 120;
const POINTS_MIN = 30;

const room = (row) => Math.max(POINTS_MIN, row.length);

/** A bound a little above the largest value: 1, 2 or 5 times a power of ten. */
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((one) => one * power >= value) ?? 10;
  return step * power;
}

/** The path of a line through values from the right; gaps are left open. */
function pathOf(values, top, filled) {
  const x = (at) => WIDTH - ((values.length - 1 - at) * (WIDTH - LEFT)) / (room(values) - 1);
  const y = (value) => HEIGHT - BOTTOM - (Math.min(value, top) / top) * (HEIGHT - TOP - BOTTOM);
  let path = "";
  let begun = null;
  values.forEach((value, at) => {
    if (value === null) {
      if (filled && begun !== null)
        path += `L${x(at - 1).toFixed(1)} ${HEIGHT - BOTTOM}L${x(begun).toFixed(1)} ${HEIGHT - BOTTOM}Z`;
      begun = null;
      return;
    }
    path += `${begun === null ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    begun ??= at;
  });
  if (filled && begun !== null)
    path += `L${x(values.length - 1).toFixed(1)} ${HEIGHT - BOTTOM}L${x(begun).toFixed(1)} ${HEIGHT - BOTTOM}Z`;
  return path;
}

/**
 * A card with a chart: `series` are `{name, colour}` (1 to 4), `show(number)` writes a value. `update(rows, ages)` takes
 * for each series its values, oldest first, and their ages in seconds.
 */
export function chart({ title, series, show, floor = 0 }) {
  const id = newId("chart");
  const lines = series.map(({ colour }) => svg("path.line", { class: `c${colour}` }));
  const area = svg("path.area", { class: `c${series[0].colour}` });
  const rule = svg("line.rule", { y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const startText = svg("text.axis", { x: LEFT, y: HEIGHT - 4 });
  const topText = svg("text.axis", { x: LEFT, y: TOP - 1 });
  const picture = svg(
    "svg.chart",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0", "aria-labelledby": `${id} ${id}-words` },
    svg("line.grid", { x1: 0, x2: WIDTH, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
    svg("line.grid.dashed", { x1: 0, x2: WIDTH, y1: TOP + 2, y2: TOP + 2 }),
    area,
    lines,
    rule,
    topText,
    startText,
    svg("text.axis.end", { x: WIDTH, y: HEIGHT - 4 }, "now"),
  );
  const legend = h("ul.legend");
  const words = h("span.heard", { id: `${id}-words` });
  const element = h(
    "section.card.padded.chart-card",
    null,
    h("header.card-head", null, h("h2", { id }, title), legend),
    picture,
    words,
  );
  let rows = series.map(() => []);
  let ages = [];
  let picked = null;

  function tell() {
    const last = rows[0].length - 1;
    const at = picked === null ? last : Math.max(0, Math.min(last, picked));
    const value = (row) => (row[at] === null || row[at] === undefined ? "–" : show(row[at]));
    replace(
      legend,
      series.map(({ name, colour }, one) =>
        h(
          "li",
          null,
          h("span.swatch", { class: `c${colour}` }),
          name && h("span.quiet", null, name),
          h("span.number.value", null, value(rows[one])),
        ),
      ),
    );
    const x = WIDTH - ((last - at) * (WIDTH - LEFT)) / (room(rows[0]) - 1);
    rule.setAttribute("visibility", picked === null ? "hidden" : "visible");
    rule.setAttribute("x1", x);
    rule.setAttribute("x2", x);
    const when = picked === null ? "now" : `${Math.round(ages[at] ?? 0)} seconds ago`;
    words.textContent = `${when}: ${series.map(({ name }, one) => `${name} ${value(rows[one])}`).join(", ")}`;
  }

  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const part = 1 - (event.clientX - box.left) / box.width;
    picked = rows[0].length - 1 - Math.round(part * (room(rows[0]) - 1));
    tell();
  });
  const leave = () => {
    picked = null;
    tell();
  };
  picture.addEventListener("pointerleave", leave);
  picture.addEventListener("blur", leave);
  picture.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const last = rows[0].length - 1;
    picked = Math.max(0, Math.min(last, (picked ?? last) + by));
    tell();
  });

  function update(nextRows, nextAges) {
    rows = nextRows.map((row) => row.slice(-POINTS));
    ages = nextAges.slice(-POINTS);
    const largest = Math.max(floor, ...rows.flat().filter((value) => value !== null));
    const top = ceiling(largest);
    topText.textContent = show(top);
    const step = ages.length > 1 ? (ages[0] - ages.at(-1)) / (ages.length - 1) : 0;
    startText.textContent = step ? `${duration((room(rows[0]) - 1) * step)} ago` : "";
    rows.forEach((row, at) => lines[at].setAttribute("d", pathOf(row, top, false)));
    area.setAttribute("d", pathOf(rows[0], top, true));
    tell();
  }
  return { element, update };
}

/** Bars of equal width with a text each, for a handful of counts over time. */
export function bars({ label, values, texts }) {
  const top = ceiling(Math.max(1, ...values));
  const step = WIDTH / Math.max(values.length, 1);
  return svg(
    "svg.chart.bars",
    { viewBox: `0 0 ${WIDTH} 64`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    values.map((value, at) =>
      svg(
        "rect",
        {
          x: (at * step + 1).toFixed(1),
          width: Math.max(step - 2, 1).toFixed(1),
          y: (62 - (58 * value) / top).toFixed(1),
          height: (1 + (58 * value) / top).toFixed(1),
          rx: 1.5,
        },
        svg("title", null, texts[at]),
      ),
    ),
  );
}
