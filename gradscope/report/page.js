/* Draws the page from one island of numbers at the width there is; one lag moves every picture.
   Numbers, words, charts, figures by name, then the slider, the address and the clicks. */
"use strict";
const ISLAND = JSON.parse(document.getElementById("island").textContent);
const { stages = [], cells = [], labels = {}, every = {} } = ISLAND;
const TYPES = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array, f8: Float64Array };
const MOST_CELLS = 64; // A larger matrix is shown by the means of its blocks.

/** A column: words by their places in a list, or little-endian numbers. */
function unpacked(column) {
  if (column.words) return Array.from(unpacked(column.at), (at) => column.words[at]);
  const [[type, text]] = Object.entries(column);
  return new TYPES[type](Uint8Array.from(atob(text), (each) => each.charCodeAt(0)).buffer);
}
const mapped = (object, f) => Object.fromEntries(Object.entries(object).map(([k, v]) => [k, f(v)]));
const TABLES = mapped(ISLAND.tables, (table) => mapped(table, unpacked));
const MATRICES = (ISLAND.matrices || []).map((each) => each && Object.assign(each, {
  weights: unpacked(each.weights), slopes: unpacked(each.slopes), tiles: [] }));
const state = { lag: 1, stage: stages.length - 1, cell: 0 };

/** ∂h_T/∂h_{T−lag} of one sequence, {n, exponent, values}: entries are values[row n + column] 2^exponent. */
function matrixAt(stage, lag) {
  const of = MATRICES[stage], H = of ? of.units : 0, n = Math.min(H, MOST_CELLS);
  if (!of || lag > of.slopes.length / H) return null;
  const block = Array.from({ length: H }, (_, unit) => Math.floor((unit * n) / H));
  const size = block.reduce((sizes, at) => (sizes[at]++, sizes), new Array(n).fill(0));
  if (!of.rows) {
    of.rows = new Float64Array(n * H);
    block.forEach((at, unit) => { of.rows[at * H + unit] = 1 / size[at]; });
  }
  while (of.tiles.length < lag) {
    const step = of.tiles.length, slopes = of.slopes.slice(step * H, (step + 1) * H);
    const next = new Float64Array(n * H), values = new Float64Array(n * n);
    for (let row = 0; row < n * H; row += H) {
      for (let k = 0; k < H; k++) {
        const factor = of.rows[row + k] * (of.before ? of.leak[k] : slopes[k]);
        if (factor) for (let j = 0; j < H; j++) next[row + j] += factor * of.weights[k * H + j];
      }
      for (let j = 0; j < H; j++) {
        if (of.before) next[row + j] *= slopes[j];
        next[row + j] += (1 - of.leak[j]) * of.rows[row + j];
      }
    }
    const largest = next.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    const shift = largest ? Math.floor(Math.log2(largest)) : 0;
    next.forEach((each, at) => {
      next[at] = each * 2 ** -shift;
      values[Math.floor(at / H) * n + block[at % H]] += next[at] / size[block[at % H]];
    });
    of.rows = next;
    of.tiles.push({ n, values, exponent: shift + (step ? of.tiles[step - 1].exponent : 0) });
  }
  return of.tiles[lag - 1];
}

// ---- Words -----------------------------------------------------------------------------------
const escaped = (text) => String(text).replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);
const short = (x) => !Number.isFinite(x) ? "–" : Math.abs(x) < 1e-9 ? "0" : String(+x.toPrecision(3)).replace("-", "−");
const raised = (n) => [...String(n)].map((each) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(each)]).join("");
/** 10^log10 as people write it. */
function power(log10) {
  if (log10 === -Infinity) return "0";
  if (!Number.isFinite(log10)) return "–";
  if (Math.abs(log10) < 3) return short(10 ** log10);
  const whole = Math.floor(log10 + 0.02);
  return `${(10 ** (log10 - whole)).toFixed(1)}·10${raised(whole)}`;
}
/** A text of at most some letters: of a longer one, its end. */
const cut = (text, most) => text.length > most ? `…${text.slice(1 - most)}` : text;
const tickWord = (at, { log, words }) => words ? cut(words[at] ?? "", 9) : !log ? short(at) : { "-3": "1/1000", 0: "1", 3: "1000" }[at] || `10${raised(at)}`;
/** Round places from low to high; powers of ten by whole exponents. */
function ticks(low, high, most, log) {
  const rough = Math.max((high - low) / most, log ? 1 : 1e-12), unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * (log ? [1, 3, 5, 10] : [1, 2, 5, 10]).find((each) => each * unit >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9), many = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(many, 0) }, (_, at) => +((first + at) * step).toPrecision(9) || 0);
}

