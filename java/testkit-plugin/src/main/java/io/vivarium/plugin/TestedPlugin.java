package io.vivarium.plugin;

import java.util.List;
import java.util.function.Function;

/**
 * A plugin under test: the names that its host has for what all hosts have.
 *
 * @param <R> its registry, which is one of the host's
 */
public final class TestedPlugin<R extends PluginRegistry> {
    final Class<?> type;
    final Class<? extends RuntimeException> exception;
    final Class<?> autoConfiguration;
    final String namespace;
    private final Function<EmbeddedRegistryProperties, R> maker;

    /**
     * @param type the host's interface
     * @param exception that it expects
     */
    public TestedPlugin(Class<?> type, Class<? extends RuntimeException> exception, Class<?> autoConfiguration,
            String namespace, Function<EmbeddedRegistryProperties, R> maker) {
        this.type = type;
        this.exception = exception;
        this.autoConfiguration = autoConfiguration;
        this.namespace = namespace;
        this.maker = maker;
    }

    R make(EmbeddedRegistryProperties properties) {
        return maker.apply(properties);
    }

    /** One that is connected to this member. */
    public R start(String endpoint) {
        EmbeddedRegistryProperties properties = new EmbeddedRegistryProperties();
        properties.setEndpoints(List.of(endpoint));
        R registry = make(properties);
        registry.start();
        return registry;
    }

    /** A registry as its host calls it, by the methods of the host's interface. It is not started, nor closed, by this. */
    RegistryBackend asHost(Object registry) {
        HostPlugin host = new HostPlugin(type, () -> new HostPlugin.Opened(registry, () -> { }), (message, cause) -> {
            throw new AssertionError(message, cause);
        });
        host.start();
        return host;
    }
}
