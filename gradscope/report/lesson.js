/* A lesson's part of its page, after page.js: sliders, the network computed anew as gradscope.explain
   does it, the graph with one path lit. */
const LESSON = ISLAND.lesson;
const sigma = (a) => { const e = Math.exp(-Math.abs(a)); return (a >= 0 ? 1 : e) / (1 + e); };
const ramp = (gain, low) => [(a) => Math.min(Math.max(gain * a + (1 + low) / 2, low), 1), (a) => (Math.abs(gain * a) < (1 - low) / 2 ? gain : 0)];
const elu = (scale, alpha) => [(a) => scale * (a > 0 ? a : alpha * Math.expm1(a)), (a) => scale * (a > 0 ? 1 : alpha * Math.exp(a))];
/** φ and φ′, as in gradscope.model.activations. */
const PHI = {
  tanh: [Math.tanh, (a) => { const e = Math.exp(-2 * Math.abs(a)); return (4 * e) / (1 + e) ** 2; }],
  sigmoid: [sigma, (a) => sigma(a) * sigma(-a)], relu: [(a) => Math.max(a, 0), (a) => (a > 0 ? 1 : 0)], identity: [(a) => a, () => 1],
  "hard-tanh": ramp(1, -1), softplus: [(a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))), sigma],
  elu: elu(1, 1), selu: elu(1.0507009873554805, 1.6732632423543772), silu: [(a) => a * sigma(a), (a) => sigma(a) * (1 + a * sigma(-a))],
  softsign: [(a) => a / (1 + Math.abs(a)), (a) => (1 + Math.abs(a)) ** -2], "hard-sigmoid": ramp(1 / 6, 0), "hard-sigmoid-0.2": ramp(0.2, 0),
};
const inner = (u, v) => u.reduce((sum, each, k) => sum + each * v[k], 0);

/** States and slopes of h_t = φ(U x_t + gain W h_{t−1}); its Jacobians are those that `matrixAt` multiplies. */
function unroll(stage, phi, inputs, first) {
  const { U, W } = LESSON, [value, slope] = PHI[phi], states = [first], slopes = [];
  for (const x of inputs) {
    const a = W.map((row, i) => U[i] * x + state.gain * inner(row, states[states.length - 1]));
    states.push(a.map(value));
    slopes.unshift(a.map(slope));
  }
  MATRICES[stage] = { units: W.length, leak: W.map(() => 1), weights: W.flat().map((w) => state.gain * w), slopes: slopes.flat(), tiles: [] };
  return { states, slopes };
}
/** log10 σ_max of a product A: A Aᵀ is squared until only its largest eigenvalues count, to 2⁻⁴⁰ of them. */
function logSize({ n, values, exponent }) {
  const times = (a, b) => a.map((_, at) => { let sum = 0; for (let k = 0; k < n; k++) sum += a[at - (at % n) + k] * b[k * n + (at % n)]; return sum; });
  const trace = (a) => a.reduce((sum, each, at) => sum + (at % (n + 1) ? 0 : each), 0);
  const gram = times(values, values.map((_, at) => values[(at % n) * n + Math.floor(at / n)]));
  let many = gram;
  for (let k = 0, others = 1; k < 40 && others > 1e-15; k++) {
    const size = trace(many) || 1, scaled = many.map((each) => each / size);
    many = times(scaled, scaled);
    others = 1 - trace(many);
  }
  return trace(gram) > 0 ? Math.log10(trace(times(gram, many)) / trace(many)) / 2 + exponent * Math.log10(2) : -Infinity;
}

