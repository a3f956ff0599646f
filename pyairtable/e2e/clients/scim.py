"""Has scim2-tester judge a SCIM server by its own word: what the server says that it
offers is created, read, queried, replaced, patched and deleted through scim2-client. One
line for each check: STATUS title, and for what failed the reason.

SCIM_URL and SCIM_TOKEN name the server.
"""

import os
import sys
import uuid

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server, filling

# A user needs an address here, which no schema can say: userName is one.
anything = filling.generate_random_value


def value(context, path, **rules):
    v = anything(context, path=path, **rules)
    return f"{uuid.uuid4()}@acme.example" if v is not None and str(path).endswith("userName") else v


filling.generate_random_value = value

with Client(base_url=os.environ["SCIM_URL"], headers={"Authorization": "Bearer " + os.environ["SCIM_TOKEN"]}, timeout=60) as http:
    results = check_server(SyncSCIMClient(http))

for r in results:
    print(r.status.name, r.title, "" if r.status == Status.SUCCESS else str(r.reason).replace("\n", " "))
sys.exit(any(r.status not in (Status.SUCCESS, Status.SKIPPED) for r in results))
