// Clicks through the page of the API as a person does: authorise, register, sync, feed, one message.
// Prints as JSON what it saw, and what the axe rules say of each state; screenshots go to the folder named by SHOTS.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

const { SERVICE, API_KEY, POP3_HOST, POP3_PORT, POP3_USERNAME, POP3_PASSWORD, CHROMIUM, SHOTS, WIDTH, SCHEME } =
  process.env;
const seen = { errors: [], elsewhere: [], answers: {}, kept: [], wide: 0, judged: [], barriers: [] };
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
try {
  const context = await browser.newContext({
    viewport: { width: Number(WIDTH), height: 900 },
    colorScheme: SCHEME,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(120_000);
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(SERVICE) && !request.url().startsWith("data:")) seen.elsewhere.push(request.url());
  });

  await page.goto(`${SERVICE}/`);
  await page.locator(".opblock").first().waitFor();
  await page.evaluate(axe);
  await judge("start");
  await page.getByRole("button", { name: "Authorize" }).first().click();
  await page.locator(".auth-container input").fill(API_KEY);
  await judge("key");
  await page.locator(".auth-btn-wrapper .authorize").click();
  await page.locator(".auth-btn-wrapper .btn-done").click();

  const mailbox = await execute("createMailbox", {
    body: {
      name: "from the page",
      host: POP3_HOST,
      port: Number(POP3_PORT),
      security: "none",
      allow_cleartext_password: true,
      username: POP3_USERNAME,
      password: POP3_PASSWORD,
    },
  });
  await execute("syncMailbox", { parameters: { mailbox_id: mailbox.id, wait: "60" } });
  const feed = await execute("listMessages", {});
  await execute("getMessage", { parameters: { message_id: feed.items[0].id } });

  await judge("answers");
  await page.screenshot({ path: `${SHOTS}/message-${WIDTH}-${SCHEME}.png` });
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${SHOTS}/top-${WIDTH}-${SCHEME}.png` });
  seen.wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  seen.kept = await page.evaluate(() => [...Object.values(localStorage), ...Object.values(sessionStorage)]);
  seen.dark = await page.evaluate(() => document.documentElement.classList.contains("dark-mode"));

  async function judge(state) {
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
    // A button that is still on its way from one colour to another has neither.
    await page.evaluate(() => {
      const moving = document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime < Infinity);
      const atMost = new Promise((over) => setTimeout(over, 60_000));
      return Promise.race([Promise.allSettled(moving.map((one) => one.finished)), atMost]).then(() => null);
    });
    const found = await page.evaluate(async () =>
      (await axe.run(document)).violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`)),
    );
    seen.barriers.push(...found.map((each) => `${state}: ${each.slice(0, 200)}`));
    seen.judged.push(state);
    await page.screenshot({ path: `${SHOTS}/${state}-${WIDTH}-${SCHEME}.png` });
  }

  async function execute(operation, { body, parameters = {} }) {
    const block = page.locator(`[id$="-${operation}"]`);
    await block.locator(".opblock-summary-control").click();
    for (const [name, value] of Object.entries(parameters)) {
      await block.locator(`tr[data-param-name="${name}"] input`).fill(value);
    }
    if (body) await block.locator("textarea.body-param__text").fill(JSON.stringify(body));
    const answered = page.waitForResponse((response) => response.request().resourceType() === "fetch");
    await block.locator("button.execute").click();
    const response = await answered;
    await block.locator(".live-responses-table").waitFor();
    seen.answers[operation] = response.status();
    return response.json();
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
