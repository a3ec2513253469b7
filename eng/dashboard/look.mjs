// Opens the dashboard in headless Chromium, waits until its charts have drawn, and proves that they have: what it looks at are the page's own
// count of server-sent events, and the pixels of each canvas. No error may be on the console.
//
//   node eng/dashboard/look.mjs URL [--points N] [--picture FILE.png]
//
// Chromium is driven by its DevTools protocol over a pipe (--remote-debugging-pipe: file descriptors 3 and 4, messages that end with a NUL), so
// that nothing has to be installed but Debian's chromium and nodejs. Each wait is bounded.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CHARTS = 6;
const WIDTH = 1280;
const HEIGHT = 1000;

const [url, ...rest] = process.argv.slice(2);
const option = name => rest.includes(name) ? rest[rest.indexOf(name) + 1] : undefined;
const points = Number(option("--points") ?? 10);

// Two samples come each second.
const LIMIT_MS = 30_000 + points * 500;
if (!url || !(points > 0)) {
  console.error("Usage: look.mjs URL [--points N] [--picture FILE.png]");
  process.exit(2);
}

const profile = mkdtempSync(join(tmpdir(), "dashboard-"));
const browser = spawn("chromium", [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
  "--disable-background-networking", "--disable-component-update", `--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank",
], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });

const waiting = new Map();
const problems = [];
let number = 0;
let received = "";

browser.stdio[4].setEncoding("utf8");
browser.stdio[4].on("data", data => {
  const messages = (received + data).split("\0");
  received = messages.pop();
  messages.map(message => JSON.parse(message)).forEach(onMessage);
});

function onMessage(message) {
  if (message.id !== undefined) {
    const { resolve, reject } = waiting.get(message.id);
    waiting.delete(message.id);
    message.error ? reject(new Error(message.error.message)) : resolve(message.result);
  } else if (message.method === "Runtime.exceptionThrown") {
    problems.push(message.params.exceptionDetails.exception?.description ?? message.params.exceptionDetails.text);
  } else if (message.method === "Runtime.consoleAPICalled" && ["error", "warning", "assert"].includes(message.params.type)) {
    problems.push(message.params.args.map(each => each.value ?? each.description).join(" "));
  } else if (message.method === "Log.entryAdded" && message.params.entry.level === "error") {
    problems.push(`${message.params.entry.text} ${message.params.entry.url ?? ""}`);
  }
}

const send = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
  waiting.set(++number, { resolve, reject });
  browser.stdio[3].write(`${JSON.stringify({ id: number, method, params, sessionId })}\0`);
});

// In the page: how many pixels of each canvas have a colour of their own, which grid and text, being grey, have not.
function countColoured() {
  return [...document.querySelectorAll("canvas")].map(canvas => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let coloured = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      const parts = [pixels[i], pixels[i + 1], pixels[i + 2]];
      coloured += pixels[i + 3] > 200 && Math.max(...parts) - Math.min(...parts) > 60 ? 1 : 0;
    }

    return coloured;
  });
}

async function look() {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const ask = (method, params) => send(method, params, sessionId);
  const evaluate = async expression => (await ask("Runtime.evaluate", { expression, returnByValue: true })).result.value;
  await ask("Runtime.enable");
  await ask("Log.enable");
  await ask("Emulation.setDeviceMetricsOverride", { width: WIDTH, height: HEIGHT, deviceScaleFactor: 1, mobile: false });
  await ask("Page.navigate", { url });

  let drawn = 0;
  while (drawn < points && problems.length === 0) {
    await new Promise(resolve => setTimeout(resolve, 200));
    drawn = Number(await evaluate("document.documentElement.dataset.points ?? 0"));
  }

  const coloured = await evaluate(`(${countColoured})()`);
  const state = await evaluate("document.getElementById('state').textContent");
  const file = option("--picture");
  if (file) {
    const { data } = await ask("Page.captureScreenshot", { format: "png", clip: { x: 0, y: 0, width: WIDTH, height: await evaluate("document.body.offsetHeight"), scale: 1 } });
    writeFileSync(file, Buffer.from(data, "base64"));
  }

  if (coloured.length !== CHARTS) {
    problems.push(`${coloured.length} charts instead of ${CHARTS}`);
  }

  if (coloured.some(pixels => pixels < points)) {
    problems.push("A chart has drawn nothing, or hardly anything.");
  }

  if (state !== "live") {
    problems.push(`The page says: ${state}`);
  }

  console.log(`${drawn} samples drawn; coloured pixels of each chart: ${coloured.join(", ")}`);
}

const limit = new Promise((_, reject) => setTimeout(() => reject(new Error(`Not within ${LIMIT_MS / 1000} s.`)), LIMIT_MS).unref());
const gone = new Promise((_, reject) => {
  browser.on("error", reject);
  browser.on("exit", code => reject(new Error(`Chromium ended: ${code}`)));
});
try {
  await Promise.race([look(), limit, gone]);
} catch (error) {
  problems.push(error.message);
}

// Its processes end one after the other, and the last of them writes to the profile: so by its own means first.
browser.removeAllListeners("exit");
const ended = new Promise(resolve => browser.on("exit", resolve));
send("Browser.close").catch(() => {});
await Promise.race([ended, new Promise(resolve => setTimeout(resolve, 10_000))]);
browser.kill("SIGKILL");
try {
  rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
} catch (error) {
  console.error(`${profile} is left: ${error.code}`);
}

problems.forEach(problem => console.error(problem));
process.exit(problems.length === 0 ? 0 : 1);
