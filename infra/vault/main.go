// Command vault is HashiCorp Vault with the storage types this platform uses:
// those of Vault's own "minimal" build (raft, inmem) plus DynamoDB and S3.
// `server` is assembled here, because its storage factories are a field of the
// exported command; every other subcommand is Vault's own.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/cli"
	logicalKv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	logicalDb "github.com/hashicorp/vault/builtin/logical/database"
	"github.com/hashicorp/vault/builtin/plugin"
	"github.com/hashicorp/vault/command"
	_ "github.com/hashicorp/vault/helper/builtinplugins"
	physDynamoDB "github.com/hashicorp/vault/physical/dynamodb"
	physRaft "github.com/hashicorp/vault/physical/raft"
	physS3 "github.com/hashicorp/vault/physical/s3"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	physInmem "github.com/hashicorp/vault/sdk/physical/inmem"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "server" {
		os.Exit(command.Run(os.Args[1:]))
	}
	server := &command.ServerCommand{
		BaseCommand: &command.BaseCommand{UI: &cli.BasicUi{Reader: os.Stdin, Writer: os.Stdout, ErrorWriter: os.Stderr}},
		AuditBackends: map[string]audit.Factory{
			"file":   audit.NewFileBackend,
			"socket": audit.NewSocketBackend,
			"syslog": audit.NewSyslogBackend,
		},
		CredentialBackends: map[string]logical.Factory{"plugin": plugin.Factory},
		LogicalBackends: map[string]logical.Factory{
			"plugin":   plugin.Factory,
			"database": logicalDb.Factory,
			"kv":       logicalKv.Factory,
		},
		PhysicalBackends: map[string]physical.Factory{
			"inmem":    physInmem.NewInmem,
			"inmem_ha": physInmem.NewInmemHA,
			"raft":     physRaft.NewRaftBackend,
			"dynamodb": physDynamoDB.NewDynamoDBBackend,
			"s3":       physS3.NewS3Backend,
		},
		ShutdownCh: command.MakeShutdownCh(),
		SighupCh:   command.MakeSighupCh(),
		SigUSR2Ch:  command.MakeSigUSR2Ch(),
	}
	for _, arg := range os.Args[2:] {
		if arg == "-h" || arg == "-help" || arg == "--help" {
			fmt.Println(server.Help())
			return
		}
	}
	os.Exit(server.Run(os.Args[2:]))
}
