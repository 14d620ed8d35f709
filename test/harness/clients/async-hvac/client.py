"""What an application does with async-hvac, unmodified, at VAULT_ADDR with a JWT as VAULT_TOKEN."""

import asyncio
import json
import os

from async_hvac import AsyncClient
from async_hvac.exceptions import VaultError

URL = os.environ["VAULT_ADDR"]
ODD = "ordner ü/it's a (b)!"


async def refusal(call):
    try:
        await call
    except VaultError as error:
        return type(error).__name__


async def main():
    seen = {}
    async with AsyncClient(url=URL, token=os.environ["VAULT_TOKEN"]) as client:
        seen["authenticated"] = await client.is_authenticated()
        await client.write("secret/data/async/db", data={"user": "app"})
        seen["read"] = (await client.read("secret/data/async/db"))["data"]["data"]
        await client.write(f"secret/data/async/{ODD}", data={"n": 1})
        seen["odd"] = (await client.read(f"secret/data/async/{ODD}"))["data"]["data"]
        seen["listed"] = (await client.list("secret/metadata/async"))["data"]["keys"]
        seen["below"] = (await client.list("secret/metadata/async/ordner ü"))["data"]["keys"]
        await client.delete("secret/data/async/db")
        seen["deleted"] = await client.read("secret/data/async/db")
        seen["missing"] = await client.read("secret/data/async/none")
        async with AsyncClient(url=URL, token=os.environ["READER_TOKEN"]) as reader:
            seen["forbidden"] = await refusal(reader.write("secret/data/async/db", data={"user": "x"}))
        seen["initialized"] = await client.is_initialized()
        seen["sealed"] = await client.is_sealed()
        seen["lookup"] = (await client.lookup_token())["data"]["policies"]
        seen["renewable"] = (await client.renew_token())["auth"]["renewable"]
        await client.revoke_self_token()
        seen["revoked"] = await refusal(client.read(f"secret/data/async/{ODD}"))
        seen["stillAuthenticated"] = await client.is_authenticated()
    print(json.dumps(seen))


asyncio.run(main())
