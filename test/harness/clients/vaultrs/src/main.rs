//! What an application does with vaultrs, unmodified, at VAULT_ADDR with a JWT as VAULT_TOKEN.

use serde_json::{Value, json};
use std::{collections::HashMap, env};
use vaultrs::auth::oidc;
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::{kv2, token};

type Data = HashMap<String, String>;

fn client(jwt: &str) -> VaultClient {
    let address = env::var("VAULT_ADDR").unwrap();
    let settings = VaultClientSettingsBuilder::default().address(address).token(jwt).build().unwrap();
    VaultClient::new(settings).unwrap()
}

fn refusal<T>(result: Result<T, ClientError>) -> Value {
    match result {
        Ok(_) => Value::Null,
        Err(ClientError::APIError { code, errors }) => json!({ "status": code, "errors": errors }),
        Err(error) => json!(error.to_string()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ClientError> {
    let jwt = env::var("VAULT_TOKEN").unwrap();
    let vault = client(&jwt);
    let odd = "vaultrs/ordner ü/it's a (b)!";
    let data = |value: &str| Data::from([("user".to_string(), value.to_string())]);

    let login = oidc::login(&vault, "jwt", &jwt, Some("writer".into())).await?;
    let without_role = oidc::login(&vault, "jwt", &jwt, None).await?;
    let written = kv2::set(&vault, "secret", "vaultrs/db", &data("app")).await?.version;
    kv2::set(&vault, "secret", "vaultrs/db", &data("other")).await?;
    let read: Data = kv2::read(&vault, "secret", "vaultrs/db").await?;
    let version: Data = kv2::read_version(&vault, "secret", "vaultrs/db", 1).await?;
    kv2::set(&vault, "secret", odd, &data("odd")).await?;
    let odd_read: Data = kv2::read(&vault, "secret", odd).await?;
    let listed = kv2::list(&vault, "secret", "vaultrs").await?;
    let below = kv2::list(&vault, "secret", "vaultrs/ordner ü").await?;
    kv2::delete_latest(&vault, "secret", "vaultrs/db").await?;
    let deleted = refusal(kv2::read::<Data>(&vault, "secret", "vaultrs/db").await);
    kv2::undelete_versions(&vault, "secret", "vaultrs/db", vec![2]).await?;
    let metadata = kv2::read_metadata(&vault, "secret", "vaultrs/db").await?.current_version;
    let missing = refusal(kv2::read::<Data>(&vault, "secret", "vaultrs/none").await);
    let reader = client(&env::var("READER_TOKEN").unwrap());
    let forbidden = refusal(kv2::set(&reader, "secret", "vaultrs/db", &data("x")).await);
    let lookup = token::lookup_self(&vault).await?.policies;
    let renewable = token::renew_self(&vault, Some("60s")).await?.renewable;
    token::revoke_self(&vault).await?;
    let revoked = refusal(kv2::read::<Data>(&vault, "secret", odd).await);

    let seen = json!({
        "echoed": [login.client_token == jwt, without_role.client_token == jwt],
        "written": written, "read": read, "version": version, "odd": odd_read,
        "listed": listed, "below": below, "deleted": deleted, "metadata": metadata,
        "missing": missing, "forbidden": forbidden, "lookup": lookup, "renewable": renewable,
        "revoked": revoked,
    });
    println!("{seen}");
    Ok(())
}
