// What a JavaScript program does with Airtable, through airtable.js (the official client).
//
//   PYAIRTABLE_URL=http://localhost:8080 PYAIRTABLE_TOKEN=pat… node scenario.mjs
//
// The token needs data.records:read, data.records:write, schema.bases:read and
// schema.bases:write on all bases. Exits with 1 and names what failed.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import process from "node:process";
import Airtable from "airtable";
import { refused, run } from "./steps.mjs";

const { PYAIRTABLE_URL: endpointUrl, PYAIRTABLE_TOKEN: apiKey } = process.env;
const ODD_NAME = "Orders/2026 \"it's\" 100%? #1 🚀";

// airtable.js knows no meta API, so the base is made by hand.
async function makeBase() {
  const answer = await fetch(`${endpointUrl}/v0/meta/bases`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      name: `JavaScript ${randomBytes(4).toString("hex")}`,
      workspaceId: "wspAAAAAAAAAAAAAA",
      tables: [
        { name: "Customers", fields: [{ name: "Name", type: "singleLineText" }] },
        {
          name: ODD_NAME,
          fields: [
            { name: "No", type: "singleLineText" },
            { name: "Qty", type: "number", options: { precision: 0 } },
            { name: "Paid", type: "checkbox", options: { icon: "check", color: "greenBright" } },
            { name: "State", type: "singleSelect", options: { choices: [{ name: "new" }, { name: "done" }] } },
          ],
        },
      ],
    }),
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()).id;
}

const connect = (key) => new Airtable({ apiKey: key, endpointUrl, requestTimeout: 60_000 });

const steps = {
  async createAndFind({ orders }) {
    const fields = { No: "A/1 'x' \"y\" ☃", Qty: 0, Paid: true, State: "new" };
    const made = await orders.create(fields);
    assert.deepEqual(made.fields, fields);
    assert.deepEqual((await orders.find(made.id)).fields, fields);
    assert.deepEqual((await orders.create({})).fields, {});
  },

  async listWithPaging({ customers }) {
    for (let i = 0; i < 25; i += 10) {
      const batch = Array.from({ length: Math.min(10, 25 - i) }, (_, n) => ({ fields: { Name: `c${String(i + n).padStart(2, "0")}` } }));
      assert.equal((await customers.create(batch)).length, batch.length);
    }
    const pages = [];
    await customers.select({ pageSize: 10 }).eachPage((records, next) => {
      pages.push(records.length);
      next();
    });
    assert.deepEqual(pages, [10, 10, 5]);
    const sorted = await customers.select({ sort: [{ field: "Name", direction: "desc" }], fields: ["Name"], maxRecords: 3 }).all();
    assert.deepEqual(sorted.map((r) => r.get("Name")), ["c24", "c23", "c22"]);
    assert.equal((await customers.select({ view: "Grid view" }).firstPage()).length, 25);
    const posted = await customers.select({ method: "post", sort: [{ field: "Name" }], pageSize: 20 }).all();
    assert.deepEqual([posted.length, posted[0].get("Name")], [25, "c00"]);
  },

  async filterByFormula({ orders }) {
    const key = randomBytes(4).toString("hex");
    await orders.create([0, 1, 2].map((Qty) => ({ fields: { No: `${key} "q" ${Qty}`, Qty } })));
    const found = await orders.select({ filterByFormula: `AND(FIND("${key}", {No}), {Qty} > 0)`, sort: [{ field: "Qty" }] }).all();
    assert.deepEqual(found.map((r) => r.get("Qty")), [1, 2]);
    await refused(orders.select({ filterByFormula: "{Nope}=1" }).all(), 422, "INVALID_FILTER_BY_FORMULA");
  },

  async updateAndReplace({ orders }) {
    const made = await orders.create({ No: "U", Qty: 1 });
    assert.deepEqual((await orders.update(made.id, { Qty: 2 })).fields, { No: "U", Qty: 2 });
    assert.deepEqual((await orders.replace(made.id, { Qty: 3 })).fields, { Qty: 3 });
    const [both] = await orders.update([{ id: made.id, fields: { No: "V" } }]);
    assert.deepEqual(both.fields, { No: "V", Qty: 3 });
    await made.patchUpdate({ Qty: null });
    assert.equal(made.get("Qty"), undefined);
  },

  async upsert({ orders }) {
    const key = randomBytes(4).toString("hex");
    const old = await orders.create({ No: key, Qty: 1 });
    const done = await orders.update([{ fields: { No: key, Qty: 5 } }, { fields: { No: `${key}b`, Qty: 6 } }], {
      performUpsert: { fieldsToMergeOn: ["No"] },
    });
    assert.deepEqual(done.map((r) => r.get("Qty")), [5, 6]);
    assert.equal(done[0].id, old.id);
  },

  async typecast({ orders }) {
    const made = await orders.create({ Qty: "12", State: "brand new" }, { typecast: true });
    assert.deepEqual(made.fields, { Qty: 12, State: "brand new" });
  },

  async destroy({ orders }) {
    const one = await orders.create({ No: "D" });
    assert.equal((await orders.destroy(one.id)).id, one.id);
    const many = await orders.create([{ fields: { No: "D1" } }, { fields: { No: "D2" } }]);
    assert.equal((await orders.destroy(many.map((r) => r.id))).length, 2);
    await refused(orders.find(one.id), 404, "NOT_FOUND");
  },

  async errors({ base, orders, baseId }) {
    await refused(orders.create({ Colour: "red" }), 422, "UNKNOWN_FIELD_NAME");
    await refused(orders.create({ Qty: "many" }), 422, "INVALID_VALUE_FOR_COLUMN");
    await refused(orders.find("recAAAAAAAAAAAAAA"), 404, "NOT_FOUND");
    await refused(orders.find("nonsense"), 404, "NOT_FOUND");
    await refused(orders.update([{ id: "recAAAAAAAAAAAAAA", fields: {} }]), 422, "ROW_DOES_NOT_EXIST");
    await refused(base("Nowhere").select().firstPage(), 403, "NOT_AUTHORIZED");
    await refused(connect(apiKey).base("appAAAAAAAAAAAAAA")("T").select().firstPage(), 403, "NOT_AUTHORIZED");
    const wrong = connect(`patAAAAAAAAAAAAAA.${"0".repeat(64)}`);
    await refused(wrong.base(baseId)("Customers").select().firstPage(), 401, "AUTHENTICATION_REQUIRED");
  },
};

const baseId = await makeBase();
const base = connect(apiKey).base(baseId);
const world = { baseId, base, orders: base(ODD_NAME), customers: base("Customers") };
await run(steps, world);
