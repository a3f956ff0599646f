"""What a Python program does with Airtable, through pyairtable (the PyPI client).

    PYAIRTABLE_URL=http://localhost:8080 PYAIRTABLE_TOKEN=pat… python scenario.py

The token needs the scopes to read and write data.records, data.recordComments and
schema.bases, user.email:read and webhook:manage, on all bases, and the server has to be
allowed to ping this machine (AIRTABLE_EGRESS_ALLOWED=127.0.0.1). Exits with 1 and names
what failed.
"""

import os
import queue
import secrets
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from pyairtable import Api
from pyairtable.formulas import match
from pyairtable.models import WebhookNotification
from steps import equal, refused, run, step

URL, TOKEN = os.environ["PYAIRTABLE_URL"], os.environ["PYAIRTABLE_TOKEN"]
ODD_NAME = "Orders/2026 \"it's\" 100%? #1 🚀"


class World:
    """The base that the steps share."""

    def __init__(self):
        self.api = Api(TOKEN, endpoint_url=URL, timeout=(5, 60))
        self.name = "Python " + secrets.token_hex(4)
        self.base = self.api.create_base("wspAAAAAAAAAAAAAA", self.name, [
            {"name": "Customers", "fields": [{"name": "Name", "type": "singleLineText"}]},
            {"name": ODD_NAME, "fields": [
                {"name": "No", "type": "singleLineText"},
                {"name": "Qty", "type": "number", "options": {"precision": 0}},
                {"name": "Paid", "type": "checkbox", "options": {"icon": "check", "color": "greenBright"}},
                {"name": "State", "type": "singleSelect", "options": {"choices": [{"name": "new"}, {"name": "done"}]}},
                {"name": "Due", "type": "date", "options": {"dateFormat": {"name": "iso"}}},
            ]},
        ])
        self.table = self.base.table(ODD_NAME)


@step
def whoami_and_bases(w):
    equal(w.api.whoami()["id"][:3], "usr", "id")
    equal([b.name for b in w.api.bases(force=True) if b.id == w.base.id], [w.name], "base")


@step
def schema(w):
    table = w.base.schema(force=True).table(ODD_NAME)
    equal([f.name for f in table.fields][:5], ["No", "Qty", "Paid", "State", "Due"], "fields")
    equal(table.field("State").options.choices[0].name, "new", "choice")
    equal(table.views[0].type, "grid", "view")
    table.name = ODD_NAME + "!"
    table.save()
    table.name = ODD_NAME
    table.save()
    made = w.base.table(ODD_NAME).create_field("Note", "multilineText")
    equal(made.type, "multilineText", "new field")


@step
def create_and_get(w):
    made = w.table.create({"No": "A/1 'x' \"y\" ☃", "Qty": 0, "Paid": True, "State": "new", "Due": "2026-02-28"})
    equal(made["fields"], {"No": "A/1 'x' \"y\" ☃", "Qty": 0, "Paid": True, "State": "new", "Due": "2026-02-28"}, "created")
    equal(w.table.get(made["id"]), made, "read")
    equal(w.table.create({})["fields"], {}, "empty record")


@step
def list_with_paging(w):
    table = w.base.table("Customers")
    made = table.batch_create([{"Name": f"c{i:02}"} for i in range(25)])
    equal(len(made), 25, "created")
    pages = [len(p) for p in table.iterate(page_size=10)]
    equal(pages, [10, 10, 5], "pages")
    equal([len(p) for p in table.iterate(page_size=10, max_records=12)], [10, 2], "pages up to a maximum")
    names = [r["fields"]["Name"] for r in table.all(sort=["-Name"], fields=["Name"])]
    equal(names, sorted(names, reverse=True), "sorted")
    equal(table.first(sort=["Name"])["fields"]["Name"], "c00", "first")
    equal(len(table.all(view="Grid view")), 25, "view")


@step
def filter_by_formula(w):
    key = secrets.token_hex(4)
    made = w.table.batch_create([{"No": f"{key} 'q' {i}", "Qty": i} for i in range(3)])
    equal(w.table.first(formula=match({"No": f"{key} 'q' 1", "Qty": 1}))["id"], made[1]["id"], "first by match")
    found = w.table.all(formula=f"AND(FIND('{key}', {{No}}), {{Qty}} > 0)", sort=["Qty"])
    equal([r["fields"]["Qty"] for r in found], [1, 2], "found")
    long = "OR(" + ", ".join(f"RECORD_ID()='{made[0]['id']}'" for _ in range(500)) + ")"
    equal([r["id"] for r in w.table.all(formula=long)], [made[0]["id"]], "a formula too long for a URL")
    refused(422, "Unknown field names: nope", lambda: w.table.all(formula="{Nope}=1"))


