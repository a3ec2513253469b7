// Asks the hub of RealStacks over each of SignalR's transports, as a page in a browser does. First "npm ci", then: node client.js URL
"use strict";

const { HttpTransportType, HubConnectionBuilder, LogLevel, Subject } = require("@microsoft/signalr");

const transports = ["WebSockets", "ServerSentEvents", "LongPolling"];
const limitMs = 20_000;

async function ask(url, transport) {
  const connection = new HubConnectionBuilder()
    .withUrl(url, { transport: HttpTransportType[transport] })
    .configureLogging(LogLevel.None)
    .build();
  const heard = new Promise((resolve) => connection.on("greeted", resolve));
  await connection.start();

  const greeting = await connection.invoke("Greet", "you");
  const numbers = await collect(connection.stream("Count", 3));
  const refusal = await connection.invoke("Greet", "").catch((error) => error.message);
  console.log(`${transport}: ${greeting} heard ${await heard}, counted ${numbers}, summed ${await sum(connection, numbers)}, ${refusal}`);
  await connection.stop();
}

function collect(stream) {
  return new Promise((resolve, reject) => {
    const items = [];
    stream.subscribe({ next: (item) => items.push(item), complete: () => resolve(items), error: reject });
  });
}

async function sum(connection, numbers) {
  const upload = new Subject();
  const answer = connection.invoke("Sum", upload);
  numbers.forEach((number) => upload.next(number));
  upload.complete();
  return answer;
}

async function main([url]) {
  if (url === undefined) {
    throw new Error("Which hub? For example: node client.js http://127.0.0.1:5600/hub");
  }

  for (const transport of transports) {
    await ask(url, transport);
  }
}

const limit = setTimeout(() => fail(new Error(`no answer in ${limitMs} ms`)), limitMs);
main(process.argv.slice(2)).then(() => clearTimeout(limit), fail);

function fail(error) {
  console.error(error.message);
  process.exit(1);
}