/** Of each lesson: nodes [x, y, words, words below], edges [later, earlier, words, strength], and paths, whose `way` are edges. */
const COMPUTE = {
  backprop() {
    const { x, y, z } = state, p = x - y, slopes = { fp: z, fz: p, px: 1, py: -1 }, adjoints = { f: 1, p: z, z: p, x: z, y: -z };
    const places = { x: [0, 0], y: [0, 0.5], z: [0, 1], p: [0.5, 0.25], f: [1, 0.6] }, values = { x, y, z, p, f: p * z };
    for (const name of "xyzpf") places[name].push(`${name} = ${short(values[name])}`, `∂f/∂${name} = ${short(adjoints[name])}`);
    const paths = ["fpx", "fpy", "fz"].map((way) => {
      const edges = [...way].slice(1).map((earlier, k) => way[k] + earlier), last = way[way.length - 1];
      const product = `${edges.map(([v, u]) => `∂${v}/∂${u}`).join(" · ")} = ${edges.map((each) => short(slopes[each])).join(" · ")}`;
      return { name: [...way].join(" ← "), way: edges, text: `∂f/∂${last}: ${product}${edges.length > 1 ? ` = ${short(adjoints[last])}` : ""}` };
    });
    return { values, adjoints, nodes: places, edges: Object.entries(slopes).map(([[v, u], slope]) => [v, u, short(slope), 1]), paths, tall: 200 };
  },
  bptt() {
    const { T } = state, [inputs, targets, first] = LESSON.sequences[T - 1], { V } = LESSON, nodes = { E: [1, 0, `E_${T}`], h0: [0, 0.5, "h_0"] };
    const { states, slopes } = unroll(0, LESSON.phi[state.phi], inputs, first), end = 2 * (inner(V, states[T]) - targets[T - 1]);
    const paths = Array.from({ length: T }, (_, back) => {
      const k = T - back, n = V.length, tile = back ? matrixAt(0, back) : { n, exponent: 0, values: V.flatMap((_, i) => V.map((_, j) => +(i === j))) };
      const adjoint = V.map((_, j) => end * 2 ** tile.exponent * inner(V, V.map((_, i) => tile.values[i * n + j])));
      const term = adjoint.flatMap((each, i) => [...states[k - 1], inputs[k - 1]].map((before) => each * slopes[back][i] * before));
      return { k, name: `k = ${k}`, term, size: logSize(tile), way: [`Eh${T}`, ...Array.from({ length: back }, (_, at) => `h${T - at}h${T - at - 1}`), `h${k}k${k}`] };
    }).reverse();
    const whole = paths[0].term.map((_, at) => paths.reduce((sum, { term }) => sum + term[at], 0)), edges = [["E", `h${T}`, "", 1]];
    for (const path of paths) {
      const { k, size } = path, weight = path.weight = inner(path.term, whole) / (inner(whole, whole) || 1), percent = `${short(Math.round(100 * weight))} %`;
      Object.assign(nodes, { [`h${k}`]: [k / T, 0.5, `h_${k}`], [`k${k}`]: [k / T, 1, `x_${k}`, percent] });
      edges.push([`h${k}`, `h${k - 1}`, "", 1 + (k > 1 ? paths[k - 2].size : size) / DARKEST], [`h${k}`, `k${k}`, "", 1 + size / DARKEST]);
      path.text = `k = ${k}, ${T - k} back: of ∂h_${T}/∂h_${k} arrives ${power(size)} (σ_max); the path adds ${percent} of ∂E_${T}/∂(W, U).`;
    }
    return { whole, nodes, edges, paths, tall: 190 };
  },
  vanishing() {
    const { T, gain } = state, table = TABLES.profile = { stage: [], lag: [], log10_median: [], log10_bound: [] };
    stages.forEach((stage, at) => {
      unroll(at, stage.name, LESSON.inputs.slice(0, T), LESSON.U.map(() => 0));
      const sizes = Array.from({ length: T }, (_, k) => logSize(matrixAt(at, k + 1))), gone = sizes.findIndex((each) => each < ISLAND.threshold) + 1;
      sizes.forEach((size, k) => [stage.name, k + 1, size, (k + 1) * Math.log10(stage.ceiling * gain)].forEach((each, at) => Object.values(table)[at].push(each)));
      stage.regime = sizes[T - 1] < ISLAND.threshold ? "vanishing" : Math.max(...sizes) > DARKEST ? "exploding" : "stable";
      stage.mark = gone ? [gone, `gone after ${gone} ${gone > 1 ? "steps" : "step"}`] : null;
    });
    table.log10_p05 = table.log10_p95 = table.log10_median;
    longest = T;
    return { paths: [1, 2, 5, 10, 20, 50, 100, 200, 500].filter((lag) => lag <= T).map((lag) => ({ lag, name: `lag ${lag}`, text: "" })) };
  },
};
let found;

