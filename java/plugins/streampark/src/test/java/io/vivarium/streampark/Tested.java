package io.vivarium.streampark;

import io.vivarium.plugin.TestedPlugin;
import org.apache.streampark.registry.api.Registry;
import org.apache.streampark.registry.api.RegistryException;

/** This plugin, for the tests that all plugins have in common. */
public final class Tested {
    public static final TestedPlugin<EmbeddedRegistry> PLUGIN = new TestedPlugin<>(Registry.class, RegistryException.class,
        EmbeddedRegistryAutoConfiguration.class, EmbeddedRegistry.NAMESPACE, EmbeddedRegistry::new);

    private Tested() {
    }
}
