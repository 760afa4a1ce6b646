"use strict";
// The page's own part: choosing, filtering, and n, rho, R² of what is chosen. Plotly draws.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const at = Object.fromEntries(data.columns.map((c, i) => [c, i + 2]));
  const rowOf = new Map(data.rows.map((r) => [r[0] + "\0" + r[1], r]));
  const kind = new Map(data.benchmarks.map((b) => [b.name, b]));
  const target = new Map(data.targets.map((t) => [t.name, t]));
  // models that have any target, and their families: others never have a point
  const measured = data.models.map((_, i) => data.targets.some((t) => data.values[t.name][i] !== null));
  const families = [...new Set(data.families.filter((_, i) => measured[i]))].sort();
  const size = (f) => data.families.filter((g, i) => g === f && measured[i]).length;
  const state = {
    benchmark: data.benchmarks.length ? data.benchmarks[0].name : null,
    target: data.start,
    shown: new Set(families),
    sort: "rho",
    down: true,
    exported: false,
    kind: null, // whose leaves are listed; null: every benchmark
  };
  const claims = data.kinds;
  const explained = new Map(data.heads.map((h) => [h.column, h]));
  // What the search and the switch leave, in list and table alike.
  const listed = (name) => (state.kind === null || state.kind.leaves.includes(name)) && (state.exported || !kind.get(name).exported || name === state.benchmark) &&
    name.toLowerCase().includes(byId("search").value.trim().toLowerCase());

  // ---- numbers ----
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
  function ranks(v) {
    const order = v.map((_, i) => i).sort((a, b) => v[a] - v[b]);
    const out = new Array(v.length);
    for (let i = 0; i < order.length; ) {
      let j = i;
      while (j < order.length && v[order[j]] === v[order[i]]) j++;
      for (let k = i; k < j; k++) out[order[k]] = (i + j + 1) / 2; // ties share their mean rank
      i = j;
    }
    return out;
  }
  function line(x, y) {
    const mx = mean(x), my = mean(y);
    let xx = 0, yy = 0, xy = 0;
    for (let i = 0; i < x.length; i++) {
      xx += (x[i] - mx) ** 2; yy += (y[i] - my) ** 2; xy += (x[i] - mx) * (y[i] - my);
    }
    return { r: xy / Math.sqrt(xx * yy), slope: xy / xx, intercept: my - (xy / xx) * mx };
  }
  const constant = (v) => Math.max(...v) - Math.min(...v) <= 1e-12 * Math.max(...v.map(Math.abs));

  // The models of the chosen families that have both values, and what they give.
  function selection() {
    const xs = data.values[state.benchmark], ys = data.values[state.target];
    const index = data.models.map((_, i) => i).filter(
      (i) => xs[i] !== null && ys[i] !== null && state.shown.has(data.families[i]));
    const x = index.map((i) => xs[i]), y = index.map((i) => ys[i]);
    const found = { index, x, y, n: index.length, rho: null, r2: null, fit: null };
    found.families = new Set(index.map((i) => data.families[i])).size;
    if (found.n >= 5 && !constant(x) && !constant(y)) {
      found.rho = line(ranks(x), ranks(y)).r;
      found.fit = line(x, y);
      found.r2 = found.fit.r ** 2;
    }
    return found;
  }

  // ---- text ----
  const number = (v, digits = 3) => v === null || v === undefined ? "–" :
    typeof v !== "number" ? String(v) : Number.isInteger(v) ? String(v) : v.toFixed(digits).replace("-", "−");
  const pText = (v) => v === null ? "–" : v < 0.001 ? "< .001" : v.toFixed(3);
  const escape = (s) => String(s).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const element = (tag, props = {}, ...children) => {
    const e = Object.assign(document.createElement(tag), props);
    e.append(...children);
    return e;
  };
  const label = (name) => (target.get(name) || { label: name }).label;

  function sure(row) {
    const v = (c) => row[at[c]];
    const parts = [];
    if (v("rho_low") !== null) {
      parts.push(`95 % interval over families: ${number(v("rho"), 2)} [${number(v("rho_low"), 2)}, ${number(v("rho_high"), 2)}]`);
    }
    if (v("p") !== null) parts.push(`p ${pText(v("p"))}` + (v("q") === null ? "" : `, q ${pText(v("q"))}`));
    if (v("partial_rho") !== null) {
      parts.push(`given ${label(v("control"))}: ${number(v("partial_rho"), 2)}` +
        (v("partial_low") === null ? "" : ` [${number(v("partial_low"), 2)}, ${number(v("partial_high"), 2)}]`) +
        (v("partial_p") === null ? "" : `, p ${pText(v("partial_p"))}`));
    }
    if (v("rho_within") !== null && v("rho_between") !== null) {
      parts.push(`within families ${number(v("rho_within"), 2)}, between ${number(v("rho_between"), 2)}`);
    }
    if (v("lofo_family") !== null) {
      parts.push(`without any one family ${number(v("lofo_low"), 2)} to ${number(v("lofo_high"), 2)} (most: ${v("lofo_family")})`);
    }
    if (v("note")) parts.push(v("note"));
    return parts.join("; ");
  }

  // ---- parts of the page ----
  function plot(chosen) {
    const groups = new Map();
    chosen.index.forEach((i, k) => {
      const f = data.families[i] in data.styles ? data.families[i] : "other";
      if (!groups.has(f)) groups.set(f, []);
      groups.get(f).push(k);
    });
    const order = [...Object.keys(data.styles), "other"].filter((f) => groups.has(f));
    const traces = order.map((f) => ({
      type: "scatter", mode: "markers", name: escape(f),
      x: groups.get(f).map((k) => chosen.x[k]), y: groups.get(f).map((k) => chosen.y[k]),
      text: groups.get(f).map((k) => escape(`${data.models[chosen.index[k]]} (${data.families[chosen.index[k]]})`)),
      hovertemplate: "%{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
      marker: { size: 9, opacity: 0.8, color: data.styles[f] || data.other },
    }));
    if (chosen.fit) {
      const ends = [Math.min(...chosen.x), Math.max(...chosen.x)];
      traces.push({
        type: "scatter", mode: "lines", name: "least squares", hoverinfo: "skip", x: ends,
        y: ends.map((x) => chosen.fit.intercept + chosen.fit.slope * x), line: { color: "#222", width: 1.5 },
      });
    }
    const share = target.get(state.target).share;
    return Plotly.react("plot", traces, {
      margin: { l: 60, r: 10, t: 10, b: 58 }, hovermode: "closest",
      xaxis: { automargin: true, title: { text: escape(state.benchmark) } },
      yaxis: { automargin: true, title: { text: escape(label(state.target)) }, ...(share ? { range: [-0.03, 1.03] } : {}) },
      showlegend: false, // the families beside the plot have its colours
    }, { responsive: true, displaylogo: false });
  }

  const shownColumns = data.heads.map((h) => h.column);
  const cell = (row, c) => (c === "benchmark" ? row[0] : row[at[c]]);
  function tableRows(all) {
    const rows = data.rows.filter((r) => r[1] === state.target && (all || listed(r[0])));
    const sign = state.down ? -1 : 1;
    return rows.sort((a, b) => {
      const u = cell(a, state.sort), v = cell(b, state.sort);
      if (u === null || v === null) return (u === null) - (v === null); // missing last, either way
      return sign * (typeof u === "number" ? u - v : String(u).localeCompare(String(v)));
    });
  }
  function table() {
    const head = byId("table").tHead.rows[0];
    head.replaceChildren(...shownColumns.map((c) => element("th", {
      ariaSort: c === state.sort ? (state.down ? "descending" : "ascending") : "none",
    }, element("button", {
      title: explained.get(c).about,
      textContent: explained.get(c).name + (c === state.sort ? (state.down ? " ↓" : " ↑") : ""),
      onclick: () => {
        state.down = state.sort === c ? !state.down : c !== "benchmark";
        state.sort = c;
        table();
      },
    }))));
    head.querySelectorAll("button").forEach((b, i) => { b.dataset.column = shownColumns[i]; });
    const rows = tableRows(false), all = tableRows(true).length;
    byId("rows").textContent = `${rows.length} of ${all} benchmarks, ${label(state.target)}`;
    byId("table").tBodies[0].replaceChildren(...rows.map((row) => element("tr", {
      className: row[0] === state.benchmark ? "current" : "", onclick: () => choose({ benchmark: row[0] }),
    }, ...shownColumns.map((c) => {
      const v = cell(row, c);
      const text = ["p", "q", "partial_p", "partial_q"].includes(c) ? pText(v)
        : c.endsWith("_low") && v !== null ? `${number(v, 2)} to ${number(row[at[c.replace("_low", "_high")]], 2)}`
        : number(v, 2);
      return element("td", { textContent: text, className: c === "note" ? "text" : "" });
    }))));
  }
  function tree() {
    byId("tree").replaceChildren(...data.benchmarks
      .filter((b) => listed(b.name))
      .map((b) => {
        const button = element("button", {
          textContent: b.name, title: b.name, className: b.leaf ? "" : "parent",
          onclick: () => choose({ benchmark: b.name }),
        });
        button.style.paddingLeft = `${0.3 + 0.8 * b.depth}rem`;
        button.style.color = data.categories[String(b.category)] || data.categories.None;
        button.setAttribute("aria-current", String(b.name === state.benchmark));
        return element("li", {}, button);
      }));
  }
  function familyList() {
    byId("families").replaceChildren(...families
      .slice().sort((a, b) => size(b) - size(a) || a.localeCompare(b))
      .map((f) => {
        const dot = element("span", { className: "dot" });
        dot.style.background = data.styles[f] || data.other;
        const box = element("input", { type: "checkbox", checked: state.shown.has(f), value: f });
        box.onchange = () => { state.shown[box.checked ? "add" : "delete"](f); draw(); };
        return element("li", {}, element("label", {}, box, dot, `${f} (${size(f)})`));
      }));
  }
  function about() {
    const said = target.get(state.target);
    byId("about").replaceChildren(said.about ? `${said.label}: ${said.about}. ` : said.label,
      ...said.cautions.map((c) => element("b", { textContent: c + " " })));
  }
  function draw() {
    const chosen = selection();
    const row = rowOf.get(state.benchmark + "\0" + state.target);
    const whole = row && chosen.n === row[at.n];
    for (const [id, value] of [["n", chosen.n], ["n-families", chosen.families], ["rho", chosen.rho], ["r2", chosen.r2]]) {
      byId(id).textContent = number(value);
      byId(id).dataset.value = value === null ? "" : String(value); // to the last digit
    }
    byId("sure").textContent = whole ? sure(row) :
      "Interval, p and partial correlation are given for all families together only.";
    return plot(chosen);
  }
  function choose(change) {
    Object.assign(state, change);
    tree();
    table();
    about();
    draw();
  }

  // ---- kinds: what the page opens with ----
  const texts = new Set(["name", "verdict"]);
  const selections = { primary: "as planned", "with adversarially trained": "with adversarially trained ones",
    "adversarially trained only": "adversarially trained ones only" };
  // The estimate with its interval on [-1, 1], the band of what is too small to matter, a tick for the raw one.
  function interval(row) {
    const svg = (tag, set) => {
      const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
      Object.entries(set).forEach(([k, v]) => e.setAttribute(k, v));
      return e;
    };
    const x = (v) => 100 + 96 * v;
    const drawn = svg("svg", { width: 200, height: 16, viewBox: "0 0 200 16", "aria-hidden": "true" });
    const margin = claims.margin;
    drawn.append(svg("rect", { x: x(-margin), y: 0, width: x(margin) - x(-margin), height: 16, fill: "#eee" }),
      svg("line", { x1: x(0), x2: x(0), y1: 0, y2: 16, stroke: "#999" }));
    if (row.low !== null) {
      drawn.append(svg("line", { x1: x(row.low), x2: x(row.high), y1: 8, y2: 8, stroke: row.colour, "stroke-width": 2 }));
    }
    if (row.raw_rho !== null) {
      drawn.append(svg("line", { x1: x(row.raw_rho), x2: x(row.raw_rho), y1: 3, y2: 13, stroke: "#444" }));
    }
    if (row.rho !== null) {
      const supported = row.verdict.startsWith("supported");
      drawn.append(svg("circle", { cx: x(row.rho), cy: 8, r: 4, stroke: row.colour, "stroke-width": 1.5,
        fill: supported ? row.colour : "#fff" }));
    }
    return drawn;
  }
  function kindsTable() {
    const chosen = claims.rows.filter((r) => r.target === byId("kinds-target").value && r.rows === byId("kinds-rows").value);
    byId("kinds-table").tHead.rows[0].replaceChildren(...claims.heads.map((h) => element("th", {
      title: h.about, textContent: h.name, scope: "col", className: texts.has(h.column) ? "text" : h.column })));
    byId("kinds-table").tBodies[0].replaceChildren(...chosen.map((row) => {
      const button = element("button", { textContent: row.name, title: "List its leaves" });
      button.style.color = row.ink;
      button.setAttribute("aria-pressed", String(state.kind !== null && state.kind.name === row.name));
      button.onclick = () => only(row);
      const text = (c) => c === "p" ? pText(row.p)
        : c === "low" ? (row.low === null ? "–" : `${number(row.low, 2)} to ${number(row.high, 2)}`)
        : c === "leaves" ? String(row.leaves.filter(Boolean).length) : number(row[c], 2);
      return element("tr", {}, ...claims.heads.map((h) => {
        const cell = element("td", { className: texts.has(h.column) ? "text" : h.column });
        if (h.column === "name") cell.append(button);
        else cell.append(...(h.column === "low" ? [interval(row), " "] : []), text(h.column));
        return cell;
      }));
    }));
  }
  // Lists the leaves of a kind, and shows its strongest with the target that it was tested against.
  function only(row) {
    const leaves = row.leaves.filter((leaf) => kind.has(leaf));
    const strength = (leaf) => {
      const r = rowOf.get(leaf + "\0" + row.target);
      return r && r[at.rho] !== null ? Math.abs(r[at.rho]) : -1;
    };
    const strongest = leaves.slice().sort((a, b) => strength(b) - strength(a))[0];
    state.kind = row;
    byId("target").value = row.target;
    byId("search").value = "";
    kindsTable();
    byId("only").hidden = false;
    byId("only-kind").textContent = row.name;
    choose({ target: row.target, benchmark: strongest || state.benchmark });
  }
  function openKinds() {
    byId("kinds").hidden = false;
    for (const t of new Set(claims.rows.map((r) => r.target))) {
      byId("kinds-target").append(element("option", { value: t, textContent: label(t) }));
    }
    for (const r of new Set(claims.rows.map((row) => row.rows))) {
      byId("kinds-rows").append(element("option", { value: r, textContent: selections[r] || r }));
    }
    byId("kinds-target").onchange = byId("kinds-rows").onchange = kindsTable;
    byId("kinds-legend").textContent = "Dot: ρ given clean accuracy, filled where supported; line: its interval; "
      + `tick: ρ; grey: smaller than ${claims.margin}. Choose a kind to list its leaves; the plot below has every model with both values.`;
    byId("every").onclick = () => { state.kind = null; byId("only").hidden = true; kindsTable(); choose({}); };
    kindsTable();
  }

  // ---- files ----
  const quote = (v) => (v === null ? "" : /[",\n]/.test(String(v)) ? `"${String(v).replace(/"/g, '""')}"` : String(v));
  function save(name, rows) {
    const text = rows.map((r) => r.map(quote).join(",")).join("\n") + "\n";
    const link = element("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    link.click();
    URL.revokeObjectURL(link.href);
  }
  byId("picture").onclick = () => Plotly.downloadImage("plot", {
    format: "png", scale: 2, width: 900, height: 650, filename: `${data.study}-${state.benchmark}-${state.target}`.replace(/[^\w.-]+/g, "_"),
  });
  byId("points").onclick = () => {
    const chosen = selection();
    save("points.csv", [["model", "family", state.benchmark, state.target],
      ...chosen.index.map((i, k) => [data.models[i], data.families[i], chosen.x[k], chosen.y[k]])]);
  };
  byId("table-csv").onclick = () => save("table.csv", [["benchmark", "target", ...data.columns], ...tableRows(true)]);
  byId("all").onclick = () => { state.shown = new Set(families); familyList(); draw(); };
  byId("none").onclick = () => { state.shown = new Set(); familyList(); draw(); };
  byId("search").oninput = () => { tree(); table(); };
  byId("exported").onchange = () => { state.exported = byId("exported").checked; tree(); table(); };
  byId("switch").hidden = !data.benchmarks.some((b) => b.exported);
  const categories = { neural: "neural", behavior: "behavior", engineering: "engineering (accuracies, no human-likeness)" };
  byId("categories").append(...Object.keys(categories).filter((c) => data.benchmarks.some((b) => b.category === c)).map((c) => {
    const word = element("span", { textContent: categories[c] + " " });
    word.style.color = data.categories[c];
    return word;
  }));
  byId("heads").append(...data.heads.flatMap((h) => [
    element("dt", { textContent: h.name }), element("dd", { textContent: h.about })]));
  // one group of the list for each kind of target: no two kinds are to be compared
  for (const of of new Set(data.targets.map((t) => t.kind))) {
    byId("target").append(element("optgroup", { label: of }, ...data.targets.filter((t) => t.kind === of).map(
      (t) => element("option", { value: t.name, textContent: t.label, selected: t.name === state.target }))));
  }
  byId("target").onchange = (event) => choose({ target: event.target.value });

  familyList();
  if (claims) openKinds();
  if (state.benchmark !== null && state.target !== null) choose({});
})();