FIGURES.graph = (host) => {
  const { nodes, edges, paths, tall } = found, W = Math.max(host.clientWidth, 270), columns = new Set(Object.values(nodes).map(([x]) => x)).size;
  const half = Math.min((W / columns) * 0.38, 46), lit = paths[state.path].way;
  const place = ([x, y]) => [half + 2 + x * (W - 2 * half - 4), 22 + y * (tall - 44)];
  let inside = '<marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="4" markerHeight="4" orient="auto"><path d="M0 0L8 4L0 8z" fill="context-stroke"/></marker>';
  for (const [later, earlier, words, strength] of edges) {
    const [[a, b], [c, d]] = [nodes[later], nodes[earlier]].map(place), x = (a + c) / 2, y = (b + d) / 2, on = lit.includes(later + earlier);
    inside += `<path d="M${a} ${b}L${x} ${y}L${c} ${d}" class="way ${on ? "lit" : ""}" opacity="${on ? 1 : Math.min(Math.max(strength, 0.15), 1)}" marker-mid="url(#tip)"/>`;
    inside += word(x, y - 8, words, `${MIDDLE} class="${on ? "bold" : ""}"`);
  }
  for (const [name, node] of Object.entries(nodes)) {
    const [x, y] = place(node), [, , words, below] = node;
    inside += rect(x - half, y - 20, 2 * half, 40, name[0] === "k" ? "bare" : "box") + word(x, y + (below ? -3 : 4), words, `${MIDDLE} class="bold"`);
    inside += word(x, y + 13, below || "", MIDDLE);
  }
  host.innerHTML = svg(W, tall, inside);
};

// ---- The sliders and the paths ---------------------------------------------------------------
const sliders = document.getElementById("sliders"), inputs = [...sliders.querySelectorAll("input")], buttons = document.getElementById("paths");
/** The address keeps what was chosen. */
function keep() {
  const names = [...inputs.map(({ name }) => name), "path", ...(stages.length ? ["lag", "stage"] : [])];
  history.replaceState(null, "", `#${new URLSearchParams(names.map((name) => [name, state[name]]))}`);
}
/** Takes changes, computes the lesson and draws it. */
function choose(changes) {
  Object.assign(state, changes);
  for (const input of inputs) { // One that starts beyond an end reaches to there.
    const { name } = input, start = LESSON.start[name], min = Math.min(input.min, start), max = Math.max(input.max, start);
    const value = Number.isFinite(state[name]) ? Math.min(Math.max(state[name], min), max) : start;
    Object.assign(input, { min, max, value: state[name] = input.step === "1" ? Math.round(value) : value });
    input.nextSibling.textContent = name === "phi" ? LESSON.phi[state.phi] : short(state[name]);
  }
  found = COMPUTE[LESSON.name]();
  if (!found.paths[state.path]) state.path = found.paths.length - 1;
  buttons.innerHTML = found.paths.map(({ name }, at) => `<button type="button" value="${at}" aria-pressed="${at === state.path}">${name}</button>`).join("");
  document.getElementById("product").textContent = found.paths[state.path].text;
  document.body.classList.toggle("moved", inputs.some(({ name }) => state[name] !== LESSON.start[name]));
  set({});
  keep();
}
sliders.oninput = ({ target }) => choose({ [target.name]: +target.value });
buttons.onclick = ({ target }) => {
  if (target.value) choose({ path: +target.value, lag: found.paths[target.value].lag || 1 });
  buttons.children[state.path].focus();
};
choose({ path: 0, stage: 0, ...LESSON.start, ...asked() });
addEventListener("hashchange", () => location.hash.includes("=") && choose(asked()));
for (const event of ["DOMContentLoaded", "input", "click"]) addEventListener(event, keep);
