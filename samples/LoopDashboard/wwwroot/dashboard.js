// Draws each sample that /events sends: the last minute, in six charts. document.documentElement.dataset.points says how many samples were drawn.
"use strict";

const KEPT = 121;
const SPAN = 60;

// Colours that are told apart without seeing colours well (Okabe and Ito).
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5c2e", "#5b6776"];

const count = value => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
const percent = value => `${value.toFixed(0)} %`;

function delay(us) {
  return us == null ? "–" : us < 1_000 ? `${us.toPrecision(2) * 1} µs` : us < 1e6 ? `${(us / 1_000).toPrecision(2) * 1} ms` : `${(us / 1e6).toPrecision(2) * 1} s`;
}

function bytes(value) {
  return value < 1e3 ? `${value.toFixed(0)} B/s` : value < 1e6 ? `${(value / 1e3).toFixed(0)} kB/s` : `${(value / 1e6).toFixed(1)} MB/s`;
}

const sum = values => values.reduce((all, one) => all + one, 0);
const loops = (first, get) => first.busy.map((_, loop) => ({ name: `loop ${loop}`, get: sample => get(sample)[loop] }));

const TILES = [
  { name: "connections", show: sample => count(sum(sample.connections)) },
  { name: "dispatches a second", show: sample => count(sample.onLoops + sample.offLoops) },
  { name: "queueing delay, p99", show: sample => delay(sample.delayP99) },
  { name: "events a wait", show: sample => sample.eventsPerWait.toFixed(1) },
  { name: "received", show: sample => bytes(sample.received) },
  { name: "sent", show: sample => bytes(sample.sent) },
];

const CHARTS = [
  {
    title: "Busy time", what: "The part of its time in which a loop did not wait for events.", unit: "% of the time", show: percent,
    series: first => loops(first, sample => sample.busy.map(part => part * 100)), range: () => [0, 100],
  },
  {
    title: "Queueing delay", what: "From readiness to the code that reads, at most.", unit: "delay (logarithmic)", show: delay, tick: delay, logarithmic: true,
    series: () => [
      { name: "median", get: sample => sample.delayMedian },
      { name: "99th percentile", get: sample => sample.delayP99 },
    ],
  },
  {
    title: "Connections", what: "Open on each loop.", unit: "connections", show: count,
    series: first => loops(first, sample => sample.connections),
  },
  {
    title: "Dispatches", what: "Application code that ran, by where.", unit: "dispatches / s", show: count,
    series: () => [
      { name: "on loops", get: sample => sample.onLoops },
      { name: "on workers", get: sample => sample.offLoops },
    ],
  },
  {
    title: "Hand-offs", what: "Loops that another thread took over; connections that left theirs.", unit: "per second", show: count,
    series: () => [
      // Seen beside the other one, which often is the same: who is handed off leaves its loop.
      { name: "hand-offs", get: sample => sample.handOffs, width: 4.5 },
      { name: "demotions", get: sample => sample.demotions },
    ],
  },
  {
    title: "Workers", what: "Threads that drive loops, run what blocks, or rest.", unit: "threads", show: count,
    series: () => [
      { name: "all", get: sample => sample.workers },
      { name: "busy with what blocks", get: sample => sample.busyWorkers },
    ],
  },
];

const samples = [];
let tiles = null;
let charts = null;

// From zero, to a round number above the most, and never less than 4, or the axis would have parts of a connection.
function fromZero(plot, least, most) {
  return [0, uPlot.rangeNum(0, Math.max(most ?? 0, 4), 0.1, true)[1]];
}

function addTile(tile) {
  const element = document.getElementById("tile").content.cloneNode(true).firstElementChild;
  element.querySelector("dt").textContent = tile.name;
  document.getElementById("tiles").append(element);
  return sample => { element.querySelector("dd").textContent = tile.show(sample); };
}

function addChart(chart, first) {
  const section = document.getElementById("chart").content.cloneNode(true).firstElementChild;
  section.querySelector("h2").textContent = chart.title;
  section.querySelector("p").textContent = chart.what;
  const series = chart.series(first).map((each, i) => ({ ...each, colour: COLOURS[i % COLOURS.length] }));
  const keys = series.map(each => {
    const key = document.createElement("li");
    key.style.setProperty("--key", each.colour);
    key.append(`${each.name} `, document.createElement("b"));
    section.querySelector("ul").append(key);
    return key.querySelector("b");
  });
  document.getElementById("charts").append(section);

  const holder = section.querySelector(".plot");
  const font = `12px ${getComputedStyle(document.documentElement).fontFamily}`;
  const axis = { stroke: "#5b6776", font, labelFont: font, labelSize: 20, labelGap: 0, grid: { stroke: "#eceff2", width: 1 }, ticks: { stroke: "#d4dae1", width: 1, size: 5 } };
  const size = () => ({ width: holder.clientWidth, height: 184 });
  const plot = new uPlot({
    ...size(),
    padding: [8, 14, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: () => [-SPAN, 0] },
      y: chart.logarithmic ? { distr: 3, range: () => [1, 1e6] } : { range: chart.range ?? fromZero },
    },
    axes: [
      { ...axis, label: "seconds ago", size: 30, splits: () => [-60, -50, -40, -30, -20, -10, 0], values: (_, at) => at.map(second => second === 0 ? "now" : `${-second}`) },
      {
        ...axis, label: chart.unit, size: 58,
        ...(chart.logarithmic ? { splits: () => [1, 10, 100, 1e3, 1e4, 1e5, 1e6], filter: (_, at) => at } : {}),
        values: (_, at) => at.map(value => (chart.tick ?? count)(value)),
      },
    ],
    series: [{}, ...series.map(each => ({ label: each.name, stroke: each.colour, width: each.width ?? 1.75, points: { show: false }, spanGaps: false }))],
  }, [[], ...series.map(() => [])], holder);
  new ResizeObserver(() => plot.setSize(size())).observe(holder);

  return last => {
    plot.setData([samples.map(sample => sample.time - last.time), ...series.map(each => samples.map(sample => each.get(sample)))]);
    series.forEach((each, i) => { keys[i].textContent = chart.show(each.get(last)); });
  };
}

function draw(sample) {
  samples.push(sample);
  samples.splice(0, samples.length - KEPT);
  tiles ??= TILES.map(addTile);
  charts ??= CHARTS.map(chart => addChart(chart, sample));
  tiles.forEach(show => show(sample));
  charts.forEach(show => show(sample));
  const said = document.documentElement.dataset;
  said.points = Number(said.points ?? 0) + 1;
}

const state = document.getElementById("state");
const events = new EventSource("events");
events.addEventListener("open", () => {
  // All that is kept comes again.
  samples.length = 0;
  state.textContent = "live";
  state.className = "live";
});
events.addEventListener("error", () => {
  state.textContent = "the server has gone; trying again";
  state.className = "lost";
});
events.addEventListener("sample", event => draw(JSON.parse(event.data)));