// ---- Charts ----------------------------------------------------------------------------------
/** A way through points, interrupted where a number is missing. */
function way(xs, ys, X, Y) {
  let text = "", pen = "M";
  xs.forEach((x, at) => {
    const fits = Number.isFinite(ys[at]);
    if (fits) text += `${pen}${X(x).toFixed(1)} ${Y(ys[at]).toFixed(1)}`;
    pen = fits ? "L" : "M";
  });
  return text;
}
/** An SVG of a width, in whose units text keeps its size. */
const svg = (width, height, inside) => `<svg viewBox="0 0 ${width} ${height}" width="${width}">${inside}</svg>`;
const word = (x, y, text, look = "") => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${look}>${escaped(text)}</text>`;
const line = (x1, y1, x2, y2, look) => `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" class="${look}"/>`;
const dot = (x, y, r, look) => `<circle cx="${x}" cy="${y}" r="${r}" class="${look}"/>`;
const rect = (x, y, width, height, look) =>
  `<rect x="${x}" y="${y}" width="${Math.max(width, 0)}" height="${Math.max(height, 0)}" class="${look}"/>`;
const END = 'text-anchor="end"', MIDDLE = 'text-anchor="middle"';
const finite = (list) => Array.from(list).filter(Number.isFinite);
const extent = (lists) => lists.reduce(([low, high], list) => finite(list).reduce(
  ([a, b], each) => [Math.min(a, each), Math.max(b, each)], [low, high]), [Infinity, -Infinity]);

/** Curves {name, xs, ys, low, high, look, dots} over axes {label, low, high, log}; `under` and `over` draw
    with the scales; `at` is the place of the lag, `pick` takes a place clicked, `read` words for one. */
function chart(host, { x, y, curves = [], under, over, at, pick, read, tall = 0.5 }) {
  const W = Math.max(host.clientWidth, 200), named = curves.filter((each) => each.name), beside = W > 560 && named.length > 1;
  const right = beside ? 16 + 7.2 * Math.max(...named.map((each) => each.name.length)) : 14;
  const left = 58, top = named.length > 1 && !beside ? 18 + 16 * named.length : 24, bottom = 40;
  const H = Math.min(Math.max(W * tall, 200), tall > 0.9 ? 460 : 340) + top;
  const X = (v) => left + ((v - x.low) / (x.high - x.low || 1)) * (W - left - right);
  const Y = (v) => H - bottom - ((v - y.low) / (y.high - y.low || 1)) * (H - bottom - top);
  const box = { left, top, right: W - right, bottom: H - bottom, width: W, X, Y };
  let inside = `<clipPath id="${host.id}-clip">${rect(left, top, W - left - right, H - bottom - top, "")}</clipPath>`;
  const decade = (Y(0) - Y(1)) || 1, close = (v) => Math.abs(Math.abs(v) - DARKEST) * decade < 13 || Math.abs(v) < DARKEST;
  const round = ticks(y.low, y.high, 6, y.log), ends3 = y.corridor && DARKEST * decade > 13 ? [-DARKEST, 0, DARKEST] : [];
  for (const v of [...round.filter((each) => !ends3.length || !close(each)), ...ends3]) {
    inside += line(left, Y(v), W - right, Y(v), "grid") + word(left - 6, Y(v) + 4, tickWord(v, y), END);
  }
  for (const v of ticks(x.low, x.high, W / 70, x.log)) inside += word(X(v), H - bottom + 16, tickWord(v, x), MIDDLE);
  inside += under ? under(box) : "";
  inside += line(left, H - bottom, W - right, H - bottom, "axis") + word((left + W - right) / 2, H - 6, x.label, MIDDLE);
  inside += word(2, 13, y.label, 'class="soft"') + `<g clip-path="url(#${host.id}-clip)">`;
  for (const { xs, ys, low, high, look, dots } of curves) {
    if (low) inside += `<path class="band ${look}" d="${way([...xs, ...xs.slice().reverse()], [...low, ...high.slice().reverse()], X, Y)}"/>`;
    if (dots) xs.forEach((each, k) => { if (Number.isFinite(ys[k])) inside += dot(X(each), Y(ys[k]), 3.5, `dot ${look}`); });
    else inside += `<path class="curve ${look}" d="${way(xs, ys, X, Y)}"/>`;
  }
  if (at >= x.low && at <= x.high) inside += line(X(at), top, X(at), H - bottom, "lag");
  inside += "</g>" + (over ? over(box) : "");
  const ends = named.map((each) => ({ each, y: Y(finite(each.ys).pop() ?? y.low) })).sort((a, b) => a.y - b.y);
  ends.forEach((end, k) => {
    end.y = Math.max(Math.min(end.y, H - bottom) + 4, k ? ends[k - 1].y + 14 : 0);
    if (named.length > 1 && end.y > top) inside += beside ? word(W - right + 6, end.y, end.each.name, `class="name ${end.each.look}"`)
      : word(left, 29 + 16 * k, end.each.name, `class="name ${end.each.look}"`);
  });
  host.innerHTML = svg(W, H, `${inside}<line class="hair"/><text class="readout" x="${W - 4}" y="13" ${END}></text>`);
  const drawn = host.firstChild, hair = drawn.querySelector(".hair"), readout = drawn.querySelector(".readout");
  const place = (event) => {
    const of = drawn.getBoundingClientRect(), [px, py] = [event.clientX - of.left, event.clientY - of.top];
    const across = x.low + ((px - left) / (W - left - right)) * (x.high - x.low);
    const up = y.low + ((H - bottom - py) / (H - bottom - top)) * (y.high - y.low);
    return [Math.min(Math.max(across, x.low), x.high), Math.min(Math.max(up, y.low), y.high)];
  };
  drawn.onpointermove = (event) => {
    const [across, up] = place(event), texts = curves.filter((each) => each.look !== "pale").map(({ xs, ys }) => {
      const k = xs.reduce((best, each, k) => (Math.abs(each - across) < Math.abs(xs[best] - across) ? k : best), 0);
      return [short(xs[k]), y.log ? power(ys[k]) : short(ys[k])];
    });
    readout.textContent = read ? read(across, up) : texts.length ? `${texts[0][0]}: ${texts.map((each) => each[1]).join("; ")}` : "";
    for (const [name, v] of Object.entries({ x1: X(across), x2: X(across), y1: top, y2: H - bottom })) hair.setAttribute(name, v);
  };
  drawn.onclick = (event) => pick && pick(...place(event));
}

