/** The main job by openapi-fetch over the types that openapi-typescript makes of the document. */
import createClient from "openapi-fetch";

import type { paths } from "./openapi-typescript/schema";

function given<Data>(answer: { data?: Data; error?: unknown }): Data {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

async function main(): Promise<void> {
  const { SERVICE, API_KEY, POP3_HOST, POP3_PORT, POP3_USERNAME, POP3_PASSWORD } = process.env;
  const client = createClient<paths>({
    baseUrl: SERVICE,
    headers: { Authorization: `Bearer ${API_KEY}` },
  });
  const mailbox = given(
    await client.POST("/mailboxes", {
      body: {
        name: "openapi-fetch",
        host: POP3_HOST!,
        port: Number(POP3_PORT),
        security: "none",
        allow_cleartext_password: true,
        username: POP3_USERNAME!,
        password: POP3_PASSWORD!,
        server_retention: { mode: "delete_after_days", days: 30 },
        criteria: { any: [{ field: "subject", op: "equals", value: "Invoice 7" }, { field: "date", op: "exists" }] },
      },
    }),
  );
  const path = { mailbox_id: mailbox.id };
  const sync = given(
    await client.POST("/mailboxes/{mailbox_id}/sync", { params: { path, query: { wait: 60 } } }),
  );
  const feed = given(await client.GET("/mailboxes/{mailbox_id}/messages", { params: { path } }));
  const message_id = feed.items[0]!.id;
  const message = given(await client.GET("/messages/{message_id}", { params: { path: { message_id } } }));
  const raw = given(
    await client.GET("/messages/{message_id}/raw", {
      params: { path: { message_id } },
      parseAs: "arrayBuffer",
    }),
  ) as unknown as ArrayBuffer;
  const changed = given(
    await client.PATCH("/mailboxes/{mailbox_id}", { params: { path }, body: { paused: true } }),
  );
  console.log(
    JSON.stringify({
      sync: sync.status,
      subjects: feed.items.flatMap((item) => ("subject" in item ? [item.subject] : [])), // not expired
      text: message.text,
      raw: Buffer.from(raw).toString("base64"),
      status: changed.status,
      name: changed.name,
    }),
  );
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
