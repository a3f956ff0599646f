// What the tests of airtable.js 0.12.2 expect of a server, row by row, through the real
// client: its published archive holds no tests, so they are written anew here. They run
// on the base app123 of seed.json, or on the one whose name is airtable.js.
//
//   PYAIRTABLE_URL=… PYAIRTABLE_TOKEN=pat… node suite.mjs
//
// Exits with 1 and names what failed.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import process from "node:process";
import Airtable from "airtable";
import { refused, run } from "./steps.mjs";

const { PYAIRTABLE_URL: endpointUrl, PYAIRTABLE_TOKEN: apiKey } = process.env;
const client = (more = {}) => new Airtable({ apiKey, endpointUrl, requestTimeout: 60_000, ...more });

async function baseId() {
  const answer = await fetch(`${endpointUrl}/v0/meta/bases`, { headers: { authorization: `Bearer ${apiKey}` } });
  return (await answer.json()).bases.find((b) => b.name === "airtable.js").id;
}

// empty deletes what the table holds.
async function empty(table) {
  const all = await table.select().all();
  for (let i = 0; i < all.length; i += 10) await table.destroy(all.slice(i, i + 10).map((r) => r.id));
}

// called turns a call with a callback into a promise.
const called = (f) => new Promise((resolve, reject) => f((err, result) => (err ? reject(err) : resolve(result))));