/** A row for each name: a bar from one place to another, dots, a tick, and a word behind. */
function rows(host, { x, lines, pick }) {
  if (!lines.length) return;
  const W = Math.max(host.clientWidth, 200), longest = Math.max(...lines.map((each) => each.name.length));
  const left = Math.min(14 + 7 * longest, W * 0.44), right = 20 + 6.8 * Math.max(...lines.map((each) => each.text.length));
  const X = (v) => left + ((Math.min(v, x.high) - x.low) / (x.high - x.low || 1)) * (W - left - right);
  const H = 26 * lines.length + 44, fits = Math.floor((left - 14) / 6.2);
  let inside = "";
  for (const v of ticks(x.low, x.high, W / 80)) inside += line(X(v), 4, X(v), H - 36, "grid") + word(X(v), H - 22, short(v), MIDDLE);
  lines.forEach((each, k) => {
    const y = 8 + 26 * k, { from = 0, to, look = "", dots = [], bold, tick } = each;
    inside += `<g data-row="${k}">${rect(0, y - 3, W, 26, "row")}${word(left - 8, y + 14, cut(each.name, fits), `${END} class="${bold ? "bold" : ""}"`)}`;
    if (Number.isFinite(to)) inside += rect(X(Math.min(from, to)), y + 2, Math.abs(X(to) - X(from)), 16, `bar ${look}`);
    for (const v of dots) inside += dot(X(v), y + 10, 3.5, `dot ${look}`);
    if (Number.isFinite(tick)) inside += line(X(tick), y - 1, X(tick), y + 21, "tick");
    inside += word(Math.max(X(Math.max(from, to || 0, ...dots)), X(0)) + 8, y + 14, each.text, `class="${bold ? "bold" : ""}"`) + "</g>";
  });
  if (x.low <= 0) inside += line(X(0), 2, X(0), H - 36, "axis");
  host.innerHTML = svg(W, H, inside + word((left + W - right) / 2, H - 5, x.label, MIDDLE));
  if (pick) host.firstChild.onpointerover = (event) => {
    const row = event.target.closest("[data-row]");
    if (row) pick(+row.dataset.row);
  };
}
/** A picture of n × m colours, drawn as one image; `color` gives red, green, blue, opacity by column and row from below. */
function raster({ left, top, right, bottom }, n, m, color) {
  const canvas = Object.assign(document.createElement("canvas"), { width: n, height: m }), brush = canvas.getContext("2d");
  const image = brush.createImageData(n, m);
  for (let row = 0; row < m; row++) for (let at = 0; at < n; at++) {
    const c = color(at, row);
    if (c) image.data.set(c, 4 * ((m - 1 - row) * n + at));
  }
  brush.putImageData(image, 0, 0);
  return `<image href="${canvas.toDataURL()}" x="${left}" y="${top}" width="${right - left}" height="${bottom - top}" preserveAspectRatio="none" class="raster"/>`;
}
const LOST = [0, 114, 178], ONE = [255, 255, 255], LARGE = [213, 94, 0], DARKEST = 3, FAINTEST = 6, RATE_END = 0.5; // powers of ten, nats per step
const mixed = (a, b, share) => [...a.map((each, k) => each + (b[k] - each) * share), 255];
/** Blue at 1/1000 and below, white at 1, orange at 1000 and above: the same ends in every picture. */
const diverging = (log10) => mixed(ONE, log10 < 0 ? LOST : LARGE, Math.min(Math.abs(log10) / DARKEST, 1));

