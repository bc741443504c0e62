// Runs a workflow of n8n once from its trigger: HTTP Request and Code nodes, in the order "v1" (depth first, branches from
// top to bottom). Static data is kept in a file, as n8n keeps it where a run has succeeded. Prints the items of the node
// "Messages". It knows what the workflow of docs/reading-the-feed.md uses, and refuses everything else.
//
// node n8n.mjs WORKFLOW STATIC_DATA
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const [, , workflowFile, staticFile] = process.argv;
const workflow = JSON.parse(readFileSync(workflowFile, "utf8"));
const kept = existsSync(staticFile) ? JSON.parse(readFileSync(staticFile, "utf8")) : {};
const nodes = new Map(workflow.nodes.map((node) => [node.name, node]));

function valueOf(text, json) {
  if (!String(text).startsWith("=")) return text;
  const expression = /^=\{\{(.*)\}\}$/s.exec(text);
  if (!expression) throw new Error(`an expression that is not understood: ${text}`);
  return new Function("$json", `return (${expression[1]});`)(json);
}

async function request(parameters, json) {
  const url = new URL(valueOf(parameters.url, json));
  const target = new URL(process.env.FEED_URL);
  url.protocol = target.protocol;
  url.host = target.host;
  for (const { name, value } of parameters.queryParameters.parameters) {
    url.searchParams.set(name, name === "wait" ? process.env.FEED_WAIT : valueOf(value, json));
  }
  const { timeout, response } = parameters.options;
  if (!response.response.fullResponse || !response.response.neverError) throw new Error("not the whole answer");
  const answer = await fetch(url, {
    headers: { Authorization: `Bearer ${process.env.FEED_KEY}` }, // the credential of the kind Header Auth
    signal: AbortSignal.timeout(timeout),
  });
  return { statusCode: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.json() };
}

async function tried(node, json) {
  for (let left = node.retryOnFail ? node.maxTries - 1 : 0; ; left -= 1) {
    try {
      return await request(node.parameters, json);
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((done) => setTimeout(done, node.waitBetweenTries / 50));
    }
  }
}

async function outputOf(node, items) {
  switch (node.type) {
    case "n8n-nodes-base.scheduleTrigger":
      return [{ json: {} }];
    case "n8n-nodes-base.httpRequest":
      return Promise.all(items.map(async (item) => ({ json: await tried(node, item.json) })));
    case "n8n-nodes-base.code": {
      const input = { first: () => items[0], all: () => items };
      return new Function("$input", "$getWorkflowStaticData", node.parameters.jsCode)(input, () => kept);
    }
    default:
      throw new Error(`a node of a kind that is not run here: ${node.type}`);
  }
}

async function run(name, items) {
  const node = nodes.get(name);
  const output = await outputOf(node, items);
  if (name === "Messages") {
    for (const { json } of output) console.log(json.id, json.subject ?? "expired");
  }
  if (output.length === 0) return;
  const next = (workflow.connections[name]?.main?.[0] ?? []).map((each) => nodes.get(each.node));
  next.sort((one, other) => one.position[1] - other.position[1]);
  for (const each of next) await run(each.name, output);
}

if (workflow.settings.executionOrder !== "v1") throw new Error("the order in which branches run is not said");
const reached = new Set(Object.values(workflow.connections).flatMap((each) => each.main.flat().map((to) => to.node)));
for (const node of workflow.nodes) {
  if (!reached.has(node.name) && !node.type.endsWith("Trigger")) throw new Error(`nothing leads to ${node.name}`);
}
for (const name of [...reached, ...Object.keys(workflow.connections)]) {
  if (!nodes.has(name)) throw new Error(`there is no node ${name}`);
}
await run(workflow.nodes.find((node) => node.type.endsWith("Trigger")).name, []);
writeFileSync(staticFile, JSON.stringify(kept));
