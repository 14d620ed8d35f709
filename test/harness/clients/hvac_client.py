"""What an application does with hvac, unmodified, at VAULT_ADDR with a JWT as VAULT_TOKEN."""

import json
import os

import hvac
from hvac.exceptions import Forbidden, InvalidPath

jwt = os.environ["VAULT_TOKEN"]
client = hvac.Client(url=os.environ["VAULT_ADDR"], token=jwt)
kv = client.secrets.kv.v2
seen = {}

seen["authenticated"] = client.is_authenticated()
kv.create_or_update_secret("hvac/db", {"user": "app", "password": "s3cret"})
seen["read"] = kv.read_secret_version("hvac/db", raise_on_deleted_version=True)["data"]["data"]
kv.patch("hvac/db", {"user": "other"})
seen["patched"] = kv.read_secret_version("hvac/db", raise_on_deleted_version=True)["data"]["data"]
seen["listed"] = kv.list_secrets("hvac")["data"]["keys"]  # the verb LIST
kv.delete_latest_version_of_secret("hvac/db")
try:
    kv.read_secret_version("hvac/db", raise_on_deleted_version=True)
except InvalidPath as error:
    seen["deleted"] = error.json["data"]["metadata"]["version"]
kv.undelete_secret_versions("hvac/db", versions=[2])
seen["undeleted"] = kv.read_secret_version("hvac/db", raise_on_deleted_version=True)["data"]["data"]["user"]
try:
    kv.destroy_secret_versions("hvac/db", versions=[1])
except Forbidden as error:
    seen["forbidden"] = error.errors
seen["metadata"] = kv.read_secret_metadata("hvac/db")["data"]["current_version"]

seen["lookup"] = client.auth.token.lookup_self()["data"]["policies"]
login = hvac.Client(url=os.environ["VAULT_ADDR"]).auth.jwt.jwt_login(role="writer", jwt=jwt)
seen["echoed"] = login["auth"]["client_token"] == jwt
seen["renewable"] = client.auth.token.renew_self()["auth"]["renewable"]
client.auth.token.revoke_self()
try:
    kv.read_secret_metadata("hvac/db")
except Forbidden as error:
    seen["revoked"] = error.errors
seen["stillAuthenticated"] = client.is_authenticated()

print(json.dumps(seen))