/** The rows of a table for which a column has a value, by column. */
function part(table, by, value) {
  const kept = [];
  table[by].forEach((each, at) => { if (each === value) kept.push(at); });
  return mapped(table, (column) => kept.map((at) => column[at]));
}
const values = (table, by) => [...new Set(table[by])];
const stageOf = (table, at = state.stage) => part(table, "stage", (stages[at] || {}).name);
const stripe = ({ Y, left, right }) => rect(left, Y(DARKEST), right - left, Y(-DARKEST) - Y(DARKEST), "corridor");
const setLag = (lag) => set({ lag: Math.round(lag) });

// ---- Figures ---------------------------------------------------------------------------------
/** Curves of a table over its first column; of the stage shown bold, or one for each value of `by`. */
const SHARED = { log10_share_recurrent_weights: "W", log10_share_input_weights: "U", log10_share_hidden_bias: "b" };
const SHARES = Object.keys(TABLES.shares || {}).filter((each) => each.startsWith("log10_share_"));
const curves = (name, { x, y, by, mark, words: said = [], dots, low, high, square, corridor, rest = NaN } = {}) => (host) => {
  const whole = TABLES[name], staged = "stage" in whole, all = Object.keys(whole);
  const table = by && "sequence" in whole ? part(whole, "sequence", 1) : whole;
  const across = x || all[staged ? 1 : 0], up = y || all.filter((each) => each !== across && typeof table[each][0] !== "string");
  const groups = by ? values(table, by) : staged ? stages.map((each) => each.name) : [null];
  const near = by && !dots ? groups.reduce((a, b) => (Math.abs(b - state[by]) < Math.abs(a - state[by]) ? b : a)) : null;
  const drawn = groups.flatMap((group, g) => {
    const of = group === null ? table : part(table, by || "stage", group);
    const now = near === null ? by || !staged || g === state.stage : group === near;
    return up.length > 1 && !now ? [] : up.map((each, k) => ({
      xs: of[across], ys: Array.from(of[each], (v) => (Number.isFinite(v) ? v : rest)), dots: dots || of[across].length < 3, look: now ? `c${up.length > 1 ? k : dots ? g : 0}` : "pale",
      low: now && low ? of[low] : null, high: high && of[high],
      name: near !== null ? (now && by === "lag" ? `lag ${group}` : "") : by ? String(group) : up.length > 1 ? said[k] || each : staged && stages.length > 1 ? stages[g].title : "" }));
  });
  drawn.sort((a, b) => (b.look === "pale") - (a.look === "pale")); // The one that is shown lies on top.
  let [a, b] = extent(drawn.flatMap((each) => [each.ys, ...(each.low ? [each.low, each.high] : [])]));
  let [c, d] = extent(drawn.map((each) => each.xs));
  if (!(a <= b)) [a, b] = [-1, 1];
  if (!(c <= d)) [c, d] = [0, 1];
  if (rest) [a, b] = [0, rest];
  if (corridor) [a, b] = [Math.min(a, -4), Math.max(b, 4)];
  if (dots) [c, d] = [c - 0.04 * (d - c), d + 0.04 * (d - c)];
  if (square) { d = b = Math.max(-a, b, -c, d, 1) * 1.05; a = c = -b; }
  const pad = square ? 0 : (b - a || 1) * 0.06, at = { lag: state.lag, step: ISLAND.steps - state.lag }[mark];
  const plain = (text) => text.replace(/^log10_/, "").replaceAll("_", " ");
  chart(host, { x: { label: plain(across), low: c, high: d }, y: { label: by === "cell" ? `σ_max, ${cells[state.cell]}` : plain(up[0]) + (near === null ? "" : `, lag ${near}`), low: a - pad, high: b + pad, log: up[0].startsWith("log10"), corridor },
    curves: drawn, at, pick: mark === "lag" ? setLag : null, tall: square ? 1 : 0.5,
    under: corridor ? stripe : square && (({ X, Y }) => `<ellipse cx="${X(0)}" cy="${Y(0)}" rx="${X(1) - X(0)}" ry="${Y(0) - Y(1)}" class="curve pale"/>`) });
};

