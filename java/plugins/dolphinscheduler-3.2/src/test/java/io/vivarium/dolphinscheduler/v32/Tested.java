package io.vivarium.dolphinscheduler.v32;

import io.vivarium.plugin.TestedPlugin;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.apache.dolphinscheduler.registry.api.RegistryException;

/** This plugin, for the tests that all plugins have in common. */
public final class Tested {
    public static final TestedPlugin<EmbeddedRegistry> PLUGIN = new TestedPlugin<>(Registry.class, RegistryException.class,
        EmbeddedRegistryAutoConfiguration.class, EmbeddedRegistry.NAMESPACE, EmbeddedRegistry::new);

    private Tested() {
    }
}
