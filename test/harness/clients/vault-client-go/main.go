// Command client does what an application does with HashiCorp's generated Go client, unmodified, at VAULT_ADDR
// with a JWT as VAULT_TOKEN, and prints what it saw.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/hashicorp/vault-client-go"
	"github.com/hashicorp/vault-client-go/schema"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	client := must(vault.New(vault.WithEnvironment())) // takes the address and the token from the environment
	jwt := os.Getenv("VAULT_TOKEN")
	secret := vault.WithMountPath("secret")
	kv := client.Secrets
	write := func(path string, data map[string]any, options ...vault.RequestOption) error {
		_, err := kv.KvV2Write(ctx, path, schema.KvV2WriteRequest{Data: data}, append(options, secret)...)
		return err
	}
	refused := func(err error, status int) bool { return vault.IsErrorStatus(err, status) }
	seen := map[string]any{}

	login := must(client.Auth.JwtLogin(ctx, schema.JwtLoginRequest{Role: "writer", Jwt: jwt}))
	seen["echoed"] = login.Auth.ClientToken == jwt
	must(0, write("client-go/db", map[string]any{"user": "app"}))
	must(0, write("client-go/db", map[string]any{"user": "other"}))
	seen["read"] = must(kv.KvV2Read(ctx, "client-go/db", secret)).Data.Data
	odd := "client-go/ordner ü/it's a (b) & c;d!"
	must(0, write(odd, map[string]any{"n": "1"}))
	seen["odd"] = must(kv.KvV2Read(ctx, odd, secret)).Data.Data
	seen["listed"] = must(kv.KvV2List(ctx, "client-go", secret)).Data.Keys
	seen["below"] = must(kv.KvV2List(ctx, "client-go/ordner ü/", secret)).Data.Keys
	seen["top"] = len(must(kv.KvV2List(ctx, "", secret)).Data.Keys) > 0
	must(kv.KvV2Delete(ctx, "client-go/db", secret))
	_, err := kv.KvV2Read(ctx, "client-go/db", secret)
	seen["deleted"] = refused(err, 404)
	undelete := schema.KvV2UndeleteVersionsRequest{Versions: []int32{2}}
	must(kv.KvV2UndeleteVersions(ctx, "client-go/db", undelete, secret))
	seen["metadata"] = must(kv.KvV2ReadMetadata(ctx, "client-go/db", secret)).Data.CurrentVersion
	_, err = kv.KvV2Read(ctx, "client-go/none", secret)
	seen["missing"] = refused(err, 404)
	reader := vault.WithToken(os.Getenv("READER_TOKEN"))
	seen["forbidden"] = refused(write("client-go/db", map[string]any{"user": "x"}, reader), 403)

	seen["lookup"] = must(client.Auth.TokenLookUpSelf(ctx)).Data["policies"]
	seen["renewable"] = must(client.Auth.TokenRenewSelf(ctx, schema.TokenRenewSelfRequest{})).Auth.Renewable
	must(client.Auth.TokenRevokeSelf(ctx))
	_, err = kv.KvV2Read(ctx, odd, secret)
	seen["revoked"] = refused(err, 403)
	must(0, json.NewEncoder(os.Stdout).Encode(seen))
}