const FIGURES = {
  strip(host) { // The network over time: arrows back from h_T, as strong as what arrives.
    const { lag, log10_median: median } = stageOf(TABLES.profile), { mark, needed } = stages[state.stage];
    const W = Math.max(host.clientWidth, 280), longest = lag.length;
    const far = Math.min(longest, Math.ceil(1.15 * Math.max(needed || 0, mark ? mark[0] : 0, 6)));
    const stride = Math.ceil(far / Math.max(Math.floor(W / 46), 5)), X = (back) => W - 26 - (back / far) * (W - 52);
    const shown = Array.from({ length: Math.floor(far / stride) + 1 }, (_, k) => k * stride);
    const at = (back) => (back ? median[back - 1] ?? -Infinity : 0);
    const strength = (back, least) => Math.min(Math.max(1 + at(back) / DARKEST, least), 1);
    let inside = word(W - 6, 14, "error enters here ↓", `${END} class="soft"`) + word(6, 14, "← gradient flows back", 'class="soft"');
    shown.forEach((back, k) => {
      const before = shown[k + 1];
      const arrow = `M${X(back) - 11} 40H${X(before) + 15}m5 -4l-7 4l7 4`, look = `${before <= state.lag ? "lit " : ""}${at(before) > 0.5 ? "exploding" : ""}`;
      if (before) inside += `<path d="${arrow}" class="arrow ${look}" opacity="${strength(before, 0.06)}"/>`;
      inside += line(X(back), 72, X(back), 54, "input");
      inside += `<g class="node" opacity="${strength(back, 0.25)}">${dot(X(back), 40, 9, "")}</g>`;
    });
    if (needed && needed <= far) {
      inside += line(X(needed), 82, X(needed), 52, "needed") + `<path d="M${X(needed)} 48l-5 9h10z" class="needed"/>`;
      const text = `this input is needed: ${needed} back`;
      inside += word(Math.min(Math.max(X(needed), 118), W - 118), 98, text, `${MIDDLE} class="needs"`);
    }
    if (state.lag <= far) inside += dot(X(state.lag), 40, 13, "ring");
    for (const [back, text] of [[0, "h_T"], [far, `h_T−${far}`]]) {
      if (!needed || Math.abs(X(back) - X(needed)) > 170) inside += word(X(back), 90, text, `${MIDDLE} class="soft"`);
    }
    host.innerHTML = svg(W, 104, inside);
    host.firstChild.onclick = (event) => {
      const of = host.firstChild.getBoundingClientRect();
      setLag(((W - 26 - ((event.clientX - of.left) * W) / of.width) / (W - 52)) * far);
    };
  },
  profile(host) {
    const now = stages[state.stage], table = TABLES.profile, of = stages.map((_, at) => stageOf(table, at));
    const [low, high] = extent(of.flatMap((each) => [each.log10_p05, each.log10_p95])), shown = of[state.stage];
    const drawn = of.map(({ lag, ...each }, at) => ({ name: stages[at].title, xs: lag, ys: each.log10_median,
      ...(at === state.stage ? { look: now.regime, low: each.log10_p05, high: each.log10_p95 } : { look: "pale" }) }));
    if (finite(shown.log10_bound).length) drawn.push({ name: "bound", xs: shown.lag, ys: shown.log10_bound, look: "bound" });
    chart(host, { curves: drawn, at: state.lag, pick: setLag, tall: 0.56,
      x: { label: "steps back in time", low: 0, high: shown.lag[shown.lag.length - 1] },
      y: { label: "σ_max(∂h_T/∂h_T−ℓ)", low: Math.min(low, -4) * 1.06, high: Math.max(high, 4, -low / 10) * 1.06, log: true, corridor: true },
      under: ({ X, Y, left, right, top, bottom }) => stripe({ Y, left, right })
        + line(left, Y(ISLAND.threshold), right, Y(ISLAND.threshold), "threshold")
        + (now.gap ? rect(X(now.mark[0]), top, Math.min(X(now.needed), right) - X(now.mark[0]), bottom - top, "gap") : ""),
      over({ X, Y, left, right, top, bottom }) {
        const value = shown.log10_median[state.lag - 1], needs = Math.min(X(now.needed), right), late = needs > right - 110;
        const held = now.gap && needs - left > 7 * now.gap.length; // There is room for these words.
        let inside = Number.isFinite(value) ? dot(X(state.lag), Y(value), 4, "at") : "";
        if (now.needed && X(now.needed) <= right) {
          inside += line(needs, top, needs, bottom, "needed");
          inside += word(needs + (late ? -5 : 5), top + 13, `needed: ${now.needed}`, `class="needs" ${late ? END : ""}`);
        }
        if (held) inside += word(needs - 6, bottom - 10, now.gap, `class="needs" ${END}`);
        if (!now.mark) return inside;
        const [lag, text] = now.mark, x = X(lag), y = Math.min(Y(shown.log10_median[lag - 1]), bottom), room = x - left > 7 * text.length;
        const falls = now.regime !== "exploding", down = bottom - (held ? 30 : 10), look = `class="name ${now.regime}"`;
        if (falls && !room) inside += line(x, y, x, down - 10, "leader") + word(x + 6, down, text, look);
        else inside += word(x + (falls ? -8 : 10), y + 22, text, `${look} ${falls ? END : ""}`);
        return inside + dot(x, y, 5, `crossing ${now.regime}`);
      } });
  },
  causes(host) {
    const found = stageOf(TABLES.causes), total = found.total_nats_per_step[0];
    let sum = 0;
    const lines = Object.keys(labels).map((name) => [name, (found[`${name}_nats_per_step`] || [0])[0]])
      .filter(([, v]) => Math.abs(v) >= 0.005).map(([name, v]) => ({ name: labels[name], from: sum, to: (sum += v),
        look: v > 0 ? "exploding" : "vanishing", text: short(v), bold: name === stages[state.stage].main }));
    lines.push({ name: "growth", from: 0, to: total, look: "total", text: short(total), bold: true });
    const [low, high] = extent([lines.flatMap((each) => [each.from, each.to]), [0]]);
    rows(host, { x: { label: "← shrinks · nats per step · grows →", low, high: high > low ? high : low + 0.1 }, lines });
  },
  matrix(host) {
    const tile = matrixAt(state.stage, state.lag);
    if (!tile) { host.textContent = "The page holds no slopes of steps so far back."; return; }
    const { n, values: entries, exponent } = tile, offset = exponent * Math.log10(2), H = MATRICES[state.stage].units;
    const ink = getComputedStyle(document.body).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    const log = (at, row) => Math.log10(Math.abs(entries[(n - 1 - row) * n + at])) + offset, unit = (v) => Math.min(Math.floor((v / H) * n), n - 1);
    chart(host, { x: { label: `unit of h_T−${state.lag}`, low: 0, high: H }, y: { label: "unit of h_T, from below", low: 0, high: H }, tall: 0.8,
      under: (box) => rect(box.left, box.top, box.right - box.left, box.bottom - box.top, "paper") + raster(box, n, n, (at, row) => {
        const size = log(at, row), over = Math.min(Math.max(size, 0), 1);
        return [...mixed(ink, LARGE, over).slice(0, 3), 255 * Math.min(Math.max(1 + size / FAINTEST, 0), 1)];
      }),
      read: (x, y) => `${entries[(n - 1 - unit(y)) * n + unit(x)] < 0 ? "−" : ""}${power(log(unit(x), unit(y)))}` });
  },
  saturation(host) {
    const [steps, ...bins] = Object.values(TABLES.saturation), most = extent(bins)[1], n = steps.length, apart = (steps[1] || 2) - 1;
    const at = (step) => Math.min(Math.max(Math.round((step - 1) / apart), 0), n - 1);
    const part = (up) => bins[Math.min(Math.floor(up * bins.length), bins.length - 1)];
    chart(host, { x: { label: "step", low: 1 - apart / 2, high: steps[n - 1] + apart / 2 }, y: { label: "slope, part of its ceiling", low: 0, high: 1 }, at: ISLAND.steps - state.lag,
      under: (box) => raster(box, n, bins.length, (at, row) => [...LOST, (255 * bins[row][at]) / most]),
      read: (x, y) => `step ${steps[at(x)]}: ${short(100 * part(y)[at(x)])} % of units` });
  },
  map(host) {
    const { later, earlier, log10_norm: log } = TABLES.map;
    const times = [0, ...values(TABLES.map, "later")].sort((a, b) => a - b), n = times.length;
    const place = new Map(times.map((each, at) => [each, at]));
    const of = new Map(Array.from(later, (t, k) => [place.get(t) * n + place.get(earlier[k]), log[k]]));
    const last = times[n - 1], near = (v) => Math.min(Math.round((v / last) * (n - 1)), n - 1);
    chart(host, { x: { label: "earlier state k", low: 0, high: last }, y: { label: "later state t", low: 0, high: last }, tall: 1,
      under: (box) => raster(box, n, n, (at, row) => (row > at ? diverging(of.get(row * n + at) ?? -9) : null)),
      over: ({ X, Y }) => line(X(0), Y(state.lag), X(last - state.lag), Y(last), "lag over"),
      pick: (x, y) => setLag(y - x), read: (x, y) => near(y) > near(x)
        ? `t ${times[near(y)]}, k ${times[near(x)]}: ${power(of.get(near(y) * n + near(x)) ?? -Infinity)}` : "" });
  },
  depth(host) {
    const { lag, log10_norm: log } = TABLES.depth, names = values(TABLES.depth, "layer"), n = lag.length / names.length;
    const at = (x, y) => Math.min(Math.floor(y), names.length - 1) * n + Math.min(Math.max(Math.round(x), 0), n - 1);
    chart(host, { x: { label: "steps back (lag)", low: 0, high: n - 1 }, y: { label: `layer, from ${names[0]} up`, low: 0, high: names.length }, at: state.lag, pick: setLag,
      under: (box) => raster(box, n, names.length, (a, row) => diverging(Number.isFinite(log[row * n + a]) ? log[row * n + a] : -9)),
      read: (x, y) => `${names[Math.floor(at(x, y) / n)]}, lag ${lag[at(x, y)]}: ${power(log[at(x, y)])}` });
  },
  theory(host) {
    const { theory, rate_nats_per_step: rate, applies } = TABLES.theory, measured = stageOf(TABLES.causes).total_nats_per_step[0];
    const lines = theory.map((name, k) => ({ name: name.replaceAll("-", " "), dots: finite([rate[k]]), tick: measured,
      text: short(rate[k]), look: applies[k] === "True" ? "c0" : "pale" }));
    const [low, high] = extent([finite(rate), [measured || 0, 0]]);
    rows(host, { x: { label: "nats per step (line: measured)", low, high }, lines });
  },
  trial(host) {
    const lines = values(TABLES.trial, "change").map((name) => {
      const { outcome: [text], relative_error: errors } = part(TABLES.trial, "change", name), dots = finite(errors), bold = text === "helps";
      return { name, dots, tick: dots.reduce((a, b) => a + b, 0) / dots.length, text, bold, look: bold ? "stable" : "pale" };
    }).filter(({ dots }) => dots.length);
    rows(host, { x: { label: "error / baseline (line: mean)", low: 0, high: extent(lines.map((each) => each.dots))[1] * 1.02 }, lines });
  },
  reach(host) {
    const { network, steps, horizon, required_lag: needed, regime } = TABLES.cells;
    const keys = network.map((each, k) => `${each}, ${steps[k]} steps`);
    const lines = [...new Set(keys)].map((name) => {
      const of = [...keys.keys()].filter((k) => keys[k] === name), half = of.length >> 1;
      const reached = of.map((k) => horizon[k] || steps[k]).sort((a, b) => a - b);
      const to = (reached[(of.length - 1) >> 1] + reached[half]) / 2, beyond = of.filter((k) => !horizon[k]).length > half;
      return { name, of, to, dots: of.length > 1 ? reached : [], tick: needed[of[0]], look: regime[of[half]],
        text: `${beyond ? ">" : ""}${short(to)}` };
    });
    rows(host, { x: { label: "steps back", low: 0, high: extent([steps])[1] }, lines, pick: (row) => set({ cell: lines[row].of[0] }) });
  },
  phase(host) {
    const { x, y } = ISLAND.axes, of = part(TABLES.cells, "network", host.dataset.of), n = x.words.length, m = y.words.length;
    const at = new Map(of.x.map((each, k) => [each + n * of.y[k], k])), near = (a, b) => at.get(Math.round(a) + n * Math.round(b));
    const find = (a, b) => { const k = near(a, b); if (k !== undefined && of.cell[k] !== state.cell) set({ cell: of.cell[k] }); return k; };
    chart(host, { x: { ...x, low: -0.5, high: n - 0.5 }, y: { ...y, low: -0.5, high: m - 0.5 }, tall: 0.7,
      under: (box) => raster(box, n, m, (a, b) => near(a, b) === undefined ? null
        : diverging((of.rate_nats_per_step[near(a, b)] * DARKEST) / RATE_END)),
      over: ({ X, Y }) => of.cell.map((each, k) => each === state.cell
        ? rect(X(of.x[k] - 0.5), Y(of.y[k] + 0.5), X(1) - X(0), Y(0) - Y(1), "chosen") : "").join(""),
      read: (a, b) => { const k = find(a, b); return k === undefined ? "no result" : `${short(of.rate_nats_per_step[k])} nats per step`; } });
  },
  gradient: curves("gradient", { mark: "step" }), slopes: curves("slopes", { y: ["median"], low: "p05", high: "p95", mark: "step" }),
  parameters: curves("parameters", { y: ["log10_norm", "log10_hidden_bias"], words: ["U, W and b", "b alone"], mark: "lag" }),
  training: curves("training", { y: ["error_per_step"] }), progress: curves("progress", { y: ["horizon"], rest: ISLAND.steps }),
  shares: curves("shares", { y: SHARES, words: SHARES.map((each) => SHARED[each] || each.replace("log10_share_", "")), mark: "lag" }),
  memory: curves("memory", { mark: "lag" }), sensitivity: curves("sensitivity", { y: ["norm"], mark: "lag" }),
  singular: curves("singular", { x: "rank", y: ["log10_singular_value"], by: "lag" }), values: curves("values", { x: "rank", y: ["log10_singular_value"], by: "lag" }),
  lyapunov: curves("lyapunov", { x: "rank", y: ["exponent_nats_per_step"], dots: true }), profiles: curves("profiles", { x: "lag", y: ["log10_median"], by: "cell", corridor: true }),
  eigenvalues: curves("eigenvalues", { x: "real", y: ["imaginary"], by: "of", dots: true, square: true }),
};

