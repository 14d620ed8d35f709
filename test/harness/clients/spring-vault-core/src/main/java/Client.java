import java.net.URI;
import java.util.LinkedHashMap;
import java.util.Map;
import org.springframework.vault.VaultException;
import org.springframework.vault.authentication.TokenAuthentication;
import org.springframework.vault.client.VaultEndpoint;
import org.springframework.vault.core.VaultKeyValueOperations;
import org.springframework.vault.core.VaultKeyValueOperationsSupport.KeyValueBackend;
import org.springframework.vault.core.VaultTemplate;

/** What an application does with spring-vault-core, unmodified, at VAULT_ADDR with a JWT as VAULT_TOKEN. */
class Client {
  static VaultTemplate vault(String jwt) {
    VaultEndpoint endpoint = VaultEndpoint.from(URI.create(System.getenv("VAULT_ADDR")));
    return new VaultTemplate(endpoint, new TokenAuthentication(jwt));
  }

  static String refusal(Runnable call) {
    try {
      call.run();
      return null;
    } catch (VaultException error) {
      return error.getMessage();
    }
  }

  public static void main(String[] arguments) throws Exception {
    String jwt = System.getenv("VAULT_TOKEN");
    VaultTemplate vault = vault(jwt);
    VaultKeyValueOperations kv = vault.opsForKeyValue("secret", KeyValueBackend.KV_2);
    VaultKeyValueOperations reader =
        vault(System.getenv("READER_TOKEN")).opsForKeyValue("secret", KeyValueBackend.KV_2);
    String odd = "spring/ordner ü/it's a (b)!";
    Map<String, Object> seen = new LinkedHashMap<>();

    Map<String, String> credentials = Map.of("role", "writer", "jwt", jwt);
    seen.put("echoed", vault.write("auth/jwt/login", credentials).getAuth().get("client_token").equals(jwt));
    kv.put("spring/db", Map.of("user", "app"));
    seen.put("patched", kv.patch("spring/db", Map.of("port", "1")));
    seen.put("read", kv.get("spring/db").getData());
    kv.put(odd, Map.of("n", "1"));
    seen.put("odd", kv.get(odd).getData());
    seen.put("listed", kv.list("spring"));
    seen.put("below", kv.list("spring/ordner ü"));
    kv.delete("spring/db");
    seen.put("deleted", kv.get("spring/db") == null);
    seen.put("missing", kv.get("spring/none") == null);
    seen.put("forbidden", refusal(() -> reader.put("spring/db", Map.of("user", "x"))));
    seen.put("sealed", vault.opsForSys().health().isSealed());
    seen.put("initialized", vault.opsForSys().isInitialized());
    seen.put("lookup", vault.read("auth/token/lookup-self").getData().get("policies"));
    seen.put("renewable", vault.write("auth/token/renew-self", null).getAuth().get("renewable"));
    vault.write("auth/token/revoke-self", null);
    seen.put("revoked", refusal(() -> kv.get(odd)));
    System.out.println(new com.fasterxml.jackson.databind.ObjectMapper().writeValueAsString(seen));
  }
}
