// Command client does what an application does with HashiCorp's own Go client, unmodified, at VAULT_ADDR with a
// JWT as VAULT_TOKEN, and prints what it saw.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	vault "github.com/hashicorp/vault/api"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	client := must(vault.NewClient(vault.DefaultConfig())) // takes the address and the token from the environment
	jwt := client.Token()
	kv := client.KVv2("secret")
	seen := map[string]any{}

	must(kv.Put(ctx, "go/db", map[string]any{"user": "app"}))
	must(kv.Patch(ctx, "go/db", map[string]any{"password": "s3cret"}))
	seen["read"] = must(kv.Get(ctx, "go/db")).Data
	seen["version"] = must(kv.GetVersion(ctx, "go/db", 1)).Data
	seen["listed"] = must(client.Logical().List("secret/metadata/go")).Data["keys"]
	if err := kv.Delete(ctx, "go/db"); err != nil {
		log.Fatal(err)
	}
	deleted := must(client.Logical().Read("secret/data/go/db")) // a 404 whose body the client parses
	seen["deleted"] = deleted.Data["metadata"].(map[string]any)["version"]
	if err := kv.Undelete(ctx, "go/db", []int{2}); err != nil {
		log.Fatal(err)
	}
	seen["metadata"] = must(kv.GetMetadata(ctx, "go/db")).CurrentVersion

	seen["lookup"] = must(must(client.Auth().Token().LookupSelf()).TokenPolicies())
	login := must(client.Logical().Write("auth/jwt/login", map[string]any{"role": "writer", "jwt": jwt}))
	seen["echoed"] = login.Auth.ClientToken == jwt
	watcher := must(client.NewLifetimeWatcher(&vault.LifetimeWatcherInput{Secret: login}))
	go watcher.Start()
	select {
	case err := <-watcher.DoneCh():
		seen["watched"] = err == nil
	case <-time.After(2 * time.Second):
		seen["watched"] = true // it waits for the token's end
	}
	watcher.Stop()
	seen["renewable"] = must(client.Auth().Token().RenewSelf(60)).Auth.Renewable
	if err := client.Auth().Token().RevokeSelf(""); err != nil {
		log.Fatal(err)
	}
	_, err := kv.Get(ctx, "go/db")
	seen["revoked"] = err != nil
	must(0, json.NewEncoder(os.Stdout).Encode(seen))
}
