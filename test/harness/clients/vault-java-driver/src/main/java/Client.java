import io.github.jopenlibs.vault.Vault;
import io.github.jopenlibs.vault.VaultConfig;
import io.github.jopenlibs.vault.VaultException;
import io.github.jopenlibs.vault.api.Logical;
import io.github.jopenlibs.vault.json.Json;
import io.github.jopenlibs.vault.json.JsonArray;
import io.github.jopenlibs.vault.json.JsonObject;
import java.util.List;
import java.util.Map;

/** What an application does with vault-java-driver, unmodified, at VAULT_ADDR with a JWT as VAULT_TOKEN. */
class Client {
  interface Call {
    void run() throws VaultException;
  }

  static Vault vault(String jwt) throws VaultException {
    return Vault.create(new VaultConfig().address(System.getenv("VAULT_ADDR")).token(jwt).engineVersion(2).build());
  }

  static int refusal(Call call) {
    try {
      call.run();
      return 0;
    } catch (VaultException error) {
      return error.getHttpStatusCode();
    }
  }

  static JsonArray array(List<String> values) {
    JsonArray array = new JsonArray();
    for (String value : values) array.add(value);
    return array;
  }

  public static void main(String[] arguments) throws VaultException {
    String jwt = System.getenv("VAULT_TOKEN");
    Logical kv = vault(jwt).logical();
    Logical reader = vault(System.getenv("READER_TOKEN")).logical();
    String odd = "secret/java/ordner ü/it's a (b)!";
    JsonObject seen = new JsonObject();

    seen.add("echoed", vault(null).auth().loginByJwt("jwt", "writer", jwt).getAuthClientToken().equals(jwt));
    kv.write("secret/java/db", Map.of("user", "app"));
    seen.add("read", kv.read("secret/java/db").getData().get("user"));
    kv.write("secret/java/folder/db", Map.of("user", "app"));
    seen.add("odd", refusal(() -> kv.write(odd, Map.of("n", "1")))); // refused by the driver itself, so no status
    seen.add("listed", array(kv.list("secret/java").getListData()));
    seen.add("below", array(kv.list("secret/java/folder").getListData()));
    // Its delete without versions is that of all that is known of a secret, which is an admin's.
    seen.add("destroyed", refusal(() -> kv.delete("secret/java/db")));
    kv.delete("secret/java/db", new int[] {1});
    seen.add("deleted", kv.read("secret/java/db").getRestResponse().getStatus());
    seen.add("missing", kv.read("secret/java/none").getRestResponse().getStatus());
    seen.add("forbidden", reader.write("secret/java/db", Map.of("user", "x")).getRestResponse().getStatus());
    seen.add("lookup", array(vault(jwt).auth().lookupSelf().getPolicies()));
    seen.add("renewable", vault(jwt).auth().renewSelf().isAuthRenewable());
    vault(jwt).auth().revokeSelf();
    seen.add("revoked", kv.read("secret/java/folder/db").getRestResponse().getStatus());
    System.out.println(seen);
  }
}