@step
def field_ids(w):
    table = w.base.schema().table(ODD_NAME)
    number = table.field("Qty").id
    made = w.table.create({number: 7}, use_field_ids=True)
    equal(made["fields"], {number: 7}, "by id")


@step
def update_and_replace(w):
    made = w.table.create({"No": "U", "Qty": 1})
    equal(w.table.update(made["id"], {"Qty": 2})["fields"], {"No": "U", "Qty": 2}, "PATCH")
    equal(w.table.update(made["id"], {"Qty": None})["fields"], {"No": "U"}, "cleared")
    equal(w.table.update(made["id"], {"Qty": 3}, replace=True)["fields"], {"Qty": 3}, "PUT")
    both = w.table.batch_update([{"id": made["id"], "fields": {"No": "V"}}])
    equal(both[0]["fields"], {"No": "V", "Qty": 3}, "batch")


@step
def upsert(w):
    key = secrets.token_hex(4)
    old = w.table.create({"No": key, "Qty": 1})
    done = w.table.batch_upsert(
        [{"fields": {"No": key, "Qty": 5}}, {"fields": {"No": key + "b", "Qty": 6}}], key_fields=["No"])
    equal(done["updatedRecords"], [old["id"]], "updated")
    equal(len(done["createdRecords"]), 1, "created")
    equal([r["fields"]["Qty"] for r in done["records"]], [5, 6], "records")


@step
def typecast(w):
    made = w.table.create({"Qty": "12", "State": "brand new"}, typecast=True)
    equal(made["fields"], {"Qty": 12, "State": "brand new"}, "cast")


@step
def people(w):
    me = w.api.whoami()
    equal("@" in me["email"], True, "address of whoami")
    table = w.base.create_table("People", [
        {"name": "Code", "type": "barcode"}, {"name": "Owner", "type": "singleCollaborator"},
        {"name": "Team", "type": "multipleCollaborators"}])
    made = table.create({"Code": {"text": "4006381333931"}, "Owner": {"id": me["id"]}, "Team": me["email"]}, typecast=True)
    equal(made["fields"]["Owner"]["id"], me["id"], "owner")
    equal(made["fields"]["Owner"]["email"], me["email"], "owner's address")
    equal(made["fields"]["Team"], [made["fields"]["Owner"]], "team")
    equal(table.first(formula=match({"Code": "4006381333931"}))["id"], made["id"], "found by its barcode")
    refused(422, "INVALID_VALUE_FOR_COLUMN", lambda: table.create({"Owner": {"id": "usrAAAAAAAAAAAAAA"}}))


@step
def comments(w):
    me = w.api.whoami()
    made = w.table.create({"No": "C"})
    equal(w.table.comments(made["id"]), [], "no comments")
    first = w.table.add_comment(made["id"], f"Hi @[{me['id']}]")
    equal((first.author.id, first.author.email, first.last_updated_time), (me["id"], me["email"], None), "comment")
    equal(first.mentioned[me["id"]].email, me["email"], "mentioned")
    second = w.table.add_comment(made["id"], "two")
    second.text = "second"
    second.save()
    equal([c.text for c in w.table.comments(made["id"])], ["second", first.text], "comments")
    equal(w.table.comments(made["id"])[0].last_updated_time is None, False, "edited")
    counted = w.table.all(formula=match({"No": "C"}), count_comments=True)
    equal(counted[0]["commentCount"], 2, "counted")
    first.delete()
    equal([c.text for c in w.table.comments(made["id"])], ["second"], "after deleting one")
    w.table.delete(made["id"])
    refused(404, "MODEL_ID_NOT_FOUND", lambda: w.table.comments(made["id"]))


@step
def delete(w):
    one = w.table.create({"No": "D"})
    equal(w.table.delete(one["id"]), {"id": one["id"], "deleted": True}, "deleted")
    many = [r["id"] for r in w.table.batch_create([{"No": f"D{i}"} for i in range(12)])]
    equal([r["deleted"] for r in w.table.batch_delete(many)], [True] * 12, "batch")
    refused(404, "MODEL_ID_NOT_FOUND", lambda: w.table.get(one["id"]))


