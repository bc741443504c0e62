/** The main job by the client that hey-api makes of the document. */
import {
  createMailbox,
  followSync,
  getMessage,
  downloadMessage,
  listMailboxMessages,
  syncMailbox,
  updateMailbox,
} from "./hey-api";
import { client } from "./hey-api/client.gen";

async function main(): Promise<void> {
  const { SERVICE, API_KEY, POP3_HOST, POP3_PORT, POP3_USERNAME, POP3_PASSWORD } = process.env;
  client.setConfig({ baseUrl: SERVICE, auth: API_KEY });
  const throwOnError = true;
  const { data: mailbox } = await createMailbox({
    throwOnError,
    body: {
      name: "hey-api",
      host: POP3_HOST!,
      port: Number(POP3_PORT),
      security: "none",
      allow_cleartext_password: true,
      username: POP3_USERNAME!,
      password: POP3_PASSWORD!,
      server_retention: { mode: "keep" },
      criteria: { all: [{ field: "subject", op: "contains", value: "Invoice" }, { any: [{ field: "octets", op: "gt", value: 1 }] }] },
    },
  });
  const path = { mailbox_id: mailbox.id };
  const { data: sync } = await syncMailbox({ throwOnError, path, query: { wait: 60 } });
  const { stream } = await followSync({ path: { sync_id: sync.id } });
  for await (const told of stream) {
    if (typeof told === "string" || told.status !== "succeeded") throw new Error("not a sync that has ended");
  }
  const { data: feed } = await listMailboxMessages({ throwOnError, path });
  const message_id = feed.items[0]!.id;
  const { data: message } = await getMessage({ throwOnError, path: { message_id } });
  const { data: raw } = await downloadMessage({
    throwOnError,
    path: { message_id },
    parseAs: "arrayBuffer", // it knows no message/rfc822, and would read JSON
  });
  const { data: changed } = await updateMailbox({ throwOnError, path, body: { paused: true } });
  const octets = Buffer.from(raw as unknown as ArrayBuffer);
  console.log(
    JSON.stringify({
      sync: sync.status,
      subjects: feed.items.flatMap((item) => ("subject" in item ? [item.subject] : [])), // not expired
      text: message.text,
      raw: octets.toString("base64"),
      status: changed.status,
      name: changed.name,
    }),
  );
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
