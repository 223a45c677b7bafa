package io.vivarium.plugin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.client.Reason;
import io.vivarium.client.VivariumException;
import io.vivarium.embedded.EmbeddedRegistryExtension;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** How a plugin fails. */
public abstract class FailureContract {
    @RegisterExtension
    public static final EmbeddedRegistryExtension SERVER = new EmbeddedRegistryExtension();

    final TestedPlugin<?> plugin;

    protected FailureContract(TestedPlugin<?> plugin) {
        this.plugin = plugin;
    }

    /** Whatever it is that fails: the host's exception, with why in its message. */
    @Test
    public void whateverFailsIsTheRegistryExceptionOfTheHost() {
        EmbeddedRegistryProperties properties = new EmbeddedRegistryProperties();
        properties.setEndpoints(List.of("127.0.0.1:1"));
        properties.setBlockUntilConnected(Duration.ofMillis(300));
        refused(properties, "127.0.0.1:1");
        properties.setEndpoints(List.of(SERVER.getServer().getNativeAddress()));
        properties.getTls().setEnabled(true);
        refused(properties, SERVER.getServer().getNativeAddress());
        properties.getTls().setEnabled(false);
        properties.setBlockUntilConnected(Duration.ofSeconds(15));
        properties.setToken("nobody's");
        refused(properties, "BAD_CREDENTIALS");
        properties.setToken(null);
        properties.setHeartbeatRefreshInterval(Duration.ofMinutes(1));
        refused(properties, "registry.embedded.heartbeat-refresh-interval");
        try (PluginRegistry registry = plugin.start(SERVER.getServer().getNativeAddress())) {
            RuntimeException tooLarge = assertThrows(plugin.exception,
                () -> plugin.asHost(registry).put("/" + "k".repeat(10_000), "", false));
            assertTrue(tooLarge.getMessage().contains("LIMIT_REACHED"), tooLarge.getMessage());
            assertEquals(Reason.LIMIT_REACHED, ((VivariumException) tooLarge.getCause()).reason());
        }
    }

    private void refused(EmbeddedRegistryProperties properties, String why) {
        try (PluginRegistry wrong = plugin.make(properties)) {
            RuntimeException refused = assertThrows(plugin.exception, wrong::start);
            assertTrue(refused.getMessage().contains(why), refused.getMessage());
        }
    }
}