class Pings:
    """A program that a webhook tells of changes."""

    def __init__(self):
        pings = self.arrived = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                pings.put((body, self.headers["X-Airtable-Content-MAC"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/airtable"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.arrived.get(timeout=60)


@step
def webhooks(w):
    pings = Pings()
    made = w.base.add_webhook(pings.url, {"options": {
        "filters": {"dataTypes": ["tableData", "tableFields"], "recordChangeScope": w.table.id},
        "includes": {"includePreviousCellValues": True},
    }})
    body, mac = pings.next()  # of the creation
    told = WebhookNotification.from_request(body, mac, made.mac_secret_base64)
    equal((told.base.id, told.webhook.id), (w.base.id, made.id), "ping")
    try:
        WebhookNotification.from_request(body + " ", mac, made.mac_secret_base64)
        raise AssertionError("a changed body passes")
    except ValueError:
        pass

    hook = w.base.webhook(made.id)
    equal(hook.notification_url, pings.url, "url")
    equal(hook.expiration_time, made.expiration_time, "expiration")
    equal(hook.specification.options.filters.record_change_scope, w.table.id, "scope")
    equal([h.id for h in w.base.webhooks()], [made.id], "webhooks")

    table = w.base.schema(force=True).table(ODD_NAME)
    no, state = table.field("No").id, table.field("State")
    first = w.table.create({"No": "hook", "State": "new"})
    w.table.update(first["id"], {"State": None})
    w.table.batch_create([{"No": f"h{i}"} for i in range(10)])
    w.table.delete(first["id"])
    pings.next()
    payloads = list(hook.payloads())
    equal([p.cursor for p in payloads], [1, 2, 3, 4], "cursors")
    equal({p.action_metadata.source for p in payloads}, {"publicApi"}, "source")
    created, changed, batch, deleted = [p.changed_tables_by_id[w.table.id] for p in payloads]
    choice = next(c for c in state.options.choices if c.name == "new")
    cell = {"id": choice.id, "name": "new", "color": choice.color}
    equal(created.created_records_by_id[first["id"]].cell_values_by_field_id, {no: "hook", state.id: cell}, "created")
    change = changed.changed_records_by_id[first["id"]]
    equal(change.current.cell_values_by_field_id, {state.id: None}, "current")
    equal(change.previous.cell_values_by_field_id, {state.id: cell}, "previous")
    equal(len(batch.created_records_by_id), 10, "a batch")
    equal(deleted.destroyed_record_ids, [first["id"]], "destroyed")
    equal([p.cursor for p in hook.payloads(cursor=3, limit=1)], [3], "one from the third on")
    equal(list(hook.payloads(cursor=5)), [], "beyond the end")
    equal(w.base.webhook(made.id).cursor_for_next_payload, 5, "next cursor")

    hook.disable_notifications()
    equal(w.base.webhook(made.id).are_notifications_enabled, False, "disabled")
    hook.enable_notifications()
    hook.extend_expiration()
    hook.delete()
    equal(w.base.webhooks(), [], "deleted")


@step
def errors(w):
    refused(422, "UNKNOWN_FIELD_NAME", lambda: w.table.create({"Colour": "red"}))
    refused(422, "INVALID_VALUE_FOR_COLUMN", lambda: w.table.create({"Qty": "many"}))
    refused(422, "INVALID_MULTIPLE_CHOICE_OPTIONS", lambda: w.table.create({"State": "unheard of"}))
    refused(422, "ROW_DOES_NOT_EXIST", lambda: w.table.batch_update([{"id": "recAAAAAAAAAAAAAA", "fields": {}}]))
    refused(404, "MODEL_ID_NOT_FOUND", lambda: w.table.get("recAAAAAAAAAAAAAA"))
    refused(404, "NOT_FOUND", lambda: w.table.get("nonsense"))
    refused(403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", lambda: w.base.table("Nowhere").all())
    refused(403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", lambda: w.api.table("appAAAAAAAAAAAAAA", "T").all())
    wrong = Api("patAAAAAAAAAAAAAA." + "0" * 64, endpoint_url=URL)
    refused(401, "", lambda: wrong.table(w.base.id, "Customers").all())


if __name__ == "__main__":
    run(World())
