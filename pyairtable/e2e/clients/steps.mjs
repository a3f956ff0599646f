// Runs the steps of a program that uses airtable.js, and says how each went: a step
// prints "ok    airtable.js NAME" or "FAIL  airtable.js NAME: why".

import assert from "node:assert/strict";
import process from "node:process";

export async function refused(call, statusCode, error) {
  await assert.rejects(call, (e) => {
    assert.deepEqual({ statusCode: e.statusCode, error: e.error }, { statusCode, error });
    return true;
  });
}

// run gives every step the world and ends the process, with 1 if one failed.
export async function run(steps, world) {
  let failed = 0;
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step(world);
      console.log(`ok    airtable.js ${name}`);
    } catch (e) {
      failed++;
      console.log(`FAIL  airtable.js ${name}: ${String(e.message ?? e).replace(/\s+/g, " ").slice(0, 600)}`);
    }
  }
  process.exit(failed ? 1 : 0);
}