const steps = {
  async createOne({ table }) {
    const made = await table.create({ foo: "boo", bar: "yar" });
    assert.deepEqual(made.fields, { foo: "boo", bar: "yar" });
    assert.match(made.id, /^rec/);
  },
  async createOneWithTypecast({ table }) {
    assert.equal((await table.create({ foo: "boo", n: "12" }, { typecast: true })).get("n"), 12);
  },
  async createMany({ table }) {
    const made = await table.create([{ fields: { foo: "boo" } }, { fields: { bar: "yar" } }]);
    assert.deepEqual(made.map((r) => r.fields), [{ foo: "boo" }, { bar: "yar" }]);
  },
  async createManyWithTypecast({ table }) {
    const made = await table.create([{ fields: { n: "1" } }, { fields: { n: "2" } }], { typecast: true });
    assert.deepEqual(made.map((r) => r.get("n")), [1, 2]);
  },
  async createWithACallback({ table }) {
    assert.equal((await called((done) => table.create({ foo: "cb" }, done))).get("foo"), "cb");
    assert.equal((await called((done) => table.create([{ fields: { foo: "cb" } }], { typecast: true }, done))).length, 1);
  },
  async createRefused({ table }) {
    await refused(table.create({ colour: "x" }), 422, "UNKNOWN_FIELD_NAME");
    await refused(called((done) => table.create({ colour: "x" }, done)), 422, "UNKNOWN_FIELD_NAME");
  },

  async findOne({ table }) {
    const made = await table.create({ foo: "find me" });
    const found = await table.find(made.id);
    assert.deepEqual([found.id, found.get("foo")], [made.id, "find me"]);
    assert.equal((await called((done) => table.find(made.id, done))).id, made.id);
  },
  async findNothing({ table }) {
    await refused(table.find("recAAAAAAAAAAAAAA"), 404, "NOT_FOUND");
    await refused(called((done) => table.find("nonsense", done)), 404, "NOT_FOUND");
  },

  async updateOne({ table }) {
    const made = await table.create({ foo: "a", bar: "b" });
    assert.deepEqual((await table.update(made.id, { foo: "c" })).fields, { foo: "c", bar: "b" });
    assert.deepEqual((await called((done) => table.update(made.id, { n: "5" }, { typecast: true }, done))).get("n"), 5);
  },
  async updateMany({ table }) {
    const made = await table.create([{ fields: { foo: "a", bar: "x" } }, { fields: { foo: "b" } }]);
    const done = await table.update(made.map((r, i) => ({ id: r.id, fields: { foo: `u${i}` } })));
    assert.deepEqual(done.map((r) => r.fields), [{ foo: "u0", bar: "x" }, { foo: "u1" }]);
  },
  async replaceOne({ table }) {
    const made = await table.create({ foo: "a", bar: "b" });
    assert.deepEqual((await table.replace(made.id, { foo: "c" })).fields, { foo: "c" });
  },
  async replaceMany({ table }) {
    const made = await table.create([{ fields: { foo: "a", bar: "x" } }, { fields: { foo: "b", n: 1 } }]);
    const done = await table.replace(made.map((r) => ({ id: r.id, fields: { bar: "r" } })), { typecast: true });
    assert.deepEqual(done.map((r) => r.fields), [{ bar: "r" }, { bar: "r" }]);
  },
  async updateRefused({ table }) {
    await refused(table.update("recAAAAAAAAAAAAAA", { foo: "x" }), 404, "NOT_FOUND");
    await refused(table.update([{ id: "recAAAAAAAAAAAAAA", fields: {} }]), 422, "ROW_DOES_NOT_EXIST");
  },
  async upsert({ table }) {
    await empty(table);
    const old = await table.create({ foo: "key", n: 1 });
    const done = await table.update([{ fields: { foo: "key", n: 2 } }, { fields: { foo: "other" } }], { performUpsert: { fieldsToMergeOn: ["foo"] } });
    assert.deepEqual([done[0].id, done[0].get("n"), done.length], [old.id, 2, 2]);
  },

  async destroyOne({ table }) {
    const made = await table.create({ foo: "gone" });
    assert.equal((await table.destroy(made.id)).id, made.id);
    await refused(table.find(made.id), 404, "NOT_FOUND");
  },
  async destroyMany({ table }) {
    const made = await table.create([{ fields: {} }, { fields: {} }]);
    const gone = await called((done) => table.destroy(made.map((r) => r.id), done));
    assert.deepEqual(gone.map((r) => r.id), made.map((r) => r.id));
  },
  async destroyRefused({ table }) {
    await refused(table.destroy("recAAAAAAAAAAAAAA"), 404, "NOT_FOUND");
    await refused(table.destroy(["recAAAAAAAAAAAAAA", "recBBBBBBBBBBBBBB"]), 422, "ROW_DOES_NOT_EXIST");
  },

  async selectAllAndFirstPage({ table, twelve }) {
    await twelve();
    assert.equal((await table.select().all()).length, 12);
    assert.equal((await table.select({ pageSize: 5 }).firstPage()).length, 5);
    assert.equal((await called((done) => table.select().all(done))).length, 12);
  },
  async selectEachPage({ table, twelve }) {
    await twelve();
    const sizes = [];
    await called((done) =>
      table.select({ pageSize: 5, sort: [{ field: "n", direction: "desc" }] }).eachPage((page, next) => {
        sizes.push(page.length, page[0].get("n"));
        next();
      }, done),
    );
    assert.deepEqual(sizes, [5, 12, 5, 7, 2, 2]);
  },
  async selectOptions({ table, twelve }) {
    await twelve();
    const select = async (options) => (await table.select(options).all()).map((r) => r.fields);
    assert.deepEqual(await select({ maxRecords: 2, sort: [{ field: "n" }], fields: ["n"] }), [{ n: 1 }, { n: 2 }]);
    assert.equal((await select({ view: "grid" })).length, 12);
    assert.deepEqual(await select({ filterByFormula: "AND({n}>3, {n}<6)", fields: ["n"], sort: [{ field: "n" }] }), [{ n: 4 }, { n: 5 }]);
    assert.deepEqual(await select({ maxRecords: 1, cellFormat: "string", timeZone: "America/New_York", userLocale: "en-us", fields: ["n"], sort: [{ field: "n" }] }), [{ n: "1" }]);
    const [byId] = await select({ maxRecords: 1, returnFieldsByFieldId: true, fields: ["n"] });
    assert.match(Object.keys(byId)[0], /^fld/);
    const [counted] = await table.select({ maxRecords: 1, recordMetadata: ["commentCount"] }).all();
    assert.ok(counted.id);
  },
  async selectByPost({ table, twelve }) {
    await twelve();
    const posted = await table.select({ method: "post", pageSize: 7, sort: [{ field: "n" }], timeZone: "utc", userLocale: "en-us" }).all();
    assert.deepEqual(posted.map((r) => r.get("n")), Array.from({ length: 12 }, (_, i) => i + 1));
    const long = `OR({n}=3, {foo}="${"x".repeat(15_000)}")`;
    assert.deepEqual((await table.select({ filterByFormula: long }).all()).map((r) => r.get("n")), [3]);
  },
  async selectRefused({ table }) {
    await refused(table.select({ filterByFormula: "(" }).all(), 422, "INVALID_FILTER_BY_FORMULA");
    await refused(table.select({ view: "nowhere" }).firstPage(), 422, "VIEW_NAME_NOT_FOUND");
    await refused(table.select({ pageSize: 101 }).firstPage(), 422, "INVALID_REQUEST_UNKNOWN");
  },
  async listAndForEachOfOldTimes({ table, twelve }) {
    await twelve();
    const page = await called((done) => table.list(5, "", { view: "grid" }, (err, records, offset) => done(err, { records, offset })));
    assert.equal(page.records.length, 5);
    const rest = await called((done) => table.list(100, page.offset, { view: "grid" }, (err, records, offset) => done(err, { records, offset })));
    assert.equal(rest.records.length, 7);
    let seen = 0;
    await called((done) => table.forEach({ view: "grid" }, () => seen++, done));
    assert.equal(seen, 12);
  },

  async recordMethods({ table }) {
    const made = await table.create({ foo: "a", bar: "b" });
    await made.patchUpdate({ foo: "c" });
    assert.deepEqual(made.fields, { foo: "c", bar: "b" });
    await made.putUpdate({ foo: "d" });
    assert.deepEqual(made.fields, { foo: "d" });
    made.set("bar", "e");
    await made.save();
    await table.update(made.id, { n: 3 });
    await made.fetch();
    assert.deepEqual(made.fields, { foo: "d", bar: "e", n: 3 });
    await made.destroy();
    await refused(made.fetch(), 404, "NOT_FOUND");
  },

  async tableNameWithABlank({ base }) {
    const made = await base("My Table").create({ foo: "x" });
    assert.equal((await base("My Table").find(made.id)).get("foo"), "x");
  },
  async errorsByStatus({ base, id }) {
    await refused(base("Nowhere").select().firstPage(), 403, "NOT_AUTHORIZED");
    await refused(client().base("appAAAAAAAAAAAAAA")("T").select().firstPage(), 403, "NOT_AUTHORIZED");
    await refused(client({ apiKey: `nopat${"0".repeat(20)}` }).base(id)("Table").select().firstPage(), 401, "AUTHENTICATION_REQUIRED");
  },
  async customHeaders({ id }) {
    const base = client({ customHeaders: { "X-Custom": "1" } }).base(id);
    await base("Table").select({ maxRecords: 1 }).all();
  },
  async runActionOfTheRawApi({ base }) {
    const answer = await called((done) => base.runAction("get", "/Table", { maxRecords: 1 }, null, (err, response, body) => done(err, body)));
    assert.ok(Array.isArray(answer.records));
  },
  async makeRequest({ base }) {
    const { statusCode, headers, body } = await base.makeRequest({ path: "/Table", qs: { maxRecords: 1 } });
    assert.equal(statusCode, 200);
    assert.match(headers.get("content-type"), /^application\/json/);
    assert.ok(Array.isArray(body.records));
  },

  // A 429 is repeated by the client until it passes; the server's part is JSON and status.
  async repeatsWhatWasRefusedForItsRate({ id }) {
    let refusals = 0;
    const limiter = createServer(async (req, res) => {
      if (refusals++ === 0) {
        res.writeHead(429, { "content-type": "application/json" }).end('{"errors":[{"error":"RATE_LIMIT_REACHED","message":""}]}');
        return;
      }
      const answer = await fetch(endpointUrl + req.url, { headers: { authorization: req.headers.authorization } });
      res.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
    }).listen(0, "127.0.0.1");
    await new Promise((ready) => limiter.once("listening", ready));
    try {
      const base = client({ endpointUrl: `http://127.0.0.1:${limiter.address().port}` }).base(id);
      await base("Table").select({ maxRecords: 1 }).all();
      assert.equal(refusals, 2);
    } finally {
      limiter.close();
      limiter.closeAllConnections();
    }
  },
};

const id = await baseId();
const base = client().base(id);
const table = base("Table");
let filled = false;
// twelve leaves records with n from 1 to 12 in the table, made once.
async function twelve() {
  if (filled) return;
  filled = true;
  await empty(table);
  await table.create(Array.from({ length: 10 }, (_, i) => ({ fields: { foo: "t", n: i + 1 } })));
  await table.create([{ fields: { foo: "t", n: 11 } }, { fields: { foo: "t", n: 12 } }]);
}
await run(steps, { id, base, table, twelve });