// ---- The lag, the address, the clicks --------------------------------------------------------
const hosts = [...document.querySelectorAll("[data-figure]")];
hosts.forEach((host, at) => { host.id = `chart-${at}`; });
let longest = TABLES.profile ? extent([TABLES.profile.lag])[1] : 1;
function draw() {
  for (const host of hosts) (FIGURES[host.dataset.figure] || curves(host.dataset.figure))(host);
}
/** Changes the lag, the stage or the cell; everything is drawn again and the address keeps it. */
function set(changes) {
  Object.assign(state, changes);
  state.lag = Math.min(Math.max(Math.round(state.lag) || 1, 1), longest);
  if (!stages[state.stage]) state.stage = stages.length - 1;
  if (!cells[state.cell]) state.cell = 0;
  draw();
  const place = stages.length ? `#lag=${state.lag}&stage=${state.stage}` : cells.length ? `#cell=${state.cell}` : "";
  if (place) history.replaceState(null, "", place);
  if (!stages.length) return;
  const { log10_median: median, log10_p05: low, log10_p95: high } = stageOf(TABLES.profile), at = state.lag - 1;
  const said = `${state.lag} back: σ_max ${power(median[at])}${low[at] === high[at] ? "" : ` (5–95 %: ${power(low[at])} to ${power(high[at])})`}`;
  Object.assign(document.getElementById("lag"), { value: state.lag, max: longest, ariaValueText: said });
  document.getElementById("said").textContent = said;
  document.body.classList.toggle("earlier", state.stage < stages.length - 1); // Sentences are of the last stage.
  document.querySelectorAll("[name=stage]").forEach((each, k) => { each.checked = k === state.stage; });
}
/** The numbers of a figure as CSV; a text that a spreadsheet would compute is quoted. */
function csvOf(name) {
  const table = TABLES[name], columns = Object.values(table);
  const cell = (value, column) => typeof value === "number" ? (Number.isFinite(value) ? +(column instanceof Float32Array ? value.toPrecision(8) : value) : "")
    : `"${String(value ?? "").replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"`;
  const lines = Array.from(columns[0], (_, row) => columns.map((each) => cell(each[row], each)).join(","));
  return [Object.keys(table).join(","), ...lines, ""].join("\n");
}
const button = (text, after, act) => after.append(Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick: act }));
for (const pre of document.querySelectorAll("pre:not(.still)")) {
  button("Copy", pre, (event) => navigator.clipboard.writeText(pre.firstChild.textContent)
    .then(() => { event.target.textContent = "Copied"; }, () => getSelection().selectAllChildren(pre.firstChild)));
}
for (const host of hosts) {
  const name = { phase: "cells", reach: "cells" }[host.dataset.figure] || host.dataset.figure;
  if (TABLES[name]) button(every[name] ? `CSV, 1 row in ${every[name]}` : "CSV", host.parentNode.querySelector("figcaption"), () => Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(new Blob([csvOf(name)], { type: "text/csv" })), download: `${name}.csv` }).click());
}
document.body.classList.add("live");
if (stages.length) {
  const tabs = stages.map((each, k) => `<label><input type="radio" name="stage" value="${k}">${escaped(each.title)}</label>`);
  document.getElementById("controls").innerHTML = `<label for="lag">Lag</label><input type="range" id="lag" min="1" step="1" max="${longest}"><output id="said" for="lag"></output>
    <span role="radiogroup" aria-label="Stage">${stages.length > 1 ? tabs.join("") : ""}</span>`;
  document.getElementById("controls").oninput = ({ target }) => set({ [target.name || target.id]: +target.value });
}
const asked = () => Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].filter(([name]) => name in state).map(([name, at]) => [name, +at]));
const start = stages.length ? { lag: (stages[state.stage].mark || [longest])[0] } : {};
addEventListener("DOMContentLoaded", () => set({ ...start, ...asked() })); // After a lesson's own script.
addEventListener("hashchange", () => set(asked()));
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
for (const [event, on] of [["beforeprint", true], ["afterprint", false]]) addEventListener(event, () => { document.body.classList.toggle("print", on); draw(); });
